"""`inhouse up`: start everything that one file describes, say where it is, keep it running until told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from inhouse.cli.check import check_configuration, print_warnings
from inhouse.cli.config import Configuration, load_config, load_config_text
from inhouse.cli.platform import Platform, run_platform
from inhouse.cli.supervisor import ChildEvent, ChildState
from inhouse.cli.terminal import out

_READY_TIMEOUT_S = 120.0
_OBSERVING = """\
observe: {base_url: URL}
state_dir: FOLDER
gateway:
  timeouts: {first_token_s: 3600, idle_s: 3600, total_s: 7200}
  limits: {max_body_bytes: 1073741824, body_timeout_s: 3600, max_connections: 100000}
  signals: false
"""


def up(
    file: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("inhouse.yaml"),
    observe: Annotated[
        str | None,
        typer.Option(
            "--observe",
            metavar="URL",
            help="No file: pass every request untouched to this API with the caller's own key, and record traces.",
        ),
    ] = None,
) -> None:
    """Start the platform in the foreground; Ctrl-C (or SIGTERM) stops it after requests under way have finished."""
    configuration = load_config(file) if observe is None else build_observing(observe, Path.cwd())
    print_warnings(check_configuration(configuration))
    asyncio.run(_serve(configuration))


def build_observing(url: str, folder: Path) -> Configuration:
    """The configuration of observe mode: one upstream, no limits, no content kept.

    Raises:
        ConfigFileError: `url` is no http(s) URL.
    """
    text = _OBSERVING.replace("URL", json.dumps(url)).replace("FOLDER", json.dumps(str(folder / ".inhouse-observe")))
    return load_config_text(text, "--observe", folder, {})


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
            print_platform(platform, time.monotonic() - started_at)
            await stop.wait()
        ready.cancel()
        out.print("stopping: requests under way may finish")
    out.print("stopped")


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
    if settings.observe is None:
        out.print(table)
    out.print(f"data port    [bold]{addresses.gateway_url}/v1[/]")
    out.print(f"status page  [bold]{addresses.admin_url}/[/]")
    out.print(f"metrics      {addresses.metrics_url}")
    out.print(f"logs         {platform.state.logs}")
    if settings.observe is None:
        out.print(f"try it       export OPENAI_BASE_URL={addresses.gateway_url}/v1   (undo: unset OPENAI_BASE_URL)")
    else:
        _print_observing(settings.observe.base_url, addresses.gateway_url)
    out.print("Ctrl-C stops it", style="dim")


def _print_observing(base_url: str, gateway_url: str) -> None:
    """How to put it in front of an application, and how to take it away again."""
    out.print(f"\nobserving    [bold]{base_url}[/]: requests pass as they are, with the caller's own key")
    out.print(f"OpenAI SDK     export OPENAI_BASE_URL={gateway_url}/v1      undo: unset OPENAI_BASE_URL")
    out.print(f"Anthropic SDK  export ANTHROPIC_BASE_URL={gateway_url}      undo: unset ANTHROPIC_BASE_URL")
    out.print("what passed    inhouse traces -c .inhouse-observe/run/inhouse.yaml")
