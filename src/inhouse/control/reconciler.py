"""The reconciler: observe the store's replicas, decide on a snapshot, put it in place, note it. Serves no HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import msgspec

from inhouse.backends.settings import ObserveSettings, ProviderSettings
from inhouse.catalog import PriceBook
from inhouse.control.compile import (
    CompileInputs,
    Misfit,
    compile_snapshot,
    date_of,
    find_misfits,
    is_same_content,
    recall_replicas,
)
from inhouse.control.snapshotfile import encode_snapshot, read_snapshot, write_snapshot
from inhouse.control.storelink import StoreLink
from inhouse.domain import ApiKey, InhouseError, Snapshot, StateError
from inhouse.routing.settings import RouteSettings
from inhouse.serving.settings import DeploymentSettings
from inhouse.store import ReplicaRow, SnapshotRow, Store

POLL_S = 0.25
_POLL_WHILE_DOWN_S = 1.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What the user's file asks for; the arguments are those of `CompileInputs`."""

    routes: Mapping[str, RouteSettings]
    deployments: Mapping[str, DeploymentSettings]
    providers: Mapping[str, ProviderSettings]
    data_classes: Mapping[str, frozenset[str]]
    keys: Sequence[ApiKey]
    is_open: bool
    price_book: PriceBook
    provider_urls: Mapping[str, str]
    observe: ObserveSettings | None = None


@dataclass(frozen=True, slots=True)
class ObservedState:
    """What the reconciler last saw and did.

    Args:
        snapshot: the one in place; None before the first.
        replicas: the store's rows when it last answered.
        misfits: replicas left out of the snapshot.
        since: replica id → Unix second at which it was first seen in its state as this process.
        store_problem: why the store cannot be used right now; None while it can.
        file_problem: why the last snapshot could not be put in place; None where it could.
    """

    snapshot: Snapshot | None = None
    replicas: tuple[ReplicaRow, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    since: Mapping[str, float] = field(default_factory=dict[str, float])
    store_problem: str | None = None
    file_problem: str | None = None


@dataclass(slots=True)
class _Progress:
    """What the next step must know of the steps before it."""

    is_version_known: bool = False
    """The store was asked for its highest version."""
    floor: int = 0
    """No new snapshot may have this version or a lower one."""
    unrecorded: Snapshot | None = None
    """In place on disk, not yet in the store."""
    compiled_from: tuple[tuple[ReplicaRow, ...], date] | None = None
    logged: dict[str, object] = field(default_factory=dict[str, object])


class Reconciler:
    """Keeps `run/snapshot.json` and the store's snapshots equal to what file and replicas ask for.

    Args:
        desired: the configuration.
        link: the store.
        state_dir: the state folder.
        clock: Unix seconds.
    """

    def __init__(self, desired: DesiredState, link: StoreLink, state_dir: Path, clock: Callable[[], float]) -> None:
        self._desired = desired
        self._link = link
        self._state_dir = state_dir
        self._clock = clock
        self._progress = _Progress()
        self._observed = ObservedState(snapshot=self._recall())

    @property
    def observed(self) -> ObservedState:
        """What was seen and done last."""
        return self._observed

    async def run(self) -> None:
        """Step until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(POLL_S if self._observed.store_problem is None else _POLL_WHILE_DOWN_S)

    async def step(self) -> None:
        """Observe, decide, act, note: once."""
        await self._observe()
        snapshot = self._decide()
        if snapshot is not None:
            await self._put_in_place(snapshot)
        await self._record()
        self._note()

    async def _observe(self) -> None:
        try:
            replicas = tuple(await self._link.call(lambda store: store.replicas.list()))
            if not self._progress.is_version_known:
                self._learn_version(await self._link.call(lambda store: store.snapshots.latest()))
        except InhouseError as error:
            self._observed = replace(self._observed, store_problem=str(error))
        else:
            self._observed = replace(
                self._observed,
                store_problem=None,
                replicas=replicas,
                misfits=tuple(find_misfits(replicas)),
                since=self._track_states(replicas),
            )

    def _track_states(self, replicas: Sequence[ReplicaRow]) -> dict[str, float]:
        """Since when each replica has been in its state as the same process."""
        before = {row.replica_id: _identify_life(row) for row in self._observed.replicas}
        now = self._clock()
        return {
            row.replica_id: self._observed.since[row.replica_id]
            if before.get(row.replica_id) == _identify_life(row)
            else now
            for row in replicas
        }

    def _learn_version(self, latest: SnapshotRow | None) -> None:
        """Take up where the store says: its version may be higher than the file's, its snapshot may be the same."""
        progress = self._progress
        progress.is_version_known = True
        current = self._observed.snapshot
        if latest is None:
            progress.unrecorded = current
            return
        progress.floor = max(progress.floor, latest.version)
        if current is None or current.version < latest.version:
            progress.compiled_from = None
        elif current.version > latest.version:
            progress.unrecorded = current
        elif latest.payload != encode_snapshot(current):
            progress.compiled_from = None
            self._observed = replace(self._observed, snapshot=None)

    def _decide(self) -> Snapshot | None:
        """The snapshot to put in place; None where the one in place is right."""
        is_down = self._observed.store_problem is not None
        if is_down and self._progress.compiled_from is not None:
            return None
        now = self._clock()
        current = self._observed.snapshot
        replicas = self._observed.replicas
        if is_down and not replicas and current is not None:
            replicas = tuple(recall_replicas(current))
        cause = (_without_times(replicas), date_of(now))
        if cause == self._progress.compiled_from:
            return None
        self._progress.compiled_from = cause
        version = max(current.version if current else 0, self._progress.floor) + 1
        snapshot = compile_snapshot(self._inputs(replicas, version, now))
        is_behind = current is not None and current.version < self._progress.floor
        return None if is_same_content(current, snapshot) and not is_behind else snapshot

    def _inputs(self, replicas: Sequence[ReplicaRow], version: int, now: float) -> CompileInputs:
        desired = self._desired
        return CompileInputs(
            routes=desired.routes,
            deployments=desired.deployments,
            providers=desired.providers,
            data_classes=desired.data_classes,
            keys=desired.keys,
            is_open=desired.is_open,
            replicas=replicas,
            price_book=desired.price_book,
            provider_urls=desired.provider_urls,
            observe=desired.observe,
            version=version,
            now=now,
        )

    async def _put_in_place(self, snapshot: Snapshot) -> None:
        try:
            await asyncio.to_thread(write_snapshot, self._state_dir, snapshot)
        except StateError as error:
            self._progress.compiled_from = None
            self._observed = replace(self._observed, file_problem=str(error))
            return
        self._progress.unrecorded = snapshot
        self._observed = replace(self._observed, snapshot=snapshot, file_problem=None)

    async def _record(self) -> None:
        snapshot = self._progress.unrecorded
        if snapshot is None or self._observed.store_problem is not None:
            return
        payload = encode_snapshot(snapshot)

        def put(store: Store) -> None:
            store.snapshots.put(snapshot.version, payload, snapshot.created_at)

        try:
            await self._link.call(put)
        except InhouseError as error:
            # The version may be taken: ask the store again before the next snapshot is made.
            self._progress.is_version_known = False
            self._observed = replace(self._observed, store_problem=str(error))
        else:
            self._progress.unrecorded = None

    def _note(self) -> None:
        """Log what changed, once."""
        observed = self._observed
        snapshot = observed.snapshot
        if self._has_changed("snapshot", snapshot.version if snapshot else None) and snapshot is not None:
            _LOG.info("snapshot %d is in place", snapshot.version)
        if self._has_changed("store", observed.store_problem):
            _LOG.warning("%s", observed.store_problem or "the store answers again")
        if self._has_changed("file", observed.file_problem):
            _LOG.warning("%s", observed.file_problem or "the snapshot can be written again")
        if self._has_changed("misfits", observed.misfits):
            for misfit in observed.misfits:
                _LOG.warning("%s", misfit)

    def _has_changed(self, subject: str, value: object) -> bool:
        is_first = subject not in self._progress.logged
        before = self._progress.logged.get(subject)
        self._progress.logged[subject] = value
        return bool(value) if is_first else before != value

    def _recall(self) -> Snapshot | None:
        try:
            return read_snapshot(self._state_dir)
        except StateError as error:
            _LOG.warning("%s", error)
            return None


def _identify_life(row: ReplicaRow) -> tuple[object, ...]:
    return (row.state, row.pid, row.num_restarts, row.digest)


def _without_times(replicas: Sequence[ReplicaRow]) -> tuple[ReplicaRow, ...]:
    """Rows without what changes at every sign of life and never reaches a snapshot."""
    return tuple(
        msgspec.structs.replace(row, updated_at=0.0, detail="", pid=None, num_restarts=0, digest_fields=())
        for row in replicas
    )
