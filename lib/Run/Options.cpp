// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// llvm::cl is of no use here: libLLVM brings options named --stats and more.
#include "elfatt/Run/Options.h"

#include "llvm/ADT/StringExtras.h"

#include <cmath>
#include <functional>

using llvm::Error;
using llvm::Expected;
using llvm::StringRef;

namespace elfatt::run {
namespace {

Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

/// One option. `read` takes the value and says whether it is valid.
struct Option {
  StringRef name;
  enum { None, Required, Optional } value;
  StringRef expected; ///< what a valid value is
  std::function<bool(StringRef)> read;
};

std::function<bool(StringRef)> intoString(std::string &place) {
  return [&](StringRef value) {
    place = value.str();
    return !value.empty();
  };
}

std::function<bool(StringRef)> intoTolerance(double &place) {
  return [&](StringRef value) {
    return !value.getAsDouble(place) && std::isfinite(place) && place >= 0;
  };
}

/// `why` gets what a `read` has to say beyond what it expected.
std::vector<Option> getOptions(Options &o, std::string &why) {
  return {
      {"help", Option::None, "", [&](StringRef) { return o.help = true; }},
      {"target", Option::Required, "cpu, sim:CHIP[:cuda=RELEASE][:tf32] or cuda",
       intoString(o.target)},
      {"inputs", Option::Required, "a .npz file", intoString(o.inputs)},
      {"expect", Option::Required, "a .npz file", intoString(o.expect)},
      {"save", Option::Required, "a .npz file", intoString(o.save)},
      {"stats", Option::Required, "a .json file", intoString(o.stats)},
      {"atol", Option::Required, "a number >= 0", intoTolerance(o.atol)},
      {"rtol", Option::Required, "a number >= 0", intoTolerance(o.rtol)},
      {"approximate", Option::Optional, "options of elfatt-approximate",
       [&](StringRef value) {
         o.approximate = value.str();
         return true;
       }},
      {"compare", Option::Required, "exact",
       [&](StringRef value) { return o.compareExact = value == "exact"; }},
      {"no-raise", Option::None, "", [&](StringRef) { return !(o.raise = false); }},
      {"benchmark", Option::Optional, "a number of seconds > 0",
       [&](StringRef value) {
         double seconds = 1;
         bool valid = value.empty() ||
                      (!value.getAsDouble(seconds) && seconds > 0 && std::isfinite(seconds));
         o.benchmarkSeconds = seconds;
         return valid;
       }},
      {"guard", Option::Required, "before or after",
       [&](StringRef value) {
         o.guard = value == "before" ? GuardedEnd::Before : GuardedEnd::After;
         return value == "before" || value == "after";
       }},
      {"cuda-path", Option::Required, "a folder", intoString(o.cudaPath)},
      {"tile", Option::Required, "sizes such as 'rows-per-block=64 keys-per-step=32'",
       [&](StringRef value) {
         Expected<tile::TileOverrides> tile = tile::parseTileOverrides(value);
         if (!tile) {
           why = llvm::toString(tile.takeError());
           return false;
         }
         o.tile = *tile;
         return !o.tile.isEmpty();
       }},
      {"sample-blocks", Option::None, "", [&](StringRef) { return o.sampleBlocks = true; }},
      {"list-instructions", Option::None, "", [&](StringRef) { return o.listInstructions = true; }},
      {"list-candidates", Option::None, "", [&](StringRef) { return o.listCandidates = true; }},
      {"threads", Option::Required, "a number from 1 to 1024",
       [&](StringRef value) {
         return !value.getAsInteger(10, o.threads) && o.threads >= 1 && o.threads <= 1024;
       }},
  };
}

} // namespace

Expected<Options> parseOptions(llvm::ArrayRef<const char *> args) {
  Options result;
  std::string why;
  std::vector<Option> options = getOptions(result, why);
  for (size_t i = 0; i < args.size(); ++i) {
    StringRef arg = args[i];
    if (!arg.starts_with("-") || arg == "-") {
      if (!result.file.empty())
        return makeError("two files given: '" + result.file + "' and '" + arg + "'");
      result.file = arg.str();
      continue;
    }
    auto [name, value] = arg.drop_while([](char c) { return c == '-'; }).split('=');
    auto option = llvm::find_if(options, [&](const Option &o) { return o.name == name; });
    if (option == options.end())
      return makeError("unknown option '" + arg + "'; see --help");
    bool hasValue = arg.contains('=');
    if (option->value == Option::None && hasValue)
      return makeError("--" + name + " takes no value, got '" + value + "'");
    if (option->value == Option::Required && !hasValue) {
      if (++i == args.size())
        return makeError("--" + name + " needs a value: " + option->expected);
      value = args[i];
    }
    if (!option->read(value))
      return makeError(
          "--" + name + ": " +
          (why.empty() ? "expected " + option->expected + ", got '" + value + "'" : why));
  }
  if (result.help || result.listInstructions)
    return result;
  if (result.file.empty())
    return makeError("no file given; see --help");
  bool simulates = StringRef(result.target).starts_with("sim:");
  const bool hasKernels = simulates || result.target == "cuda";
  if (!result.tile.isEmpty() && !hasKernels)
    return makeError("--tile needs --target=sim:CHIP or cuda");
  if (!result.cudaPath.empty() && !hasKernels)
    return makeError("--cuda-path needs --target=sim:CHIP or cuda");
  if (result.listCandidates) {
    if (!simulates)
      return makeError("--list-candidates needs --target=sim:CHIP");
    if (!result.save.empty() || !result.expect.empty() || result.compareExact ||
        result.benchmarkSeconds)
      return makeError("--list-candidates compares tile sizes: not with --save, --expect, "
                       "--compare or --benchmark");
  }
  if (result.sampleBlocks) {
    if (!simulates)
      return makeError("--sample-blocks needs --target=sim:CHIP");
    if (!result.save.empty() || !result.expect.empty() || result.compareExact)
      return makeError("--sample-blocks leaves the results incomplete: not with --save, --expect "
                       "or --compare");
  }
  return result;
}

StringRef getUsage() {
  return R"(usage: elfatt-run FILE|BUNDLE [options]

Runs the function @main of an MLIR file (text or bytecode): raises its
attention, compiles it for the target and executes it. Arguments that are
memrefs are results too: what they hold in the end, behind the others. A bundle of
elfatt-compile runs as it is, with the best of its code or that of
--target=cpu:LEVEL or --target=cuda.

  --target=cpu            where to run: cpu is this machine, sim:CHIP (sim:sm_87) the
                          simulator, for attention or for the module's own kernels;
                          sim:sm_87:cuda=12.6 with what drivers of CUDA 12.6 load
                          sim:sm_87:tf32 with products of f32 rounded to tf32;
                          cuda is the first GPU found, for the attention, copied to and
                          from for each kernel
  --inputs=in.npz         arrays arg0, arg1, ...; a missing one is random with a
                          fixed seed: normal for floats, 0 or 1 for integers.
                          float32 serves f16 and bf16 by rounding; uint16 is bf16
  --expect=out.npz        arrays out0, out1, ... to compare the results with
  --atol=X --rtol=X       allowed: X_atol + X_rtol * (largest expected element of
                          the output); 1e-6 and 1e-5 if not given
  --save=out.npz          write the results as out0, out1, ...
  --approximate["=..."]   replace exact attention by ELFATT, with the options of
                          elfatt-approximate
  --compare=exact         run the exact model too and print the approximation's
                          error against it
  --no-raise              leave the attention as it was imported
  --benchmark[=SECONDS]   time calls for about SECONDS (1); on a GPU also its kernels
  --guard=before|after    put each buffer against memory that cannot be accessed:
                          code that reads or writes beyond it ends with a signal
  --sample-blocks         on a simulated chip, count one full wave of blocks and the
                          last ones of each launch, and scale; results are incomplete
  --tile="SIZES"          on a chip, sizes of kernels in place of those that
                          are chosen: rows-per-block, warps-per-block, keys-per-step,
                          context-tokens, context-warps, heads-per-block
                          (rows-per-block=64)
  --cuda-path=DIR         CUDA Toolkit whose ptxas counts registers on a simulated chip,
                          and makes the code of a GPU
  --list-candidates       on a simulated chip, print what the kernels' sizes could be,
                          each with its registers, shared memory, spills, bytes and
                          predicted time; those of --tile stay; --threads at once;
                          --stats has all figures
  --list-instructions     print what kernels may use on the simulator
  --threads=N             threads (the cores that the process may use)
  --stats=stats.json      write the figures as JSON

Exit status: 0 done, 1 a result differs from --expect, 2 bad usage or input.
)";
}

} // namespace elfatt::run
