// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Options.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/Twine.h"

using namespace llvm;

namespace elfatt::compile {

StringRef getUsage() {
  return R"(usage: elfatt-compile FILE --target=TARGET[,TARGET...] -o DIR [options]

Raises attention in an imported model, compiles it and writes a bundle that runs
without a compiler: code for each target, constants, manifest.json, a C header
and the runtime's source.

  --target=cpu                this machine's architecture: a shared object for each
                              of its levels, chosen when the bundle is opened
  --target=cpu:aarch64-linux-gnu, cpu:x86_64-linux-gnu:x86-64-v3+x86-64-v4
                              another architecture; some of its levels alone
  --target=sm_87[:cuda=11.4]  a chip, and the oldest CUDA release whose driver
                              must load the code (default: by chip); with :tf32
                              products of f32 are rounded to tf32 (sm_80 and newer)
  -o DIR                      the bundle; replaced if it is one, else created
  --approximate="OPTIONS"     elfatt-approximate with these options first
  --no-raise                  take attention ops as they are
  --cuda-path=DIR             CUDA Toolkit whose ptxas makes the cubins
  --tile="SIZES"              sizes of kernels in place of those that are chosen, for
                              all chips; elfatt-run --list-candidates has them
  --fatbin                    one file a chip with its cubin and PTX, in place of two;
                              needs a ptxas and fatbinary
  --no-runtime-source         leave the runtime's source out, where many bundles
                              share one runtime
)";
}

static Expected<target::ChipTarget> parseChip(StringRef text) {
  StringRef name = text.split(':').first;
  if (name == "sim" || name == "cuda")
    return createStringError(
        "--target=" + text +
        ": expected cpu or a chip, for example sm_87: a bundle is for machines "
        "that are named");
  Expected<target::ChipTarget> target = target::parseChipTarget(text);
  if (!target)
    return createStringError("--target=" + text + ": " + toString(target.takeError()));
  return target;
}

static Error addProcessor(StringRef text, Options &options) {
  Expected<target::ProcessorTarget> target = target::parseProcessorTarget(text.substr(3));
  if (!target)
    return createStringError("--target=" + text + ": " + toString(target.takeError()));
  for (const target::ProcessorTarget &other : options.processors)
    if (other.triple == target->triple)
      return createStringError("--target: " + target->triple + " is named twice");
  options.processors.push_back(std::move(*target));
  return Error::success();
}

static Error addChip(StringRef text, Options &options) {
  Expected<target::ChipTarget> target = parseChip(text);
  if (!target)
    return target.takeError();
  if (any_of(options.targets, [&](const target::ChipTarget &t) { return t.chip == target->chip; }))
    return createStringError("--target: " + target->chip->name + " is named twice");
  options.targets.push_back(*target);
  return Error::success();
}

static Error parseTargets(StringRef list, Options &options) {
  SmallVector<StringRef> names;
  list.split(names, ',');
  for (StringRef name : names)
    if (Error error = name == "cpu" || name.starts_with("cpu:") ? addProcessor(name, options)
                                                                : addChip(name, options))
      return error;
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
    if (arg == "--no-runtime-source") {
      options.runtimeSource = false;
      continue;
    }
    if (arg == "--fatbin") {
      options.fatbin = true;
      continue;
    }
    bool known = false;
    for (StringRef name : {"--target", "-o", "--approximate", "--cuda-path", "--tile"}) {
      Expected<StringRef> value = takeValue(name, known);
      if (!value)
        return value.takeError();
      if (!known)
        continue;
      if (name == "--target") {
        if (Error error = parseTargets(*value, options))
          return std::move(error);
      } else if (name == "-o") {
        options.output = value->str();
      } else if (name == "--tile") {
        Expected<tile::TileOverrides> tile = tile::parseTileOverrides(*value);
        if (!tile)
          return createStringError("--tile: " + toString(tile.takeError()));
        options.tile = *tile;
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
  if (options.targets.empty() && options.processors.empty())
    return createStringError("expected --target=TARGET[,TARGET...]; see --help");
  if ((options.fatbin || !options.tile.isEmpty()) && options.targets.empty())
    return createStringError(Twine(options.fatbin ? "--fatbin" : "--tile") +
                             ": expected a chip in --target, for example sm_87");
  if (options.output.empty())
    return createStringError("expected -o DIR; see --help");
  return options;
}

} // namespace elfatt::compile
