"""Entry point of one gateway worker: `python -m inhouse.cli.gateway_process`, start message on standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from inhouse.cli.child import read_start
from inhouse.cli.starts import GatewayStart
from inhouse.gateway import GatewayRun, run_gateway
from inhouse.gateway.settings import GatewaySettings


def main() -> int:
    """Serve the data port until told to stop."""
    start = read_start(GatewayStart)
    return run_gateway(
        GatewayRun(
            settings=GatewaySettings.model_validate(start.settings),
            state_dir=Path(start.state_dir),
            worker_index=start.worker_index,
            credentials=start.credentials,
            pepper=bytes.fromhex(start.pepper),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
