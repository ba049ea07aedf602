"""Entry point of the host agent: `python -m inhouse.cli.agent_process`, start message on standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from inhouse.cli.child import read_start
from inhouse.cli.starts import AgentStart
from inhouse.serving import AgentRun, run_agent
from inhouse.serving.settings import DeploymentSettings


def main() -> int:
    """Own the engines of this host and ship its spools until told to stop."""
    start = read_start(AgentStart)
    return run_agent(
        AgentRun(
            deployments={name: DeploymentSettings.model_validate(value) for name, value in start.deployments.items()},
            state_dir=Path(start.state_dir),
            store_url=start.store_url,
            host_id=start.host_id,
            metrics_port=start.metrics_port,
            credentials=start.credentials,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
