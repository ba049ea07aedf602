"""The month's bill is what tokens and prices come to, to the micro-dollar; what is not known is counted and said."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.catalog import load_catalog
from inhouse.domain import DAY_S, HOUR_S, ConfigError, ServiceTier, Usage, UsageRow
from inhouse.planning import CompanyFacts, make_token_price
from inhouse.planning.economics import OptionId, Owner
from inhouse.reports.decision import (
    Ask,
    Basis,
    Bill,
    Making,
    Source,
    Traffic,
    TypedTraffic,
    make_report,
    prepare,
    read_bill,
    type_bill,
)
from inhouse.reports.pricing import OwnRates, Pricer
from reports.facts import DAY, START, TODAY, make_book, make_price, make_row

CATALOG = load_catalog()
BOOK = make_book(
    make_price("acme", "mid", "2", "10", cache_read_usd_per_mtok="0.2", input_audio_usd_per_mtok="32",
               output_audio_usd_per_mtok="64"),
    make_price("acme", "mid", "1", "5", tier=ServiceTier.BATCH),
    make_price("acme", "small", "0.1", "0.5"),
    make_price("acme", "late", "2", "10", effective_from=date(2026, 11, 12), checked_on=date(2026, 11, 12)),
    make_price("sim", "mid", "2", "10"),
)  # fmt: skip
IMPORTED = Source(basis=Basis.IMPORTED, names=("usage.csv",))
MONTH = Decimal(str(730 / 24 / 30))
"""Of thirty days."""


def at_day(day: int, hour: int = 0) -> int:
    """A start in the thirty days from START."""
    return START + day * DAY_S + hour * HOUR_S


def span(*rows: UsageRow, days: int = 30) -> list[UsageRow]:
    """The rows and a free one in the last hour, so that the period is so many days."""
    return [*rows, make_row(started_at=at_day(days - 1, 23), num_requests=0, usage=Usage())]


def read(
    rows: list[UsageRow], source: Source = IMPORTED, own: dict[str, OwnRates] | None = None
) -> tuple[Traffic, Bill]:
    return read_bill(rows, Pricer(BOOK, own), source)


def multiply(traffic: Traffic, usage: Usage) -> Decimal:
    """Tokens times the traffic's rates, in dollars."""
    assert traffic.rates_usd_per_mtok is not None
    read_rate, cached_rate, output_rate = traffic.rates_usd_per_mtok
    uncached = usage.input_total - usage.cache_read
    return (uncached * read_rate + usage.cache_read * cached_rate + usage.output_total * output_rate) / 1_000_000


def test_a_period_is_scaled_to_a_month_of_730_hours() -> None:
    rows = span(make_row(started_at=at_day(0)), make_row(started_at=at_day(14), num_requests=500))
    traffic, bill = read(rows)
    assert bill.reconciliation.computed_usd == 6
    assert traffic.usd_per_month == 6 * MONTH
    assert traffic.requests_per_month == pytest.approx(1_500 * 730 / 720)
    assert bill.scope.num_days == 30
    assert (bill.scope.first_day, bill.scope.last_day) == (date(2026, 11, 2), date(2026, 12, 1))
    assert traffic.owner is Owner.IMPORTED
    assert traffic.source == "usage.csv, 30 days"


def test_traces_are_measured() -> None:
    traffic, bill = read(span(make_row()), Source(basis=Basis.MEASURED, names=("own traces",)))
    assert traffic.owner is Owner.MEASURED
    assert bill.scope.basis is Basis.MEASURED


def test_rates_are_the_mean_of_what_was_paid() -> None:
    standard = make_row(usage=Usage(input_uncached=600_000, cache_read=400_000, output_visible=100_000))
    batch = make_row(usage=Usage(input_uncached=400_000, output_visible=50_000, output_reasoning=50_000),
                     tier=ServiceTier.BATCH)  # fmt: skip
    traffic, bill = read(span(standard, batch))
    assert traffic.rates_usd_per_mtok == (Decimal("1.6"), Decimal("0.2"), Decimal("7.5"))
    assert bill.reconciliation.computed_usd == Decimal("3.18")  # 1.2 + 0.08 + 1, and 0.4 + 0.5
    assert traffic.cached_share == pytest.approx(400_000 / 1_400_000)
    assert traffic.input_tokens_per_request == pytest.approx(700)
    assert traffic.output_tokens_per_request == pytest.approx(100)


def test_without_cached_tokens_the_cached_rate_is_that_of_input() -> None:
    traffic, _ = read(span(make_row()))
    assert traffic.rates_usd_per_mtok == (Decimal(2), Decimal(2), Decimal(10))
    assert traffic.cached_share == 0


def test_stated_money_of_models_without_a_price_counts_and_is_said() -> None:
    rows = span(make_row(), make_row(model="unlisted", stated_usd=Decimal("1.5")))
    traffic, bill = read(rows)
    assert traffic.usd_per_month == Decimal("4.5") * MONTH
    assert bill.reconciliation.computed_usd == 3
    assert bill.reconciliation.num_unpriced_requests == 0
    assert bill.coverage.unpriced_share == 0
    assert any("33% of the money is as the source states it" in note for note in bill.coverage.notes)
    assert multiply(traffic, Usage(input_uncached=2_000_000, output_visible=200_000)) == Decimal("4.5")


def test_own_prices_come_before_what_is_stated() -> None:
    traffic, _ = read(span(make_row(stated_usd=Decimal(99))))
    assert traffic.usd_per_month == 3 * MONTH


def test_what_has_no_money_at_all_is_unpriced_and_counted_with_its_tokens() -> None:
    traffic, bill = read(span(make_row(), make_row(model="unlisted", num_requests=3_000)))
    assert traffic.usd_per_month == 3 * MONTH
    assert bill.reconciliation.num_unpriced_requests == 3_000
    assert bill.coverage.unpriced_share == 0.75
    assert multiply(traffic, Usage(input_uncached=2_000_000, output_visible=200_000)) == 3


def test_unpriced_rows_without_a_count_of_requests_are_not_zero() -> None:
    rows = [
        make_row(project="a", num_requests=None),
        make_row(project="b", num_requests=None, model="unlisted", usage=Usage(input_uncached=3_300_000)),
    ]
    _, bill = read(rows)
    assert bill.reconciliation.num_unpriced_requests is None
    assert bill.coverage.unpriced_share == 0.75
    assert any("1 periods without a price do not count their requests" in note for note in bill.coverage.notes)
    unpriced = next(line for line in bill.use_cases if line.name == "b")
    assert unpriced.usd_per_month is None
    assert "unpriced" in unpriced.reasons
    assert bill.traffic[bill.use_cases.index(unpriced)] is None


def test_requests_that_only_some_rows_count_are_not_the_months_requests() -> None:
    rows = span(make_row(), make_row(num_requests=None))
    traffic, bill = read(rows)
    assert traffic.requests_per_month is None
    assert bill.coverage.num_requests is None
    assert traffic.is_request_nominal
    assert any("not every row counts its requests" in note for note in bill.coverage.notes)


def test_a_fee_on_requests_without_input_stays_in_the_bill() -> None:
    fee = replace(
        make_token_price("own:acme/fee", input_usd_per_mtok=Decimal(2), output_usd_per_mtok=Decimal(10)),
        usd_per_request=Decimal("0.001"),
    )
    usage = Usage(cache_read=1_000_000, output_visible=100_000)
    traffic, bill = read(span(make_row(model="fee", usage=usage)), own={"acme": OwnRates(models={"fee": fee})})
    assert bill.reconciliation.computed_usd == 4
    assert multiply(traffic, usage) == pytest.approx(Decimal(4))


def test_money_without_tokens_buys_the_same_mix() -> None:
    amount = make_row(model="unlisted", usage=None, stated_usd=Decimal(3))
    traffic, bill = read(span(make_row(), amount))
    assert traffic.usd_per_month == 6 * MONTH
    assert traffic.rates_usd_per_mtok == (2, 2, 10)
    assert traffic.input_tokens_per_request == 1_000
    assert any("50% of the money states no tokens" in note for note in bill.coverage.notes)
    (moved,) = bill.traffic
    assert moved is not None
    assert moved.usd == pytest.approx(float(6 * MONTH))
    assert moved.requests == pytest.approx(2_000 * 730 / 720)
    assert moved.input_tokens_per_request == 1_000


def test_a_bill_of_amounts_alone_leaves_the_mix_to_reference_ranges() -> None:
    traffic, bill = read(span(make_row(model="unlisted", usage=None, stated_usd=Decimal(300)))[:1])
    assert (traffic.input_tokens_per_request, traffic.output_tokens_per_request) == (None, None)
    assert traffic.rates_usd_per_mtok is None
    assert traffic.cached_share is None
    assert bill.reconciliation.computed_usd is None
    assert bill.reconciliation.unexplained_share is None
    prepare(Ask(traffic=traffic, fte_share=0.5), CATALOG, CompanyFacts(), TODAY)


def test_own_machines_are_left_out_and_said() -> None:
    rows = span(make_row(), make_row("own", "scout", num_requests=1_234_567, stated_usd=Decimal(50)))
    traffic, bill = read(rows)
    assert traffic.usd_per_month == 3 * MONTH
    assert "1,234,567 requests ran on own machines already and are not in the bill" in bill.coverage.notes
    assert bill.coverage.num_requests == 1_000


def test_simulated_traffic_is_flagged_unless_only_own_machines_were_simulated() -> None:
    assert read(span(make_row(), make_row("sim", is_simulated=True)))[1].scope.is_simulated
    assert not read(span(make_row(), make_row("own", is_simulated=True)))[1].scope.is_simulated


def test_the_bill_stands_beside_what_was_stated_and_what_was_invoiced() -> None:
    rows = [make_row(stated_usd=Decimal("3.75")), make_row(started_at=at_day(29, 23), stated_usd=Decimal("3.75"))]
    _, bill = read(rows)
    assert bill.reconciliation.computed_usd == 6
    assert bill.reconciliation.stated_usd == Decimal("7.5")
    assert bill.reconciliation.unexplained_share == pytest.approx(0.2)
    _, invoiced = read(rows, replace(IMPORTED, invoice_usd=Decimal(8)))
    assert invoiced.reconciliation.unexplained_share == pytest.approx(0.25)
    _, cheap = read(rows, replace(IMPORTED, invoice_usd=Decimal(5)))
    assert cheap.reconciliation.unexplained_share == pytest.approx(-0.2)


def test_money_that_only_some_rows_state_is_not_what_the_export_says() -> None:
    _, bill = read([make_row(stated_usd=Decimal(3)), make_row(started_at=at_day(29, 23))])
    assert bill.reconciliation.stated_usd is None
    assert bill.reconciliation.unexplained_share is None


@pytest.mark.parametrize(
    ("rows", "problem", "fix"),
    [
        ([], "no usage of paid APIs", "at least one day"),
        ([make_row("own")], "no usage of paid APIs", "at least one day"),
        ([make_row(model="unlisted")], "Nothing of it has a price", "--spend"),
        ([make_row(usage=None)], "Nothing of it has a price", "providers:"),
    ],
)
def test_nothing_to_price_is_refused_with_what_to_do(rows: list[UsageRow], problem: str, fix: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(rows)
    assert problem in raised.value.problem
    assert fix in raised.value.fix


@pytest.mark.parametrize(
    ("days", "note"), [(1, "from a day of traffic"), (13, "from 13 days of traffic"), (14, None), (30, None)]
)
def test_short_periods_are_said(days: int, note: str | None) -> None:
    _, bill = read(span(make_row(), days=days))
    few = [words for words in bill.coverage.notes if "the month is scaled from" in words]
    assert few == [] if note is None else note in few[0]
    assert bill.coverage.num_days == days


def test_an_hour_is_scaled_and_said_and_not_called_no_days() -> None:
    traffic, bill = read([make_row()])
    assert float(traffic.usd_per_month) == pytest.approx(3 * 730)
    assert bill.scope.num_days == 1
    assert any("less than a day of traffic" in note for note in bill.coverage.notes)


def test_days_without_traffic_are_said_unless_they_are_weekends() -> None:
    gap = [make_row(started_at=at_day(day)) for day in (*range(10), *range(20, 30))]
    assert "traffic on 20 of 29 days: the others count as days of none" in read(gap)[1].coverage.notes
    workdays = [make_row(started_at=at_day(day)) for day in range(28) if day % 7 < 5]
    assert not any("days of none" in note for note in read(workdays)[1].coverage.notes)


def test_several_kinds_of_sources_may_say_the_same_twice() -> None:
    rows = span(make_row(), make_row(source="litellm-spend"))
    assert any("2 kinds of sources are added up" in note for note in read(rows)[1].coverage.notes)
    assert not any("kinds of sources" in note for note in read(span(make_row()))[1].coverage.notes)


def test_credits_that_outweigh_the_bill_are_no_bill() -> None:
    with pytest.raises(ConfigError, match="Nothing of it has a price"):
        read([make_row(model="unlisted", stated_usd=Decimal(-5))])


def test_only_days_leave_the_peak_to_a_reference_range() -> None:
    rows = [make_row(started_at=at_day(day), width_s=DAY_S) for day in range(30)]
    traffic, bill = read(rows)
    assert traffic.peak_factor is None
    assert "only days are known, not hours: the peak is a reference range" in bill.coverage.notes


def test_a_peak_below_the_mean_is_no_peak_and_not_steady() -> None:
    traffic, bill = read(span(make_row(started_at=at_day(3, 2)), make_row(started_at=at_day(17, 2))))
    assert traffic.peak_factor is None
    assert any("99th percentile is no peak" in note for note in bill.coverage.notes)
    (line,) = bill.use_cases
    assert line.peak_factor is None
    assert "steady" not in line.reasons


def test_the_peak_of_hours_is_the_traffics_own() -> None:
    loads = [
        make_row(started_at=at_day(0, hour), usage=Usage(input_uncached=1_000 * (1 + hour % 2))) for hour in range(400)
    ]
    traffic, _ = read(loads)
    assert traffic.peak_factor == pytest.approx(4 / 3)


def test_prices_younger_than_the_usage_are_said_for_this_bill_alone() -> None:
    rows = [make_row(model="late", started_at=at_day(day)) for day in range(20)]
    pricer = Pricer(BOOK)
    for _ in range(2):
        _, bill = read_bill(rows, pricer, IMPORTED)
        assert "50% of the periods are older than the list price that they are counted at" in bill.coverage.notes
    _, later = read_bill(rows[10:], pricer, IMPORTED)
    assert not any("older than the list price" in note for note in later.coverage.notes)


def test_the_warnings_of_the_import_come_first() -> None:
    _, bill = read(span(make_row()), replace(IMPORTED, notes=("3 records left out: torn",)))
    assert bill.coverage.notes[0] == "3 records left out: torn"


def test_the_main_model_is_that_of_the_most_money_over_all_tariffs() -> None:
    rows = span(
        make_row(model="small", usage=Usage(input_uncached=40_000_000)),  # the most tokens, $4
        make_row(),  # $3
        make_row(tier=ServiceTier.BATCH, usage=Usage(input_uncached=3_000_000)),  # $3
    )
    assert read(rows)[0].main_model == ("acme", "mid")
    assert read(span(make_row(), make_row(model=None, stated_usd=Decimal(50))))[0].main_model is None


class TestUseCases:
    """The bill by use case."""

    def test_use_cases_stand_dearest_first_and_make_the_bill(self) -> None:
        rows = span(
            make_row(project="triage"),
            make_row(project="search", usage=Usage(input_uncached=5_000_000)),
            make_row(project="search", model="small", usage=Usage(input_uncached=1_000_000)),
        )[:-1]
        _, bill = read([*rows, make_row(project="triage", started_at=at_day(29, 23), usage=Usage())])
        assert [line.name for line in bill.use_cases] == ["search", "triage"]
        assert [line.usd_per_month for line in bill.use_cases] == [Decimal("10.1") * MONTH, 3 * MONTH]
        assert [line.share_of_bill for line in bill.use_cases] == [
            pytest.approx(10.1 / 13.1),
            pytest.approx(3 / 13.1),
        ]
        assert bill.use_cases[0].models == ("acme/mid", "acme/small")

    def test_small_ones_are_pooled_and_nothing_is_lost(self) -> None:
        rows = [make_row(project="large", usage=Usage(input_uncached=1_000_000_000), started_at=at_day(29, 23))]
        rows += [make_row(project=f"small-{number}", usage=Usage(input_uncached=1_000_000)) for number in range(15)]
        traffic, bill = read(rows)
        large, pool = bill.use_cases
        assert (large.name, pool.name) == ("large", "other (15)")
        days = Decimal(str(730 / 24 / 30))
        assert (large.usd_per_month, pool.usd_per_month) == (2000 * days, 30 * days)
        assert traffic.usd_per_month == 2030 * days
        assert {"mixed_templates", "small"} <= set(pool.reasons)

    def test_a_model_without_a_provider_is_named_by_what_is_known(self) -> None:
        _, bill = read(span(make_row(), make_row(None, "gpt", stated_usd=Decimal(1)),
                            make_row(None, None, stated_usd=Decimal(1))))  # fmt: skip
        assert set(bill.use_cases[0].models) == {"acme/mid", "gpt", "(no model)"}

    @pytest.mark.parametrize(
        ("fields", "reasons"),
        [
            ({"template": "t1"}, {"one_template", "short_prompts"}),
            ({"num_requests": 20}, {"long_prompts"}),
            ({"num_requests": 200}, set[str]()),
            ({"tier": ServiceTier.BATCH}, {"batch", "short_prompts"}),
            ({"usage": Usage(input_uncached=900_000, input_audio=100_000)}, {"audio", "short_prompts"}),
            ({"usage": Usage(input_uncached=995_000, input_audio=5_000)}, {"short_prompts"}),
        ],
    )
    def test_what_speaks_for_and_against_a_use_case(self, fields: dict[str, Any], reasons: set[str]) -> None:
        rows = [make_row(started_at=at_day(0), width_s=DAY_S, **fields)]
        rows.append(msgspec.structs.replace(rows[0], started_at=at_day(29)))
        _, bill = read(rows)
        assert set(bill.use_cases[0].reasons) == reasons

    def test_six_templates_that_no_label_tells_apart_are_a_mixture(self) -> None:
        rows = [make_row(project="one", template=f"t{number}", started_at=at_day(number * 5)) for number in range(25)]
        _, bill = read(rows)
        assert [line.name for line in bill.use_cases] == ["one"]
        assert "mixed_templates" in bill.use_cases[0].reasons

    def test_a_load_without_peaks_is_steady(self) -> None:
        hours = range(14 * 24)
        _, bill = read([make_row(started_at=at_day(0, hour)) for hour in hours])
        assert "steady" in bill.use_cases[0].reasons
        assert bill.use_cases[0].peak_factor == 1


BUCKET = st.integers(0, 10**8)
TEXT = st.builds(
    lambda uncached, cached, visible, reasoning: Usage(uncached, cached, 0, visible, reasoning),
    BUCKET, BUCKET, BUCKET, BUCKET,
)  # fmt: skip
AUDIO = st.builds(
    lambda text, audio_in, audio_out: Usage(text, 0, 0, text, 0, 0, audio_in, audio_out), BUCKET, BUCKET, BUCKET
)
HOURS = st.integers(0, 24 * 28)
AMOUNT = st.decimals(0, 10_000, places=6)
ROWS = st.one_of(
    st.builds(lambda hour, usage: make_row(usage=usage, started_at=START + hour * HOUR_S), HOURS, TEXT | AUDIO),
    st.builds(
        lambda hour, usage: make_row(usage=usage, started_at=START + hour * HOUR_S, tier=ServiceTier.BATCH), HOURS, TEXT
    ),
    st.builds(
        lambda hour, usage, usd: make_row(
            model="unlisted", usage=usage, started_at=START + hour * HOUR_S, stated_usd=usd, project="stated"
        ),
        HOURS, TEXT | AUDIO, AMOUNT,
    ),
    st.builds(lambda hour, usage: make_row("own", usage=usage, started_at=START + hour * HOUR_S), HOURS, TEXT),
    st.builds(
        lambda day, usage: make_row(
            model="small", usage=usage, started_at=START + day * DAY_S, width_s=DAY_S, num_requests=None
        ),
        st.integers(0, 27), TEXT,
    ),
    st.builds(lambda hour, usage: make_row(model="none", usage=usage, started_at=START + hour * HOUR_S), HOURS, TEXT),
)  # fmt: skip


@given(st.lists(ROWS, min_size=1, max_size=12))
def test_tokens_times_rates_are_the_bill_and_use_cases_add_up(rows: list[UsageRow]) -> None:
    anchor = make_row(usage=Usage(input_uncached=7, cache_read=3, output_visible=5), started_at=START + 27 * DAY_S)
    rows = [*rows, anchor]
    paid = [row for row in rows if row.provider != "own"]
    traffic, bill = read(rows)
    by_hand = sum((price_by_hand(row) for row in paid), Decimal(0))
    usage = Usage(*(sum(getattr(row.usage, bucket) for row in paid) for bucket in Usage.__struct_fields__))
    assert abs(multiply(traffic, usage) - by_hand) < Decimal("0.000001")
    since, until = min(row.started_at for row in paid), max(row.started_at + row.width_s for row in paid)
    assert float(traffic.usd_per_month) == pytest.approx(float(by_hand) * 730 * 3600 / (until - since))
    lines = sum((line.usd_per_month or Decimal(0) for line in bill.use_cases), Decimal(0))
    assert abs(lines - traffic.usd_per_month) < Decimal("0.000001")
    assert traffic.input_tokens_per_request is not None
    assert traffic.output_tokens_per_request is not None
    assert usage.input_total * traffic.output_tokens_per_request == pytest.approx(
        usage.output_total * traffic.input_tokens_per_request
    )


def price_by_hand(row: UsageRow) -> Decimal:
    """A row's dollars, worked out anew from the figures in BOOK."""
    usage = row.usage or Usage()
    if row.model in {"unlisted", "none"}:
        return row.stated_usd or Decimal(0)
    halved = 2 if row.tier is ServiceTier.BATCH else 1
    if row.model == "small":
        return (usage.input_total * Decimal("0.1") + usage.output_total * Decimal("0.5")) / 1_000_000
    cached = Decimal(1) if halved == 2 else Decimal("0.2")
    return (
        usage.input_uncached * Decimal(2) / halved
        + usage.cache_read * cached
        + usage.input_audio * 32
        + usage.output_audio * 64
        + (usage.output_visible + usage.output_reasoning) * Decimal(10) / halved
    ) / 1_000_000


def test_the_size_of_a_nominal_request_changes_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        make_row(
            project=project, num_requests=None, started_at=at_day(day), width_s=DAY_S,
            usage=Usage(input_uncached=900_000_000 + 10**7 * day, cache_read=300_000_000, output_visible=90_000_000),
        )
        for day in range(30)
        for project in ("a", "b")
    ]  # fmt: skip
    found: list[dict[OptionId, tuple[float, float]]] = []
    savings: list[list[float]] = []
    for size in (240, 2_400, 24_000):
        monkeypatch.setattr("inhouse.reports.decision.bill._NOMINAL_TOKENS", size)
        traffic, bill = read(rows)
        assert traffic.is_request_nominal
        assert traffic.input_tokens_per_request is not None
        prepared = prepare(Ask(traffic=traffic, fte_share=0.5), CATALOG, CompanyFacts(), TODAY)
        assert "nominal" in prepared.question.assumptions["input_tokens_per_request"].source
        report = make_report(prepared, bill, Making(command="x", made_on=TODAY, version="0", num_draws=200, seed=1))
        found.append({item.option: (item.total_usd.p10, item.total_usd.mean) for item in report.decision.options})
        savings.append([line.moved_saving_usd.p50 for line in report.use_cases if line.moved_saving_usd is not None])
    for other, saved in zip(found[1:], savings[1:], strict=True):
        assert other.keys() == found[0].keys()
        for option, figures in other.items():
            assert figures == pytest.approx(found[0][option], rel=1e-9)
        assert saved == pytest.approx(savings[0])
    assert len(savings[0]) == 2


class TestTyped:
    """A bill given by hand."""

    def test_an_amount_alone_says_nothing_of_the_mix(self) -> None:
        traffic, bill = type_bill(TypedTraffic(usd_per_month=Decimal(22_000)), Pricer(CATALOG.prices), DAY)
        assert traffic == Traffic(owner=Owner.TYPED, source="given by you", usd_per_month=Decimal(22_000))
        assert bill.scope.basis is Basis.TYPED
        assert bill.reconciliation.stated_usd == 22_000
        assert bill.reconciliation.unexplained_share is None
        assert bill.use_cases == ()

    def test_a_named_model_gives_its_list_rates(self) -> None:
        typed = TypedTraffic(usd_per_month=Decimal(5), provider="acme", model="mid", input_tokens=3_000)
        traffic, _ = type_bill(typed, Pricer(BOOK), DAY)
        assert traffic.rates_usd_per_mtok == (Decimal(2), Decimal("0.2"), Decimal(10))
        assert traffic.main_model == ("acme", "mid")
        assert traffic.input_tokens_per_request == 3_000

    def test_a_model_without_a_cached_rate_reads_its_cache_at_the_input_rate(self) -> None:
        typed = TypedTraffic(usd_per_month=Decimal(5), provider="acme", model="small")
        traffic, _ = type_bill(typed, Pricer(BOOK), DAY)
        assert traffic.rates_usd_per_mtok == (Decimal("0.1"), Decimal("0.1"), Decimal("0.5"))

    @pytest.mark.parametrize(("tokens", "usd"), [(None, 3), (200_000, 3), (200_001, 6)])
    def test_long_prompts_have_the_price_of_long_prompts(self, tokens: float | None, usd: int) -> None:
        book = make_book(
            make_price("acme", "long", "3", "15"), make_price("acme", "long", "6", "22.5", from_input_tokens=200_001)
        )
        typed = TypedTraffic(usd_per_month=Decimal(5), provider="acme", model="long", input_tokens=tokens)
        traffic, _ = type_bill(typed, Pricer(book), DAY)
        assert traffic.rates_usd_per_mtok is not None
        assert traffic.rates_usd_per_mtok[0] == usd

    @pytest.mark.parametrize(
        ("fields", "problem", "fix"),
        [
            ({"provider": "acme", "model": "huge"}, "no price of acme/huge", "inhouse catalog prices acme"),
            ({"input_tokens": -1.0}, "--input-tokens -1", "zero or more"),
            ({"input_tokens": float("nan")}, "--input-tokens nan", "zero or more"),
            ({"output_tokens": float("inf")}, "--output-tokens inf", "zero or more"),
            ({"input_tokens": 0.0, "output_tokens": 0.0}, "both zero", "Give one of them"),
            ({"cached_share": 1.5}, "cached share of 1.5", "0 to 1"),
        ],
    )
    def test_what_cannot_be_is_refused_with_the_fix(self, fields: dict[str, Any], problem: str, fix: str) -> None:
        with pytest.raises(ConfigError) as raised:
            type_bill(TypedTraffic(usd_per_month=Decimal(5), **fields), Pricer(CATALOG.prices), DAY)
        assert problem in raised.value.problem
        assert fix in raised.value.fix
