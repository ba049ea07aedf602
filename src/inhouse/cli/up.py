"""`inhouse up`: start everything that one file describes, say where it is, keep it running until told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from inhouse.cli.check import check_configuration, print_warnings
from inhouse.cli.config import Configuration, load_config
from inhouse.cli.observing import build_observing, print_observing, print_undo
from inhouse.cli.platform import Platform, run_platform
from inhouse.cli.supervisor import ChildEvent, ChildState
from inhouse.cli.terminal import out
from inhouse.domain import ConfigError

_READY_TIMEOUT_S = 120.0
_DEFAULT_FILE = Path("inhouse.yaml")


def up(
    file: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration file; inhouse.yaml where not given.")
    ] = None,
    observe: Annotated[
        str | None,
        typer.Option(
            "--observe",
            metavar="URL",
            help="No file: pass every request untouched to this API with the caller's own key, and record traces.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="With --observe: the data port, 8080 where not given; 0 picks a free one."
        ),
    ] = None,
    prices_of: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --observe: whose list prices apply, where the address does not say it (openai, …).",
        ),
    ] = None,
) -> None:
    """Start the platform in the foreground; Ctrl-C (or SIGTERM) stops it after requests under way have finished."""
    _check_options(file, observe, {"--port": port, "--prices-of": prices_of})
    if observe is None:
        configuration = load_config(file or _DEFAULT_FILE)
    else:
        configuration = build_observing(observe, Path.cwd(), port=port, prices_of=prices_of)
    print_warnings(check_configuration(configuration))
    try:
        asyncio.run(_serve(configuration))
    except ConfigError as error:  # a port is taken: there is no file to name another in
        if observe is None:
            raise
        fix = "Stop that program, or give another with --port (0 picks a free one)."
        raise ConfigError(error.problem, fix=fix) from None


def _check_options(file: Path | None, observe: str | None, others: Mapping[str, object]) -> None:
    """Raises ConfigError for options that do not go together."""
    if observe is not None and file is not None:
        raise ConfigError(
            "--observe needs no file, and --config names one.",
            fix="Leave out --config to pass everything on as it comes, or --observe to serve the file's routes.",
        )
    given = [name for name, value in others.items() if value is not None]
    if observe is None and given:
        raise ConfigError(
            f"{given[0]} goes with --observe only.",
            fix="Leave it out: ports and prices of a platform stand in its file (`gateway.port`, `providers`).",
        )


async def _serve(configuration: Configuration) -> None:
    started_at = time.monotonic()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with run_platform(configuration, print_event) as platform:
        with out.status("starting"):
            ready = asyncio.ensure_future(platform.wait_ready(_READY_TIMEOUT_S))
            asked = asyncio.ensure_future(stop.wait())
            await asyncio.wait({ready, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if ready.done():
            ready.result()
            show = print_platform if configuration.settings.observe is None else print_observing
            show(platform, time.monotonic() - started_at)
            await stop.wait()
        ready.cancel()
        out.print("stopping: requests under way may finish")
    if configuration.settings.observe is None:
        out.print("stopped")
    else:
        print_undo(configuration.settings.observe.base_url)


def print_event(event: ChildEvent) -> None:
    """Say that a process ended and is started again; the ordinary is not worth a line."""
    if event.state is ChildState.RESTARTING:
        status = event.exit_status or 0
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
        now = datetime.now(tz=UTC).astimezone().strftime("%H:%M:%S")
        out.print(f"[yellow]{now}  {event.name} {how}: starting it again[/]")


def print_platform(platform: Platform, start_s: float) -> None:
    """Where everything is, and what serves what."""
    settings, addresses = platform.configuration.settings, platform.addresses
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for column in ("route", "variant", "endpoint", ""):
        table.add_column(column)
    for name, route in settings.routes.items():
        for variant, choice in route.variants.items():
            provider = settings.providers.get(choice.endpoint.split("/")[0])
            tag = "[magenta]simulated[/]" if provider and provider.simulated else ""
            role = "default" if variant == route.use.default else ""
            table.add_row(name, variant, choice.endpoint, " ".join(part for part in (role, tag) if part))
    out.print(f"[bold green]ready[/] in {start_s:.1f} s")
    out.print(table)
    out.print(f"data port    [bold]{addresses.gateway_url}/v1[/]")
    out.print(f"status page  [bold]{addresses.admin_url}/[/]")
    out.print(f"metrics      {addresses.metrics_url}")
    out.print(f"logs         {platform.state.logs}")
    out.print(f"try it       export OPENAI_BASE_URL={addresses.gateway_url}/v1   (undo: unset OPENAI_BASE_URL)")
    out.print("Ctrl-C stops it", style="dim")
