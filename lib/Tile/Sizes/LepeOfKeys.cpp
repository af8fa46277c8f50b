// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LepeOfKeys.h"

#include "elfatt/View/Trace.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::attention;

/// Where the domain of `sdpa` is that of `lepe`: its dims for each of `sdpa`, or nothing for those
/// that V has not. Fails where a dim of the values has none.
static FailureOr<SmallVector<std::optional<unsigned>>> matchDims(LepeOp lepe, SdpaOp sdpa) {
  const AttentionDims dims = AttentionDims::get(sdpa);
  const SmallVector<AffineMap> ours = lepe.getIndexingMapsArray(),
                               theirs = sdpa.getIndexingMapsArray();
  const AffineMap rows = ours.back(), result = theirs.back();
  SmallVector<std::optional<unsigned>> matched(result.getNumDims());
  if (dims.keys.size() != lepe.getGridDims().size() ||
      rows.getNumResults() != result.getNumResults())
    return failure();
  for (auto [key, axis] : llvm::zip_equal(dims.keys, lepe.getGridDims()))
    matched[key] = axis;
  // Both write the same rows.
  for (auto [mine, other] : llvm::zip_equal(rows.getResults(), result.getResults())) {
    auto dim = dyn_cast<AffineDimExpr>(mine), position = dyn_cast<AffineDimExpr>(other);
    if (dim && position && !llvm::is_contained(dims.rows, position.getPosition()))
      matched[position.getPosition()] = dim.getPosition();
  }
  for (unsigned dim = 0; dim < matched.size(); ++dim)
    if (theirs[2].isFunctionOfDim(dim) && !matched[dim])
      return failure();
  return matched;
}

bool elfatt::tile::isGridOfKeys(LepeOp lepe, SdpaOp sdpa) {
  auto matched = matchDims(lepe, sdpa);
  if (failed(matched))
    return false;
  const AffineMap ours = lepe.getIndexingMapsArray()[0], theirs = sdpa.getIndexingMapsArray()[2];
  auto grid = cast<ShapedType>(lepe.getValue().getType()),
       keys = cast<ShapedType>(sdpa.getValue().getType());
  view::IndexSpace space;
  view::SizeAnalysis sizes;
  view::Tracer tracer(space, sizes);
  SmallVector<view::Index> loops(ours.getNumDims());
  for (auto [position, expr] : llvm::enumerate(ours.getResults()))
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      loops[dim.getPosition()] = space.get(space.addAtom(sizes.getSize(lepe.getValue(), position)));
  SmallVector<view::Index> loopsOfKeys(theirs.getNumDims());
  for (auto [position, expr] : llvm::enumerate(theirs.getResults())) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim)
      continue;
    const unsigned mine = *(*matched)[dim.getPosition()];
    loopsOfKeys[dim.getPosition()] = loops[mine];
    auto place = ours.getResultPosition(getAffineDimExpr(mine, lepe.getContext()));
    const bool isGrid = llvm::is_contained(lepe.getGridDims(), mine);
    if (!place || (isGrid && (grid.isDynamicDim(*place) ||
                              grid.getDimSize(*place) != keys.getDimSize(position))))
      return false;
  }
  auto place = tracer.apply(ours, loops), placeOfKeys = tracer.apply(theirs, loopsOfKeys);
  if (!place || !placeOfKeys)
    return false;
  if (lepe.getValue() == sdpa.getValue() && space.equal(*place, *placeOfKeys))
    return true;
  view::Element read = tracer.trace({lepe.getValue(), *place}),
                readByKeys = tracer.trace({sdpa.getValue(), *placeOfKeys});
  return read.source == readByKeys.source && space.equal(read.indices, readByKeys.indices);
}
