// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Options.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/Twine.h"

using namespace llvm;

namespace elfatt::compile {

StringRef getUsage() {
  return R"(usage: elfatt-compile FILE --target=TARGET[,TARGET...] -o DIR [options]

Raises attention in an imported model, compiles it to GPU kernels and writes a
bundle: PTX for each target, manifest.json and a C header.

  --target=sm_87[:cuda=11.4]  a chip, and the oldest CUDA release whose driver
                              must load the code (default: by chip)
  -o DIR                      the bundle; replaced if it is one, else created
  --approximate="OPTIONS"     elfatt-approximate with these options first
  --no-raise                  take attention ops as they are
  --cuda-path=DIR             CUDA Toolkit whose ptxas checks the kernels
)";
}

static Expected<GPUTarget> parseTarget(StringRef text) {
  auto [name, rest] = text.split(':');
  if (name == "cpu" || name == "sim" || name == "cuda")
    return createStringError("--target=" + text +
                             " is not built yet for bundles; expected a chip, for example sm_87");
  Expected<const target::Chip *> chip = target::findChip(name);
  if (!chip)
    return createStringError("--target=" + text + ": " + toString(chip.takeError()));
  if (!rest.empty() && !rest.consume_front("cuda="))
    return createStringError("--target=" + text + ": expected cuda=RELEASE after the chip, got '" +
                             rest + "'");
  Expected<target::PtxVersion> ptx = target::getPtxVersion(**chip, rest);
  if (!ptx)
    return createStringError("--target=" + text + ": " + toString(ptx.takeError()));
  return GPUTarget{*chip, rest.str(), *ptx};
}

static Error parseTargets(StringRef list, std::vector<GPUTarget> &targets) {
  SmallVector<StringRef> names;
  list.split(names, ',');
  for (StringRef name : names) {
    Expected<GPUTarget> target = parseTarget(name);
    if (!target)
      return target.takeError();
    if (any_of(targets, [&](const GPUTarget &t) { return t.chip == target->chip; }))
      return createStringError("--target: " + target->chip->name + " is named twice");
    targets.push_back(*target);
  }
  return Error::success();
}

Expected<Options> parseOptions(ArrayRef<const char *> args) {
  Options options;
  for (size_t i = 0; i < args.size(); ++i) {
    StringRef arg = args[i];
    // -o DIR and --option VALUE are as good as --option=VALUE.
    auto takeValue = [&](StringRef name, bool &matches) -> Expected<StringRef> {
      StringRef rest = arg;
      matches = rest.consume_front(name) && (rest.empty() || rest.front() == '=');
      if (!matches)
        return StringRef();
      if (!rest.empty())
        return rest.drop_front();
      if (i + 1 == args.size())
        return createStringError(name + ": expected a value");
      return StringRef(args[++i]);
    };
    if (arg == "--help" || arg == "-h") {
      options.help = true;
      return options;
    }
    if (arg == "--no-raise") {
      options.raise = false;
      continue;
    }
    bool known = false;
    for (StringRef name : {"--target", "-o", "--approximate", "--cuda-path"}) {
      Expected<StringRef> value = takeValue(name, known);
      if (!value)
        return value.takeError();
      if (!known)
        continue;
      if (name == "--target") {
        if (Error error = parseTargets(*value, options.targets))
          return std::move(error);
      } else if (name == "-o") {
        options.output = value->str();
      } else if (name == "--approximate") {
        options.approximate = value->str();
      } else {
        options.cudaPath = value->str();
      }
      break;
    }
    if (known)
      continue;
    if (arg.size() > 1 && arg.front() == '-')
      return createStringError("unknown option '" + arg + "'; see --help");
    if (!options.file.empty())
      return createStringError("expected one input file, got '" + Twine(options.file) + "' and '" +
                               arg + "'");
    options.file = arg.str();
  }
  if (options.file.empty())
    return createStringError("expected an input file; see --help");
  if (options.targets.empty())
    return createStringError("expected --target=CHIP[,CHIP...]; see --help");
  if (options.output.empty())
    return createStringError("expected -o DIR; see --help");
  return options;
}

} // namespace elfatt::compile
