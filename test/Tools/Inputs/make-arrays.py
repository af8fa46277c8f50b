# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""make-arrays.py OUT.npz SHAPE...: float32 arrays arg0, arg1, ..., normal, seed 0."""

import sys

import numpy

random = numpy.random.default_rng(0)
shapes = [tuple(map(int, text.split(","))) for text in sys.argv[2:]]
numpy.savez(
    sys.argv[1],
    **{
        f"arg{i}": random.standard_normal(shape, dtype=numpy.float32)
        for i, shape in enumerate(shapes)
    },
)
