"""Keeps one replica running: observe, decide, act, note. What to decide stands in `lifecycle`; it writes no store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from inhouse.domain import ConfigError, Digest, EndpointError, ReplicaState, compute_digest
from inhouse.serving.engines import (
    Deployment,
    EngineAdapter,
    ProbeState,
    ReadinessProbe,
    ReplicaAddress,
    find_mismatches,
)
from inhouse.serving.lifecycle import Action, Life, Sight, decide_step
from inhouse.serving.ports import LOOPBACK, PortBook
from inhouse.serving.settings import DeploymentSettings
from inhouse.serving.weights import WeightsFacts
from inhouse.store import ReplicaRow

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_STOP_TIMEOUT_S = 2.0
_PROGRESS_WAIT_S = 1.0
_MAX_DETAIL_CHARS = 300
_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A deployment's weights on this host; both None where somebody else runs the engine."""

    path: Path | None
    facts: WeightsFacts | None


@dataclass(frozen=True, slots=True)
class KeeperParts:
    """What a keeper needs of the agent.

    Args:
        host_id: this host's name, for the rows.
        adapter: the engine's.
        prepare: makes or finds the deployment's weights and reads their facts; may raise ConfigError or OSError.
        ports: the host's memory of ports.
        logs_dir: where `engine-<replica_id>.log` is written.
        note: takes each new row.
        start_timeout_s: from launch to the first token.
    """

    host_id: str
    adapter: EngineAdapter
    prepare: Callable[[], Awaitable[PreparedModel]]
    ports: PortBook
    logs_dir: Path
    note: Callable[[ReplicaRow], None]
    start_timeout_s: float


class ReplicaKeeper:
    """One replica of a deployment. `run` ends, with its engine, after `stop`."""

    def __init__(self, replica_id: str, name: str, settings: DeploymentSettings, parts: KeeperParts) -> None:
        self._parts = parts
        self._replica_id = replica_id
        self._deployment = Deployment(name, settings)
        self._is_ours = settings.url is None
        self._address = ReplicaAddress(replica_id, (settings.url or "").rstrip("/"))
        self._life = Life(is_ours=self._is_ours, start_timeout_s=parts.start_timeout_s)
        self._process: asyncio.subprocess.Process | None = None
        self._facts: WeightsFacts | None = None
        self._digest: Digest | None = None
        self._exit_detail = ""
        self._was_spawned = True
        self._stop = asyncio.Event()

    @property
    def replica_id(self) -> str:
        """The replica's id."""
        return self._replica_id

    def stop(self) -> None:
        """Ask `run` to end the engine and return."""
        self._stop.set()

    async def run(self) -> None:
        """Observe, decide, act, note, until stopped."""
        clock = asyncio.get_running_loop().time
        try:
            while not self._stop.is_set():
                sight = await self._observe()
                self._life, action = decide_step(self._life, sight, clock())
                await self._act(action)
                if action is Action.LAUNCH:
                    self._was_spawned = self._process is not None
                    if not self._was_spawned:
                        continue  # the next look says why
                self._note()
                if action is Action.KILL:
                    continue  # its restart is due at once
                await self._until(asyncio.sleep(self._life.next_look_s(clock())))
        finally:
            await self._end_process()

    async def _observe(self) -> Sight:
        if self._is_ours:
            if self._process is not None and self._process.returncode is not None:
                self._exit_detail = self._describe_exit(self._process.returncode)
                self._process = None
            if self._process is None:
                return Sight(is_running=False, exit_detail=self._exit_detail, was_spawned=self._was_spawned)
        seen = await self._until(self._look())
        if seen is None:  # the process died, or the agent stops, while it was asked
            return Sight(is_running=True)
        return seen

    async def _look(self) -> Sight:
        """Ask the engine; deeply unless it is known to be ready, and again deeply when it seems not to be."""
        adapter, url = self._parts.adapter, self._address.base_url
        is_ready = self._life.state is ReplicaState.READY
        probe = await adapter.probe(self._deployment, url, is_deep=not is_ready)
        if is_ready and probe.state is not ProbeState.READY:
            progress = await adapter.read_progress(url)
            probe = await adapter.probe(self._deployment, url, is_deep=True)
            if probe.state is not ProbeState.READY:
                return Sight(is_running=True, probe=probe, has_progressed=await self._has_progressed(progress))
        if is_ready or probe.state is not ProbeState.READY:
            return Sight(is_running=True, probe=probe)
        return await self._read_back(probe)

    async def _read_back(self, probe: ReadinessProbe) -> Sight:
        """The engine generates: compare what runs with what was asked, and take its digest."""
        try:
            effective = await self._parts.adapter.effective_config(self._address.base_url)
        except EndpointError as error:
            failed = ReadinessProbe(ProbeState.LOADING, f"read-back: {error}")
            return Sight(is_running=True, probe=failed)
        mismatches = find_mismatches(self._deployment, effective) if self._is_ours else ()
        fields = self._parts.adapter.digest_fields(self._deployment, effective, self._facts)
        self._digest = None if mismatches else compute_digest("deployment", fields)
        return Sight(is_running=True, probe=probe, mismatches=mismatches)

    async def _has_progressed(self, before: int | None) -> bool:
        await asyncio.sleep(_PROGRESS_WAIT_S)
        after = await self._parts.adapter.read_progress(self._address.base_url)
        return after is not None and (before is None or after > before)

    async def _act(self, action: Action) -> None:
        if action is Action.LAUNCH:
            await self._launch()
        elif action is Action.KILL and self._process is not None:
            _LOG.warning("replica %s is killed: %s", self._replica_id, self._life.detail)
            self._exit_detail = self._life.detail
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def _launch(self) -> None:
        """Start the engine process; where that fails, the next look finds no process and the reason."""
        try:
            self._choose_address()
            prepared = await self._parts.prepare()
            self._facts = prepared.facts
            self._deployment = Deployment(self._deployment.name, self._deployment.settings, prepared.path)
            await self._spawn()
        except (ConfigError, OSError) as error:
            if str(error) != self._exit_detail:
                _LOG.warning("replica %s cannot start: %s", self._replica_id, error)
            self._exit_detail = str(error)

    def _choose_address(self) -> None:
        port = self._parts.ports.choose_port(self._replica_id)
        self._address = ReplicaAddress(self._replica_id, f"http://{LOOPBACK}:{port}/v1", port)

    async def _spawn(self) -> None:
        command = self._parts.adapter.launch(self._deployment, self._address)
        if command is None:
            raise ConfigError("this engine is not launched here.", fix="Give `url:`.")
        self._parts.logs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # asyncio forks in this, the main, thread: the parent-death signal of the child hangs on it.
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **command.env, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        _LOG.info("replica %s started: pid %d, %s", self._replica_id, self._process.pid, self._address.base_url)

    @property
    def _log_file(self) -> Path:
        return self._parts.logs_dir / f"engine-{re.sub(r'[^A-Za-z0-9._@-]', '_', self._replica_id)}.log"

    def _describe_exit(self, status: int) -> str:
        how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"exited with code {status}"
        last = "" if status < 0 else _read_last_line(self._log_file)
        _LOG.warning("replica %s %s", self._replica_id, how)
        return f"the engine {how}{f': {last}' if last else ''}"

    def _note(self) -> None:
        life, digest = self._life, self._digest
        self._parts.note(
            ReplicaRow(
                replica_id=self._replica_id,
                deployment=self._deployment.name,
                host_id=self._parts.host_id,
                base_url=self._address.base_url,
                state=life.state,
                digest=None if digest is None else digest.value,
                digest_fields=() if digest is None else digest.fields,
                pid=None if self._process is None else self._process.pid,
                num_restarts=life.num_restarts,
                updated_at=time.time(),
                detail=_shorten(life.detail),
            )
        )

    async def _until(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Await `work`, but no longer than the process lives and the agent runs; None where it was cut short."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        watches: list[asyncio.Task[Any]] = [loop.create_task(self._stop.wait())]
        if self._process is not None:
            watches.append(loop.create_task(self._process.wait()))
        try:
            await asyncio.wait({task, *watches}, return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            for pending in (task, *watches):
                pending.cancel()
            await asyncio.gather(task, *watches, return_exceptions=True)

    async def _end_process(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _read_last_line(log_file: Path) -> str:
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, log_file.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_DETAIL_CHARS else f"{text[: _MAX_DETAIL_CHARS - 1]}…"
