"""Runs every comparison in turn: `python -m benchmarks`. Options are those of each script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

for script in sorted(Path(__file__).parent.glob("[a-z]*.py")):
    print(f"\n{script.stem}", flush=True)
    if code := subprocess.run([sys.executable, str(script), *sys.argv[1:]]).returncode:
        sys.exit(code)
