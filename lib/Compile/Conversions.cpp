// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BindRuntime.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/SourceMgr.h"

using namespace llvm;

namespace elfatt::compile {

/// By the names under which LLVM calls a compiler's library for them; the linker
/// drops what is not called. To f16: numbers below 2^-14 are rounded by adding
/// 0.5, whose last bit is 2^-24; all others by adding half of what is cut off.
static constexpr StringLiteral kConversions = R"(
define hidden float @__extendhfsf2(half %x) {
  %bits16 = bitcast half %x to i16
  %bits = zext i16 %bits16 to i32
  %top = and i32 %bits, 32768
  %sign = shl i32 %top, 16
  %magnitude = and i32 %bits, 32767
  %shifted = shl i32 %magnitude, 13
  %normal = add i32 %shifted, 939524096
  %special = or i32 %shifted, 2139095040
  %integer = uitofp i32 %magnitude to float
  %small = fmul float %integer, 0x3E70000000000000
  %subnormal = bitcast float %small to i32
  %isSpecial = icmp uge i32 %magnitude, 31744
  %isSubnormal = icmp ult i32 %magnitude, 1024
  %finite = select i1 %isSubnormal, i32 %subnormal, i32 %normal
  %value = select i1 %isSpecial, i32 %special, i32 %finite
  %result = or i32 %value, %sign
  %float = bitcast i32 %result to float
  ret float %float
}

define hidden half @__truncsfhf2(float %x) {
  %bits = bitcast float %x to i32
  %top = lshr i32 %bits, 16
  %sign = and i32 %top, 32768
  %magnitude = and i32 %bits, 2147483647
  %rebiased = sub i32 %magnitude, 939524096
  %cut = lshr i32 %rebiased, 13
  %odd = and i32 %cut, 1
  %bias = add i32 %odd, 4095
  %rounded = add i32 %rebiased, %bias
  %normal = lshr i32 %rounded, 13
  %positive = bitcast i32 %magnitude to float
  %sum = fadd float %positive, 5.000000e-01
  %sumBits = bitcast float %sum to i32
  %subnormal = sub i32 %sumBits, 1056964608
  %payload = lshr i32 %magnitude, 13
  %low = and i32 %payload, 1023
  %nan = or i32 %low, 32256
  %isNan = icmp ugt i32 %magnitude, 2139095040
  %isInfinite = icmp uge i32 %magnitude, 1199566848
  %isSubnormal = icmp ult i32 %magnitude, 947912704
  %finite = select i1 %isSubnormal, i32 %subnormal, i32 %normal
  %number = select i1 %isInfinite, i32 31744, i32 %finite
  %value = select i1 %isNan, i32 %nan, i32 %number
  %result = or i32 %value, %sign
  %short = trunc i32 %result to i16
  %half = bitcast i16 %short to half
  ret half %half
}

define hidden bfloat @__truncsfbf2(float %x) {
  %bits = bitcast float %x to i32
  %magnitude = and i32 %bits, 2147483647
  %cut = lshr i32 %bits, 16
  %odd = and i32 %cut, 1
  %bias = add i32 %odd, 32767
  %sum = add i32 %bits, %bias
  %rounded = lshr i32 %sum, 16
  %nan = or i32 %cut, 64
  %isNan = icmp ugt i32 %magnitude, 2139095040
  %result = select i1 %isNan, i32 %nan, i32 %rounded
  %short = trunc i32 %result to i16
  %bfloat = bitcast i16 %short to bfloat
  ret bfloat %bfloat
}
)";

Error addConversions(Module &module) {
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> conversions =
      parseAssemblyString(kConversions, diagnostic, module.getContext());
  if (!conversions)
    return createStringError("conversions: " + diagnostic.getMessage());
  conversions->setDataLayout(module.getDataLayout());
  conversions->setTargetTriple(module.getTargetTriple());
  if (Linker::linkModules(module, std::move(conversions)))
    return createStringError("conversions: cannot be linked");
  return Error::success();
}

} // namespace elfatt::compile
