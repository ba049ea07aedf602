"""Entry point of a simulated provider: `python -m inhouse.cli.provider_process`, start message on standard input."""

from __future__ import annotations

import sys

from inhouse.backends import SimulatedRun, run_simulated_provider
from inhouse.backends.settings import SimulationSettings
from inhouse.cli.child import read_start
from inhouse.cli.oracle import build_oracle
from inhouse.cli.starts import ProviderStart


def main() -> int:
    """Play a paid API until told to stop; everything that it says is labelled as simulated."""
    start = read_start(ProviderStart)
    return run_simulated_provider(
        SimulatedRun(
            name=start.name,
            model_names=start.model_names,
            settings=SimulationSettings.model_validate(start.settings),
            host=start.host,
            port=start.port,
            api_key=start.api_key,
            answer=build_oracle(),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
