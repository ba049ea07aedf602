"""Runs one gateway worker over a state folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from state import PEPPER

from inhouse.gateway import GatewayRun, GatewaySettings, run_gateway

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--signals", choices=("on", "off"), default="on")
    options = parser.parse_args()
    settings = GatewaySettings(port=options.port, workers=options.workers, drain_s=0.0, signals=options.signals == "on")
    sys.exit(run_gateway(GatewayRun(settings, options.state_dir, options.index, {}, PEPPER)))
