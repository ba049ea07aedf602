"""Records are summed by the hour exactly, and what is not stated stays apart from what is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.domain import (
    DAY_S,
    HOUR_S,
    USAGE_BUCKETS,
    ServiceTier,
    Usage,
    UsageRecord,
    UsageRow,
    from_pico_usd,
    to_pico_usd,
)
from inhouse.planning import aggregate_hours

NOON = 1_772_366_400  # 2026-03-01T12:00:00Z


def make(record_id: str = "r", **changes: Any) -> UsageRecord:
    values: dict[str, Any] = {"source": "csv", "record_id": record_id, "started_at": NOON + 61, "width_s": 0}
    return UsageRecord(**(values | changes))


def test_requests_of_one_hour_and_equal_labels_are_one_row() -> None:
    first = make("a", model="m", num_requests=1, input_uncached=10, output_visible=2, stated_pico_usd=1)
    second = make("b", started_at=NOON + 3599, model="m", num_requests=1, input_uncached=5, cache_read=7, cache_write=1)
    third = make("c", started_at=NOON + 3600, model="m", num_requests=1, input_uncached=1)
    rows = aggregate_hours([third, first, second])
    expected = UsageRow(source="csv", started_at=NOON, model="m", num_requests=1)
    assert [row.started_at for row in rows] == [NOON, NOON, NOON + HOUR_S]
    assert rows[0].stated_usd == Decimal("1E-12")
    assert rows[0].usage == Usage(input_uncached=10, output_visible=2)
    assert rows[1].stated_usd is None
    assert rows[1].num_requests == expected.num_requests


def test_every_bucket_is_added_up() -> None:
    record = make(
        num_requests=3, input_uncached=1, cache_read=2, cache_write=3, output_visible=4, output_reasoning=5,
        cache_write_1h=6, input_audio=7, output_audio=8,
    )  # fmt: skip
    (row,) = aggregate_hours([record, record])
    assert row.usage == Usage(2, 4, 6, 8, 10, 12, 14, 16)
    assert row.num_requests == 6
    assert record.num_tokens == 36


def test_what_states_no_tokens_is_a_row_of_its_own() -> None:
    rows = aggregate_hours([make("a", num_requests=1), make("b", num_requests=1, input_uncached=0)])
    assert [row.usage for row in rows] == [Usage(), None]
    assert make().num_tokens is None
    assert make().buckets == (0,) * 8


def test_minutes_go_into_hours_and_days_stay_days() -> None:
    minute = make("a", started_at=NOON + 60, width_s=60, num_requests=2)
    day = make("b", started_at=NOON, width_s=DAY_S, num_requests=3)
    rows = aggregate_hours([minute, day])
    assert [(row.started_at, row.width_s, row.num_requests) for row in rows] == [
        (NOON - 12 * HOUR_S, DAY_S, 3),
        (NOON, HOUR_S, 2),
    ]


@pytest.mark.parametrize("width_s", [-1, 7200, 7 * DAY_S])
def test_another_period_is_refused(width_s: int) -> None:
    with pytest.raises(ValueError, match="neither within an hour nor a day"):
        aggregate_hours([make(width_s=width_s)])


counts = st.one_of(st.none(), st.integers(0, 10**12))
labels = st.one_of(st.none(), st.sampled_from(["a", "b"]))
records = st.builds(
    UsageRecord,
    source=st.sampled_from(["csv", "langfuse"]),
    record_id=st.uuids().map(str),
    started_at=st.integers(NOON, NOON + 3 * DAY_S),
    width_s=st.sampled_from([0, 60, HOUR_S, DAY_S]),
    provider=labels,
    model=labels,
    project=labels,
    key=labels,
    task=labels,
    template=labels,
    tier=st.sampled_from(ServiceTier),
    num_requests=counts,
    input_uncached=st.just(1),
    cache_read=counts,
    cache_write=counts,
    output_visible=counts,
    output_reasoning=counts,
    cache_write_1h=counts,
    input_audio=counts,
    output_audio=counts,
    stated_pico_usd=counts,
)


@given(st.lists(records, max_size=40))
def test_the_sum_of_hours_is_the_sum_of_records(given_records: list[UsageRecord]) -> None:
    """For every bucket, for requests and for money."""
    rows = aggregate_hours(given_records)
    for name in USAGE_BUCKETS:
        in_rows = sum(getattr(row.usage, name) for row in rows if row.usage is not None)
        assert in_rows == sum(getattr(record, name) or 0 for record in given_records)
    assert sum(row.num_requests or 0 for row in rows) == sum(record.num_requests or 0 for record in given_records)
    money = sum((row.stated_usd for row in rows if row.stated_usd is not None), Decimal(0))
    assert money == from_pico_usd(sum(record.stated_pico_usd or 0 for record in given_records))


@given(st.decimals(0, 10**6, places=12))
def test_money_survives_being_counted_in_pico_dollars(amount: Decimal) -> None:
    assert from_pico_usd(to_pico_usd(amount)) == amount
