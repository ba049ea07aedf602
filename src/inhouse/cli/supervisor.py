"""Keeps the processes of one installation running: start, restart with backoff, stop in order. Knows none of them."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

_FIRST_BACKOFF_S = 0.2
_MAX_BACKOFF_S = 10.0
_STABLE_AFTER_S = 30.0


class ChildState(StrEnum):
    """What a child is doing."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start one child.

    Args:
        name: shown to people, and the name of its log file.
        module: run as `python -m MODULE`.
        start: the one line that it reads from standard input, JSON without a newline.
        stop_timeout_s: time between SIGTERM and SIGKILL.
    """

    name: str
    module: str
    start: bytes
    stop_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ChildEvent:
    """A change of a child, for people: its state and the last exit status (negative: the signal)."""

    name: str
    state: ChildState
    pid: int | None
    exit_status: int | None = None


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: asyncio.subprocess.Process | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Runs children until told to stop; the order of `specs` is the order of starting, and the reverse of stopping.

    Neighbours that run the same module stop together: several gateway workers drain in the time of one.
    """

    def __init__(
        self, specs: Sequence[ChildSpec], logs: Path, on_event: Callable[[ChildEvent], None] = lambda _event: None
    ) -> None:
        self._children = {spec.name: _Child(spec) for spec in specs}
        self._logs = logs
        self._on_event = on_event
        self._stop = asyncio.Event()

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids of the children that run now."""
        processes = {name: child.process for name, child in self._children.items()}
        return {name: process.pid for name, process in processes.items() if process and process.returncode is None}

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stop.set()

    async def run(self) -> None:
        """Start every child, keep each running until `stop`, then end them, one kind after the other."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep_running(child)) for child in self._children.values()]
            await self._stop.wait()
            backwards = reversed(list(zip(self._children.values(), tasks, strict=True)))
            for _, alike in itertools.groupby(backwards, key=lambda pair: pair[0].spec.module):
                stopping = list(alike)
                for child, _ in stopping:
                    child.stop.set()
                await asyncio.gather(*(task for _, task in stopping))

    async def _keep_running(self, child: _Child) -> None:
        clock = asyncio.get_running_loop().time
        backoff_s = 0.0
        while not child.stop.is_set():
            started_at = clock()
            status = await self._run_once(child)
            if child.stop.is_set():
                break
            if clock() - started_at > _STABLE_AFTER_S:
                backoff_s = 0.0
            self._note(child, ChildState.RESTARTING, status)
            if backoff_s:
                await _wait(child.stop, backoff_s)
            backoff_s = min(_MAX_BACKOFF_S, max(_FIRST_BACKOFF_S, backoff_s * 2))
        self._note(child, ChildState.STOPPED, child.process.returncode if child.process else None)

    async def _run_once(self, child: _Child) -> int:
        log_path = self._logs / f"{child.spec.name}.log"
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", child.spec.module, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
            )  # fmt: skip
        child.process = process
        self._note(child, ChildState.STARTING, None)
        # The pipe stays open for the child's whole life: its end tells the child that this process is gone.
        if process.stdin is not None:
            process.stdin.write(child.spec.start + b"\n")
        self._note(child, ChildState.RUNNING, None)
        ended = asyncio.ensure_future(process.wait())
        asked = asyncio.ensure_future(child.stop.wait())
        try:
            await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await _end(process, child.spec.stop_timeout_s)
            return await ended
        finally:
            asked.cancel()
            if process.stdin is not None:
                process.stdin.close()

    def _note(self, child: _Child, state: ChildState, exit_status: int | None) -> None:
        pid = child.process.pid if _is_running(child.process) and child.process else None
        self._on_event(ChildEvent(child.spec.name, state, pid, exit_status))


async def _end(process: asyncio.subprocess.Process, timeout_s: float) -> None:
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), timeout_s)
    except TimeoutError:
        process.kill()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return


def _is_running(process: asyncio.subprocess.Process | None) -> bool:
    return process is not None and process.returncode is None
