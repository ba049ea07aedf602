"""Ships this host's trace spools to the store, closes what dead gateways left open, removes what is shipped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from inhouse.domain import StateError, TraceOpen
from inhouse.store import SpoolCursor, TraceRepository
from inhouse.telemetry import (
    TraceMetrics,
    TraceRecord,
    find_gone_writers,
    is_writer_gone,
    list_spools,
    read_batch,
    spool_writer_of,
)

_LOG = logging.getLogger(__name__)
_PERIOD_S = 0.2
_MAX_BATCH = 1000
_MAX_BACKOFF_S = 5.0
_SILENCE_S = 60.0


class Shipper:
    """Reads spool files from where the store says that it stopped. One per host; its methods are not for two threads.

    A record is stored once however often this is interrupted: the cursor is written in the transaction of its records,
    and a file is removed only when its writer holds it no more and all of it is stored.

    Args:
        spool_dir: the folder of the spools.
        traces: the store's.
        metrics: fed each record once, after it is stored.
        now: Unix seconds, for the end of requests whose gateway died.
    """

    def __init__(
        self, spool_dir: Path, traces: TraceRepository, metrics: TraceMetrics, now: Callable[[], float] = time.time
    ) -> None:
        self._spool_dir = spool_dir
        self._traces = traces
        self._metrics = metrics
        self._now = now
        self._offsets: dict[str, int] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Ship every 200 ms, more slowly while the store is down, and a last time after `stop`."""
        clock = asyncio.get_running_loop().time
        backoff_s, silent_until = _PERIOD_S, 0.0
        while True:
            is_last = stop.is_set()
            try:
                await asyncio.to_thread(self.ship_all)
                backoff_s = _PERIOD_S
            except StateError as error:
                backoff_s = min(_MAX_BACKOFF_S, backoff_s * 2)
                if clock() >= silent_until:
                    _LOG.warning("traces wait in %s for the store: %s", self._spool_dir, error)
                    silent_until = clock() + _SILENCE_S
            except Exception:  # noqa: BLE001 -- whatever is wrong with shipping, the engines must not die of it
                _LOG.exception("shipping from %s failed; it is tried again", self._spool_dir)
                backoff_s = _MAX_BACKOFF_S
            if is_last:
                return
            await _wait(stop, backoff_s)

    def ship_all(self) -> int:
        """Ship all that is in the spools now; returns the number of records.

        Raises:
            StateError: the store does not answer. Nothing is lost, and the lag is shown.
        """
        try:
            num_shipped = self._ship_files()
        except StateError:
            self._show_lag()
            raise
        self._metrics.set_spool_lag(0.0)
        return num_shipped

    def _ship_files(self) -> int:
        if self._offsets is None:
            self._offsets = {file: cursor.offset for file, cursor in self._traces.cursors().items()}
        # Who is gone is asked before reading: what stands in their files then is final.
        gone = find_gone_writers(self._spool_dir)
        finished = [path for path in list_spools(self._spool_dir) if _is_finished(path, gone)]
        num_shipped = sum(self._ship_file(path) for path in list_spools(self._spool_dir))
        for writer in sorted(gone):
            num_lost = self._traces.abort_writer(writer, now=self._now())
            self._metrics.abort_writer(writer)
            _LOG.info("gateway %s is gone: %d requests were under way", writer, num_lost)
        self._remove(finished)
        return num_shipped

    def _ship_file(self, path: Path) -> int:
        """Ship the complete lines of one file after its cursor."""
        num_shipped = 0
        offset = self._offset(path)
        while True:
            try:
                batch = read_batch(path, offset, _MAX_BATCH)
            except FileNotFoundError:
                return num_shipped
            if batch.next_offset == offset:
                return num_shipped
            self._traces.ship(batch.records, cursor=SpoolCursor(path.name, batch.next_offset))
            offset = batch.next_offset
            self._remember(path, offset)
            self._observe(batch.records)
            num_shipped += len(batch.records)
            if batch.num_skipped:
                _LOG.warning("%s: %d lines are no trace records and were skipped", path.name, batch.num_skipped)

    def _observe(self, records: Sequence[TraceRecord]) -> None:
        try:
            self._metrics.observe(records, find_opens=self._find_opens)
        except StateError:
            self._metrics.observe(records)

    def _find_opens(self, ids: Sequence[str]) -> Mapping[str, TraceOpen]:
        return {trace_id: trace.open for trace_id, trace in self._traces.find(ids).items()}

    def _remove(self, finished: Sequence[Path]) -> None:
        for path in finished:
            path.unlink(missing_ok=True)
        if finished:
            self._traces.drop_cursors([path.name for path in finished])
            for path in finished:
                self._forget(path)

    def _show_lag(self) -> None:
        """Age of the oldest record not stored yet, read from the files' next lines."""
        ages: list[float] = []
        for path in list_spools(self._spool_dir):
            try:
                records = read_batch(path, self._offset(path), 1).records
            except FileNotFoundError:
                continue
            ages += [self._now() - _time_of(record) for record in records]
        self._metrics.set_spool_lag(max(ages, default=0.0))

    def _offset(self, path: Path) -> int:
        return 0 if self._offsets is None else self._offsets.get(path.name, 0)

    def _remember(self, path: Path, offset: int) -> None:
        if self._offsets is not None:
            self._offsets[path.name] = offset

    def _forget(self, path: Path) -> None:
        if self._offsets is not None:
            self._offsets.pop(path.name, None)


def _is_finished(path: Path, gone: frozenset[str]) -> bool:
    """Whether nothing will be added to the file: its writer is dead, or writes a later one."""
    if spool_writer_of(path) in gone:
        return True
    try:
        return is_writer_gone(path)
    except FileNotFoundError:
        return False


def _time_of(record: TraceRecord) -> float:
    return record.started_at if isinstance(record, TraceOpen) else record.ended_at


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
