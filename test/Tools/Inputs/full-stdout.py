# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""full-stdout.py COMMAND... runs the command with a full disk behind stdout."""

import subprocess
import sys

with open("/dev/full", "wb") as full:
    status = subprocess.run(sys.argv[1:], stdout=full).returncode
if status != 2:
    sys.exit(f"full-stdout.py: error: expected exit status 2, got {status}")
