"""Scene 4: the gateway is killed with -9 under load, then an engine in the middle of a stream."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from dataclasses import dataclass, field

import msgspec
from rich.markup import escape

from inhouse.cli.oracle import demo_workload
from inhouse.cli.scenes.hybrid import make_body, wait_for_traces
from inhouse.cli.scenes.stage import ROUTE, Stage
from inhouse.cli.traffic import ChatReply, stream_chat
from inhouse.domain import ReplicaState, TraceStatus
from inhouse.evals.tickets import TaskType, Ticket

_NUM_CLIENTS = 6
_LOAD_S = 4.0
_KILL_AFTER_S = 1.5
_RETRY_S = 0.05
_RECOVERY_TIMEOUT_S = 15.0


@dataclass(slots=True)
class _Seen:
    """What the clients of the load saw."""

    completed: list[ChatReply] = field(default_factory=list[ChatReply])
    cut: list[ChatReply] = field(default_factory=list[ChatReply])
    num_refused: int = 0
    last_refused_at: float = 0.0


async def show_faults(stage: Stage) -> None:
    """Kill the gateway under load, then an engine mid-stream; show what clients and the record saw."""
    stage.title(4, "Things die: the gateway under load, then an engine in the middle of an answer")
    await _kill_gateway(stage)
    await _kill_engine(stage)


async def _kill_gateway(stage: Stage) -> None:
    seen = _Seen()
    pid = stage.platform.supervisor.pids["gateway"]
    started_at = time.monotonic()
    tickets = itertools.cycle([ticket for ticket in demo_workload() if ticket.task is not TaskType.REASONING])
    killed_at = 0.0
    async with asyncio.TaskGroup() as group:
        for _ in range(_NUM_CLIENTS):
            group.create_task(_keep_asking(stage, tickets, seen, started_at + _LOAD_S))
        await asyncio.sleep(_KILL_AFTER_S)
        os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
    completed = len(seen.completed)
    traces = await wait_for_traces(stage, [reply.headers["trace"] for reply in seen.completed])
    num_recorded = sum(trace.status is TraceStatus.COMPLETE for trace in traces.values())
    gap_s = max(0.0, seen.last_refused_at - killed_at)
    stage.print(
        f"{stage.tag(is_simulated=False)}  gateway killed with -9 under {_NUM_CLIENTS} clients: "
        f"[bold]{completed - num_recorded} of {completed} completed requests lost[/]"
    )
    stage.print(
        f"      {len(seen.cut)} streams were cut, and their clients saw it; the gateway was back after {gap_s:.1f} s"
    )
    stage.require(completed > 0, "no request was completed")
    stage.require(num_recorded == completed, f"{completed - num_recorded} completed requests are not on record")
    lost = await asyncio.to_thread(
        stage.platform.store.traces.list, 50, status=TraceStatus.ABORTED, since=time.time() - _LOAD_S - 10
    )
    stage.status(f"      {len(lost)} requests that died with it are on record as aborted")


async def _keep_asking(stage: Stage, tickets: itertools.cycle[Ticket], seen: _Seen, until: float) -> None:
    while time.monotonic() < until:
        ticket = next(tickets)
        reply = await stream_chat(stage.call, make_body(ticket.prompt), headers={"x-inhouse-task": ticket.task})
        if reply.is_complete:
            seen.completed.append(reply)
        elif reply.status == 200:
            seen.cut.append(reply)
        else:
            seen.num_refused += 1
            seen.last_refused_at = time.monotonic()
            await asyncio.sleep(_RETRY_S)


async def _kill_engine(stage: Stage) -> None:
    await stage.platform.wait_ready(_RECOVERY_TIMEOUT_S)
    replica = next(row for row in stage.platform.list_replicas() if row.deployment == "clerk")
    pid = replica.pid
    stage.require(pid, "the engine's process is not known")

    killed_at = 0.0

    async def kill_after_three(num_events: int) -> None:
        nonlocal killed_at
        if num_events >= 3 and pid and not killed_at:
            os.kill(pid, signal.SIGKILL)
            killed_at = time.time()

    # A long answer: llama.cpp goes on past the model's own end where the request says so.
    body = {**make_body("Write as long as you can."), "model": ROUTE, "max_tokens": 900, "ignore_eos": True}
    cut = await stream_chat(stage.call, body, on_event=kill_after_three)
    after = await stream_chat(stage.call, make_body(next(iter(demo_workload())).prompt))

    recovery_s = await _time_recovery(stage, pid, killed_at)
    stage.print(
        f"{stage.tag(is_simulated=False)}  engine killed with -9 mid-stream: the client got {cut.num_events} pieces, "
        "then, and no \\[DONE]:"
    )
    stage.print(f"      [red]{escape(_read_error(cut.error))}[/]")
    served_by = after.headers.get("endpoint", "?")
    tag = stage.tag(is_simulated="simulated" in after.headers)
    stage.print(
        f"      the next request worked, on {served_by} ({tag}); the engine was back after "
        + (f"{recovery_s:.1f} s" if recovery_s is not None else "more than 15 s")
    )
    stage.require(cut.error and not cut.is_complete, "the cut stream passed for a whole one")
    stage.require(after.is_complete, f"the request after it failed: {after.error}")
    stage.require(recovery_s is not None, "the engine did not come back")


def _read_error(text: str | None) -> str:
    """Code and message of an error event."""
    if text is None:
        return "nothing"
    error = msgspec.json.decode(text, type=dict[str, str | None])
    return f"{error.get('code')}: {error.get('message')}"


async def _time_recovery(stage: Stage, old_pid: int | None, killed_at: float) -> float | None:
    """Seconds from the kill until the host agent's own record shows a new engine ready; None if it never does."""

    async def ready_since() -> float | None:
        rows = await asyncio.to_thread(stage.platform.list_replicas)
        ready = (row for row in rows if row.deployment == "clerk" and row.state is ReplicaState.READY)
        return next((row.updated_at for row in ready if row.pid != old_pid), None)

    while time.time() - killed_at < _RECOVERY_TIMEOUT_S:
        if (since := await ready_since()) is not None:
            return max(0.0, since - killed_at)
        await asyncio.sleep(0.05)
    return None
