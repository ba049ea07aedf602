"""Writes what is known of this host's replicas to the store, the latest of each, and again after the store was down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

import msgspec

from inhouse.domain import ReplicaState, StateError
from inhouse.store import ReplicaRepository, ReplicaRow
from inhouse.telemetry import TraceMetrics

_LOG = logging.getLogger(__name__)
HEARTBEAT_S = 10.0
"""An unchanged row is written again after this time, so that a row that grows old belongs to a dead agent."""
_RETRY_S = 1.0
_SILENCE_S = 60.0


class RowWriter:
    """Keeps the newest row of each replica until it is stored; what was never stored of older ones is skipped.

    Args:
        metrics: shows which replicas are ready and counts restarts.
    """

    def __init__(self, metrics: TraceMetrics) -> None:
        self._metrics = metrics
        self._newest: dict[str, ReplicaRow] = {}
        self._waiting: dict[str, ReplicaRow] = {}
        self._wake = asyncio.Event()

    def note(self, row: ReplicaRow) -> None:
        """Take a row; one that says nothing new is left out until its heartbeat is due."""
        before = self._newest.get(row.replica_id)
        if before is not None and _says_same(before, row) and row.updated_at - before.updated_at < HEARTBEAT_S:
            return
        self._metrics.set_replica_ready(row.deployment, row.replica_id, is_ready=row.state is ReplicaState.READY)
        for _ in range(row.num_restarts - (0 if before is None else before.num_restarts)):
            self._metrics.count_restart(row.deployment)
        self._newest[row.replica_id] = row
        self._waiting[row.replica_id] = row
        self._wake.set()

    async def run(self, replicas: ReplicaRepository, host_id: str) -> None:
        """Replace what an earlier agent of this host left, then write rows as they come, until cancelled."""
        await _insist(lambda: _drop_strangers(replicas, host_id, set(self._newest)))
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                replica_id, row = next(iter(self._waiting.items()))
                del self._waiting[replica_id]
                await _insist(lambda row=row: replicas.put(row))

    async def drop_all(self, replicas: ReplicaRepository) -> None:
        """Forget every row of this agent; tried once, since the next agent of this host does it as well."""
        try:
            for replica_id in self._newest:
                await asyncio.to_thread(replicas.drop, replica_id)
        except StateError as error:
            _LOG.warning("replica rows stay behind: %s", error)


async def _insist(write: Callable[[], None]) -> None:
    """Do `write` in a thread until the store takes it."""
    clock = asyncio.get_running_loop().time
    silent_until = 0.0
    while True:
        try:
            await asyncio.to_thread(write)
        except StateError as error:
            if clock() >= silent_until:
                _LOG.warning("replica rows wait for the store: %s", error)
                silent_until = clock() + _SILENCE_S
            await asyncio.sleep(_RETRY_S)
        else:
            return


def _drop_strangers(replicas: ReplicaRepository, host_id: str, known: Iterable[str]) -> None:
    kept = set(known)
    for row in replicas.list():
        if row.host_id == host_id and row.replica_id not in kept:
            replicas.drop(row.replica_id)


def _says_same(one: ReplicaRow, other: ReplicaRow) -> bool:
    return msgspec.structs.replace(one, updated_at=0.0) == msgspec.structs.replace(other, updated_at=0.0)
