"""Shipping from real spools to a real SQLite store: whole, once, and never a record lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from inhouse.domain import TraceClose, TraceOpen, TraceStatus
from inhouse.serving import Shipper
from inhouse.store import ShipResult, SpoolCursor, Store, StoreUnavailableError, TraceRepository, open_store
from inhouse.telemetry import SpoolWriter, TraceMetrics, TraceRecord, list_spools

WRITER = "gw0-1-1"


def make_open(number: int) -> TraceOpen:
    return TraceOpen(
        trace_id=f"{number:032x}", writer=WRITER, started_at=100.0, route="triage", variant="own", endpoint_id="clerk",
        replica_id="clerk-0", key_id="app",
    )  # fmt: skip


def make_close(number: int) -> TraceClose:
    return TraceClose(
        trace_id=f"{number:032x}", writer=WRITER, ended_at=101.0, status=TraceStatus.COMPLETE, http_status=200,
        variant="own", endpoint_id="clerk", replica_id="clerk-0", cost_usd=0.5, e2e_ms=1000.0,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Generator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'inhouse.db'}") as opened:
        yield opened


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


MakeShipper = Callable[[], Shipper]


@pytest.fixture
def metrics() -> TraceMetrics:
    return TraceMetrics()


@pytest.fixture
def make_shipper(spool: Path, store: Store, metrics: TraceMetrics) -> MakeShipper:
    return lambda: Shipper(spool, store.traces, metrics, now=lambda: 107.0)


class Failing(TraceRepository):
    """The real traces, whose database does not answer while `is_down`."""

    def __init__(self, real: TraceRepository) -> None:
        self.__dict__.update(real.__dict__)
        self.is_down = True

    def ship(self, batch: Sequence[TraceRecord], *, cursor: SpoolCursor) -> ShipResult:
        if self.is_down:
            raise StoreUnavailableError("the store does not answer.", fix="start it.")
        return super().ship(batch, cursor=cursor)


def num_requests(metrics: TraceMetrics, status: str) -> float | None:
    labels = {"route": "triage", "variant": "own", "endpoint": "clerk", "status": status, "simulated": "false"}
    return metrics.registry.get_sample_value("inhouse_requests_total", labels)


def test_new_lines_are_shipped_once_and_a_live_file_is_kept(
    spool: Path, store: Store, metrics: TraceMetrics, make_shipper: MakeShipper
) -> None:
    shipper = make_shipper()
    with SpoolWriter(spool, WRITER) as writer:
        writer.write(make_open(1))
        assert shipper.ship_all() == 1
        assert shipper.ship_all() == 0
        writer.write(make_close(1))
        assert shipper.ship_all() == 1
        assert [path.name for path in list_spools(spool)] == ["gw0-1-1-0000.spool"]
    trace = store.traces.get(f"{1:032x}")
    assert trace is not None
    assert trace.status is TraceStatus.COMPLETE
    assert num_requests(metrics, "complete") == 1


def test_a_dead_writer_is_shipped_to_the_end_then_aborted_then_removed(
    spool: Path, store: Store, metrics: TraceMetrics, make_shipper: MakeShipper
) -> None:
    with SpoolWriter(spool, WRITER) as writer:
        for number in range(2500):
            writer.write(make_open(number))
        for number in range(2499):
            writer.write(make_close(number))
    with (spool / "gw0-1-1-0000.spool").open("ab") as file:
        file.write(b'{"kind":"close","trace_id":"torn')
    assert make_shipper().ship_all() == 4999
    lost = store.traces.get(f"{2499:032x}")
    assert lost is not None
    assert lost.close is not None
    assert (lost.status, lost.close.error_code, lost.close.ended_at) == (TraceStatus.ABORTED, "gateway_lost", 107.0)
    assert num_requests(metrics, "complete") == 2499
    assert num_requests(metrics, "aborted") == 1
    assert list_spools(spool) == []
    assert store.traces.cursors() == {}


def test_rotated_files_go_as_soon_as_they_are_shipped(spool: Path, store: Store, make_shipper: MakeShipper) -> None:
    with SpoolWriter(spool, WRITER, max_bytes=400) as writer:
        for number in range(6):
            writer.write(make_open(number))
        assert len(list_spools(spool)) > 1
        make_shipper().ship_all()
        assert list_spools(spool) == [writer.path]
        assert {trace.status for trace in store.traces.list(10)} == {TraceStatus.OPEN}
        assert len(store.traces.list(10)) == 6


def test_a_new_shipper_goes_on_at_the_stored_cursor(spool: Path, make_shipper: MakeShipper) -> None:
    with SpoolWriter(spool, WRITER) as writer:
        writer.write(make_open(1))
        assert make_shipper().ship_all() == 1
        writer.write(make_close(1))
        assert make_shipper().ship_all() == 1


def test_an_outage_loses_nothing_and_shows_the_lag(spool: Path, store: Store, metrics: TraceMetrics) -> None:
    traces = Failing(store.traces)
    shipper = Shipper(spool, traces, metrics, now=lambda: 107.0)
    with SpoolWriter(spool, WRITER) as writer:
        writer.write(make_open(1))
        writer.write(make_close(1))
    with pytest.raises(StoreUnavailableError):
        shipper.ship_all()
    assert metrics.registry.get_sample_value("inhouse_spool_lag_seconds") == 7.0
    assert len(list_spools(spool)) == 1
    traces.is_down = False
    assert shipper.ship_all() == 2
    assert metrics.registry.get_sample_value("inhouse_spool_lag_seconds") == 0.0
    assert list_spools(spool) == []


async def test_run_survives_an_outage_and_ships_a_last_time_when_stopped(
    spool: Path, store: Store, metrics: TraceMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    traces, stop = Failing(store.traces), asyncio.Event()
    with SpoolWriter(spool, WRITER) as writer:
        writer.write(make_open(1))
        async with asyncio.timeout(10):
            task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(Shipper(spool, traces, metrics).run(stop))
            while "traces wait in" not in caplog.text:
                await asyncio.sleep(0.01)
            traces.is_down = False
            writer.write(make_open(2))
            stop.set()
            await task
    assert len(store.traces.list(10)) == 2
    assert caplog.text.count("traces wait in") == 1
