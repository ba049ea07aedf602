"""Spending by label: every dollar in exactly one group, what has no price counted, tokens priced elsewhere."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.catalog import PriceBook, TokenPriceRow
from inhouse.domain import ConfigError, ServiceTier, Usage, UsageRow
from inhouse.planning import make_token_price
from inhouse.reports.costs import (
    DOLLARS,
    FOCUS_COLUMNS,
    NOT_STATED,
    CostBasis,
    CostLine,
    CostPeriod,
    CostQuestion,
    CostReport,
    Currency,
    Dimension,
    FocusPricers,
    Machines,
    find_elsewhere,
    list_focus_rows,
    list_tags,
    parse_dimensions,
    read_imported,
    read_spend,
    report_costs,
)
from inhouse.reports.pricing import OwnRates, Pricer
from inhouse.store import SpendRow

DAY = date(2026, 11, 20)
AT = int(datetime(2026, 11, 20, 7, tzinfo=UTC).timestamp())
PERIOD = CostPeriod(since=AT - 7 * 3600.0, until=AT + 17 * 3600.0)


def make_row(provider: str, model: str, **changes: Any) -> TokenPriceRow:
    values: dict[str, Any] = {
        "provider": provider,
        "model": model,
        "input_usd_per_mtok": "2",
        "cache_read_usd_per_mtok": "0.5",
        "output_usd_per_mtok": "10",
        "effective_from": date(2026, 1, 1),
        "checked_on": date(2026, 11, 1),
        "source": "assumption: a test",
    }
    return TokenPriceRow(**(values | changes))


BOOK = PriceBook(
    token_prices=(
        make_row("openai", "big"),
        make_row("openai", "small", input_usd_per_mtok="0.2", cache_read_usd_per_mtok="0.02", output_usd_per_mtok="1"),
        make_row("openai", "small", tier=ServiceTier.BATCH, input_usd_per_mtok="0.1", output_usd_per_mtok="0.5"),
        make_row("cheap", "open-120b", input_usd_per_mtok="0.1", output_usd_per_mtok="0.5", open_model="open-120b"),
        make_row("dear", "open", open_model="open-120b"),
    ),
    machines=(),
    engine_rates=(),
)
PRICER = Pricer(BOOK)


def make_line(**changes: Any) -> CostLine:
    values: dict[str, Any] = {
        "source": "traces",
        "started_at": AT,
        "provider": "openai",
        "model": "big",
        "project": "triage",
        "key": "app",
        "task": None,
        "num_requests": 10,
        "usage": Usage(input_uncached=1_000_000, output_visible=100_000),
        "usd": Decimal(3),
        "basis": CostBasis.TRACE,
    }
    found = values | changes
    if found["usd"] is None:
        found["basis"] = CostBasis.UNPRICED
    return CostLine(**found)


def report(lines: list[CostLine], *words: str, **changes: Any) -> CostReport:
    values: dict[str, Any] = {"period": PERIOD, "dimensions": parse_dimensions(words), "currency": DOLLARS}
    return report_costs(CostQuestion(**(values | changes)), lines, PRICER)


LABELS = st.sampled_from([None, "a", "b", "a very long one"])
USD = st.none() | st.decimals(min_value=0, max_value=10_000, places=12)
LINES = st.lists(
    st.builds(
        make_line,
        source=st.sampled_from(["traces", "evals", "openai-usage"]),
        started_at=st.integers(min_value=AT, max_value=AT + 40 * 86_400),
        provider=st.sampled_from([None, "own", "openai"]),
        model=LABELS,
        project=LABELS,
        key=LABELS,
        task=LABELS,
        tags=st.sampled_from([(), (("x", "1"),), (("x", None),)]),
        is_simulated=st.booleans(),
        num_requests=st.none() | st.integers(min_value=0, max_value=1000),
        usage=st.none() | st.builds(Usage, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**6)),
        usd=USD,
    ),
    max_size=12,
)
WORDS = st.lists(st.sampled_from([*Dimension, "project", "tag:x"]), min_size=1, max_size=4)


@settings(max_examples=200)
@given(LINES, WORDS)
def test_the_sum_over_any_grouping_is_the_total(lines: list[CostLine], words: list[str]) -> None:
    found = report(lines, *words)
    for is_simulated, total in ((False, found.total), (True, found.simulated)):
        groups = [group.totals for group in found.groups if group.is_simulated == is_simulated]
        if total is None:
            assert not groups
            continue
        assert sum((sums.usd for sums in groups), Decimal(0)) == total.usd
        assert sum(sums.num_requests for sums in groups) == total.num_requests
        assert sum(sums.num_tokens for sums in groups) == total.num_tokens
        assert sum(sums.num_unpriced_requests for sums in groups) == total.num_unpriced_requests
        expected = [line.usd for line in lines if line.is_simulated == is_simulated and line.usd is not None]
        assert total.usd == sum(expected, Decimal(0))


@settings(max_examples=100)
@given(LINES)
def test_a_focus_export_adds_up_to_the_total(lines: list[CostLine]) -> None:
    rows = list(list_focus_rows(lines, FocusPricers(PRICER, PRICER)))
    billed = sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))
    assert billed == sum((line.usd for line in lines if line.usd is not None), Decimal(0))
    assert all(tuple(row) == FOCUS_COLUMNS for row in rows)


def test_groups_carry_their_labels_and_what_is_not_stated_says_so() -> None:
    lines = [make_line(), make_line(project=None, model=None, usd=Decimal(1)), make_line(is_simulated=True)]
    found = report(lines)
    labels = [(group.labels, group.is_simulated, group.totals.usd) for group in found.groups]
    assert labels == [
        (("triage", "openai/big"), False, Decimal(3)),
        ((NOT_STATED, f"openai/{NOT_STATED}"), False, Decimal(1)),
        (("triage", "openai/big"), True, Decimal(3)),
    ]
    assert found.total.usd == Decimal(4)
    assert found.simulated is not None
    assert found.simulated.usd == Decimal(3)


def test_every_dimension_reads_its_own_label() -> None:
    line = make_line(task="classify", tags=(("feature", "inbox"),), tier=ServiceTier.BATCH)
    words = ["route", "key", "task", "model", "provider", "source", "tier", "day", "month", "tag:feature"]
    (group,) = report([line], *words).groups
    expected = (
        "triage",
        "app",
        "classify",
        "openai/big",
        "openai",
        "traces",
        "batch",
        "2026-11-20",
        "2026-11",
        "inbox",
    )
    assert group.labels == expected
    assert list_tags(parse_dimensions(words)) == ("feature",)


def test_what_has_no_price_is_counted_and_never_zero() -> None:
    lines = [make_line(usd=None), make_line(), make_line(num_requests=0, num_failed=4, usage=None, usd=None)]
    (group,) = report(lines).groups
    totals = group.totals
    assert (totals.num_requests, totals.num_failed) == (20, 4)
    assert (totals.num_unpriced_requests, totals.num_unpriced_tokens) == (10, 1_100_000)
    assert totals.usd == Decimal(3)
    assert totals.usd_per_mtok == Decimal(3) * 1_000_000 / 1_100_000
    (nothing,) = report([make_line(usd=None)]).groups
    assert nothing.totals.known_usd is None
    assert nothing.totals.usd_per_mtok is None
    (failed,) = report([make_line(num_requests=0, num_failed=4, usage=None, usd=None)]).groups
    assert not failed.totals.has_unpriced


def test_evaluations_are_apart_and_in_the_total() -> None:
    found = report([make_line(), make_line(source="evals", usd=Decimal(1))])
    assert [group.is_eval for group in found.groups] == [False, True]
    assert found.evals is not None
    assert found.evals.usd == Decimal(1)
    assert found.total.usd == Decimal(4)


def test_usage_that_may_be_there_twice_is_named() -> None:
    imported = make_line(source="openai-usage")
    assert report([make_line(), imported]).overlaps == ("openai",)
    assert report([make_line(), make_line(source="openai-usage", started_at=AT + 86_400)]).overlaps == ()
    assert report([make_line(is_simulated=True), imported]).overlaps == ()


@pytest.mark.parametrize("word", ["colour", "tag:", 'tag:a"b'])
def test_a_label_that_there_is_not_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="--by"):
        parse_dimensions([word])
    assert parse_dimensions([]) == ("route", "model")
    assert parse_dimensions(["project,day", "route"]) == ("route", "day")


def test_traces_become_lines_with_their_tags() -> None:
    row = SpendRow(
        started_at=AT, provider="own", model="scout", route="triage", key="app", task=None, tags=("inbox",),
        tier="scale", is_eval=True, is_simulated=False, num_requests=2, num_failed=0, num_repriced=1,
        usage=Usage(input_uncached=3), cost_usd=Decimal("0.1"),
    )  # fmt: skip
    (line,) = read_spend([row], ["feature"])
    assert (line.is_eval, line.is_own, line.tags, line.tier) == (
        True,
        True,
        (("feature", "inbox"),),
        ServiceTier.STANDARD,
    )
    assert (line.basis, line.usd, line.num_repriced) == (CostBasis.TRACE, Decimal("0.1"), 1)


def test_imports_are_priced_by_the_book_else_as_stated_else_not() -> None:
    usage = Usage(input_uncached=1_000_000, cache_read=1_000_000, output_visible=100_000)
    rows = [
        UsageRow(source="csv", started_at=AT, provider="openai", model="big", num_requests=5, usage=usage),
        UsageRow(source="csv", started_at=AT, provider="openai", model="odd", stated_usd=Decimal(7), usage=usage),
        UsageRow(source="csv", started_at=AT, provider="openai", model="odd", usage=usage),
    ]
    computed, stated, unpriced = read_imported(rows, PRICER, ["x"])
    assert (computed.usd, computed.basis) == (Decimal("3.5"), CostBasis.COMPUTED)
    assert (stated.usd, stated.basis) == (Decimal(7), CostBasis.STATED)
    assert (unpriced.usd, unpriced.basis, unpriced.tags) == (None, CostBasis.UNPRICED, (("x", None),))
    totals = report([computed, stated, unpriced]).total
    assert totals.stated_usd == Decimal(7)
    assert not totals.is_counted


def test_usage_older_than_its_list_price_is_counted_at_the_first_known_one_and_said() -> None:
    usage = Usage(input_uncached=1_000_000)
    rows = [
        UsageRow(source="csv", started_at=at, provider="openai", model="big", num_requests=5, usage=usage)
        for at in (AT, 1_735_689_600)
    ]
    now, old = read_imported(rows, Pricer(BOOK))
    assert (now.usd, now.is_backdated) == (Decimal(2), False)
    assert (old.usd, old.is_backdated) == (Decimal(2), True)
    assert report([now, old]).num_backdated == 1


def test_the_same_tokens_elsewhere_count_cached_ones_as_cached() -> None:
    usage = Usage(input_uncached=1_000_000, cache_read=1_000_000, output_visible=100_000)
    other = find_elsewhere("openai/small", BOOK, PRICER, DAY, AT)
    assert other.price(make_line(usage=usage), PRICER).total_usd == Decimal("0.32")
    assert other.price(make_line(usage=None), PRICER).total_usd is None
    discounted = Pricer(BOOK, {"openai": OwnRates(discount=Decimal("0.5"))})
    assert other.price(make_line(usage=usage), discounted).total_usd == Decimal("0.16")


def test_the_lines_tariff_applies_elsewhere_where_it_has_a_price() -> None:
    line = make_line(tier=ServiceTier.BATCH, usage=Usage(input_uncached=1_000_000))
    small = find_elsewhere("openai/small", BOOK, PRICER, DAY, AT)
    big = find_elsewhere("openai/big", BOOK, PRICER, DAY, AT)
    assert small.price(line, PRICER).total_usd == Decimal("0.1")
    assert big.price(line, PRICER).total_usd == Decimal(2)


def test_open_weights_are_priced_at_their_cheapest_host() -> None:
    other = find_elsewhere("hosted:open-120b", BOOK, PRICER, DAY, AT)
    assert (other.asked, other.name) == ("hosted:open-120b", "cheap/open-120b")
    found = report([make_line(), make_line(usage=None)], elsewhere=(other,))
    assert found.total.on_usd == (Decimal("0.15"),)
    assert found.groups[0].totals.on_usd == (Decimal("0.15"),)
    none = report([make_line(usage=Usage(input_audio=5))], elsewhere=(other,)).total
    assert (none.on_usd, none.on_unpriced_tokens) == ((None,), (5,))


@pytest.mark.parametrize(
    ("asked", "fix"),
    [
        ("small", "write PROVIDER/MODEL"),
        ("openai/none", "choose from big, small"),
        ("nobody/x", "providers are cheap, dear, openai"),
        ("hosted:none", "choose from open-120b"),
    ],
)
def test_a_model_without_a_price_is_refused_with_those_that_have_one(asked: str, fix: str) -> None:
    with pytest.raises(ConfigError, match=fix):
        find_elsewhere(asked, BOOK, PRICER, DAY, AT)


def make_machines(**changes: Any) -> Machines:
    values: dict[str, Any] = {
        "deployment": "scout", "num_replicas": 2, "usd_per_hour": Decimal(3), "price_id": "own", "up_s": 7200.0,
        "hours_basis": "the whole period",
    }  # fmt: skip
    return Machines(**(values | changes))


def test_own_machines_show_idle_time_as_its_own_line() -> None:
    own = {"provider": "own", "model": "scout", "usage": Usage(input_uncached=2_000_000)}
    lines = [
        make_line(**own, usd=Decimal(3)),
        make_line(**own, usd=Decimal(1), source="evals", project=None),
        make_line(**own, usd=None),
        make_line(usd=Decimal(5)),
    ]
    found = report(lines, machines=(make_machines(),))
    (one,) = found.deployments
    assert one.allocation is not None
    assert (one.allocation.paid_usd, one.allocation.used_usd, one.allocation.idle_usd) == (12, 4, 8)
    assert [(share.name, share.allocated_usd) for share in one.allocation.shares] == [
        ("triage", 9),
        ("(evaluations)", 3),
    ]
    assert one.allocation.allocation_usd_per_mtok == Decimal(2)
    assert one.num_unpriced_requests == 10
    assert found.paid_usd == Decimal(17)
    by_model = report(lines, "model", machines=(make_machines(),)).deployments[0].allocation
    assert by_model is not None
    assert [share.name for share in by_model.shares] == ["(everything)", "(evaluations)"]


def test_machines_without_a_price_leave_what_was_paid_unknown() -> None:
    found = report([make_line()], machines=(make_machines(usd_per_hour=None), make_machines()))
    assert found.deployments[0].allocation is None
    assert found.paid_usd is None
    assert report([make_line()]).paid_usd is None


def test_a_currency_is_shown_with_its_rate_and_converts_nothing_else() -> None:
    euro = Currency("EUR", Decimal("0.92"), date(2026, 11, 1))
    assert euro.show(Decimal(100)) == "EUR 92.00"
    assert euro.show(Decimal(-100)) == "-EUR 92.00"
    assert euro.show(None) == "unpriced"
    assert euro.describe() == "1 USD = 0.92 EUR, rate of 2026-11-01, given by you"
    assert euro.to_usd(Decimal(46), "EUR") == Decimal(50)
    assert euro.to_usd(Decimal(46), "USD") == Decimal(46)
    assert euro.to_usd(Decimal(46), "GBP") is None
    assert DOLLARS.show(Decimal(-2)) == "-$2.00"
    assert DOLLARS.describe() == ""


def test_a_focus_row_says_what_was_charged_for_what_and_at_which_price() -> None:
    usage = Usage(input_uncached=1_000_000, cache_read=500_000, output_visible=100_000)
    own = Pricer(BOOK, {"openai": OwnRates(discount=Decimal("0.5"))})
    line = make_line(usage=usage, usd=Decimal("1.625"), tags=(("feature", "inbox"),))
    rows = list(list_focus_rows([line], FocusPricers(own, PRICER)))
    assert [row["SkuMeter"] for row in rows] == ["input_uncached", "cache_read", "output_visible"]
    first = rows[0]
    expected = {
        "BilledCost": "1", "EffectiveCost": "1", "ContractedCost": "1", "ListCost": "2", "ContractedUnitPrice": "1",
        "ListUnitPrice": "2", "PricingQuantity": "1", "PricingUnit": "1000000 Tokens", "ConsumedQuantity": "1000000",
        "ConsumedUnit": "Tokens", "BillingCurrency": "USD", "ChargeCategory": "Usage", "ProviderName": "openai",
        "ChargePeriodStart": "2026-11-20T07:00:00Z", "ChargePeriodEnd": "2026-11-20T08:00:00Z",
        "BillingPeriodStart": "2026-11-01T00:00:00Z", "BillingPeriodEnd": "2026-12-01T00:00:00Z",
        "SkuId": "openai/big/standard/input_uncached", "SubAccountId": "triage",
        "ServiceCategory": "AI and Machine Learning",
        "Tags": '{"route": "triage", "key": "app", "feature": "inbox"}', "x_IsSimulated": "false",
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected


def test_a_focus_line_whose_traces_cost_something_else_is_split_in_proportion() -> None:
    usage = Usage(input_uncached=1_000_000, output_visible=100_000)
    rows = list(list_focus_rows([make_line(usage=usage, usd=Decimal("1.000000000001"))], FocusPricers(PRICER, PRICER)))
    assert [row["BilledCost"] for row in rows] == ["0.666666666667", "0.333333333334"]
    unknown = make_line(model="odd", usd=Decimal(1))
    (row,) = list_focus_rows([unknown, make_line(usd=None)], FocusPricers(PRICER, PRICER))
    assert (row["SkuMeter"], row["ConsumedQuantity"], row["ListUnitPrice"]) == ("tokens", "1100000", "")
    per_request = make_token_price("own", input_usd_per_mtok=Decimal(0), output_usd_per_mtok=Decimal(0))
    flat = Pricer(BOOK, {"openai": OwnRates(models={"big": per_request})})
    (free,) = list_focus_rows([make_line(usd=Decimal(1))], FocusPricers(flat, PRICER))
    assert (free["SkuMeter"], free["ListCost"]) == ("tokens", "3")
