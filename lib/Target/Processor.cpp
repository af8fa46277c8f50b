// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Target/Processor.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace llvm;

namespace elfatt::target {
namespace {

// The levels of the x86-64 psABI; the plain one is not served, since no
// processor of the last fifteen years stops there and it cannot round to an
// integer without a call. Vectors of 512 bits are wanted where there are any. Above them
// the fourth with AVX512-BF16.
constexpr Processor kProcessors[] = {
    {"x86-64-v2", "x86_64", "x86-64-v2", "", 128, 16, false},
    {"x86-64-v3", "x86_64", "x86-64-v3", "+prfchw", 256, 16, true},
    {"x86-64-v4", "x86_64", "x86-64-v4", "-prefer-256-bit,+prfchw", 512, 32, true},
    {"x86-64-v4-bf16", "x86_64", "x86-64-v4", "-prefer-256-bit,+prfchw,+avx512bf16", 512, 32, true,
     true},
    {"armv8-a", "aarch64", "generic", "", 128, 32, true},
};

std::string list(function_ref<StringRef(const Processor &)> what) {
  SmallVector<StringRef> names;
  for (const Processor &processor : kProcessors)
    if (!is_contained(names, what(processor)))
      names.push_back(what(processor));
  return join(names, ", ");
}

} // namespace

ArrayRef<Processor> getProcessors() { return kProcessors; }

Expected<ProcessorTarget> parseProcessorTarget(StringRef text) {
  text.consume_front(":");
  auto [tripleText, levelText] = text.split(':');
  ProcessorTarget target;
  Triple triple(tripleText.empty() ? sys::getProcessTriple() : Triple::normalize(tripleText));
  StringRef architecture = triple.getArchName();
  if (!triple.isOSLinux() || triple.isAndroid() || triple.isMusl())
    return createStringError("expected a triple of Linux with glibc, for example "
                             "aarch64-linux-gnu, got '" +
                             tripleText + "'");
  target.triple = (architecture + "-linux-gnu").str();
  for (const Processor &processor : kProcessors)
    if (processor.architecture == architecture)
      target.levels.push_back(&processor);
  if (target.levels.empty())
    return createStringError("no code for architecture '" + architecture + "', expected one of " +
                             list([](const Processor &p) { return StringRef(p.architecture); }));
  if (levelText.empty())
    return target;
  SmallVector<StringRef> names;
  levelText.split(names, '+');
  std::vector<const Processor *> wanted;
  for (StringRef name : names) {
    auto it = find_if(target.levels, [&](const Processor *p) { return p->name == name; });
    if (it == target.levels.end())
      return createStringError("unknown level '" + name + "' of " + architecture +
                               ", expected one of " +
                               list([](const Processor &p) { return StringRef(p.name); }));
    if (!is_contained(wanted, *it))
      wanted.push_back(*it);
  }
  target.levels = wanted;
  return target;
}

} // namespace elfatt::target
