# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Draws spellings of softmax attention, as MLIR text with its meaning in float64.

``build`` makes one case out of named choices; ``near_misses`` twists a case so that
it is no attention any more; ``check`` raises and runs batches of cases. As a
command, from python/tests: ``python -m spellings --help``.
"""
