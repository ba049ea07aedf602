"""`inhouse demo`: the whole loop on embedded defaults, in scenes. Shows behaviour; every row is real or simulated."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
import time
from contextlib import aclosing
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from inhouse.backends import HttpClient
from inhouse.cli.check import check_configuration
from inhouse.cli.config import Configuration, load_config_text
from inhouse.cli.platform import Platform, run_platform
from inhouse.cli.scenes import (
    SceneFailedError,
    Stage,
    show_decision,
    show_faults,
    show_hybrid,
    show_quantization,
    show_sdk,
    show_storm,
)
from inhouse.cli.terminal import ExitCode, err, out
from inhouse.cli.traffic import ChatCall

SCENES = (show_sdk, show_hybrid, show_quantization, show_faults, show_storm, show_decision)
_READY_TIMEOUT_S = 60.0


def demo(
    is_exit: Annotated[bool, typer.Option("--exit", help="End after the last scene.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Keep the state in this folder (else it is removed).")] = None,
) -> None:
    """Start everything in a temporary folder, show six scenes, stay up until Ctrl-C (or end with --exit)."""
    folder = keep or Path(tempfile.mkdtemp(prefix="inhouse-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(_run(_load(folder), is_exit=is_exit))
    except SceneFailedError as error:
        err.print(f"[bold red]the demonstration failed:[/] {error}")
        raise typer.Exit(ExitCode.FAILED) from None
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _load(folder: Path) -> Configuration:
    text = (resources.files("inhouse.cli") / "demo.yaml").read_text(encoding="utf-8")
    keys = {name: f"demo-{secrets.token_urlsafe(24)}" for name in ("INHOUSE_DEMO_KEY", "INHOUSE_DEMO_PROVIDER_KEY")}
    configuration = load_config_text(text, "demo.yaml", folder, {**os.environ, **keys})
    check_configuration(configuration)
    return configuration


async def _run(configuration: Configuration, *, is_exit: bool) -> None:
    started_at = time.monotonic()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    out.print("[bold]inhouse demo[/]: a small real model (clerk) on this CPU, and a simulated paid API")
    async with run_platform(configuration) as platform, aclosing(HttpClient()) as client:
        with out.status("starting gateway, host agent, two engines, control, simulated provider"):
            await platform.wait_ready(_READY_TIMEOUT_S)
        out.print(f"ready in {time.monotonic() - started_at:.1f} s   status page: {platform.addresses.admin_url}/")
        stage = _make_stage(platform, client, out)
        playing = asyncio.ensure_future(_play(stage))
        asked = asyncio.ensure_future(stop.wait())
        await asyncio.wait({playing, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            playing.cancel()
            await asyncio.wait({playing})
            return
        playing.result()
        out.print(f"\n[bold green]six scenes[/] in {time.monotonic() - started_at:.0f} s")
        _print_next()
        if not is_exit:
            out.print(f"\nstill up: {platform.addresses.admin_url}/   Ctrl-C stops it", style="bold")
            await stop.wait()
        asked.cancel()


def _make_stage(platform: Platform, client: HttpClient, console: Console) -> Stage:
    key = platform.configuration.settings.keys["demo"].key.get_secret_value()
    return Stage(platform, ChatCall(client, f"{platform.addresses.local_url}/v1", key), console)


async def _play(stage: Stage) -> None:
    for scene in SCENES:
        await scene(stage)


def _print_next() -> None:
    out.print("\nnext, in this order:")
    out.print("  inhouse decide --from usage.json --fte 0.5    [dim]# the same page from your own export[/]")
    out.print("  inhouse init       [dim]# writes your own file after three questions[/]")
    out.print("  inhouse up         [dim]# serves it; point OPENAI_BASE_URL at it[/]")
    out.print("  inhouse eval run assistant --on in-house --against paid/mid    [dim]# judges[/]")
