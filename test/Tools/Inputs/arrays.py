# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""arrays.py FOLDER writes .npz files, good and bad, for three arguments of
1x2x4x8 float32."""

import pathlib
import sys

import numpy

folder = pathlib.Path(sys.argv[1])
array = numpy.random.default_rng(1).standard_normal((1, 2, 4, 8)).astype(numpy.float32)
good = {"arg0": array, "arg1": array, "arg2": array}
special = array.copy()
special[0, 0, 0, 0], special[0, 1, 2, 3] = numpy.nan, numpy.inf

numpy.savez(folder / "good.npz", **good)
numpy.savez(folder / "special.npz", **{**good, "arg0": special})
numpy.savez(folder / "shape.npz", **{**good, "arg0": array[:, :, :3]})
numpy.savez(folder / "rank.npz", **{**good, "arg1": array[0]})
numpy.savez(folder / "dtype.npz", **{**good, "arg2": array.astype(numpy.int32)})
numpy.savez(folder / "complex.npz", arg0=array.astype(numpy.complex64))
numpy.savez(folder / "too-many.npz", **good, arg3=array)
numpy.savez(folder / "names.npz", query=array)
numpy.savez(folder / "other-shape.npz", out0=array[:, :, :3])
numpy.savez(folder / "other-values.npz", out0=array + 1)
whole = (folder / "good.npz").read_bytes()
(folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
(folder / "empty.npz").write_bytes(b"")
