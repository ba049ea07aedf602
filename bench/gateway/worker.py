"""Runs one gateway worker on a free port over the state folder given as the only argument."""

from __future__ import annotations

import sys
from pathlib import Path

from inhouse.gateway import GatewayRun, GatewaySettings, run_gateway

if __name__ == "__main__":
    sys.exit(run_gateway(GatewayRun(GatewaySettings(port=0, drain_s=0.0), Path(sys.argv[1]), 0, {}, bytes(range(32)))))
