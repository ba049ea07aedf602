"""Traces: shipped once whatever is delivered again, closed for dead gateways, read back without loss."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from inhouse.domain import USAGE_BUCKETS, Attempt, Signals, Trace, TraceClose, TraceOpen, TraceStatus, Usage, UsageBasis
from inhouse.store import GATEWAY_LOST, Quantiles, ShipResult, SpoolCursor, Store, StoreUnavailableError
from inhouse.store.tables import TRACES

MakeOpen = Callable[..., TraceOpen]
MakeClose = Callable[..., TraceClose]
CURSOR = SpoolCursor("w-0000.spool", 10)
WRITER = "gw0-1763925240123-4711"


def ship(store: Store, *records: TraceOpen | TraceClose) -> ShipResult:
    return store.traces.ship(records, cursor=CURSOR)


def column(store: Store, name: str) -> list[object]:
    with store._database.read() as connection:
        return list(connection.scalars(sa.select(TRACES.c[name]).order_by(TRACES.c.trace_id)))


def test_a_trace_comes_back_as_it_was(store: Store, make_open: MakeOpen, make_close: MakeClose) -> None:
    opened = make_open(
        "a",
        team="desk",
        task="topic",
        user="u-1",
        tags={"k": "v"},
        is_stream=True,
        is_eval=True,
        variant_digest="sha256:v",
        endpoint_digest="sha256:e",
        snapshot_version=7,
        reasons=("rule 1: task is topic",),
    )
    closed = make_close(
        "a",
        status=TraceStatus.ABORTED,
        error_code="upstream_cut",
        finish_reason="stop",
        reported_model="m-1",
        fingerprint="fp",
        usage=Usage(1, 2, 3, 4, 5, cache_write_1h=6, input_audio=7, output_audio=8),
        tier="flex",
        cost_usd=0.1 + 0.2,
        num_chunks=9,
        attempts=(Attempt(endpoint_id="clerk", replica_id="clerk-0", duration_ms=3.5, code="upstream_cut"),),
        content={"request": "grüße", "reply": "a\x00b"},
        signals=Signals(num_chars=120, empty=0, truncated=1, script_mismatch=3, logprob_mean=-250),
    )
    assert ship(store, opened, closed) == ShipResult(num_records=2, num_applied=2)
    assert store.traces.get("a") == Trace(open=opened, close=closed)
    assert column(store, "cost_usd") == [0.30000000000000004]
    assert [column(store, bucket) for bucket in USAGE_BUCKETS] == [[1], [2], [3], [4], [5], [6], [7], [8]]
    assert column(store, "tier") == ["flex"]


def test_content_stands_apart_from_the_trace(store: Store, make_open: MakeOpen, make_close: MakeClose) -> None:
    """Erasing the content table erases the content."""
    ship(store, make_open("a"), make_close("a", content={"reply": "private words"}))
    with store._database.write() as connection:
        connection.execute(sa.text("DELETE FROM trace_content"))
    (row,) = [str(value) for value in column(store, "close_json")]
    assert "private words" not in row
    trace = store.traces.get("a")
    assert trace is not None
    assert trace.close == make_close("a")


def test_signals_stand_in_a_column_of_their_own(store: Store, make_open: MakeOpen, make_close: MakeClose) -> None:
    """So that a database can sum them; absent ones are null there, not zero."""
    ship(store, make_open("a"), make_close("a", signals=Signals(num_chars=5, empty=0, refusal=1)))
    ship(store, make_open("b"), make_close("b"))
    assert column(store, "signals_json") == ['{"num_chars":5,"empty":0,"refusal":1}', None]
    assert "signals" not in str(column(store, "close_json")[0])
    found = store.traces.find(["a", "b"])
    assert [found[trace_id].close for trace_id in ("a", "b")] == [
        make_close("a", signals=Signals(num_chars=5, empty=0, refusal=1)),
        make_close("b"),
    ]


def test_unknown_usage_and_price_are_null_not_zero(store: Store, make_open: MakeOpen, make_close: MakeClose) -> None:
    ship(store, make_open("a"), make_close("a", usage=None, usage_basis=UsageBasis.UNKNOWN, cost_usd=None))
    ship(store, make_open("b"), make_close("b", usage=Usage(), cost_usd=0.0))
    assert column(store, "input_uncached") == [None, 0]
    assert column(store, "cost_usd") == [None, 0.0]


def test_an_open_without_its_close_is_under_way(store: Store, make_open: MakeOpen) -> None:
    ship(store, make_open("a"))
    trace = store.traces.get("a")
    assert trace is not None
    assert trace == Trace(open=make_open("a"), close=None)
    assert trace.status is TraceStatus.OPEN


def test_a_close_may_come_before_its_open(store: Store, make_open: MakeOpen, make_close: MakeClose) -> None:
    closed = make_close("a", variant="api", endpoint_id="sim/mid", is_simulated=True)
    ship(store, closed)
    assert store.traces.get("a") is None
    assert store.traces.list(10) == []
    ship(store, make_open("a"))
    assert store.traces.get("a") == Trace(open=make_open("a"), close=closed)
    assert column(store, "variant") == ["api"]
    assert column(store, "is_simulated") == [True]
    assert column(store, "status") == ["complete"]


def test_a_fallback_shows_where_it_ended(store: Store, make_open: MakeOpen, make_close: MakeClose) -> None:
    ship(store, make_open("a"), make_close("a", endpoint_id="sim/mid"))
    assert column(store, "endpoint_id") == ["sim/mid"]


def test_a_batch_given_again_changes_nothing(store: Store, make_open: MakeOpen, make_close: MakeClose) -> None:
    batch = (make_open("a"), make_close("a", content={"reply": "x"}), make_open("b"))
    ship(store, *batch)
    before = [store.traces.get("a"), store.traces.get("b")]
    assert ship(store, *batch, *batch) == ShipResult(num_records=6, num_applied=0)
    assert [store.traces.get("a"), store.traces.get("b")] == before


def test_the_cursor_moves_with_the_records_and_never_back(store: Store, make_open: MakeOpen) -> None:
    assert store.traces.cursors() == {}
    store.traces.ship([make_open("a")], cursor=SpoolCursor("w-0000.spool", 100))
    store.traces.ship([], cursor=SpoolCursor("w-0000.spool", 40))
    store.traces.ship([], cursor=SpoolCursor("w-0001.spool", 7))
    assert store.traces.cursors() == {
        "w-0000.spool": SpoolCursor("w-0000.spool", 100),
        "w-0001.spool": SpoolCursor("w-0001.spool", 7),
    }
    assert store.traces.drop_cursors(["w-0000.spool", "never-there"]) == 1
    assert list(store.traces.cursors()) == ["w-0001.spool"]


def test_records_and_cursor_are_stored_together_or_not_at_all(store: Store, make_open: MakeOpen) -> None:
    broken = SpoolCursor("w-0000.spool", None)  # pyright: ignore[reportArgumentType] - breaks the second statement
    with pytest.raises(Exception, match=r"(?i)null"):
        store.traces.ship([make_open("a")], cursor=broken)
    assert store.traces.get("a") is None


def test_what_a_dead_gateway_left_open_becomes_aborted(
    store: Store, make_open: MakeOpen, make_close: MakeClose
) -> None:
    ship(store, make_open("a"), make_open("b", writer="gw1-1-2"), make_open("c"), make_close("c"))
    assert store.traces.abort_writer(WRITER, now=1003.0) == 1
    assert store.traces.abort_writer(WRITER, now=1009.0) == 0
    lost = store.traces.get("a")
    assert lost is not None
    assert lost.close == TraceClose(
        trace_id="a",
        writer=WRITER,
        ended_at=1003.0,
        status=TraceStatus.ABORTED,
        http_status=0,
        variant="in-house",
        endpoint_id="clerk",
        replica_id="clerk-0",
        error_code=GATEWAY_LOST,
        e2e_ms=3000.0,
    )
    assert column(store, "e2e_ms") == [None, None, 1500.0]
    assert column(store, "http_status") == [None, None, 200]
    assert [trace.open.trace_id for trace in store.traces.list(9, status=TraceStatus.OPEN)] == ["b"]


def test_a_close_that_turns_up_after_all_replaces_the_made_one(
    store: Store, make_open: MakeOpen, make_close: MakeClose
) -> None:
    ship(store, make_open("a"))
    store.traces.abort_writer(WRITER, now=1003.0)
    assert ship(store, make_close("a")).num_applied == 1
    assert store.traces.abort_writer(WRITER, now=1004.0) == 0
    assert store.traces.get("a") == Trace(open=make_open("a"), close=make_close("a"))


def test_find_reads_many_and_leaves_out_the_unknown(store: Store, make_open: MakeOpen) -> None:
    ship(store, *(make_open(f"t{number:04d}") for number in range(1200)))
    found = store.traces.find([*(f"t{number:04d}" for number in range(1200)), "nobody", "t0001"])
    assert len(found) == 1200
    assert found["t0007"].open.trace_id == "t0007"
    assert store.traces.find([]) == {}


def test_list_is_newest_first_and_filters(store: Store, make_open: MakeOpen, make_close: MakeClose) -> None:
    ship(
        store,
        make_open("a", started_at=1.0),
        make_open("b", started_at=2.0, route="sql"),
        make_open("c", started_at=3.0, is_eval=True),
        make_close("c"),
        make_open("d", started_at=3.0),
    )

    def ids(limit: int = 10, **filters: object) -> list[str]:
        return [trace.open.trace_id for trace in store.traces.list(limit, **filters)]  # pyright: ignore[reportArgumentType] - any filter

    assert ids() == ["d", "c", "b", "a"]
    assert ids(2) == ["d", "c"]
    assert ids(route="sql") == ["b"]
    assert ids(status=TraceStatus.COMPLETE) == ["c"]
    assert ids(since=2.0) == ["d", "c", "b"]
    assert ids(is_eval=True) == ["c"]
    assert ids(is_eval=False) == ["d", "b", "a"]


def test_the_summary_counts_each_group(store: Store, make_open: MakeOpen, make_close: MakeClose) -> None:
    for number in range(1, 6):
        ship(store, make_open(f"t{number}", task="topic"), make_close(f"t{number}", e2e_ms=100.0 * number))
    failed = {"status": TraceStatus.FAILED, "usage": None, "cost_usd": None, "ttft_ms": None, "tpot_ms": None}
    ship(store, make_open("f", task="topic"), make_close("f", **failed, e2e_ms=9e9))
    ship(store, make_open("o", task="topic"))
    ship(store, make_open("u", is_simulated=True), make_close("u", is_simulated=True, cost_usd=None, ttft_ms=None))
    ship(store, make_open("e", is_eval=True), make_close("e"))
    ship(store, make_open("old", started_at=5.0), make_close("old"))

    summary = store.traces.summarize(1000.0)
    assert summary.since == 1000.0
    unpriced, topic = summary.rows
    assert (topic.route, topic.task, topic.variant, topic.endpoint_id) == ("triage", "topic", "in-house", "clerk")
    assert topic.num_by_status == {TraceStatus.COMPLETE: 5, TraceStatus.FAILED: 1, TraceStatus.OPEN: 1}
    assert topic.num_requests == 7
    assert topic.e2e == Quantiles(n=5, p50_ms=300.0, p95_ms=480.0)
    assert topic.ttft == Quantiles(n=5, p50_ms=120.0, p95_ms=120.0)
    assert topic.tokens == Usage(input_uncached=500, output_visible=100)
    assert topic.num_with_usage == 5
    # 0.1 five times, exactly.
    assert topic.cost_usd == Decimal("0.5")
    assert (topic.num_priced, topic.num_unpriced) == (5, 0)
    assert (unpriced.task, unpriced.is_simulated, unpriced.cost_usd) == (None, True, None)
    assert (unpriced.num_priced, unpriced.num_unpriced) == (0, 1)
    assert unpriced.ttft == Quantiles(n=0)

    (evals,) = store.traces.summarize(1000.0, is_eval=True).rows
    assert evals.num_by_status == {TraceStatus.COMPLETE: 1}


def test_text_that_a_database_refuses_does_not_stop_the_shipping(
    store: Store, make_open: MakeOpen, make_close: MakeClose
) -> None:
    opened = make_open("a", user="x\x00y", task="\ud7ff\U0001f600")
    closed = make_close("a", usage=Usage(input_uncached=10**30), finish_reason="\x00")
    ship(store, opened, closed)
    assert store.traces.get("a") == Trace(open=opened, close=closed)
    assert column(store, "user") == ["x\ufffdy"]
    assert column(store, "input_uncached") == [2**63 - 1]


def test_a_thousand_records_ship_in_as_many_round_trips_as_two(
    store: Store, make_open: MakeOpen, make_close: MakeClose
) -> None:
    """What makes shipping fast is that statements take many rows: their number does not grow with the batch."""
    num_statements: list[int] = []
    for turn, size in enumerate((1, 500)):
        ids = [f"{turn}-{number}" for number in range(size)]
        batch = [record for trace_id in ids for record in (make_open(trace_id), make_close(trace_id))]
        sent: list[str] = []

        def count(*call: object, sent: list[str] = sent) -> None:
            sent.append(str(call[2]))

        engine = store._database._reader
        event.listen(engine, "before_cursor_execute", count)
        store.traces.ship(batch, cursor=SpoolCursor("w-0000.spool", turn))
        event.remove(engine, "before_cursor_execute", count)
        num_statements.append(len(sent))
    assert 0 < num_statements[0] == num_statements[1]


def test_a_store_that_went_away_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError("SELECT 1", None, OSError("server closed the connection"))

    monkeypatch.setattr(sa.Connection, "execute", fail)
    with pytest.raises(StoreUnavailableError, match="does not answer: server closed the connection"):
        store.traces.summarize(0)
