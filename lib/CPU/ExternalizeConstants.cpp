// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_EXTERNALIZECONSTANTSPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

/// The size of a value that can be bound as it lies in memory; 0 where it
/// cannot: splats hold one element, i1 has no layout of its own.
int64_t getBindableBytes(ElementsAttr value) {
  Type element = value.getElementType();
  if (!element.isIntOrFloat() || element.getIntOrFloatBitWidth() % 8 != 0 || value.isSplat())
    return 0;
  if (!isa<DenseResourceElementsAttr, DenseElementsAttr>(value))
    return 0;
  return value.getNumElements() * (element.getIntOrFloatBitWidth() / 8);
}

/// A blob of i1 as LLVM takes it, which knows none: importers write a byte for each.
ElementsAttr readBits(ElementsAttr value) {
  auto resource = dyn_cast_or_null<DenseResourceElementsAttr>(value);
  AsmResourceBlob *blob = resource ? resource.getRawHandle().getBlob() : nullptr;
  if (!blob || !value.getElementType().isInteger(1) ||
      blob->getData().size() != size_t(value.getNumElements()))
    return value;
  auto bits = llvm::map_to_vector(blob->getData(), [](char byte) { return byte != 0; });
  return DenseElementsAttr::get(value.getShapedType(), bits);
}

struct ExternalizeConstants : impl::ExternalizeConstantsPassBase<ExternalizeConstants> {
  using ExternalizeConstantsPassBase::ExternalizeConstantsPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    NamedAttrList constants;
    if (auto known = module->getAttrOfType<DictionaryAttr>("elfatt.constants"))
      constants.append(known.getValue());
    for (auto global : llvm::make_early_inc_range(module.getOps<memref::GlobalOp>())) {
      ElementsAttr value = readBits(dyn_cast_or_null<ElementsAttr>(global.getInitialValueAttr()));
      if (value)
        global.setInitialValueAttr(value);
      if (!value || !global.getConstant() ||
          getBindableBytes(value) < std::max<int64_t>(1, minBytes))
        continue;
      std::string name = ("elfatt_constant_" + global.getSymName()).str();
      if (failed(symbols.rename(global, name)))
        return signalPassFailure();
      // A declaration is public: its address comes from outside.
      global.setPublic();
      global.removeInitialValueAttr();
      global.removeConstantAttr();
      global.removeAlignmentAttr();
      constants.set(name, value);
      ++numExternalized;
    }
    if (!constants.empty())
      module->setAttr("elfatt.constants", constants.getDictionary(&getContext()));
  }
};

} // namespace
} // namespace elfatt::cpu
