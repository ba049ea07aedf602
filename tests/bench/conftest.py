"""The scripts under bench/gateway are no package: their folder goes on the path, behind everything else."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench" / "gateway"))
