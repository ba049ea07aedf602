"""Entry point of one gateway worker: `python -m inhouse.cli.gateway_process`, start message on standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from inhouse.cli.child import read_start
from inhouse.cli.starts import GatewayStart
from inhouse.gateway import GatewayRun, ResponseKeeper, run_gateway
from inhouse.gateway.settings import GatewaySettings


def main() -> int:
    """Serve the data port until told to stop."""
    return run_gateway(build_run(read_start(GatewayStart)))


def build_run(start: GatewayStart, keeper: ResponseKeeper | None = None) -> GatewayRun:
    """One worker as its start message has it; `keeper` keeps its Responses, where any are kept."""
    return GatewayRun(
        settings=GatewaySettings.model_validate(start.settings),
        state_dir=Path(start.state_dir),
        worker_index=start.worker_index,
        credentials=start.credentials,
        pepper=bytes.fromhex(start.pepper),
        admin_url=start.admin_url,
        keeper=keeper,
        local_port=start.local_port,
    )


if __name__ == "__main__":
    sys.exit(main())
