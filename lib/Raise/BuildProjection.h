// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_BUILDPROJECTION_H
#define ELFATT_LIB_RAISE_BUILDPROJECTION_H

#include "Elfatt/Projection.h"
#include "ViewBuilder.h"

namespace elfatt::raise {

/// Creates `joined`; the result is [rows..., columns].
mlir::Value buildProjection(const JoinedProjection &joined, ViewBuilder &views,
                            mlir::OpBuilder &builder, mlir::Location loc, view::IndexSpace &space);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_BUILDPROJECTION_H
