"""Entry point of control: `python -m inhouse.cli.control_process`, start message on standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from inhouse.backends.settings import ObserveSettings, ProviderSettings
from inhouse.catalog import load_price_book
from inhouse.cli.child import read_start
from inhouse.cli.starts import ControlStart
from inhouse.console import build_routes
from inhouse.control import ControlRun, DesiredState, run_control
from inhouse.control.settings import AdminSettings
from inhouse.routing.settings import RouteSettings
from inhouse.serving.settings import DeploymentSettings


def main() -> int:
    """Compile snapshots and serve the admin port until told to stop."""
    start = read_start(ControlStart)
    desired = DesiredState(
        routes={name: RouteSettings.model_validate(value) for name, value in start.routes.items()},
        deployments={name: DeploymentSettings.model_validate(value) for name, value in start.deployments.items()},
        providers={name: ProviderSettings.model_validate(value) for name, value in start.providers.items()},
        data_classes=start.data_classes,
        keys=start.keys,
        is_open=start.is_open,
        price_book=load_price_book(),
        provider_urls=start.provider_urls,
        observe=None if start.observe is None else ObserveSettings.model_validate(start.observe),
    )
    return run_control(
        ControlRun(
            settings=AdminSettings.model_validate(start.admin),
            desired=desired,
            state_dir=Path(start.state_dir),
            store_url=start.store_url,
            gateway_url=start.gateway_url,
            extra_routes=build_routes(),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
