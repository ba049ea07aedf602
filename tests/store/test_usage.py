"""Imported usage: nothing counts twice, whatever is imported again, and hours are exact on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inhouse.domain import (
    DAY_S,
    HOUR_S,
    USAGE_BUCKETS,
    ServiceTier,
    StateError,
    TraceClose,
    TraceOpen,
    TraceStatus,
    Usage,
    UsageRecord,
    UsageRow,
)
from inhouse.store import ImportCounts, RepricedCost, SpoolCursor, Store, UsageImport

NOON = 1_772_366_400


def make(record_id: str = "r1", **changes: Any) -> UsageRecord:
    values: dict[str, Any] = {
        "source": "openai-usage",
        "record_id": record_id,
        "started_at": NOON,
        "width_s": HOUR_S,
        "provider": "openai",
        "model": "gpt-5-mini",
        "project": "search",
        "num_requests": 10,
        "input_uncached": 100,
        "cache_read": 50,
        "output_visible": 20,
    }
    return UsageRecord(**(values | changes))


def about(**changes: Any) -> UsageImport:
    values: dict[str, Any] = {
        "source": "openai-usage",
        "file": "october.json",
        "sha256": "ab",
        "imported_at": 5.0,
        "since": NOON,
        "until": NOON + HOUR_S,
    }
    return UsageImport(**(values | changes))


def add(store: Store, *records: UsageRecord, **changes: Any) -> ImportCounts:
    return store.usage.add(records, lambda: about(**changes))


def test_a_record_comes_back_as_an_hour(store: Store) -> None:
    record = make(
        key="k", task="t", template="p", tier=ServiceTier.BATCH, cache_write=3, output_reasoning=4, cache_write_1h=5,
        input_audio=6, output_audio=7, stated_pico_usd=1_500_000_000_001,
    )  # fmt: skip
    counts = add(store, record)
    assert (counts.num_new, counts.num_replaced, counts.num_same, counts.num_fuller) == (1, 0, 0, 0)
    assert list(store.usage.hours()) == [
        UsageRow(
            source="openai-usage",
            started_at=NOON,
            provider="openai",
            model="gpt-5-mini",
            project="search",
            key="k",
            task="t",
            template="p",
            tier=ServiceTier.BATCH,
            num_requests=10,
            usage=Usage(100, 50, 3, 20, 4, 5, 6, 7),
            stated_usd=Decimal("1.500000000001"),
        )
    ]


def test_importing_twice_changes_nothing(store: Store) -> None:
    records = [make(f"r{number}", started_at=NOON + number * HOUR_S) for number in range(700)]
    first = add(store, *records)
    before = list(store.usage.hours())
    again = add(store, *records)
    assert first.num_new == 700
    assert again == ImportCounts(import_id=None, num_new=0, num_replaced=0, num_same=700, num_fuller=0)
    assert list(store.usage.hours()) == before
    assert [row.num_new for row in store.usage.imports()] == [700]


def test_a_fuller_export_of_a_period_replaces_it(store: Store) -> None:
    """The last hour of yesterday's export was not over."""
    add(store, make("r1"), make("r2", started_at=NOON + HOUR_S, num_requests=3))
    counts = add(store, make("r2", started_at=NOON + HOUR_S, num_requests=30), make("r3", started_at=NOON + 2 * HOUR_S))
    assert (counts.num_new, counts.num_replaced, counts.num_same) == (1, 1, 0)
    assert [row.num_requests for row in store.usage.hours()] == [10, 30, 10]


def test_an_older_export_does_not_take_usage_away(store: Store) -> None:
    add(store, make("r1", num_requests=30))
    counts = add(store, make("r1", num_requests=3), make("r2"))
    assert (counts.num_new, counts.num_replaced, counts.num_same, counts.num_fuller) == (1, 0, 0, 1)
    assert sum(row.num_requests or 0 for row in store.usage.hours()) == 40


def test_a_corrected_label_or_amount_replaces(store: Store) -> None:
    add(store, make(stated_pico_usd=None))
    assert add(store, make(stated_pico_usd=7)).num_replaced == 1
    assert add(store, make(stated_pico_usd=7, project="other")).num_replaced == 1
    (row,) = store.usage.hours()
    assert (row.project, row.stated_usd) == ("other", Decimal("7E-12"))


def test_two_sources_may_have_the_same_ids(store: Store) -> None:
    add(store, make("1"))
    add(store, make("1", source="csv"), source="csv")
    assert [row.source for row in store.usage.hours()] == ["csv", "openai-usage"]
    assert [row.source for row in store.usage.hours(sources=["csv"])] == ["csv"]


def test_the_same_time_by_other_labels_is_refused_and_nothing_is_kept(store: Store) -> None:
    add(store, make("r1"), grouped_by="3600 s: model")
    with pytest.raises(
        StateError, match=r"Import \d+ \(october.json\) covers the same time by 3600 s: model"
    ) as caught:
        add(store, make("x1"), file="november.json", grouped_by="3600 s: model, project_id")
    assert "inhouse import remove" in caught.value.fix
    assert len(list(store.usage.hours())) == 1
    assert len(store.usage.imports()) == 1
    add(store, make("x1"), grouped_by="86400 s: model", account="second")
    add(store, make("x2"), grouped_by="86400 s: model", since=NOON + DAY_S, until=NOON + 2 * DAY_S)
    add(store, make("x3"), grouped_by="86400 s: model", since=None, until=None)
    assert len(store.usage.imports()) == 4


def test_a_file_that_breaks_off_leaves_nothing(store: Store) -> None:
    def broken() -> Iterator[UsageRecord]:
        yield from (make(f"r{number}") for number in range(6000))
        raise ValueError("line 6001")

    with pytest.raises(ValueError, match="line 6001"):
        store.usage.add(broken(), about)
    assert list(store.usage.hours()) == []
    assert store.usage.imports() == []


def test_an_empty_file_is_no_import(store: Store) -> None:
    assert add(store) == ImportCounts(import_id=None, num_new=0, num_replaced=0, num_same=0, num_fuller=0)
    assert store.usage.imports() == []


def test_an_import_can_be_taken_back(store: Store) -> None:
    first = add(store, make("r1"))
    second = add(store, make("r2"), file="more.json")
    assert [row.file for row in store.usage.imports()] == ["more.json", "october.json"]
    assert second.import_id is not None
    assert store.usage.remove(second.import_id) == 1
    assert store.usage.remove(second.import_id) is None
    assert [row.import_id for row in store.usage.imports()] == [first.import_id]
    assert len(list(store.usage.hours())) == 1


def test_hours_are_of_the_period_asked_for(store: Store) -> None:
    add(store, *(make(f"r{number}", started_at=NOON + number * HOUR_S) for number in range(4)))
    rows = store.usage.hours(since=NOON + HOUR_S, until=NOON + 3 * HOUR_S)
    assert [row.started_at for row in rows] == [NOON + HOUR_S, NOON + 2 * HOUR_S]


def test_what_is_not_stated_is_not_summed_up_with_what_is(store: Store) -> None:
    nothing = dict.fromkeys(USAGE_BUCKETS)
    add(store, make("a"), make("b", num_requests=None), make("c", **nothing, stated_pico_usd=9))
    rows = list(store.usage.hours())
    assert sorted(str(row.num_requests) for row in rows) == ["10", "10", "None"]
    assert [row.usage is None for row in rows].count(True) == 1
    assert [row.stated_usd for row in rows if row.usage is None] == [Decimal("9E-12")]


def test_days_stay_days_and_moments_go_into_hours(store: Store) -> None:
    add(store, make("d", started_at=NOON, width_s=DAY_S), make("m", started_at=NOON + 61, width_s=0))
    assert [(row.started_at, row.width_s) for row in store.usage.hours()] == [
        (NOON - 12 * HOUR_S, DAY_S),
        (NOON, HOUR_S),
    ]


def test_sums_beyond_a_double_stay_exact(store: Store) -> None:
    odd = 2**53 + 1
    add(store, make("a", input_uncached=odd, stated_pico_usd=odd), make("b", input_uncached=odd, stated_pico_usd=odd))
    (row,) = store.usage.hours()
    assert row.usage is not None
    assert row.usage.input_uncached == 2 * odd
    assert row.stated_usd == Decimal(2 * odd).scaleb(-12)


def test_our_own_requests_are_rows_like_the_others(
    store: Store, make_open: Callable[..., TraceOpen], make_close: Callable[..., TraceClose]
) -> None:
    """Failed ones, those under way and evaluations are not usage of a route; no cost is counted, not zero."""
    started = {"started_at": float(NOON) + 10.7, "task": "sort"}
    provider = {"endpoint_id": "openai/gpt-5-mini"}
    records = [
        make_open("a", **started), make_close("a", cost_usd=0.1),
        make_open("b", **started), make_close("b", cost_usd=0.2),
        make_open("c", **started), make_close("c", cost_usd=None),
        make_open("d", **started, **provider), make_close("d", cost_usd=0.3, is_simulated=True, **provider),
        make_open("e", **started), make_close("e", status=TraceStatus.FAILED, usage=None, cost_usd=None),
        make_open("f", **started),
        make_open("g", started_at=float(NOON), is_eval=True, route=""), make_close("g", cost_usd=0.5),
    ]  # fmt: skip
    store.traces.ship(records, cursor=SpoolCursor("w.spool", 1))
    rows = list(store.usage.hours())
    usage = Usage(input_uncached=100, output_visible=20)
    both = Usage(input_uncached=200, output_visible=40)
    own: dict[str, Any] = {"started_at": NOON, "provider": "own", "model": "clerk", "key": "app"}
    traced: dict[str, Any] = {"source": "traces", "project": "triage", "task": "sort"} | own
    api: dict[str, Any] = {"provider": "openai", "model": "gpt-5-mini", "is_simulated": True}
    assert sorted(rows, key=lambda row: (row.source, row.num_requests or 0, row.num_unpriced, row.model or "")) == [
        UsageRow(source="evals", num_requests=1, usage=usage, stated_usd=Decimal("0.5"), **own),
        UsageRow(num_requests=1, usage=usage, stated_usd=Decimal("0.3"), **(traced | api)),
        UsageRow(num_requests=1, usage=usage, num_unpriced=1, **traced),
        UsageRow(num_requests=2, usage=both, stated_usd=Decimal("0.3"), **traced),
    ]
    assert {row.source for row in store.usage.hours(sources=["traces"])} == {"traces"}
    assert list(store.usage.hours(since=NOON + HOUR_S)) == []


def test_our_own_requests_keep_their_tariff_and_the_latest_cost(
    store: Store, make_open: Callable[..., TraceOpen], make_close: Callable[..., TraceClose]
) -> None:
    """Tariffs are told apart; a cost that was computed again stands in the place of none."""
    at = {"started_at": float(NOON)}
    records = [
        make_open("a", **at), make_close("a", cost_usd=0.1, tier="flex"),
        make_open("b", **at), make_close("b", cost_usd=None),
    ]  # fmt: skip
    store.traces.ship(records, cursor=SpoolCursor("w.spool", 1))
    store.spend.add_reprice([RepricedCost(trace_id="b", cost_usd=0.2, price_id="x")], reason="price added", at=1.0)
    rows = {row.tier: row for row in store.usage.hours(sources=["traces"])}
    assert {tier: row.stated_usd for tier, row in rows.items()} == {
        ServiceTier.FLEX: Decimal("0.1"),
        ServiceTier.STANDARD: Decimal("0.2"),
    }
    assert rows[ServiceTier.STANDARD].num_unpriced == 0


amounts = st.one_of(st.none(), st.integers(0, 10**12))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", None]), amounts, amounts, amounts),
        max_size=15,
    )
)
def test_the_sum_of_hours_is_the_sum_of_records(store: Store, drawn: list[tuple[Any, ...]]) -> None:
    for row in store.usage.imports():
        store.usage.remove(row.import_id)
    records = [
        make(str(at), started_at=NOON + hour * 1800, project=project, num_requests=requests, cache_read=read or 0,
             stated_pico_usd=money)
        for at, (hour, project, requests, read, money) in enumerate(drawn)
    ]  # fmt: skip
    add(store, *records)
    add(store, *reversed(records))
    rows = list(store.usage.hours())
    assert sum(row.num_requests or 0 for row in rows) == sum(record.num_requests or 0 for record in records)
    for name in USAGE_BUCKETS:
        assert sum(getattr(row.usage, name) for row in rows) == sum(getattr(record, name) or 0 for record in records)
    money = sum((row.stated_usd for row in rows if row.stated_usd is not None), Decimal(0))
    assert money == Decimal(sum(record.stated_pico_usd or 0 for record in records)).scaleb(-12)
