"""Entry point of a gateway worker that keeps Responses: `python -m inhouse.cli.keeping_gateway_process`.

It is one of its own because it loads the database code, which costs a worker memory that the others save.
"""

from __future__ import annotations

import sys
from contextlib import closing

from inhouse.cli.child import read_start
from inhouse.cli.gateway_process import build_run
from inhouse.cli.starts import GatewayStart
from inhouse.gateway import run_gateway
from inhouse.gateway.keeper import StoreKeeper
from inhouse.gateway.settings import GatewaySettings


def main() -> int:
    """Serve the data port until told to stop."""
    start = read_start(GatewayStart)
    responses = GatewaySettings.model_validate(start.settings).responses
    if responses is None or start.store_url is None:
        return run_gateway(build_run(start))
    with closing(StoreKeeper(start.store_url, responses.keep)) as keeper:
        return run_gateway(build_run(start, keeper))


if __name__ == "__main__":
    sys.exit(main())
