// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each collective instruction, from LLVM IR to results, against the PTX ISA manual: fragments
// element by element, as its formulas for rows and columns have them, and values against a
// computation of the host's.
#include "SimulatorKernels.h"

#include "elfatt/Target/Instructions.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/IntrinsicsNVPTX.h"

#include <bit>
#include <functional>
#include <random>

using namespace elfatt::sim;
using elfatt::target::MmaType;
using llvm::Type;

namespace {
constexpr int kLanes = 32;
/// The words of each lane.
using Words = std::vector<std::array<uint32_t, 16>>;

/// A kernel that loads the operands of one intrinsic from in[thread], calls it and stores its
/// results to out[thread]. Pointers are offsets into a shared array that begins with `shared`.
class WarpKernel {
public:
  explicit WarpKernel(const std::string &name, std::vector<uint32_t> immediates = {}) {
    auto context = std::make_unique<llvm::LLVMContext>();
    auto module = std::make_unique<llvm::Module>("warp", *context);
    module->setTargetTriple(llvm::Triple("nvptx64-nvidia-cuda"));
    llvm::IRBuilder<> b(*context);
    llvm::Intrinsic::ID id = llvm::Intrinsic::lookupIntrinsicID(name);
    EXPECT_NE(id, llvm::Intrinsic::not_intrinsic) << name;
    std::vector<Type *> overloads;
    if (name.ends_with(".p3"))
      overloads.push_back(b.getPtrTy(3));
    llvm::Function *intrinsic =
        llvm::Intrinsic::getOrInsertDeclaration(module.get(), id, overloads);
    auto *kernel = llvm::Function::Create(
        llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy(), b.getPtrTy(), b.getPtrTy()}, false),
        llvm::Function::ExternalLinkage, "k", module.get());
    kernel->setCallingConv(llvm::CallingConv::PTX_Kernel);
    b.SetInsertPoint(llvm::BasicBlock::Create(*context, "", kernel));
    auto *tile = new llvm::GlobalVariable(
        *module, llvm::ArrayType::get(b.getInt32Ty(), kTileWords), false,
        llvm::GlobalValue::InternalLinkage,
        llvm::UndefValue::get(llvm::ArrayType::get(b.getInt32Ty(), kTileWords)), "tile", nullptr,
        llvm::GlobalValue::NotThreadLocal, 3);
    tile->setAlignment(llvm::Align(128));
    llvm::Value *lane =
        b.CreateIntrinsic(b.getInt32Ty(), llvm::Intrinsic::nvvm_read_ptx_sreg_laneid, {});
    // Every lane copies its part of the shared array.
    auto part = [&](llvm::Value *base, Type *type, int i) {
      llvm::Value *word =
          b.CreateAdd(b.CreateMul(lane, b.getInt32(kTileWords / kLanes)), b.getInt32(i));
      return b.CreateGEP(type, base, word);
    };
    for (int i = 0; i < kTileWords / kLanes; ++i)
      b.CreateStore(b.CreateLoad(b.getInt32Ty(), part(kernel->getArg(2), b.getInt32Ty(), i)),
                    part(tile, b.getInt32Ty(), i));
    auto barrier = [&] {
      b.CreateIntrinsic(b.getVoidTy(), llvm::Intrinsic::nvvm_bar_warp_sync, {b.getInt32(-1)});
    };
    barrier();
    auto place = [&](int argument, int word) {
      llvm::Value *base =
          b.CreateGEP(b.getInt32Ty(), kernel->getArg(argument), b.CreateMul(lane, b.getInt32(16)));
      return b.CreateConstGEP1_32(b.getInt32Ty(), base, word);
    };
    std::vector<llvm::Value *> operands;
    int word = 0;
    size_t immediate = 0;
    for (Type *type : intrinsic->getFunctionType()->params()) {
      if (intrinsic->hasParamAttribute(operands.size(), llvm::Attribute::ImmArg)) {
        operands.push_back(b.getInt32(immediates.at(immediate++)));
        continue;
      }
      if (type->isPointerTy()) {
        llvm::Value *offset = b.CreateLoad(b.getInt32Ty(), place(0, word++));
        operands.push_back(b.CreateGEP(b.getInt8Ty(), tile, offset));
        continue;
      }
      Type *stored = type->isIntegerTy(1) ? b.getInt32Ty() : type;
      llvm::Value *value = b.CreateAlignedLoad(stored, place(0, word), llvm::Align(4));
      operands.push_back(type->isIntegerTy(1) ? b.CreateTrunc(value, type) : value);
      word += std::max<int>(stored->getPrimitiveSizeInBits() / 32, 1);
    }
    llvm::Value *result = b.CreateCall(intrinsic, operands);
    auto store = [&](llvm::Value *value, int i) {
      if (value->getType()->isIntegerTy(1))
        value = b.CreateZExt(value, b.getInt32Ty());
      b.CreateAlignedStore(value, place(1, i), llvm::Align(4));
    };
    if (auto *type = llvm::dyn_cast<llvm::StructType>(result->getType())) {
      for (unsigned i = 0; i < type->getNumElements(); ++i)
        store(b.CreateExtractValue(result, i), i);
    } else if (!result->getType()->isVoidTy()) {
      store(result, 0);
    }
    barrier();
    for (int i = 0; i < kTileWords / kLanes; ++i)
      b.CreateStore(b.CreateLoad(b.getInt32Ty(), part(tile, b.getInt32Ty(), i)),
                    part(kernel->getArg(2), b.getInt32Ty(), i));
    b.CreateRetVoid();
    auto created = Program::create(std::move(context), std::move(module));
    if (created)
      program = std::move(*created);
    else
      ADD_FAILURE() << llvm::toString(created.takeError());
  }

  Words run(Words in, std::vector<uint32_t> *tile = nullptr) {
    Words out(kLanes);
    std::vector<uint32_t> none(kTileWords);
    std::vector<uint32_t> &words = tile ? *tile : none;
    LaunchConfig config;
    config.block = {kLanes};
    auto counts = launch(*program, "k", config, {bufferOf(in), bufferOf(out), bufferOf(words)});
    if (counts)
      last = *counts;
    else
      ADD_FAILURE() << llvm::toString(counts.takeError());
    return out;
  }

  static constexpr int kTileWords = 512;
  LaunchCounts last;

private:
  std::unique_ptr<Program> program;
};

uint16_t halfBits(float x) { return std::bit_cast<uint16_t>(static_cast<_Float16>(x)); }

uint32_t bitsOf(MmaType type, float x) {
  switch (type) {
  case MmaType::F16:
    return halfBits(x);
  case MmaType::BF16:
    return std::bit_cast<uint32_t>(x) >> 16;
  case MmaType::TF32:
    return std::bit_cast<uint32_t>(x);
  case MmaType::S8:
  case MmaType::U8:
    return static_cast<uint8_t>(static_cast<int>(x));
  }
  return 0;
}

using Place = std::pair<int, int>;
/// Row and column of element i of a lane, as the manual gives them.
using Formula = std::function<Place(int lane, int i)>;

struct MmaCase {
  std::string name; ///< behind llvm.nvvm.mma.
  int m, n, k;
  MmaType a, b;
  enum { F32, F16, S32 } sums, result;
  Formula placeA, placeB, placeC, placeD;
  int inA, inB, inC; ///< elements of a lane
  std::function<bool(int lane)> isOfProduct = [](int) { return true; };
};

int g(int lane) { return lane >> 2; }
int t(int lane) { return lane % 4; }
Place sumsOf16(int lane, int i) { return {i < 2 ? g(lane) : g(lane) + 8, t(lane) * 2 + (i & 1)}; }

// PTX ISA, "Matrix Fragments for mma.m16n8k8", "... m16n8k16", "... m16n8k4", "... m8n8k16",
// "... m16n8k16 with integer type", "... m16n8k32": transcribed, one formula each.
std::vector<MmaCase> makeCases() {
  std::vector<MmaCase> cases;
  Formula aK8 = [](int l, int i) { return Place(i < 2 ? g(l) : g(l) + 8, t(l) * 2 + (i & 1)); };
  Formula bK8 = [](int l, int i) { return Place(t(l) * 2 + i, g(l)); };
  Formula aK16 = [](int l, int i) {
    return Place(i < 2 || (4 <= i && i < 6) ? g(l) : g(l) + 8,
                 i < 4 ? t(l) * 2 + (i & 1) : t(l) * 2 + (i & 1) + 8);
  };
  Formula bK16 = [](int l, int i) {
    return Place(i < 2 ? t(l) * 2 + (i & 1) : t(l) * 2 + (i & 1) + 8, g(l));
  };
  for (auto [suffix, sums, result] : {std::tuple("f32.f32", MmaCase::F32, MmaCase::F32),
                                      {"f16.f16", MmaCase::F16, MmaCase::F16}}) {
    cases.push_back({std::string("m16n8k8.row.col.") + suffix, 16, 8, 8, MmaType::F16, MmaType::F16,
                     sums, result, aK8, bK8, sumsOf16, sumsOf16, 4, 2, 4});
    cases.push_back({std::string("m16n8k16.row.col.") + suffix, 16, 8, 16, MmaType::F16,
                     MmaType::F16, sums, result, aK16, bK16, sumsOf16, sumsOf16, 8, 4, 4});
  }
  cases.push_back({"m16n8k8.row.col.bf16", 16, 8, 8, MmaType::BF16, MmaType::BF16, MmaCase::F32,
                   MmaCase::F32, aK8, bK8, sumsOf16, sumsOf16, 4, 2, 4});
  cases.push_back({"m16n8k16.row.col.bf16", 16, 8, 16, MmaType::BF16, MmaType::BF16, MmaCase::F32,
                   MmaCase::F32, aK16, bK16, sumsOf16, sumsOf16, 8, 4, 4});
  cases.push_back({"m16n8k4.row.col.tf32", 16, 8, 4, MmaType::TF32, MmaType::TF32, MmaCase::F32,
                   MmaCase::F32, [](int l, int i) { return Place(i == 0 ? g(l) : g(l) + 8, t(l)); },
                   [](int l, int i) { return Place(t(l), g(l)); }, sumsOf16, sumsOf16, 2, 1, 4});
  cases.push_back({"m16n8k8.row.col.tf32", 16, 8, 8, MmaType::TF32, MmaType::TF32, MmaCase::F32,
                   MmaCase::F32,
                   [](int l, int i) {
                     return Place(i == 0 || i == 2 ? g(l) : g(l) + 8, i < 2 ? t(l) : t(l) + 4);
                   },
                   [](int l, int i) { return Place(i == 0 ? t(l) : t(l) + 4, g(l)); }, sumsOf16,
                   sumsOf16, 4, 2, 4});
  for (auto [types, a, b] : {std::tuple("s8", MmaType::S8, MmaType::S8),
                             {"u8", MmaType::U8, MmaType::U8},
                             {"s8.u8", MmaType::S8, MmaType::U8},
                             {"u8.s8", MmaType::U8, MmaType::S8}}) {
    std::string suffix = std::string(".row.col.") + types;
    Formula sumsOf8 = [](int l, int i) { return Place(g(l), t(l) * 2 + i); };
    cases.push_back({"m8n8k16" + suffix, 8, 8, 16, a, b, MmaCase::S32, MmaCase::S32,
                     [](int l, int i) { return Place(g(l), t(l) * 4 + i); },
                     [](int l, int i) { return Place(t(l) * 4 + i, g(l)); }, sumsOf8, sumsOf8, 4, 4,
                     2});
    cases.push_back(
        {"m16n8k16" + suffix, 16, 8, 16, a, b, MmaCase::S32, MmaCase::S32,
         [](int l, int i) { return Place(i < 4 ? g(l) : g(l) + 8, t(l) * 4 + (i & 3)); },
         [](int l, int i) { return Place(t(l) * 4 + i, g(l)); }, sumsOf16, sumsOf16, 8, 4, 4});
    cases.push_back({"m16n8k32" + suffix, 16, 8, 32, a, b, MmaCase::S32, MmaCase::S32,
                     [](int l, int i) {
                       return Place(i < 4 || (8 <= i && i < 12) ? g(l) : g(l) + 8,
                                    i < 8 ? t(l) * 4 + (i & 3) : t(l) * 4 + (i & 3) + 16);
                     },
                     [](int l, int i) {
                       return Place(i < 4 ? t(l) * 4 + (i & 3) : t(l) * 4 + (i & 3) + 16, g(l));
                     },
                     sumsOf16, sumsOf16, 16, 8, 4});
  }
  // "Matrix Fragments for mma.m8n8k4 with .f16": four products; these formulas are of each.
  for (std::string layoutA : {"row", "col"})
    for (std::string layoutB : {"row", "col"})
      for (auto [suffix, result, sums] : {std::tuple("f32.f32", MmaCase::F32, MmaCase::F32),
                                          {"f16.f16", MmaCase::F16, MmaCase::F16},
                                          {"f32.f16", MmaCase::F32, MmaCase::F16}})
        for (int product = 0; product < 4; ++product) {
          auto line = [](int l) { return l < 16 ? l % 4 : l % 4 + 4; };
          auto across = [](int l, int i) { return l < 16 ? i % 4 : i % 4 + 4; };
          Formula rowA = [=](int l, int i) { return Place(line(l), i); };
          Formula columnA = [=](int l, int i) { return Place(across(l, i), l % 4); };
          Formula rowB = [=](int l, int i) { return Place(l % 4, across(l, i)); };
          Formula columnB = [=](int l, int i) { return Place(i, line(l)); };
          Formula halfC = [=](int l, int i) { return Place(line(l), i); };
          Formula floatC = [=](int l, int i) {
            int x = (l & 0b1) + (i & 0b10);
            return Place(l < 16 ? x : x + 4, (i & 0b100) + (l & 0b10) + (i & 0b1));
          };
          cases.push_back({"m8n8k4." + layoutA + "." + layoutB + "." + suffix, 8, 8, 4,
                           MmaType::F16, MmaType::F16, sums, result,
                           layoutA == "row" ? rowA : columnA, layoutB == "row" ? rowB : columnB,
                           sums == MmaCase::F16 ? halfC : floatC,
                           result == MmaCase::F16 ? halfC : floatC, 4, 4, 8,
                           [product](int lane) { return lane % 16 / 4 == product; }});
        }
  return cases;
}

/// A, B, C of one product to the registers of a warp, and D back.
class Fragments {
public:
  explicit Fragments(const MmaCase &mma)
      : mma(mma), a(mma.m * mma.k), b(mma.k * mma.n), c(mma.m * mma.n) {}
  float &atA(int row, int column) { return a[row * mma.k + column]; }
  float &atB(int row, int column) { return b[row * mma.n + column]; }
  float &atC(int row, int column) { return c[row * mma.n + column]; }

  Words pack() {
    Words words(kLanes);
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!mma.isOfProduct(lane))
        continue;
      int word = 0;
      auto put = [&](int count, int bits, auto bitsAt) {
        for (int i = 0; i < count; ++i)
          words[lane][word + i * bits / 32] |= bitsAt(i) << i * bits % 32;
        word += count * bits / 32;
      };
      put(mma.inA, getBits(mma.a), [&](int i) {
        auto [row, column] = mma.placeA(lane, i);
        return bitsOf(mma.a, atA(row, column));
      });
      put(mma.inB, getBits(mma.b), [&](int i) {
        auto [row, column] = mma.placeB(lane, i);
        return bitsOf(mma.b, atB(row, column));
      });
      put(mma.inC, mma.sums == MmaCase::F16 ? 16 : 32, [&](int i) -> uint32_t {
        auto [row, column] = mma.placeC(lane, i);
        float value = atC(row, column);
        return mma.sums == MmaCase::F16   ? halfBits(value)
               : mma.sums == MmaCase::S32 ? uint32_t(int(value))
                                          : std::bit_cast<uint32_t>(value);
      });
    }
    return words;
  }

  std::vector<float> unpack(const Words &words) {
    std::vector<float> d(mma.m * mma.n, NAN);
    for (int lane = 0; lane < kLanes; ++lane)
      for (int i = 0; i < mma.inC && mma.isOfProduct(lane); ++i) {
        auto [row, column] = mma.placeD(lane, i);
        uint32_t word = words[lane][mma.result == MmaCase::F16 ? i / 2 : i];
        float &to = d[row * mma.n + column];
        if (mma.result == MmaCase::F16)
          to = static_cast<float>(std::bit_cast<_Float16>(uint16_t(word >> 16 * (i % 2))));
        else
          to = mma.result == MmaCase::S32 ? float(int32_t(word)) : std::bit_cast<float>(word);
      }
    return d;
  }

  /// In float64, rounded once.
  std::vector<float> multiply() {
    std::vector<float> d;
    for (int row = 0; row < mma.m; ++row)
      for (int column = 0; column < mma.n; ++column) {
        double sum = atC(row, column);
        for (int k = 0; k < mma.k; ++k)
          sum += double(atA(row, k)) * atB(k, column);
        d.push_back(mma.result == MmaCase::F16 ? float(static_cast<_Float16>(sum)) : float(sum));
      }
    return d;
  }

private:
  const MmaCase &mma;
  std::vector<float> a, b, c;
};

TEST(SimulatorMma, CasesAreAllOfTheTable) {
  std::vector<bool> seen(elfatt::target::getMmaShapes().size());
  for (const MmaCase &mma : makeCases()) {
    const elfatt::target::MmaShape *shape = elfatt::target::findMma("llvm.nvvm.mma." + mma.name);
    ASSERT_TRUE(shape) << mma.name;
    seen[shape - elfatt::target::getMmaShapes().data()] = true;
  }
  EXPECT_TRUE(llvm::all_of(seen, [](bool x) { return x; }));
}

// One element of A and one of B at a time: the product must land at its place and nowhere else.
TEST(SimulatorMma, EveryElementIsAtTheManualsPlace) {
  for (const MmaCase &mma : makeCases()) {
    WarpKernel kernel("llvm.nvvm.mma." + mma.name);
    // Each element of A once, B's columns in turn: every element of both.
    for (int row = 0; row < mma.m; ++row)
      for (int k = 0; k < mma.k; ++k) {
        int column = (row + k) % mma.n;
        Fragments x(mma);
        x.atA(row, k) = 3;
        x.atB(k, column) = 5;
        x.atC(mma.m - 1 - row, column) += 7;
        ASSERT_EQ(x.unpack(kernel.run(x.pack())), x.multiply())
            << mma.name << " A[" << row << "][" << k << "]";
      }
  }
}

TEST(SimulatorMma, RandomProducts) {
  std::mt19937 random(1);
  for (const MmaCase &mma : makeCases()) {
    WarpKernel kernel("llvm.nvvm.mma." + mma.name);
    Fragments x(mma);
    // Values that each type holds, and whose sums f16 holds.
    auto draw = [&](MmaType type) {
      int value = int(random() % 17);
      if (type == MmaType::U8)
        return float(value * 15);
      if (type == MmaType::S8)
        return float(value * 15 - 120);
      return float(value - 8) / 8;
    };
    for (int row = 0; row < mma.m; ++row)
      for (int k = 0; k < mma.k; ++k)
        x.atA(row, k) = draw(mma.a);
    for (int k = 0; k < mma.k; ++k)
      for (int column = 0; column < mma.n; ++column)
        x.atB(k, column) = draw(mma.b);
    for (int row = 0; row < mma.m; ++row)
      for (int column = 0; column < mma.n; ++column)
        x.atC(row, column) = draw(MmaType::F16) * (mma.result == MmaCase::S32 ? 8 : 1);
    EXPECT_EQ(x.unpack(kernel.run(x.pack())), x.multiply()) << mma.name;
    EXPECT_EQ(kernel.last.mma, 1u);
    uint64_t operations = 0;
    for (uint64_t n : kernel.last.tensorOps)
      operations += n;
    uint64_t products = mma.k == 4 && mma.a == MmaType::F16 ? 4 : 1;
    EXPECT_EQ(operations, 2u * mma.m * mma.n * mma.k * products) << mma.name;
  }
}

TEST(SimulatorMma, IntegersWrapOrSaturate) {
  for (bool saturates : {false, true}) {
    WarpKernel kernel(std::string("llvm.nvvm.mma.m8n8k16.row.col.") +
                      (saturates ? "satfinite." : "") + "s8");
    Words in(kLanes);
    for (auto &lane : in)
      lane = {0x01010101, 0x01010101, 0x7fffffff, 0x7fffffff};
    EXPECT_EQ(int32_t(kernel.run(in)[5][1]), saturates ? 0x7fffffff : int32_t(0x8000000f));
  }
}

TEST(SimulatorMma, LowBitsOfTF32AreNotLookedAt) {
  WarpKernel kernel("llvm.nvvm.mma.m16n8k4.row.col.tf32");
  Words in(kLanes);
  for (auto &lane : in)
    lane = {0x3f801fff, 0x3f801fff, 0x3f801fff};
  EXPECT_EQ(std::bit_cast<float>(kernel.run(in)[0][0]), 4.0f);
}

// PTX ISA, "ldmatrix": the address of row r of matrix i comes from thread 8 i + r; thread t
// receives elements 2 (t % 4) and 2 (t % 4) + 1 of row t / 4; with .trans, of column t / 4.
TEST(SimulatorMatrix, LoadsFragments) {
  for (int matrices : {1, 2, 4})
    for (bool transposes : {false, true}) {
      WarpKernel kernel("llvm.nvvm.ldmatrix.sync.aligned.m8n8.x" + std::to_string(matrices) +
                        (transposes ? ".trans" : "") + ".b16.p3");
      // Element (r, c) of matrix i is 256 i + 16 r + c; rows lie in a strange order.
      std::vector<uint32_t> tile(WarpKernel::kTileWords);
      auto *elements = reinterpret_cast<uint16_t *>(tile.data());
      Words in(kLanes);
      for (int row = 0; row < 8 * matrices; ++row) {
        int place = (row * 5 + 3) % 32;
        in[row][0] = place * 16;
        for (int column = 0; column < 8; ++column)
          elements[place * 8 + column] = row / 8 * 256 + row % 8 * 16 + column;
      }
      Words out = kernel.run(in, &tile);
      for (int lane = 0; lane < kLanes; ++lane)
        for (int i = 0; i < matrices; ++i)
          for (int half = 0; half < 2; ++half) {
            int row = lane / 4, column = 2 * (lane % 4) + half;
            int expected = i * 256 + (transposes ? column * 16 + row : row * 16 + column);
            EXPECT_EQ(out[lane][i] >> 16 * half & 0xffff, unsigned(expected))
                << matrices << transposes << " lane " << lane;
          }
    }
}

TEST(SimulatorMatrix, StoresWhatItLoads) {
  for (int matrices : {1, 2, 4})
    for (bool transposes : {false, true}) {
      WarpKernel kernel("llvm.nvvm.stmatrix.sync.aligned.m8n8.x" + std::to_string(matrices) +
                        (transposes ? ".trans" : "") + ".b16.p3");
      std::vector<uint32_t> tile(WarpKernel::kTileWords);
      Words in(kLanes);
      for (int lane = 0; lane < kLanes; ++lane) {
        in[lane][0] = lane < 8 * matrices ? lane * 16 : 0;
        for (int i = 0; i < matrices; ++i) {
          uint32_t first = i * 256 + lane / 4 * 16 + 2 * (lane % 4);
          in[lane][1 + i] = first | (first + 1) << 16;
        }
      }
      kernel.run(in, &tile);
      auto *elements = reinterpret_cast<uint16_t *>(tile.data());
      for (int i = 0; i < matrices; ++i)
        for (int row = 0; row < 8; ++row)
          for (int column = 0; column < 8; ++column)
            EXPECT_EQ(elements[(i * 8 + row) * 8 + column],
                      i * 256 + (transposes ? column * 16 + row : row * 16 + column));
    }
}

// PTX ISA, "shfl.sync": operands are mask, value, lane, and clamp with the segments' mask.
TEST(SimulatorShuffle, AllModesInAllSegments) {
  struct Mode {
    std::string name;
    std::function<int(int lane, int by)> source;
    bool isUp;
  };
  for (const Mode &mode : {Mode{"idx", [](int lane, int by) { return by; }, false},
                           Mode{"bfly", [](int lane, int by) { return lane ^ by; }, false},
                           Mode{"down", [](int lane, int by) { return lane + by; }, false},
                           Mode{"up", [](int lane, int by) { return lane - by; }, true}})
    for (int width : {4, 16, 32})
      for (int by : {0, 1, 3, 7, 31}) {
        WarpKernel kernel("llvm.nvvm.shfl.sync." + mode.name + ".i32p");
        Words in(kLanes);
        for (int lane = 0; lane < kLanes; ++lane)
          in[lane] = {~0u, uint32_t(100 + lane), uint32_t(by),
                      uint32_t((32 - width) << 8 | (mode.isUp ? 0 : 31))};
        Words out = kernel.run(in);
        // In CUDA's terms: lanes inside of a segment of `width`, their own value outside of it.
        for (int lane = 0; lane < kLanes; ++lane) {
          int segment = lane / width * width;
          int source = mode.name == "idx" ? segment + by % width : mode.source(lane, by);
          bool inside = mode.isUp ? source >= segment : source < segment + width;
          if (mode.name == "bfly")
            inside = source < segment + width;
          EXPECT_EQ(out[lane][0], uint32_t(100 + (inside ? source : lane)))
              << mode.name << " by " << by << " width " << width << " lane " << lane;
          EXPECT_EQ(out[lane][1], uint32_t(inside));
        }
      }
}

TEST(SimulatorVote, AllKinds) {
  for (uint32_t set : {0u, ~0u, 0x00010000u, 0x0f0f0f0fu})
    for (auto [name, expected] : {std::pair("all", uint32_t(set == ~0u)),
                                  {"any", uint32_t(set != 0)},
                                  {"uni", uint32_t(set == 0 || set == ~0u)},
                                  {"ballot", set}}) {
      WarpKernel kernel(std::string("llvm.nvvm.vote.") + name + ".sync");
      Words in(kLanes);
      for (int lane = 0; lane < kLanes; ++lane)
        in[lane] = {~0u, set >> lane & 1};
      Words out = kernel.run(in);
      for (int lane = 0; lane < kLanes; ++lane)
        EXPECT_EQ(out[lane][0], expected) << name << " " << set;
    }
}

TEST(SimulatorVote, Match) {
  Words in(kLanes);
  for (int lane = 0; lane < kLanes; ++lane)
    in[lane] = {~0u, uint32_t(lane % 3), uint32_t(lane % 2)};
  for (bool is64 : {false, true}) {
    WarpKernel any(std::string("llvm.nvvm.match.any.sync.") + (is64 ? "i64" : "i32"));
    Words out = any.run(in);
    for (int lane = 0; lane < kLanes; ++lane)
      for (int other = 0; other < kLanes; ++other)
        EXPECT_EQ(out[lane][0] >> other & 1,
                  uint32_t(lane % 3 == other % 3 && (!is64 || lane % 2 == other % 2)));
  }
  WarpKernel all("llvm.nvvm.match.all.sync.i32p");
  EXPECT_EQ(all.run(in)[0][1], 0u);
  for (auto &lane : in)
    lane[1] = 7;
  EXPECT_EQ(all.run(in)[9][0], ~0u);
  EXPECT_EQ(all.run(in)[9][1], 1u);
}

TEST(SimulatorRedux, AllKinds) {
  Words in(kLanes);
  for (int lane = 0; lane < kLanes; ++lane)
    in[lane] = {uint32_t(lane * 3 - 40), ~0u};
  uint32_t exclusive = 0;
  for (auto &lane : in)
    exclusive ^= lane[0];
  for (auto [name, expected] : {std::pair("add", uint32_t(3 * 31 * 16 - 40 * 32)),
                                {"min", uint32_t(-40)},
                                {"max", 53u},
                                {"umin", 2u},
                                {"umax", uint32_t(-1)},
                                {"and", 0u},
                                {"or", ~0u},
                                {"xor", exclusive}}) {
    WarpKernel kernel(std::string("llvm.nvvm.redux.sync.") + name);
    EXPECT_EQ(kernel.run(in)[17][0], expected) << name;
  }
}
} // namespace
