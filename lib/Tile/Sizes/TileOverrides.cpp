// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/TileOverrides.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

using namespace llvm;
using namespace elfatt::tile;

namespace {
/// Multiples of `step` up to `most`.
struct Field {
  StringLiteral name;
  int64_t TileOverrides::*member;
  int64_t step, most;
};

constexpr Field kFields[] = {{"rows-per-block", &TileOverrides::rowsPerBlock, 16, 1024},
                             {"warps-per-block", &TileOverrides::warpsPerBlock, 1, 32},
                             {"keys-per-step", &TileOverrides::keysPerStep, 8, 4096},
                             {"context-tokens", &TileOverrides::contextTokens, 16, 512},
                             {"context-warps", &TileOverrides::contextWarps, 1, 32},
                             {"heads-per-block", &TileOverrides::headsPerBlock, 1, 8}};
} // namespace

std::string TileOverrides::str() const {
  SmallVector<std::string> parts;
  for (const Field &field : kFields)
    if (int64_t value = this->*field.member)
      parts.push_back((field.name + "=" + Twine(value)).str());
  return join(parts, " ");
}

Error elfatt::tile::checkTileOverrides(const TileOverrides &overrides) {
  for (const Field &field : kFields) {
    int64_t value = overrides.*field.member;
    if (value < 0 || value > field.most || value % field.step != 0)
      return createStringError("expected " + field.name + " to be " +
                               (field.step == 1 ? "" : "a multiple of " + Twine(field.step) + " ") +
                               "from " + Twine(field.step) + " to " + Twine(field.most) + ", got " +
                               Twine(value));
  }
  return Error::success();
}

Expected<TileOverrides> elfatt::tile::parseTileOverrides(StringRef text) {
  TileOverrides overrides;
  SmallVector<StringRef> words;
  text.split(words, ' ', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  for (StringRef word : words) {
    auto [name, number] = word.split('=');
    const Field *field = find_if(kFields, [&](const Field &f) { return f.name == name; });
    if (field == std::end(kFields))
      return createStringError(
          "unknown tile size '" + name + "', expected one of " +
          join(map_range(kFields, [](const Field &f) { return f.name.str(); }), ", "));
    int64_t &value = overrides.*field->member;
    if (number.getAsInteger(10, value) || value == 0)
      return createStringError("expected " + name + "=NUMBER, got '" + word + "'");
  }
  if (Error error = checkTileOverrides(overrides))
    return std::move(error);
  return overrides;
}
