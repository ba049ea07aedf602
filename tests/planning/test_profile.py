"""What the rows come to: totals that say what they know, peaks with their definition, use cases that say something."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from inhouse.domain import DAY_S, HOUR_S, ServiceTier, Usage, UsageRow
from inhouse.planning import (
    Known,
    PeakBasis,
    UsageProfile,
    find_peak,
    group_use_cases,
    name_use_case,
    profile_usage,
    shape_week,
    split_by_model,
    sum_rows,
)

MONDAY = 1_771_804_800  # 2026-02-23T00:00:00Z, a Monday


def make(hour: int = 0, tokens: int | None = 100, **changes: Any) -> UsageRow:
    values: dict[str, Any] = {
        "source": "openai-usage",
        "started_at": MONDAY + hour * HOUR_S,
        "num_requests": 10,
        "usage": None if tokens is None else Usage(input_uncached=tokens),
    }
    return UsageRow(**(values | changes))


def profiled(rows: list[UsageRow], **options: Any) -> UsageProfile:
    profile = profile_usage(rows, **options)
    assert profile is not None
    return profile


def test_no_rows_are_no_profile() -> None:
    assert profile_usage([]) is None


def test_totals_say_what_they_are_of() -> None:
    rows = [
        make(usage=Usage(input_uncached=50, cache_read=150, output_visible=40), stated_usd=Decimal("1.50")),
        make(usage=Usage(input_uncached=100), num_requests=None, tier=ServiceTier.BATCH),
        make(tokens=None, num_requests=5, num_unpriced=2),
    ]
    totals = sum_rows(rows)
    assert (totals.num_rows, totals.num_requests, totals.requests_known) == (3, 15, Known.PART)
    assert totals.usage == Usage(input_uncached=150, cache_read=150, output_visible=40)
    assert (totals.usage_known, totals.num_tokens) == (Known.PART, 340)
    assert (totals.stated_usd, totals.usd_known) == (Decimal("1.50"), Known.PART)
    assert (totals.mean_input, totals.mean_output) == (20.0, 4.0)
    assert totals.cache_share == 0.5
    assert totals.batch_share == pytest.approx(100 / 340)
    assert totals.num_unpriced == 2


def test_nothing_stated_is_none_and_not_zero() -> None:
    totals = sum_rows([make(tokens=None, num_requests=None)])
    assert (totals.num_requests, totals.usage, totals.stated_usd) == (None, None, None)
    assert (totals.requests_known, totals.usage_known, totals.usd_known) == (Known.NOTHING,) * 3
    assert (totals.mean_input, totals.cache_share, totals.batch_share, totals.num_tokens) == (None, None, None, 0)


def test_the_mix_is_by_provider_model_and_tariff() -> None:
    rows = [
        make(provider="openai", model="a"),
        make(provider="openai", model="a", tier=ServiceTier.BATCH, tokens=500),
        make(provider="openai", model="a"),
        make(tokens=1),
    ]
    mix = split_by_model(rows)
    assert [(one.provider, one.model, one.tier, one.totals.num_tokens) for one in mix] == [
        ("openai", "a", "batch", 500),
        ("openai", "a", "standard", 200),
        (None, None, "standard", 1),
    ]


def test_the_peak_of_few_hours_is_the_busiest_one() -> None:
    """Hours without a row in between count as hours without load."""
    peak = find_peak([make(0, 100), make(3, 300)])
    assert peak is not None
    assert (peak.factor, peak.basis, peak.num_hours, peak.mean_load) == (3.0, PeakBasis.MAX, 4, 100.0)
    assert (peak.unit, peak.hourly_share) == ("tokens", 1.0)


def test_the_peak_of_a_hundred_hours_is_the_99th_percentile() -> None:
    """100 hours: position 98.01 of the ordered loads, between 100 and 1000."""
    peak = find_peak([make(hour, 100) for hour in range(99)] + [make(99, 1000)])
    assert peak is not None
    assert peak.basis is PeakBasis.P99
    assert peak.factor == pytest.approx((100 + 0.01 * 900) / 109)


def test_batches_can_wait_and_days_have_no_peak() -> None:
    assert find_peak([make(0, 100, tier=ServiceTier.BATCH)]) is None
    assert find_peak([make(0, 100, width_s=DAY_S)]) is None
    assert find_peak([make(0, 0)]) is None
    assert shape_week([make(0, 100, width_s=DAY_S)]) is None
    mixed = find_peak([make(0, 100), make(1, 200), make(0, 900, width_s=DAY_S), make(5, 10**6, tier=ServiceTier.BATCH)])
    assert mixed is not None
    assert (mixed.factor, mixed.hourly_share) == (pytest.approx(4 / 3), 0.25)


def test_without_tokens_the_load_is_requests() -> None:
    peak = find_peak([make(0, None, num_requests=1), make(1, None, num_requests=3), make(2, None, num_requests=None)])
    assert peak is not None
    assert (peak.factor, peak.unit) == (pytest.approx(9 / 4), "requests")


def test_a_row_without_tokens_adds_no_load_where_others_have_some() -> None:
    peak = find_peak([make(0, 100), make(1, None)])
    assert peak is not None
    assert (peak.factor, peak.num_hours) == (2.0, 2)


def test_the_week_begins_on_monday() -> None:
    shape = shape_week([make(0, 100), make(168, 300), make(1, 200)])
    assert shape is not None
    assert len(shape) == 168
    mean = 600 / 169
    assert shape[0] == pytest.approx(200 / mean)
    assert shape[1] == pytest.approx(200 / mean)
    assert shape[2] == 0.0
    short = shape_week([make(30, 100), make(31, 100)])
    assert short is not None
    assert (short[30], short[31], short[29]) == (1.0, 1.0, None)


def test_a_label_that_says_nothing_new_is_in_no_name() -> None:
    """Each project has one key: the key tells nothing apart."""
    rows = [make(project="a", key="ka"), make(project="b", key="kb")]
    assert [name_use_case(labels) for labels in group_use_cases(rows)] == ["a", "b"]


def test_keys_divide_what_tasks_do_not() -> None:
    rows = [
        make(project="a", key="k1"),
        make(project="a", key="k2"),
        make(project="b", key="k3", task="t1"),
        make(project="b", key="k4", task="t2"),
        make(project="b", key="k4"),
        make(project="c", template="p1", task="t"),
        make(project="c", template="p2", task="t"),
    ]
    names = {name_use_case(labels) for labels in group_use_cases(rows)}
    assert names == {"a / k1", "a / k2", "b / t1", "b / t2", "b / (no task)", "c / p1", "c / p2"}


def test_a_label_of_many_values_names_callers_and_divides_nothing() -> None:
    rows = [make(key=f"user-{number}") for number in range(21)]
    assert list(group_use_cases(rows)) == [()]
    assert profiled(rows).use_cases[0].name == "(unlabelled)"


def test_one_project_alone_is_named() -> None:
    assert [name_use_case(labels) for labels in group_use_cases([make(project="only")])] == ["only"]


def test_use_cases_are_ranked_by_money_where_all_of_it_is_stated() -> None:
    rows = [
        make(project="cheap", tokens=900, stated_usd=Decimal(1)),
        make(project="dear", tokens=100, stated_usd=Decimal(9)),
    ]
    dear, cheap = profiled(rows).use_cases
    assert (dear.name, dear.usd_share, dear.token_share, dear.usd_rank, dear.token_rank) == ("dear", 0.9, 0.1, 1, 2)
    assert (cheap.name, cheap.usd_rank, cheap.token_rank) == ("cheap", 2, 1)
    assert dear.num_pooled == 1
    assert dear.labels == (("project", "dear"),)


def test_use_cases_are_ranked_by_tokens_where_some_money_is_not_stated() -> None:
    rows = [make(project="a", tokens=900), make(project="b", tokens=100, stated_usd=Decimal(9))]
    first, second = profiled(rows).use_cases
    assert (first.name, first.usd_share, first.usd_rank) == ("a", None, None)
    assert (second.name, second.usd_share, second.usd_rank) == ("b", None, 1)


def test_use_cases_without_tokens_are_ranked_by_requests() -> None:
    rows = [make(project="a", tokens=None, num_requests=1), make(project="b", tokens=None, num_requests=5)]
    first, second = profiled(rows).use_cases
    assert (first.name, second.name, first.token_share) == ("b", "a", None)


def test_small_use_cases_are_pooled_and_counted() -> None:
    rows = [make(project="big", tokens=10_000), *(make(project=f"small-{n}", tokens=10) for n in range(3))]
    big, pool = profiled(rows).use_cases
    assert (big.name, pool.name, pool.num_pooled, pool.labels) == ("big", "other (3)", 3, ())
    assert pool.totals.num_tokens == 30


def test_a_single_small_use_case_keeps_its_name() -> None:
    rows = [make(project="big", tokens=10_000), make(project="small", tokens=10)]
    assert [one.name for one in profiled(rows).use_cases] == ["big", "small"]


def test_no_more_use_cases_are_told_apart_than_asked_for() -> None:
    rows = [make(project=f"p{number}", tokens=100 + number) for number in range(5)]
    assert [one.name for one in profiled(rows, max_use_cases=2).use_cases] == ["p4", "p3", "other (3)"]


def test_the_period_is_from_the_first_start_to_the_last_end() -> None:
    profile = profiled([make(0), make(30), make(72, width_s=DAY_S)])
    assert (profile.since, profile.until) == (MONDAY, MONDAY + 4 * DAY_S)
    assert (profile.num_days, profile.num_active_days) == (4.0, 3)
    assert profile.sources == ("openai-usage",)


def test_coverage_says_what_is_not_known() -> None:
    rows = [
        make(project="a", model="m"),
        make(num_requests=None, model="m"),
        make(task="t", width_s=DAY_S),
        make(key="k", model="m", source="traces", num_unpriced=5, is_simulated=True),
    ]
    coverage = profiled(rows).coverage
    assert coverage.unlabelled_share == 0.25
    assert coverage.without_requests_share == 0.25
    assert coverage.without_model_share == 0.25
    assert coverage.daily_share == 0.25
    assert coverage.simulated_share == 0.25
    assert coverage.unpriced_share == 0.5
    empty = profiled([make(tokens=None)]).coverage
    assert (empty.unlabelled_share, empty.unpriced_share) == (None, None)
