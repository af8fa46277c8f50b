// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How the threads of a block share the chunks of a tensor that they copy or fill.
#ifndef ELFATT_LIB_GPU_CHUNKS_H
#define ELFATT_LIB_GPU_CHUNKS_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/Value.h"

namespace elfatt::gpu {

/// The longest chunk, in elements of the innermost dim, that all of them can move
/// at once: contiguous, aligned and at most 16 bytes.
int64_t getChunk(mlir::ArrayRef<mlir::Value> memrefs);

/// How chunks go round: neighbouring threads take neighbouring chunks of a row, or the same chunk,
/// or two, of neighbouring rows, in groups of eight rows.
enum class ChunkOrder { AlongRows, AcrossRows, PairsAcrossRows };

/// In which order chunks of these memrefs meet neither bank conflicts nor sectors twice.
ChunkOrder getOrder(mlir::ArrayRef<mlir::Value> memrefs, int64_t chunk);

/// The thread's number, known as such, or as that of its warp and its lane, of which no compiler
/// knows that together they are the same.
enum class ThreadNumber { Known, OfLane };

/// Whether one of them lies in shared memory, whose rows 32 bits count.
bool isAnyShared(mlir::ArrayRef<mlir::Value> memrefs);

/// Emits `body` for each chunk of the extents, of a memref in shared memory where `isShared`,
/// spread over the threads of the block.
void forEachChunk(mlir::OpBuilder &b, mlir::Location loc,
                  mlir::ArrayRef<mlir::OpFoldResult> extents, int64_t chunk, ChunkOrder order,
                  bool isShared, mlir::function_ref<void(mlir::OpBuilder &, mlir::ValueRange)> body,
                  ThreadNumber number = ThreadNumber::Known);

} // namespace elfatt::gpu

#endif // ELFATT_LIB_GPU_CHUNKS_H
