"""The report says what was decided, what to begin with, what is committed, and what is not known."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest

from inhouse.catalog import load_assumptions, load_catalog
from inhouse.domain import ConfigError, ServiceTier, Usage, UsageRow
from inhouse.planning import CompanyFacts
from inhouse.planning.economics import CHEAPER, STAY, Family, OptionId, Terms
from inhouse.reports.decision import (
    Ask,
    Basis,
    Bill,
    DecisionReport,
    GpuOrder,
    Making,
    Prepared,
    Source,
    Traffic,
    TypedRange,
    TypedTraffic,
    find_moving_option,
    make_report,
    prepare,
    read_bill,
    type_bill,
)
from inhouse.reports.pricing import Pricer
from reports.facts import START, TODAY, make_book, make_capacity, make_price, make_row

CATALOG = replace(load_catalog(), capacity=(make_capacity(), make_capacity(model="llama-3.3-70b")))
BOOK = make_book(
    make_price("acme", "mid", "2", "10", input_audio_usd_per_mtok="32"),
    make_price("acme", "cheap", "0.01", "0.05"),
)
MAKING = Making(command="inhouse decide --fte 0.5", made_on=TODAY, version="9.9", num_draws=500, seed=3)
HOUR = 3600
WEEK = 7 * 24


def use_case(project: str, usd_per_hour: float = 1.0, model: str = "mid", **fields: Any) -> list[UsageRow]:
    """Three weeks of steady hours: 100 requests with a thousand prompt tokens for each of the dollars."""
    usage = Usage(input_uncached=int(400_000 * usd_per_hour), output_visible=int(20_000 * usd_per_hour))
    known: dict[str, Any] = {"usage": usage, "num_requests": int(400 * usd_per_hour), "project": project, **fields}
    return [make_row(model=model, started_at=START + hour * HOUR, **known) for hour in range(3 * WEEK)]


def report_on(*cases: list[UsageRow], **said: Any) -> DecisionReport:
    """The report on these use cases."""
    rows = [row for case in cases for row in case]
    traffic, bill = read_bill(rows, Pricer(BOOK), Source(basis=Basis.IMPORTED, names=("usage.csv",)))
    return make_report(put(traffic, **said), bill, MAKING)


def put(traffic: Traffic, company: CompanyFacts | None = None, **said: Any) -> Prepared:
    return prepare(Ask(traffic=traffic, fte_share=0.5, **said), CATALOG, company or CompanyFacts(), TODAY)


@cache
def report_plainly() -> DecisionReport:
    """The report on $22,000 a month, typed, and nothing else said."""
    return report_on_typed()


def type_22k() -> tuple[Traffic, Bill]:
    return type_bill(TypedTraffic(usd_per_month=Decimal(22_000)), Pricer(CATALOG.prices), TODAY)


def report_on_typed(company: CompanyFacts | None = None, **said: Any) -> DecisionReport:
    traffic, bill = type_22k()
    return make_report(put(traffic, company, **said), bill, MAKING)


class TestCandidate:
    """Which use case to begin with."""

    def test_it_is_the_one_whose_move_saves_most(self) -> None:
        report = report_on(use_case("small", 2.0), use_case("large", 9.0))
        large, small = report.use_cases
        assert (large.name, large.is_candidate, large.reasons[0]) == ("large", True, "largest_saving")
        assert not small.is_candidate
        assert "largest_saving" not in small.reasons
        assert large.moved_saving_usd is not None
        assert small.moved_saving_usd is not None
        assert large.moved_saving_usd.p50 / small.moved_saving_usd.p50 == pytest.approx(4.5)

    def test_saving_counts_and_not_size(self) -> None:
        # ten times the tokens at a price below what hosted weights cost: moving it saves nothing
        report = report_on(use_case("dear", 3.0), use_case("cheap", 300.0, model="cheap"))
        lines = {line.name: line for line in report.use_cases}
        assert lines["dear"].is_candidate
        assert lines["cheap"].moved_saving_usd is not None
        assert lines["cheap"].moved_saving_usd.p50 < 0

    @pytest.mark.parametrize(
        "fields",
        [
            {"usage": Usage(input_uncached=3_600_000, output_visible=100_000, input_audio=80_000)},
            {"num_requests": 40},  # 90,000 tokens a prompt
        ],
    )
    def test_hard_ones_are_passed_over_while_a_plain_one_saves(self, fields: dict[str, Any]) -> None:
        report = report_on(use_case("hard", 9.0, **fields), use_case("plain", 2.0))
        assert [line.name for line in report.use_cases if line.is_candidate] == ["plain"]
        alone = report_on(use_case("hard", 9.0, **fields))
        assert [line.name for line in alone.use_cases if line.is_candidate] == ["hard"]

    def test_where_no_move_saves_there_is_none(self) -> None:
        report = report_on(use_case("cheap", 300.0, model="cheap"))
        assert [line.is_candidate for line in report.use_cases] == [False]

    def test_a_use_case_without_tokens_has_no_saving_to_speak_of(self) -> None:
        amounts = use_case("amounts", model="unlisted", usage=None, num_requests=None, stated_usd=Decimal(9))
        report = report_on(amounts, use_case("plain", 2.0))
        lines = {line.name: line for line in report.use_cases}
        assert lines["amounts"].moved_saving_usd is None
        assert lines["plain"].is_candidate

    def test_batch_traffic_of_its_own_has_no_peak_of_its_own(self) -> None:
        report = report_on(
            use_case("batch", 2.0, tier=ServiceTier.BATCH, stated_usd=Decimal(1)), use_case("plain", 2.0)
        )
        lines = {line.name: line for line in report.use_cases}
        assert lines["batch"].peak_factor is None
        assert lines["plain"].peak_factor == 1

    def test_a_typed_bill_has_no_use_cases(self) -> None:
        assert report_plainly().use_cases == ()


class TestMovingOption:
    """Where use cases would move to."""

    def test_it_is_the_chosen_one_if_that_moves(self) -> None:
        decision = report_plainly().decision
        assert decision.chosen.family is Family.HOSTED_OPEN
        assert find_moving_option(decision) == decision.chosen

    def test_else_the_cheapest_that_moves(self) -> None:
        traffic, bill = type_bill(TypedTraffic(usd_per_month=Decimal(500)), Pricer(CATALOG.prices), TODAY)
        decision = make_report(put(traffic), bill, MAKING).decision
        assert decision.chosen in {STAY, CHEAPER}
        assert find_moving_option(decision) == OptionId(Family.HOSTED_OPEN, None, is_hybrid=True)

    def test_there_is_none_where_nothing_can_move(self) -> None:
        traffic, bill = type_22k()
        decision = make_report(put(traffic, open_model="phi-4"), bill, MAKING).decision
        assert find_moving_option(decision) is None


class TestCommitments:
    """Money that is spent whatever is decided."""

    def test_they_stand_apart_with_what_was_said_of_them(self) -> None:
        report = report_on_typed(
            orders=(
                GpuOrder(count=2, gpu="h200", terms=Terms.ORDERED),
                GpuOrder(count=8, gpu="H100", terms=Terms.OWNED, usd=Decimal(400_000), until=date(2030, 1, 1)),
                GpuOrder(count=1, gpu="H200", terms=Terms.ON_DEMAND, usd=Decimal(2_000)),
                GpuOrder(count=4, gpu="H200", terms=Terms.SPOT),
            )
        )
        assert [(item.what, item.usd, item.until) for item in report.commitments] == [
            ("2 × H200, ordered", None, None),
            ("8 × H100, owned", Decimal(400_000), date(2030, 1, 1)),
            ("1 × H200, on demand, under contract", Decimal(2_000), None),
        ]

    def test_what_is_committed_changes_no_answer_and_no_total(self) -> None:
        def totals(usd: Decimal | None) -> list[tuple[OptionId, float]]:
            order = GpuOrder(count=2, gpu="H200", terms=Terms.ORDERED, usd=usd)
            return [(item.option, item.total_usd.mean) for item in report_on_typed(orders=(order,)).decision.options]

        assert totals(None) == totals(Decimal(90_000))

    def test_ordered_gpus_cost_their_power_and_no_rent(self) -> None:
        order = GpuOrder(count=50, gpu="H200", terms=Terms.ORDERED)
        lines = (
            report_on_typed(orders=(order,)).decision.result(OptionId(Family.SELF_HOST, Terms.ORDERED, True)).lines_usd
        )
        assert lines["gpus"].mean == 0
        assert lines["power"].mean > 0

    @pytest.mark.parametrize(("days", "is_said"), [(60, True), (729, True), (731, False)])
    def test_one_that_ends_before_the_horizon_is_said(self, days: int, is_said: bool) -> None:
        order = GpuOrder(count=2, gpu="H200", terms=Terms.ORDERED, until=TODAY + timedelta(days=days))
        notes = report_on_typed(orders=(order,)).coverage.notes
        assert any("count as rented on demand" in note for note in notes) is is_said


class TestOpenModel:
    """What would be served instead."""

    def test_requests_a_second_are_those_of_the_two_rates_and_the_mix(self) -> None:
        exact = {"capacity_factor": TypedRange(1, 1, 1), "traffic_realism": TypedRange(1, 1, 1)}
        facts = report_on(use_case("one", 2.0), settings=exact).open_model
        # 1,000 prompt tokens at 50 µs and 50 answer tokens at 80 µs: 54 ms
        assert facts.requests_per_second is not None
        assert facts.requests_per_second.p10 == pytest.approx(1 / 0.054)
        assert facts.requests_per_second.p90 == pytest.approx(1 / 0.054)

    def test_the_band_is_that_of_the_prediction_and_of_real_traffic(self) -> None:
        band = report_on(use_case("one", 2.0)).open_model.requests_per_second
        assert band is not None
        draws = np.random.default_rng(1)
        share = draws.triangular(0.68, 1, 1.32, 200_000) * draws.triangular(0.7, 0.85, 1.0, 200_000)
        p10, p50, p90 = np.percentile(share, (10, 50, 90)) / 0.054
        assert (band.p10, band.p50, band.p90) == pytest.approx((p10, p50, p90), rel=0.02)

    def test_the_replica_is_described_with_its_basis(self) -> None:
        facts = report_plainly().open_model
        assert (facts.gpu, facts.gpus_per_replica, facts.engine, facts.precision) == (
            "H200",
            1,
            "an engine 1.0",
            "mxfp4",
        )
        assert facts.capacity_basis == "measured: two points; P90 of the error 32%"

    def test_the_rate_of_a_nominal_request_is_called_one(self) -> None:
        basis = report_on(use_case("one", 2.0, num_requests=None)).open_model.capacity_basis
        assert basis == "measured: two points; P90 of the error 32%; of a nominal request, as none is counted"

    def test_without_a_known_capacity_there_is_no_rate_and_no_self_hosting(self) -> None:
        report = report_on_typed(open_model="qwen3-32b")  # has hosts, and no capacity in this catalog
        facts = report.open_model
        assert (facts.gpu, facts.gpus_per_replica, facts.engine) == (None, None, None)
        assert (facts.requests_per_second, facts.capacity_basis) == (None, None)
        assert not [item for item in report.decision.options if item.option.is_self_host]
        assert report.decision.trial is None
        assert report.decision.break_even is None

    def test_the_middle_host_stands_for_all(self) -> None:
        facts = report_plainly().open_model
        hosts = put(type_22k()[0]).hosted
        middle = hosts[len(hosts) // 2]
        assert facts.hosted_provider == middle.provider
        assert facts.hosted_usd_per_mtok == (middle.input_usd_per_mtok, middle.output_usd_per_mtok)
        nobody = report_on_typed(open_model="phi-4").open_model
        assert (nobody.hosted_provider, nobody.hosted_usd_per_mtok) == (None, None)

    def test_duties_that_are_due_and_that_may_be_are_told_apart(self) -> None:
        known = CompanyFacts(mau_at_release_incl_affiliates=Decimal(10), distributes_weights=False)
        facts = report_on_typed(known, open_model="llama-3.3-70b").open_model
        assert facts.duties == (
            'show "Built with Llama" where people see the product (if it applies: a fact is missing)',
            "keep to the acceptable use policy, and bind users to it",
        )
        assert facts.licence_answer == "allowed_with_duties"
        assert facts.missing_facts == ()

    def test_facts_that_the_licence_asks_for_are_listed(self) -> None:
        facts = report_on_typed(open_model="llama-3.3-70b").open_model
        assert facts.licence_answer == "unknown"
        assert facts.missing_facts == ("mau_at_release_incl_affiliates",)


class TestNothingLeft:
    """Where every option is ruled out, what to do is said instead."""

    @pytest.mark.parametrize(
        ("said", "company", "problem", "fix"),
        [
            (
                {"open_model": "phi-4"},
                CompanyFacts(),
                "no throughput of it on these GPUs is known (phi-4)",
                "--open-model",
            ),
            (
                {"open_model": "llama-3.3-70b"},
                CompanyFacts(mau_at_release_incl_affiliates=Decimal(10**9)),
                "the licence of llama-3.3-70b forbids",
                "--open-model",
            ),
            (
                {"orders": (GpuOrder(count=2, gpu="L40S", terms=Terms.ORDERED),)},
                CompanyFacts(),
                "no throughput of it on these GPUs",
                "--gpus",
            ),
        ],
    )
    def test_it_is_refused(self, said: dict[str, Any], company: CompanyFacts, problem: str, fix: str) -> None:
        with pytest.raises(ConfigError) as raised:
            report_on_typed(company, is_own_only=True, **said)
        assert problem in raised.value.problem
        assert fix in raised.value.fix

    def test_a_gpu_without_a_price_is_named_as_the_reason(self) -> None:
        traffic, bill = type_22k()
        capacity = make_capacity(gpu="A100-80GB")
        orders = (GpuOrder(count=2, gpu="A100-80GB", terms=Terms.ORDERED),)
        prepared = prepare(
            Ask(traffic=traffic, fte_share=0.5, is_own_only=True, orders=orders),
            replace(CATALOG, capacity=(capacity,)),
            CompanyFacts(),
            TODAY,
        )
        with pytest.raises(ConfigError, match="no price of a GPU"):
            make_report(prepared, bill, MAKING)


def test_a_mandate_sends_nothing_to_an_api() -> None:
    decision = report_on_typed(is_own_only=True).decision
    assert decision.chosen.family is Family.SELF_HOST
    assert not decision.chosen.is_hybrid
    lines = decision.result(decision.chosen).lines_usd
    assert (lines["api"].mean, lines["fallback"].mean) == (0, 0)
    assert all(item.option.is_self_host for item in decision.options if item.excluded_because is None)


def test_what_finding_out_takes_is_that_of_the_reference_ranges() -> None:
    report = report_plainly()
    assert set(report.learn) == {row.name for row in load_assumptions() if row.learn is not None}
    assert "peak_factor" in report.learn
    assert "spend_usd_per_month" not in report.learn
    assert report.learn["movable_share"].hours == 24


def test_the_report_says_how_it_was_made() -> None:
    report = report_plainly()
    assert (report.command, report.made_on, report.version) == ("inhouse decide --fte 0.5", TODAY, "9.9")
    assert (report.decision.num_draws, report.decision.seed) == (500, 3)
    assert report_on_typed() == report
