# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""exits.py STATUS COMMAND... runs the command; succeeds when it ends with STATUS."""

import subprocess
import sys

expected, command = int(sys.argv[1]), sys.argv[2:]
status = subprocess.run(command).returncode
if status != expected:
    sys.exit(
        f"exits.py: error: expected exit status {expected}, got {status}: {' '.join(command)}"
    )
