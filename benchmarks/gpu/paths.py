# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Imported first: makes the modules that this benchmark shares with others known. In
the folder that prepare.sh makes they all lie beside this file."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
IS_KIT = (HERE / "kit.json").exists()
ROOT = HERE if IS_KIT else HERE.parent.parent

if not IS_KIT:
    for _folder in ("benchmarks", "benchmarks/cpu", "python", "python/tests"):
        if str(ROOT / _folder) not in sys.path:
            sys.path.append(str(ROOT / _folder))
