"""Scene 5: the (simulated) provider starts to cut, hang and throttle; what an application sees, with and without."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from pydantic import SecretStr
from rich.table import Table

from inhouse.cli.evals_view import new_table
from inhouse.cli.launch import build_children, choose_addresses
from inhouse.cli.oracle import demo_workload
from inhouse.cli.platform import probe
from inhouse.cli.scenes.stage import SceneFailedError, Stage
from inhouse.cli.storm_job import Ending, StormJob, StormResult
from inhouse.cli.supervisor import Supervisor
from inhouse.gateway.settings import TimeoutSettings

_PROVIDER, _MODEL = "paid", "mid"
_IN_HOUSE = "clerk"
_ROUTE, _BUFFERED_ROUTE = "replies", "replies-buffered"
_STORM = {"throttle": 0.12, "error": 0.04, "hang": 0.05, "stall": 0.04, "cut": 0.05, "end": 0.08}
"""Shares of the requests that reach the provider."""
_NUM_REQUESTS = 100
_NUM_AT_ONCE = 24
_MIN_ANSWER_CHARS = 24
"""Long enough to be cut in the middle."""
_PATIENCE_S = 3.0
_DEADLINES = TimeoutSettings(connect_s=0.5, first_token_s=0.8, idle_s=0.8, total_s=2.4)
"""The last one is shorter than anybody's patience: an error is better than nothing."""
_READY_TIMEOUT_S = 15.0
_TIMEOUT_S = 60.0
_LINE_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to the answers."""

    name: str
    base_url: str
    key: str
    model: str


@dataclass(frozen=True, slots=True)
class _Round:
    """What came of all requests on one way."""

    way: _Way
    results: Sequence[StormResult]

    def count(self, ending: Ending) -> int:
        return sum(result.ending is ending for result in self.results)


async def show_storm(stage: Stage) -> None:
    """Send the same requests straight to a failing provider and through inhouse; a table of what came back."""
    stage.title(5, "The provider starts to cut streams, hang and throttle")
    stage.status(
        f"{_NUM_REQUESTS} streamed requests with OpenAI's SDK as it is; nobody waits more than {_PATIENCE_S:g} s"
    )
    async with _run_app() as app, _run_worker(stage) as gateway_url:
        started_at = time.monotonic()
        ways = (
            _Way("straight to it", stage.platform.addresses.providers[_PROVIDER], _provider_key(stage), _MODEL),
            _Way("through inhouse", f"{gateway_url}/v1", stage.call.key, _ROUTE),
            _Way("buffered route", f"{gateway_url}/v1", stage.call.key, _BUFFERED_ROUTE),
        )
        rounds: list[_Round] = []
        try:
            for way in ways:
                await _switch(stage, _STORM)
                with stage.console.status(f"  storm: {way.name}"):
                    rounds.append(await _play(app, way))
                if way is ways[0]:
                    _describe_storm(stage, (await _switch(stage))["hits"])
        finally:
            await _switch(stage, {})
        seconds = time.monotonic() - started_at
    stage.print(_render(rounds))
    _explain(stage, rounds, seconds)
    _require(stage, rounds)


def _describe_storm(stage: Stage, hits: dict[str, int]) -> None:
    number = {kind: hits.get(kind, 0) for kind in _STORM}
    stage.print(
        f"{stage.tag(is_simulated=True)}  asked directly, it throttled {number['throttle']}, refused "
        f"{number['error']} (503), left {number['hang']} unanswered,\n"
        f"           fell silent in {number['stall']}, broke off {number['cut']} and ended {number['end']} early "
        "as if complete"
    )


def _render(rounds: Sequence[_Round]) -> Table:
    table = new_table("the same requests", "full", "visible error", "cut, taken for full", "hung", "p95, s")
    for row in rounds:
        cut, hung = row.count(Ending.CUT), row.count(Ending.HUNG)
        table.add_row(
            row.way.name,
            str(row.count(Ending.FULL)),
            str(row.count(Ending.ERROR)),
            f"[red]{cut}[/]" if cut else "0",
            f"[red]{hung}[/]" if hung else "0",
            f"{np.quantile([result.seconds for result in row.results], 0.95):.1f}",
        )
    return table


def _explain(stage: Stage, rounds: Sequence[_Round], seconds: float) -> None:
    _, streamed, buffered = ([result.endpoint for result in row.results].count(_IN_HOUSE) for row in rounds)
    stage.print(
        f"{stage.tag(is_simulated=False)}  silence ends after {_DEADLINES.first_token_s:g} s; clerk on this CPU took "
        f"over {streamed} and {buffered}.\n"
        "      What breaks after its first byte ends in an error that the SDK raises;\n"
        "      a buffered route holds each answer back until it is whole: no such break."
    )
    stage.status(f"{len(rounds) * _NUM_REQUESTS} requests in {seconds:.1f} s")


def _require(stage: Stage, rounds: Sequence[_Round]) -> None:
    direct, *through = rounds
    stage.require(direct.count(Ending.CUT), "the storm cut nothing, so nothing was shown")
    for row in through:
        stage.require(not row.count(Ending.CUT), f"{row.way.name}: a cut answer passed for a whole one")
        stage.require(not row.count(Ending.HUNG), f"{row.way.name}: {row.count(Ending.HUNG)} requests hung")


def _provider_key(stage: Stage) -> str:
    key = stage.platform.configuration.settings.providers[_PROVIDER].api_key
    if not isinstance(key, SecretStr):
        raise SceneFailedError("the demonstration's provider has no key of its own")
    return key.get_secret_value()


async def _switch(stage: Stage, mix: dict[str, float] | None = None) -> dict[str, Any]:
    """Put faults in force at the simulated provider; without a mix, only ask what they have hit."""
    url = stage.platform.addresses.providers[_PROVIDER].removesuffix("/v1") + "/simulated/faults"
    reply = await stage.call.client.request(
        "GET" if mix is None else "PUT",
        url,
        headers={"authorization": f"Bearer {_provider_key(stage)}"},
        body=b"" if mix is None else msgspec.json.encode(mix),
    )
    stage.require(reply.status == 200, f"the simulated provider does not switch its faults ({reply.status})")
    return msgspec.json.decode(reply.body)


@contextlib.asynccontextmanager
async def _run_app() -> AsyncGenerator[Process]:
    """The application, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inhouse.cli.storm_app", limit=_LINE_BYTES,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _PATIENCE_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _play(app: Process, way: _Way) -> _Round:
    """Have the application ask everything on one way."""
    job = StormJob(
        base_url=way.base_url,
        key=way.key,
        model=way.model,
        prompts=_choose_prompts(),
        num_at_once=_NUM_AT_ONCE,
        patience_s=_PATIENCE_S,
    )
    if app.stdin is None or app.stdout is None:
        raise AssertionError("the application was started with pipes")
    app.stdin.write(msgspec.json.encode(job) + b"\n")
    async with asyncio.timeout(_TIMEOUT_S):
        line = await app.stdout.readline()
    if not line:
        raise SceneFailedError(f"the application ended with exit code {await app.wait()}")
    return _Round(way, msgspec.json.decode(line, type=list[StormResult]))


def _choose_prompts() -> tuple[str, ...]:
    tickets = (ticket for ticket in demo_workload() if len(ticket.target) >= _MIN_ANSWER_CHARS)
    return tuple(ticket.prompt for ticket in itertools.islice(tickets, _NUM_REQUESTS))


@contextlib.asynccontextmanager
async def _run_worker(stage: Stage) -> AsyncGenerator[str]:
    """One more gateway on the same snapshot, with the deadlines of an application whose users do not wait; its URL."""
    platform = stage.platform
    settings = platform.configuration.settings
    gateway = settings.gateway.model_copy(update={"port": 0, "workers": 1, "timeouts": _DEADLINES})
    configuration = replace(platform.configuration, settings=settings.model_copy(update={"gateway": gateway}))
    with contextlib.ExitStack() as held:
        port = choose_addresses(configuration, None, held).gateway_port
        addresses = msgspec.structs.replace(platform.addresses, gateway_port=port)
        children = build_children(configuration, platform.state, addresses)
        spec = next(child for child in children if child.name == "gateway")
        supervisor = Supervisor([replace(spec, name="gateway-storm")], platform.state.logs)
        running = asyncio.ensure_future(supervisor.run())
        try:
            await _wait_ready(addresses.gateway_url)
            yield addresses.gateway_url
        finally:
            supervisor.stop()
            await running


async def _wait_ready(url: str) -> None:
    give_up_at = time.monotonic() + _READY_TIMEOUT_S
    while True:
        problem = await asyncio.to_thread(probe, f"{url}/readyz")
        if not problem:
            return
        if time.monotonic() > give_up_at:
            raise SceneFailedError(f"the second gateway is not ready: {problem}")
        await asyncio.sleep(0.05)
