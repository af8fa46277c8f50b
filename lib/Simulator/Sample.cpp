// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Sample.h"

using namespace llvm;

namespace elfatt::sim {
namespace {

bool isSameKind(const BitVector &a, const BitVector &b) {
  BitVector both = a, either = a;
  both &= b;
  either |= b;
  return 2 * both.count() >= either.count();
}

/// Finds where the code that blocks execute changes.
class Splitter {
public:
  explicit Splitter(FindPath findPath) : findPath(findPath) {}

  /// The first block of each kind in [begin, end] but that of `begin`, whose paths, and
  /// that of `end`, are known.
  Error split(uint64_t begin, const BitVector &first, uint64_t end, const BitVector &last,
              bool looksInside) {
    bool isSame = isSameKind(first, last);
    if (end - begin <= 1 || (isSame && !looksInside)) {
      if (!isSame)
        borders.push_back(end);
      return Error::success();
    }
    uint64_t middle = begin + (end - begin) / 2;
    Expected<BitVector> path = findPath(middle);
    if (!path)
      return path.takeError();
    // Between two of a kind one look has to do.
    if (Error error = split(begin, first, middle, *path, !isSame))
      return error;
    return split(middle, *path, end, last, !isSame);
  }

  std::vector<uint64_t> borders;

private:
  FindPath findPath;
};

void addWave(std::vector<Part> &parts, uint64_t begin, uint64_t end, uint64_t wave) {
  uint64_t blocks = end - begin, rest = blocks % wave;
  if (blocks < 2 * wave) {
    parts.push_back({begin, end, 1});
    return;
  }
  parts.push_back({begin, begin + wave, blocks / wave});
  if (rest)
    parts.push_back({end - rest, end, 1});
}
} // namespace

Expected<std::vector<Part>> sampleBlocks(uint64_t blocks, uint64_t wave, FindPath findPath) {
  std::vector<Part> parts;
  if (blocks < 2 * wave) {
    addWave(parts, 0, blocks, wave);
    return parts;
  }
  Expected<BitVector> first = findPath(0);
  if (!first)
    return first.takeError();
  Expected<BitVector> last = findPath(blocks - 1);
  if (!last)
    return last.takeError();
  Splitter splitter(findPath);
  if (Error error = splitter.split(0, *first, blocks - 1, *last, /*looksInside=*/true))
    return std::move(error);
  splitter.borders.push_back(blocks);
  uint64_t begin = 0;
  for (uint64_t end : splitter.borders) {
    addWave(parts, begin, end, wave);
    begin = end;
  }
  return parts;
}

} // namespace elfatt::sim
