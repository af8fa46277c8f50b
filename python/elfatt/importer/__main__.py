# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``python -m elfatt.importer`` is ``elfatt-import``."""

import sys

from elfatt.importer.command_line import main

sys.exit(main())
