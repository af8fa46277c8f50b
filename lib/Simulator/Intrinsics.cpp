// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Intrinsics.h"

#include "elfatt/Simulator/Simulator.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace llvm;
using namespace elfatt::sim;
using elfatt::target::getBits;

std::optional<Special> elfatt::sim::findSpecial(StringRef name) {
  if (!name.consume_front("llvm.nvvm.read.ptx.sreg."))
    return std::nullopt;
  return StringSwitch<std::optional<Special>>(name)
      .Case("tid.x", Special::TidX)
      .Case("tid.y", Special::TidY)
      .Case("tid.z", Special::TidZ)
      .Case("ntid.x", Special::NtidX)
      .Case("ntid.y", Special::NtidY)
      .Case("ntid.z", Special::NtidZ)
      .Case("ctaid.x", Special::CtaidX)
      .Case("ctaid.y", Special::CtaidY)
      .Case("ctaid.z", Special::CtaidZ)
      .Case("nctaid.x", Special::NctaidX)
      .Case("nctaid.y", Special::NctaidY)
      .Case("nctaid.z", Special::NctaidZ)
      .Case("laneid", Special::LaneId)
      .Case("warpsize", Special::WarpSize)
      .Case("warpid", Special::WarpId)
      .Case("lanemask.eq", Special::LaneMaskEq)
      .Case("lanemask.lt", Special::LaneMaskLt)
      .Case("lanemask.le", Special::LaneMaskLe)
      .Case("lanemask.gt", Special::LaneMaskGt)
      .Case("lanemask.ge", Special::LaneMaskGe)
      .Case("dynamic_smem_size", Special::DynamicSharedSize)
      .Default(std::nullopt);
}

static std::optional<Collective> findShuffle(StringRef name) {
  auto [mode, type] = name.split('.');
  if (type != "i32" && type != "f32" && type != "i32p" && type != "f32p")
    return std::nullopt;
  auto kind = StringSwitch<std::optional<CollectiveKind>>(mode)
                  .Case("idx", CollectiveKind::ShflIdx)
                  .Case("bfly", CollectiveKind::ShflBfly)
                  .Case("up", CollectiveKind::ShflUp)
                  .Case("down", CollectiveKind::ShflDown)
                  .Default(std::nullopt);
  if (!kind)
    return std::nullopt;
  Collective result;
  result.kind = *kind;
  result.numOperands = 4;
  result.numResults = 2;
  result.maskOperand = 0;
  return result;
}

static std::optional<Collective> findVote(StringRef name) {
  auto kind = StringSwitch<std::optional<CollectiveKind>>(name)
                  .Case("vote.all.sync", CollectiveKind::VoteAll)
                  .Case("vote.any.sync", CollectiveKind::VoteAny)
                  .Case("vote.uni.sync", CollectiveKind::VoteUni)
                  .Case("vote.ballot.sync", CollectiveKind::VoteBallot)
                  .Cases({"match.any.sync.i32", "match.any.sync.i64"}, CollectiveKind::MatchAny)
                  .Cases({"match.all.sync.i32p", "match.all.sync.i64p"}, CollectiveKind::MatchAll)
                  .Case("bar.warp.sync", CollectiveKind::WarpSync)
                  .Default(std::nullopt);
  if (!kind)
    return std::nullopt;
  Collective result;
  result.kind = *kind;
  result.is64Bit = name.contains("i64");
  result.numOperands = *kind == CollectiveKind::WarpSync ? 1 : result.is64Bit ? 3 : 2;
  result.numResults = *kind == CollectiveKind::WarpSync   ? 0
                      : *kind == CollectiveKind::MatchAll ? 2
                                                          : 1;
  result.maskOperand = 0;
  return result;
}

static std::optional<Collective> findRedux(StringRef name) {
  auto kind = StringSwitch<std::optional<ReduxKind>>(name)
                  .Case("add", ReduxKind::Add)
                  .Case("min", ReduxKind::Min)
                  .Case("max", ReduxKind::Max)
                  .Case("umin", ReduxKind::UMin)
                  .Case("umax", ReduxKind::UMax)
                  .Case("and", ReduxKind::And)
                  .Case("or", ReduxKind::Or)
                  .Case("xor", ReduxKind::Xor)
                  .Default(std::nullopt);
  if (!kind)
    return std::nullopt;
  Collective result;
  result.kind = CollectiveKind::Redux;
  result.redux = *kind;
  result.numOperands = 2;
  result.numResults = 1;
  result.maskOperand = 1;
  return result;
}

/// {ld,st}matrix.sync.aligned.m8n8.xN[.trans].b16.pSPACE
static std::optional<Collective> findMatrix(StringRef name) {
  Collective result;
  result.kind = name.starts_with("ld") ? CollectiveKind::LdMatrix : CollectiveKind::StMatrix;
  name = name.drop_front(2);
  if (!name.consume_front("matrix.sync.aligned.m8n8.x") || name.consumeInteger(10, result.matrices))
    return std::nullopt;
  result.isTransposed = name.consume_front(".trans");
  if (name != ".b16.p0" && name != ".b16.p3")
    return std::nullopt;
  bool isStore = result.kind == CollectiveKind::StMatrix;
  result.numOperands = 2 + (isStore ? result.matrices : 0);
  result.numResults = isStore ? 0 : result.matrices;
  return result;
}

static std::optional<Collective> findMma(StringRef intrinsic) {
  Collective result;
  result.kind = CollectiveKind::Mma;
  result.shape = elfatt::target::findMma(intrinsic);
  if (!result.shape)
    return std::nullopt;
  SmallVector<StringRef> parts;
  intrinsic.drop_front(StringRef("llvm.nvvm.mma.").size()).split(parts, '.');
  result.isAColumnMajor = parts[1] == "col";
  result.isBRowMajor = parts[2] == "row";
  result.saturates = parts[3] == "satfinite";
  StringRef types = parts.back();
  if (result.shape->type == elfatt::target::MmaType::F16) {
    result.resultF16 = parts[3] == "f16";
    result.sumsF16 = types == "f16";
  }
  result.isBUnsigned = types == "u8";
  // Elements of A, B and C that a lane holds, in registers of 32 bits.
  const elfatt::target::MmaShape &s = *result.shape;
  int lanes = s.k == 4 && s.type == elfatt::target::MmaType::F16 ? 8 : kLanes;
  int inC = s.m * s.n / lanes;
  int wordsAB = (s.m * s.k + s.k * s.n) / lanes * getBits(s.type) / 32;
  result.numOperands = wordsAB + (result.sumsF16 ? inC / 2 : inC);
  result.numResults = result.resultF16 ? inC / 2 : inC;
  return result;
}

std::optional<Collective> elfatt::sim::findCollective(StringRef intrinsic) {
  StringRef name = intrinsic;
  if (!name.consume_front("llvm.nvvm."))
    return std::nullopt;
  if (name.starts_with("mma."))
    return ::findMma(intrinsic);
  if (name.starts_with("ldmatrix.") || name.starts_with("stmatrix."))
    return findMatrix(name);
  if (name.consume_front("shfl.sync."))
    return findShuffle(name);
  if (name.consume_front("redux.sync."))
    return findRedux(name);
  return findVote(name);
}

/// barrier.cta.{sync,arrive,red.OP}[.aligned].{all,count}
std::optional<BarrierCall> elfatt::sim::findBarrier(StringRef name) {
  if (!name.consume_front("llvm.nvvm.barrier.cta."))
    return std::nullopt;
  BarrierCall result;
  result.hasCount = name.consume_back(".count");
  if (!result.hasCount && !name.consume_back(".all"))
    return std::nullopt;
  result.kind.isAligned = name.consume_back(".aligned");
  result.kind.waits = name != "arrive";
  auto reduces = StringSwitch<std::optional<int>>(name)
                     .Cases({"sync", "arrive"}, BarrierKind::None)
                     .Case("red.and", BarrierKind::And)
                     .Case("red.or", BarrierKind::Or)
                     .Case("red.popc", BarrierKind::Popc)
                     .Default(std::nullopt);
  if (!reduces)
    return std::nullopt;
  result.kind.reduces = static_cast<decltype(result.kind.reduces)>(*reduces);
  return result;
}

/// cp.async.{ca,cg}.shared.global.BYTES[.s]
std::optional<AsyncCall> elfatt::sim::findAsyncCopy(StringRef name) {
  if (!name.consume_front("llvm.nvvm.cp.async.ca.shared.global.") &&
      !name.consume_front("llvm.nvvm.cp.async.cg.shared.global."))
    return std::nullopt;
  AsyncCall result;
  result.hasSize = name.consume_back(".s");
  if (name.getAsInteger(10, result.bytes))
    return std::nullopt;
  return result;
}

bool elfatt::sim::isFence(StringRef name) {
  return name == "llvm.nvvm.membar.cta" || name == "llvm.nvvm.membar.gl" ||
         name == "llvm.nvvm.membar.sys" || name == "llvm.nvvm.fence.sc.cluster" ||
         name == "llvm.nvvm.fence.proxy.alias" || name == "llvm.nvvm.nanosleep";
}

std::string elfatt::sim::listInstructions() {
  std::string text = R"(llvm.nvvm.read.ptx.sreg.{tid,ntid,ctaid,nctaid}.{x,y,z}
llvm.nvvm.read.ptx.sreg.{laneid,warpsize,warpid,dynamic_smem_size}
llvm.nvvm.read.ptx.sreg.lanemask.{eq,lt,le,gt,ge}
llvm.nvvm.barrier.cta.{sync,arrive,red.and,red.or,red.popc}[.aligned].{all,count}
llvm.nvvm.bar.warp.sync
llvm.nvvm.shfl.sync.{idx,bfly,up,down}.{i32,f32,i32p,f32p}
llvm.nvvm.vote.{all,any,uni,ballot}.sync
llvm.nvvm.match.{any.sync.i32,any.sync.i64,all.sync.i32p,all.sync.i64p}
llvm.nvvm.redux.sync.{add,min,max,umin,umax,and,or,xor}
llvm.nvvm.ldmatrix.sync.aligned.m8n8.{x1,x2,x4}[.trans].b16
llvm.nvvm.stmatrix.sync.aligned.m8n8.{x1,x2,x4}[.trans].b16
llvm.nvvm.cp.async.ca.shared.global.{4,8,16}[.s]
llvm.nvvm.cp.async.cg.shared.global.16[.s]
llvm.nvvm.cp.async.{commit.group,wait.group,wait.all}
llvm.nvvm.{membar.cta,membar.gl,membar.sys,fence.sc.cluster,fence.proxy.alias,nanosleep}
llvm.nvvm.{isspacep.shared,isspacep.global,exit}
)";
  for (StringRef assembly : {elfatt::target::kCopyEvictFirst, elfatt::target::kStoreEvictFirst})
    text += ("asm " + assembly + "\n").str();
  for (const elfatt::target::MmaShape &shape : elfatt::target::getMmaShapes())
    text += "llvm.nvvm.mma of " + shape.str() + "\n";
  for (const MathFunction &function : getMathFunctions())
    text += (function.name + "\n").str();
  return text;
}
