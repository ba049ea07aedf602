"""A question is put of what is known: model, GPUs, host, what is committed, what is ruled out; the rest is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from inhouse.catalog import CapacityRow, Catalog, MachineRow, MachineTerms, load_catalog
from inhouse.domain import ConfigError
from inhouse.planning import CompanyFacts, LicenceState
from inhouse.planning.economics import Family, Fleet, Owner, Terms
from inhouse.reports.decision import Ask, GpuOrder, Prepared, Traffic, TypedRange, prepare
from reports.facts import TODAY, make_capacity, make_price

CATALOG = load_catalog()
H200 = make_capacity()
H100_PAIR = make_capacity(gpu="H100", num_gpus=2)
H100_FOUR = make_capacity(gpu="H100", num_gpus=4, seconds_per_input_token="0.00001", seconds_per_output_token="0.00002")
NO_PRICE = make_capacity(gpu="A100-80GB", seconds_per_input_token="0.0000001", seconds_per_output_token="0.0000001")


def with_capacity(*rows: CapacityRow, **more: Any) -> Catalog:
    """The package's catalog with these capacities alone."""
    return replace(CATALOG, capacity=rows, **more)


def make_traffic(usd: int = 22_000, **fields: Any) -> Traffic:
    """A typed bill."""
    return Traffic(owner=Owner.TYPED, source="given by you", usd_per_month=Decimal(usd), **fields)


def put(catalog: Catalog = CATALOG, company: CompanyFacts | None = None, /, **said: Any) -> Prepared:
    """The question, half an engineer and $22,000 having been typed."""
    usual: dict[str, Any] = {"traffic": make_traffic(), "fte_share": 0.5}
    return prepare(Ask(**{**usual, **said}), catalog, company or CompanyFacts(), TODAY)


def order(count: int, gpu: str, terms: Terms = Terms.ORDERED, **more: Any) -> GpuOrder:
    return GpuOrder(count=count, gpu=gpu, terms=terms, **more)


class TestNames:
    """What is not known is refused with what is."""

    def test_a_model_is_known_by_its_repository_too(self) -> None:
        assert put(open_model="openai/gpt-oss-120b").model.model == "gpt-oss-120b"

    @pytest.mark.parametrize(
        ("said", "problem", "fix"),
        [
            ({"open_model": "gpt-oss-12b"}, "no open model 'gpt-oss-12b'", "gpt-oss-120b"),
            ({"open_model": "GPT-OSS-121B"}, "no open model", "gpt-oss-120b"),
            ({"open_model": "zzzzz"}, "no open model 'zzzzz'", "inhouse catalog models"),
            ({"orders": (order(2, "H1000"),)}, "--gpus: there is no GPU 'H1000'", "H100"),
            ({"hosted_provider": "nobody"}, "--hosted: no price of gpt-oss-120b at 'nobody'", "fireworks"),
            ({"hosted_provider": "groq", "open_model": "phi-4"}, "no price of phi-4", "nobody that the catalog knows"),
            ({"settings": {"fte": TypedRange(1, 1, 1)}}, "no assumption 'fte'", ""),
        ],
    )
    def test_what_is_not_known_is_refused_with_what_is(self, said: dict[str, Any], problem: str, fix: str) -> None:
        with pytest.raises(ConfigError) as raised:
            put(**said)
        assert problem in raised.value.problem
        assert fix in raised.value.fix

    def test_a_gpu_is_known_by_its_other_names(self) -> None:
        found = put(orders=(order(4, "H100-SXM", usd=Decimal(5)),))
        assert found.committed == (order(4, "H100", usd=Decimal(5)),)


class TestCommitted:
    """GPUs whose money is spent whatever is decided."""

    def test_only_those_of_the_chosen_gpu_count(self) -> None:
        orders = (order(4, "H100"), order(3, "H200"), order(2, "H200", Terms.OWNED))
        found = put(with_capacity(H200), orders=orders)
        assert found.question.fleet == Fleet(gpus_per_replica=1, ordered_gpus=5)
        assert found.committed == orders
        assert found.question.terms[0] is Terms.ORDERED

    def test_a_wish_is_no_commitment_and_a_contract_is(self) -> None:
        found = put(with_capacity(H200), orders=(order(8, "H200", Terms.RESERVED),))
        assert found.question.fleet.ordered_gpus == 0
        assert Terms.ORDERED not in found.question.terms
        found = put(with_capacity(H200), orders=(order(8, "H200", Terms.RESERVED, usd=Decimal(120_000)),))
        assert found.question.fleet.ordered_gpus == 8

    def test_orders_of_another_gpu_leave_nothing_known(self) -> None:
        found = put(with_capacity(H200), orders=(order(2, "L40S"),))
        assert found.capacity is None
        assert found.question.excluded == {Family.SELF_HOST: "no_capacity"}
        assert found.question.terms == ()
        assert found.question.fleet.ordered_gpus == 0
        assert found.committed == (order(2, "L40S"),)

    def test_a_commitment_that_has_ended_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="2 × H100 ended on 2026-11-28") as raised:
            put(orders=(order(2, "H100", until=TODAY),))
        assert "day on which it ends" in raised.value.fix
        tomorrow = order(2, "H100", until=TODAY + timedelta(days=1))
        assert put(orders=(tomorrow,)).committed == (tomorrow,)


class TestCapacity:
    """The cheapest configuration for this traffic, on GPUs that were named, small enough for them."""

    def test_named_gpus_win_over_cheaper_ones(self) -> None:
        rows = with_capacity(H200, H100_PAIR)
        assert put(rows).capacity == H200
        assert put(rows, orders=(order(2, "H100"),)).capacity == H100_PAIR

    def test_a_replica_that_the_ordered_gpus_can_hold_is_preferred(self) -> None:
        rows = with_capacity(H100_FOUR, H100_PAIR)
        large = make_traffic(2_000_000)
        assert put(rows, orders=(order(2, "H100"),), traffic=large).capacity == H100_PAIR
        # two H100 and two H100 are four: then the larger one is cheaper for this traffic
        orders = (order(2, "H100"), order(2, "H100", Terms.OWNED))
        assert put(rows, orders=orders, traffic=large).capacity == H100_FOUR

    def test_where_no_replica_fits_the_named_gpus_it_is_said_by_more_gpus(self) -> None:
        found = put(with_capacity(H100_FOUR), orders=(order(2, "H100"),))
        assert found.capacity == H100_FOUR
        assert found.question.fleet == Fleet(gpus_per_replica=4, ordered_gpus=2)

    def test_small_traffic_takes_the_small_replica_and_large_traffic_the_cheaper_request(self) -> None:
        rows = with_capacity(H100_FOUR, H100_PAIR)
        # 4.0 against 9.2 seconds per million tokens on twice the GPUs: cheaper once both are full
        assert put(rows, traffic=make_traffic(2_000)).capacity == H100_PAIR
        assert put(rows, traffic=make_traffic(2_000_000)).capacity == H100_FOUR

    def test_gpus_that_cannot_be_rented_are_only_taken_where_they_were_named(self) -> None:
        rows = with_capacity(NO_PRICE, H200)
        assert put(rows).capacity == H200
        assert put(rows, orders=(order(4, "A100-80GB"),)).capacity == NO_PRICE

    def test_a_gpu_without_any_price_rules_self_hosting_out_and_says_so(self) -> None:
        found = put(with_capacity(NO_PRICE), orders=(order(4, "A100-80GB"),))
        assert found.question.terms == ()
        assert found.question.excluded == {Family.SELF_HOST: "no_gpu_price"}

    def test_ordered_gpus_need_the_price_of_what_is_taken_beyond_them(self) -> None:
        reserved = MachineRow.model_validate(
            {
                "machine": "a100-3y", "description": "one A100, reserved", "gpu": "A100-80GB", "num_gpus": 1,
                "terms": "reserved", "usd_per_hour": "0.9", "effective_from": date(2026, 1, 1),
                "checked_on": date(2026, 1, 1), "source": "assumption: a test's",
            }
        )  # fmt: skip
        rows = with_capacity(NO_PRICE, own_machines=(reserved,))
        assert put(rows, orders=(order(4, "A100-80GB"),)).question.terms == (Terms.RESERVED,)
        rented = reserved.model_copy(update={"terms": MachineTerms.ON_DEMAND, "machine": "a100"})
        rows = with_capacity(NO_PRICE, own_machines=(reserved, rented))
        assert put(rows, orders=(order(4, "A100-80GB"),)).question.terms == (
            Terms.ORDERED,
            Terms.ON_DEMAND,
            Terms.RESERVED,
        )

    def test_a_capacity_of_tomorrow_is_not_known_today(self) -> None:
        later = make_capacity(effective_from=TODAY + timedelta(days=1), checked_on=TODAY + timedelta(days=1))
        assert put(with_capacity(later)).question.excluded == {Family.SELF_HOST: "no_capacity"}


class TestRuledOut:
    """What may not be chosen."""

    def test_a_licence_that_blocks_rules_self_hosting_out(self) -> None:
        blocked = put(CATALOG, CompanyFacts(mau_at_release_incl_affiliates=Decimal(10**9)), open_model="llama-3.3-70b")
        assert blocked.licence.state is LicenceState.BLOCKED
        assert blocked.question.excluded == {Family.SELF_HOST: "licence"}
        unknown = put(open_model="llama-3.3-70b")
        assert unknown.licence.state is LicenceState.UNKNOWN
        assert unknown.question.excluded == {}

    def test_the_licence_is_the_reason_before_capacity(self) -> None:
        company = CompanyFacts(mau_at_release_incl_affiliates=Decimal(10**9))
        found = put(with_capacity(), company, open_model="llama-3.3-70b")
        assert found.question.excluded == {Family.SELF_HOST: "licence"}

    def test_own_only_rules_every_api_out(self) -> None:
        assert put(is_own_only=True).question.excluded == {
            Family.STAY: "own_only",
            Family.CHEAPER: "own_only",
            Family.HOSTED_OPEN: "own_only",
        }

    def test_a_model_that_nobody_hosts_drops_hosted_open(self) -> None:
        found = put(open_model="minimax-m2.5")
        assert found.hosted == ()
        assert not found.question.has_hosted
        assert Family.HOSTED_OPEN not in {option.family for option in found.question.options}
        assert put().question.has_hosted


class TestHosted:
    """Whose price of the open weights counts."""

    def test_a_named_host_is_the_only_one(self) -> None:
        found = put(hosted_provider="groq")
        assert [row.provider for row in found.hosted] == ["groq"]
        item = found.question.assumptions["hosted_input_usd_per_mtok"]
        assert item.low == item.high == float(found.hosted[0].input_usd_per_mtok)

    def test_a_host_that_offers_a_model_twice_counts_once_by_its_cheaper_price(self) -> None:
        rows = (
            make_price("a", "m-turbo", "1", "2", open_model="gpt-oss-120b"),
            make_price("a", "m", "2", "4", open_model="gpt-oss-120b"),
            make_price("b", "m", "1.5", "3", open_model="gpt-oss-120b"),
        )
        catalog = replace(CATALOG, prices=replace(CATALOG.prices, token_prices=rows))
        assert [(row.provider, row.model) for row in put(catalog).hosted] == [("a", "m-turbo"), ("b", "m")]
        assert [row.model for row in put(catalog, hosted_provider="a").hosted] == ["m-turbo"]


def test_the_page_lists_models_that_could_be_asked_for() -> None:
    names = put().other_models
    assert "gpt-oss-120b" in names  # capacity and hosts
    assert "minimax-m2.5" in names  # capacity alone
    assert "kimi-k2" in names  # hosts alone
    assert "phi-4" not in names  # neither
