# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The GoogleTest executables as tests of the same suite."""

import lit.formats

config.name = "ELFATT-Unit"
config.test_format = lit.formats.GoogleTest(".", "Tests")
config.suffixes = []
config.test_source_root = config.elfatt_build_dir + "/test/Unit"
config.test_exec_root = config.test_source_root
