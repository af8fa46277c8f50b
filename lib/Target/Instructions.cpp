// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Source: PTX ISA manual, "PTX ISA Notes" and "Target ISA Notes" of each instruction.
#include "elfatt/Target/Instructions.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

using namespace llvm;
using namespace elfatt::target;

namespace {
constexpr MmaShape kMmaShapes[] = {
    {8, 8, 4, MmaType::F16, 70, {6, 4}},    {16, 8, 8, MmaType::F16, 75, {6, 5}},
    {8, 8, 16, MmaType::S8, 75, {6, 5}},    {8, 8, 16, MmaType::U8, 75, {6, 5}},
    {16, 8, 16, MmaType::F16, 80, {7, 0}},  {16, 8, 8, MmaType::BF16, 80, {7, 0}},
    {16, 8, 16, MmaType::BF16, 80, {7, 0}}, {16, 8, 4, MmaType::TF32, 80, {7, 0}},
    {16, 8, 8, MmaType::TF32, 80, {7, 0}},  {16, 8, 16, MmaType::S8, 80, {7, 0}},
    {16, 8, 16, MmaType::U8, 80, {7, 0}},   {16, 8, 32, MmaType::S8, 80, {7, 0}},
    {16, 8, 32, MmaType::U8, 80, {7, 0}},
};

/// Intrinsics by the longest prefix that matches, without `llvm.nvvm.`.
struct Requirement {
  StringLiteral prefix;
  StringLiteral instruction; ///< as PTX spells it
  int sm;
  PtxVersion ptx;
  /// What a kernel can do without it.
  StringLiteral instead;
};

constexpr StringLiteral kCopyThroughRegisters = "a load and a store";
constexpr Requirement kRequirements[] = {
    {"shfl.sync.", "shfl.sync", 30, {6, 0}, ""},
    {"vote.", "vote.sync", 30, {6, 0}, ""},
    {"match.", "match.sync", 70, {6, 0}, "shfl.sync and vote.sync"},
    {"bar.warp.sync", "bar.warp.sync", 30, {6, 0}, ""},
    {"activemask", "activemask", 30, {6, 2}, ""},
    {"redux.sync.", "redux.sync", 80, {7, 0}, "shfl.sync"},
    {"redux.sync.f", "redux.sync of f32", 100, {8, 6}, "shfl.sync"},
    {"ldmatrix.sync.aligned.m8n8.", "ldmatrix", 75, {6, 5}, "loads from shared memory"},
    {"ldmatrix.sync.aligned.m16n16.", "ldmatrix of 8 bits", 100, {8, 6}, "ldmatrix of 16 bits"},
    {"ldmatrix.sync.aligned.m8n16.", "ldmatrix of 8 bits", 100, {8, 6}, "ldmatrix of 16 bits"},
    {"stmatrix.", "stmatrix", 90, {7, 8}, "stores to shared memory"},
    {"cp.async.ca.", "cp.async", 80, {7, 0}, kCopyThroughRegisters},
    {"cp.async.cg.", "cp.async", 80, {7, 0}, kCopyThroughRegisters},
    {"cp.async.commit.group", "cp.async", 80, {7, 0}, kCopyThroughRegisters},
    {"cp.async.wait.", "cp.async", 80, {7, 0}, kCopyThroughRegisters},
    {"cp.async.bulk.", "cp.async.bulk", 90, {8, 0}, "cp.async"},
    {"mbarrier.", "mbarrier", 80, {7, 0}, "bar.sync"},
    {"barrier.cluster.", "barrier.cluster", 90, {7, 8}, "bar.sync"},
    {"wgmma.", "wgmma", 90, {8, 0}, "mma.sync"},
    {"tcgen05.", "tcgen05", 100, {8, 6}, "mma.sync"},
    {"ex2.approx.f16", "ex2 of f16", 75, {7, 0}, "ex2 of f32"},
    {"ex2.approx.v2f16", "ex2 of f16", 75, {7, 0}, "ex2 of f32"},
    {"ex2.approx.ftz.bf16", "ex2 of bf16", 90, {7, 8}, "ex2 of f32"},
    {"ex2.approx.ftz.v2bf16", "ex2 of bf16", 90, {7, 8}, "ex2 of f32"},
    {"tanh.approx.f32", "tanh", 75, {7, 0}, "ex2 of f32"},
    {"f2bf16.", "cvt to bf16", 80, {7, 0}, "integer arithmetic"},
    {"ff2bf16x2.", "cvt to bf16x2", 80, {7, 0}, "integer arithmetic"},
    {"ff2f16x2.", "cvt to f16x2", 80, {7, 0}, "cvt to f16"},
    {"f2tf32.", "cvt to tf32", 80, {7, 0}, "integer arithmetic"},
};

const Requirement *findRequirement(StringRef name) {
  const Requirement *best = nullptr;
  for (const Requirement &entry : kRequirements)
    if (name.starts_with(entry.prefix) && (!best || entry.prefix.size() > best->prefix.size()))
      best = &entry;
  return best;
}

Error makeError(const Chip &chip, PtxVersion ptx, const Twine &what, int sm, PtxVersion needed,
                const Twine &instead) {
  std::string needs =
      chip.version() < sm ? ("it needs sm_" + Twine(sm)).str() : ("it needs PTX " + needed.str());
  return createStringError(chip.name + " with PTX " + ptx.str() + " has no " + what + " (" + needs +
                           "); there is: " + instead);
}
} // namespace

StringRef elfatt::target::getName(MmaType type) {
  constexpr StringLiteral names[] = {"f16", "bf16", "tf32", "s8", "u8"};
  return names[static_cast<int>(type)];
}

int elfatt::target::getBits(MmaType type) {
  constexpr int bits[] = {16, 16, 32, 8, 8};
  return bits[static_cast<int>(type)];
}

std::string MmaShape::str() const {
  return ("m" + Twine(m) + "n" + Twine(n) + "k" + Twine(k) + " " + getName(type)).str();
}

ArrayRef<MmaShape> elfatt::target::getMmaShapes() { return kMmaShapes; }

std::vector<MmaShape> elfatt::target::getMmaShapes(const Chip &chip, PtxVersion ptx) {
  std::vector<MmaShape> result;
  copy_if(kMmaShapes, std::back_inserter(result),
          [&](const MmaShape &shape) { return chip.version() >= shape.sm && ptx >= shape.ptx; });
  return result;
}

/// mma.SHAPE.LAYOUT.LAYOUT[.satfinite].TYPES: integer products and those of bf16 and tf32 name
/// the types of A and B; others those of D and C.
const MmaShape *elfatt::target::findMma(StringRef intrinsic) {
  if (!intrinsic.consume_front("llvm.nvvm.mma."))
    return nullptr;
  SmallVector<StringRef> parts;
  intrinsic.split(parts, '.');
  if (parts.size() < 4)
    return nullptr;
  auto types = ArrayRef(parts).drop_front(3);
  if (types.front() == "satfinite")
    types = types.drop_front();
  std::optional<MmaType> type;
  if (types.size() == 2 && all_of(types, [](StringRef t) { return t == "f16" || t == "f32"; }))
    type = MmaType::F16;
  else if (types.size() == 1 || (types.size() == 2 && types.front().ends_with("8")))
    for (MmaType known : {MmaType::BF16, MmaType::TF32, MmaType::S8, MmaType::U8})
      if (types.front() == getName(known))
        type = known;
  if (!type)
    return nullptr;
  for (const MmaShape &shape : kMmaShapes)
    if (shape.type == *type &&
        parts.front() == ("m" + Twine(shape.m) + "n" + Twine(shape.n) + "k" + Twine(shape.k)).str())
      return &shape;
  return nullptr;
}

Error elfatt::target::checkIntrinsic(const Chip &chip, PtxVersion ptx, StringRef intrinsic) {
  StringRef name = intrinsic;
  if (!name.consume_front("llvm.nvvm."))
    return Error::success();
  if (name.starts_with("mma.")) {
    const MmaShape *shape = findMma(intrinsic);
    if (shape && chip.version() >= shape->sm && ptx >= shape->ptx)
      return Error::success();
    std::string list =
        join(map_range(getMmaShapes(chip, ptx), [](const MmaShape &s) { return s.str(); }), ", ");
    std::string instead = list.empty() ? "fma" : "mma.sync of " + list;
    if (shape)
      return makeError(chip, ptx, "mma.sync of " + shape->str(), shape->sm, shape->ptx, instead);
    return createStringError("'" + intrinsic +
                             "' is not in the table of products; there is: " + instead);
  }
  const Requirement *needed = findRequirement(name);
  if (!needed || (chip.version() >= needed->sm && ptx >= needed->ptx))
    return Error::success();
  return makeError(chip, ptx, needed->instruction, needed->sm, needed->ptx,
                   needed->instead.empty() ? "newer drivers" : StringRef(needed->instead));
}

/// createpolicy and .L2::cache_hint; st.cs is as old as global memory.
static constexpr int kEvictFirstChip = 80;
static constexpr PtxVersion kEvictFirstPtx = {7, 4};

bool elfatt::target::hasEvictFirst(const Chip &chip, PtxVersion ptx) {
  return chip.version() >= kEvictFirstChip && ptx >= kEvictFirstPtx;
}

Error elfatt::target::checkAssembly(const Chip &chip, PtxVersion ptx, StringRef text) {
  if (text != kCopyEvictFirst || hasEvictFirst(chip, ptx))
    return Error::success();
  return makeError(chip, ptx, "cp.async with a cache policy", kEvictFirstChip, kEvictFirstPtx,
                   "cp.async");
}
