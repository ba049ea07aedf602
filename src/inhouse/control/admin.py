"""The admin service: answers what the API and the pages ask, from the reconciler and the store. Speaks no HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inhouse import __version__
from inhouse.control.reconciler import ObservedState, Reconciler
from inhouse.control.status import (
    WINDOW_S,
    GatewayWorkerStatus,
    SpoolStatus,
    Status,
    StoreStatus,
    describe_replicas,
    describe_routes,
    describe_snapshot,
    strip_userinfo,
)
from inhouse.control.storelink import StoreLink
from inhouse.domain import InhouseError, Snapshot, Trace, TraceStatus
from inhouse.store import EvalRunRow, SpoolCursor, TraceSummary
from inhouse.telemetry import find_gone_writers, list_spools, spool_writer_of

STATUS_TTL_S = 1.0
"""A status made this recently is given again, however many pages are open: each sums up a quarter of an hour."""

_WRITER = re.compile(r"(?P<worker>.+)-(?P<unix_ms>\d+)-(?P<pid>\d+)")


@dataclass(frozen=True, slots=True)
class AdminIdentity:
    """What the admin service says about its own installation."""

    state_dir: Path
    gateway_url: str
    started_at: float
    pid: int


class Admin:
    """Reads for the admin API and the console. Nothing here writes, and no answer holds a secret or captured content.

    Args:
        reconciler: what is observed and in place.
        link: the store.
        identity: addresses and times that no store knows.
        clock: Unix seconds.
    """

    def __init__(
        self, reconciler: Reconciler, link: StoreLink, identity: AdminIdentity, clock: Callable[[], float]
    ) -> None:
        self._reconciler = reconciler
        self._link = link
        self._identity = identity
        self._clock = clock
        self._making = asyncio.Lock()
        self._last: Status | None = None

    @property
    def observed(self) -> ObservedState:
        """What the reconciler last saw and did."""
        return self._reconciler.observed

    async def get_status(self) -> Status:
        """Everything at a glance, at most `STATUS_TTL_S` old. Never fails: what is not known says so."""
        async with self._making:
            now = self._clock()
            last = self._last
            if last is None or not 0 <= now - last.now < STATUS_TTL_S:
                last = self._last = await self._make_status(now)
            return last

    async def list_traces(self, limit: int, route: str | None = None, status: TraceStatus | None = None) -> list[Trace]:
        """Up to `limit` traces, newest first, without captured content.

        Raises:
            StateError: the store cannot be used (StoreUnavailableError where it does not answer).
        """
        traces = await self._link.call(lambda store: store.traces.list(limit, route=route, status=status))
        return [hide_content(trace) for trace in traces]

    async def get_trace(self, trace_id: str) -> Trace | None:
        """One trace without captured content; None where there is none. Raises like `list_traces`."""
        trace = await self._link.call(lambda store: store.traces.get(trace_id))
        return None if trace is None else hide_content(trace)

    async def list_eval_runs(self, limit: int) -> list[EvalRunRow]:
        """Up to `limit` evaluation runs, newest first. Raises like `list_traces`."""
        rows = await self._link.call(lambda store: store.evals.list_runs(limit=limit))
        return [hide_samples(row) for row in rows]

    async def get_eval_run(self, run_id: str) -> EvalRunRow | None:
        """One evaluation run; None where there is none. Raises like `list_traces`."""
        row = await self._link.call(lambda store: store.evals.get_run(run_id))
        return None if row is None else hide_samples(row)

    async def _make_status(self, now: float) -> Status:
        observed = self.observed
        traffic, spool, problem = await self._ask_store(now)
        store_problem = observed.store_problem or problem
        by_variant, by_task = traffic or (None, None)
        return Status(
            product_version=__version__,
            now=now,
            started_at=self._identity.started_at,
            pid=self._identity.pid,
            gateway_url=self._identity.gateway_url,
            gateway_workers=await asyncio.to_thread(find_gateway_workers, self._identity.state_dir / "spool"),
            store=StoreStatus(is_up=store_problem is None, problem=store_problem),
            spool=spool,
            snapshot=describe_snapshot(observed.snapshot, now),
            snapshot_problem=observed.file_problem,
            window_s=WINDOW_S,
            traffic_problem=problem,
            routes=describe_routes(observed.snapshot, by_variant, by_task),
            replicas=describe_replicas(observed),
        )

    async def _ask_store(
        self, now: float
    ) -> tuple[tuple[TraceSummary, TraceSummary] | None, SpoolStatus | None, str | None]:
        """Traffic by variant and by task, the spool's lag, and the problem where the store does not answer."""
        since = now - WINDOW_S
        spool_dir = self._identity.state_dir / "spool"
        try:
            by_task = await self._link.call(lambda store: store.traces.summarize(since))
            by_variant = by_task
            if has_several_tasks(by_task):
                by_variant = await self._link.call(lambda store: store.traces.summarize(since, by_task=False))
            cursors = await self._link.call(lambda store: store.traces.cursors())
        except InhouseError as error:
            return None, None, str(error)
        return (by_variant, by_task), await asyncio.to_thread(measure_spool, spool_dir, cursors), None


def hide_content(trace: Trace) -> Trace:
    """The trace with its captured texts replaced by their lengths.

    The admin port has no keys yet: any account of this machine may read it, and content is not for all of them.
    """
    if trace.close is None or not trace.close.content:
        return trace
    hidden = {name: f"captured, {len(text)} characters, not shown here" for name, text in trace.close.content.items()}
    return msgspec.structs.replace(trace, close=msgspec.structs.replace(trace.close, content=hidden))


def hide_samples(row: EvalRunRow) -> EvalRunRow:
    """The run without its suite's samples, which are content like any other."""
    return msgspec.structs.replace(row, config={key: value for key, value in row.config.items() if key != "suite"})


def hide_secrets(snapshot: Snapshot) -> Snapshot:
    """The snapshot without key hashes and without passwords in addresses."""
    endpoints = {
        name: msgspec.structs.replace(
            endpoint,
            replicas=tuple(
                msgspec.structs.replace(replica, base_url=strip_userinfo(replica.base_url))
                for replica in endpoint.replicas
            ),
        )
        for name, endpoint in snapshot.endpoints.items()
    }
    keys = tuple(msgspec.structs.replace(key, key_hash="") for key in snapshot.keys)
    return msgspec.structs.replace(snapshot, endpoints=endpoints, keys=keys)


def find_gateway_workers(spool_dir: Path) -> tuple[GatewayWorkerStatus, ...] | None:
    """Gateway workers of this host that live: those that hold the lock of a spool. None where nothing can be read."""
    try:
        writers = {spool_writer_of(path) for path in list_spools(spool_dir)} - find_gone_writers(spool_dir)
    except OSError:
        return None
    matches = [match for match in map(_WRITER.fullmatch, sorted(writers)) if match]
    return tuple(
        GatewayWorkerStatus(worker=match["worker"], started_at=int(match["unix_ms"]) / 1000.0, pid=int(match["pid"]))
        for match in matches
    )


def measure_spool(spool_dir: Path, cursors: dict[str, SpoolCursor]) -> SpoolStatus | None:
    """Bytes on this host's disk that are not in the store yet. None where the folder cannot be read."""
    lags: list[int] = []
    try:
        for path in list_spools(spool_dir):
            cursor = cursors.get(path.name)
            lags.append(max(0, path.stat().st_size - (cursor.offset if cursor else 0)))
    except OSError:
        return None
    return SpoolStatus(num_files=len(lags), lag_bytes=sum(lags))


def has_several_tasks(summary: TraceSummary) -> bool:
    """Whether some variant answered more than one task, so that its quantiles need a summary of their own."""
    groups = [(row.route, row.variant, row.endpoint_id, row.is_simulated) for row in summary.rows]
    return len(set(groups)) != len(groups)
