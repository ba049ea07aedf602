"""Costs in the store: sums that are exact, tags, and costs computed again beside the traces' own."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from inhouse.domain import TraceClose, TraceOpen, TraceStatus, Usage
from inhouse.store import RepricedCost, SpendRow, SpoolCursor, Store

HOUR = 1_764_000_000 - 1_764_000_000 % 3600
Open = Callable[..., TraceOpen]
Close = Callable[..., TraceClose]


def ship(store: Store, *records: TraceOpen | TraceClose) -> None:
    store.traces.ship(records, cursor=SpoolCursor("a.spool", 1))


def sum_costs(rows: list[SpendRow]) -> Decimal:
    return sum((row.cost_usd for row in rows if row.cost_usd is not None), Decimal(0))


def test_costs_of_an_hour_are_summed_exactly_and_unpriced_ones_stand_apart(
    store: Store, make_open: Open, make_close: Close
) -> None:
    costs = [0.1, 0.2, 1e-12, None]
    for number, cost in enumerate(costs):
        ship(
            store,
            make_open(f"t{number}", started_at=HOUR + 0.5 + number),
            make_close(f"t{number}", cost_usd=cost),
        )
    priced, unpriced = sorted(store.spend.hours(), key=lambda row: row.cost_usd is None)
    assert priced.cost_usd == Decimal("0.300000000001")
    assert priced.num_requests == 3
    assert priced.usage == Usage(input_uncached=300, output_visible=60)
    assert unpriced.cost_usd is None
    assert unpriced.num_requests == 1
    assert priced.started_at == HOUR


def test_failed_requests_and_evaluations_are_counted_apart(store: Store, make_open: Open, make_close: Close) -> None:
    ship(store, make_open("a", started_at=HOUR), make_close("a", status=TraceStatus.FAILED, usage=None, cost_usd=None))
    ship(store, make_open("b", started_at=HOUR, is_eval=True, route=""), make_close("b", tier="flex"))
    ship(store, make_open("c", started_at=HOUR))
    failed, evaluated = sorted(store.spend.hours(), key=lambda row: row.is_eval)
    assert (failed.num_requests, failed.num_failed, failed.usage, failed.cost_usd) == (0, 1, None, None)
    assert (evaluated.num_requests, evaluated.route, evaluated.tier) == (1, None, "flex")


def test_tags_are_told_apart_and_a_missing_one_is_none(store: Store, make_open: Open, make_close: Close) -> None:
    for number, tags in enumerate([{"team": "search"}, {"team": "search", "x y": "1"}, {"team": "a\x00b"}, {}]):
        ship(store, make_open(f"t{number}", started_at=HOUR, tags=tags), make_close(f"t{number}"))
    found = {row.tags: row.num_requests for row in store.spend.hours(tags=["x y", "team"])}
    assert found.pop((None, "search")) == 1
    assert found.pop(("1", "search")) == 1
    assert found.pop((None, None)) == 1
    ((_, odd), _count), *others = found.items()
    assert odd is not None
    assert odd.startswith("a")
    assert not others


def test_the_period_is_half_open(store: Store, make_open: Open, make_close: Close) -> None:
    for number in range(3):
        ship(store, make_open(f"t{number}", started_at=HOUR + 3600 * number), make_close(f"t{number}"))
    rows = list(store.spend.hours(since=HOUR + 3600, until=HOUR + 7200))
    assert [row.started_at for row in rows] == [HOUR + 3600]


def test_a_repriced_cost_counts_beside_the_traces_own_and_is_taken_back(
    store: Store, make_open: Open, make_close: Close
) -> None:
    ship(store, make_open("a", started_at=HOUR), make_close("a", cost_usd=None))
    ship(store, make_open("b", started_at=HOUR), make_close("b", cost_usd=0.5))
    assert [request.trace_id for request in store.spend.requests(None, None, is_unpriced_only=True)] == ["a"]
    first = store.spend.add_reprice([RepricedCost(trace_id="a", cost_usd=0.25, price_id="p@1")], reason="late", at=9.0)
    again = [RepricedCost(trace_id=name, cost_usd=1.0, price_id="p@2") for name in "ab"]
    second = store.spend.add_reprice(again, reason="all", at=10.0, since=1.0, until=2.0)
    assert first is not None
    assert second is not None
    assert [run.num_traces for run in store.spend.reprices()] == [2, 1]
    (row,) = store.spend.hours()
    assert (row.cost_usd, row.num_repriced) == (Decimal(2), 2)
    own = store.traces.get("b")
    assert own is not None
    assert own.close is not None
    assert own.close.cost_usd == 0.5
    assert list(store.spend.requests(None, None, is_unpriced_only=True)) == []
    assert store.spend.undo_reprice(second.reprice_id) == 2
    assert store.spend.undo_reprice(second.reprice_id) is None
    assert sum_costs(list(store.spend.hours())) == Decimal("0.75")
    assert store.spend.undo_reprice(first.reprice_id) == 1
    assert sum_costs(list(store.spend.hours())) == Decimal("0.5")


def test_nothing_to_reprice_leaves_no_run(store: Store) -> None:
    assert store.spend.add_reprice([], reason="none", at=1.0) is None
    assert store.spend.reprices() == []


def test_endpoints_are_seen_from_their_first_to_their_last_request(
    store: Store, make_open: Open, make_close: Close
) -> None:
    for number in range(3):
        ship(store, make_open(f"t{number}", started_at=HOUR + number), make_close(f"t{number}"))
    seen = store.spend.seen()["clerk"]
    assert (seen.first_at, seen.last_at) == (HOUR, HOUR + 2)
