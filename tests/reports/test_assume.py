"""What an assumption is taken to be: typed wins over meters, meters over facts, facts over reference ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from inhouse.catalog import CapacityRow, TokenPriceRow, load_assumptions, load_catalog
from inhouse.domain import ConfigError
from inhouse.planning.economics import Assumptions, Owner, read_assumption
from inhouse.reports.decision import Ask, Traffic, TypedRange
from inhouse.reports.decision.assume import assume, pick_host
from reports.facts import TODAY, make_book, make_capacity, make_price

BOOK = make_book(
    make_price("acme", "large", "10", "50"),
    make_price("acme", "mid", "2", "10"),
    make_price("acme", "mid-tuned", "5.5", "20"),
    make_price("acme", "mini", "0.5", "2"),
    make_price("acme", "nano", "0.1", "0.4"),
    make_price("acme", "embedding", "0.01", "0"),
    make_price("acme", "old", "0.2", "1", effective_until=date(2026, 6, 1)),
    make_price("other", "tiny", "0.001", "0.001"),
    make_price("gratis", "free", "0", "0"),
)
CATALOG = replace(load_catalog(), prices=replace(load_catalog().prices, token_prices=BOOK.token_prices))
REFERENCE = Assumptions({row.name: read_assumption(row) for row in load_assumptions()})
METERED = Traffic(
    owner=Owner.MEASURED,
    source="own traces, 30 days",
    usd_per_month=Decimal(22_000),
    requests_per_month=5e6,
    input_tokens_per_request=1_500.0,
    output_tokens_per_request=300.0,
    cached_share=0.25,
    rates_usd_per_mtok=(Decimal("1.9"), Decimal("0.19"), Decimal("9.5")),
    peak_factor=3.0,
    main_model=("acme", "mid"),
)
BARE = Traffic(owner=Owner.TYPED, source="given by you", usd_per_month=Decimal(22_000))


def make_hosts(*rates: tuple[str, str]) -> tuple[TokenPriceRow, ...]:
    """Hosts in the order given, the first the cheapest."""
    return tuple(make_price(f"host-{place}", "m", low, high) for place, (low, high) in enumerate(rates))


def known(
    traffic: Traffic = METERED,
    settings: Mapping[str, TypedRange] | None = None,
    hosted: tuple[TokenPriceRow, ...] = (),
    capacity: CapacityRow | None = None,
    **said: Any,
) -> Assumptions:
    """Every assumption, half an engineer having been typed."""
    ask = Ask(traffic=traffic, fte_share=0.5, settings=settings or {}, **said)
    return assume(ask, CATALOG, reference=REFERENCE, capacity=capacity, hosted=hosted, at=TODAY)


def bounds(found: Assumptions, name: str) -> tuple[float, float, float]:
    return found[name].low, found[name].mid, found[name].high


def exact(value: float) -> TypedRange:
    return TypedRange(value, value, value)


class TestPrecedence:
    """Typed > meters > catalog > reference."""

    def test_nothing_said_is_a_reference_range_and_says_so(self) -> None:
        item = known(BARE)["peak_factor"]
        assert (item.low, item.mid, item.high, item.owner) == (2, 4, 6, Owner.ASSUMED)
        assert item.source == "office-hours traffic of one region has about four"

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("spend_usd_per_month", (22_000, 22_000, 22_000)),
            ("input_tokens_per_request", (1_500, 1_500, 1_500)),
            ("output_tokens_per_request", (300, 300, 300)),
            ("cached_share", (0.25, 0.25, 0.25)),
            ("api_input_usd_per_mtok", (1.9, 1.9, 1.9)),
            ("api_cached_usd_per_mtok", (0.19, 0.19, 0.19)),
            ("api_output_usd_per_mtok", (9.5, 9.5, 9.5)),
            ("peak_factor", (2.7, 3, 3.9)),
        ],
    )
    def test_meters_win_over_reference_and_own_their_figures(
        self, name: str, values: tuple[float, float, float]
    ) -> None:
        found = known()
        assert bounds(found, name) == pytest.approx(values)
        assert (found[name].owner, found[name].source) == (Owner.MEASURED, "own traces, 30 days")
        imported = known(replace(METERED, owner=Owner.IMPORTED, source="usage.csv, 30 days"))
        assert (imported[name].owner, imported[name].source) == (Owner.IMPORTED, "usage.csv, 30 days")

    @pytest.mark.parametrize(
        ("name", "unit_value"),
        [
            ("spend_usd_per_month", 9_000.0),
            ("peak_factor", 2.0),  # metered
            ("gpu_usd_per_hour.on_demand", 1.99),  # of the catalog
            ("hosted_input_usd_per_mtok", 0.11),
            ("seconds_per_output_token", 1e-5),
            ("movable_share", 0.6),  # a reference range
            ("fte_share", 2.0),  # typed otherwise
        ],
    )
    def test_what_is_typed_wins_over_everything(self, name: str, unit_value: float) -> None:
        found = known(settings={name: exact(unit_value)}, hosted=make_hosts(("1", "2")), capacity=make_capacity())
        assert bounds(found, name) == (unit_value, unit_value, unit_value)
        assert (found[name].owner, found[name].source) == (Owner.TYPED, "given by you (--set)")

    def test_a_typed_range_is_kept_as_it_is(self) -> None:
        assert bounds(known(settings={"peak_factor": TypedRange(2, 3, 5)}), "peak_factor") == (2, 3, 5)

    def test_a_peak_near_one_stays_above_one(self) -> None:
        assert bounds(known(replace(METERED, peak_factor=1.0)), "peak_factor") == (1, 1, 1.3)

    def test_people_are_the_users(self) -> None:
        found = known(fte_usd_per_month=Decimal(16_500))
        assert bounds(found, "fte_share") == (0.5, 0.5, 0.5)
        assert bounds(found, "fte_usd_per_month") == (16_500, 16_500, 16_500)
        assert found["fte_share"].owner is found["fte_usd_per_month"].owner is Owner.TYPED
        assert known()["fte_usd_per_month"].owner is Owner.ASSUMED

    def test_a_nominal_request_is_called_one(self) -> None:
        found = known(replace(METERED, is_request_nominal=True))
        assert "nominal" in found["input_tokens_per_request"].source
        assert "nominal" in found["output_tokens_per_request"].source
        assert "nominal" not in found["cached_share"].source
        assert "nominal" not in known()["input_tokens_per_request"].source


class TestFacts:
    """What the catalog says."""

    def test_a_replica_brings_its_two_rates_and_the_interval_of_the_prediction(self) -> None:
        found = known(capacity=make_capacity())
        assert bounds(found, "seconds_per_input_token") == (5e-5, 5e-5, 5e-5)
        assert bounds(found, "seconds_per_output_token") == (8e-5, 8e-5, 8e-5)
        assert bounds(found, "capacity_factor") == pytest.approx((0.68, 1, 1.32))
        assert found["capacity_factor"].source == "P90 of the error of such a prediction: ± 32% (2 points)"
        assert found["seconds_per_input_token"].owner is Owner.CATALOG
        assert found["seconds_per_input_token"].source == "an engine 1.0, mxfp4, measured: assumption: a test's"

    def test_an_error_that_is_huge_leaves_some_capacity(self) -> None:
        found = known(capacity=make_capacity(relative_error="1.7"))
        assert bounds(found, "capacity_factor") == pytest.approx((0.1, 1, 1.9))

    def test_gpu_hours_are_priced_on_each_of_the_terms_with_their_own_range(self) -> None:
        found = known(capacity=make_capacity())
        assert bounds(found, "gpu_usd_per_hour.on_demand") == pytest.approx((3.5 * 0.9, 3.5, 3.5 * 1.15))
        assert bounds(found, "gpu_usd_per_hour.spot") == pytest.approx((1.45 * 0.8, 1.45, 1.45 * 1.6))
        assert bounds(found, "gpu_usd_per_hour.reserved") == pytest.approx((1.6 * 0.85, 1.6, 1.6 * 1.3))
        assert found["gpu_usd_per_hour.on_demand"].owner is Owner.CATALOG
        assert "checked 2026-" in found["gpu_usd_per_hour.on_demand"].source

    def test_without_a_replica_there_is_nothing_of_one(self) -> None:
        names = known().by_name
        assert not [name for name in names if name.startswith(("seconds", "gpu_usd", "capacity"))]

    @pytest.mark.parametrize(
        ("rates", "reading", "writing"),
        [
            ([("1", "4")], (1, 1, 1), (4, 4, 4)),
            ([("1", "4"), ("2", "6")], (1, 2, 2), (4, 6, 6)),
            # of eight: from the cheapest, by the fifth, to the seventh; the dearest is left out
            ([(str(n), str(n * 2)) for n in range(1, 9)], (1, 5, 7), (2, 10, 14)),
            # the middle host reads cheaper than the cheapest and writes dearer
            ([("3", "4"), ("1", "15")], (1, 1, 1), (4, 15, 15)),
        ],
    )
    def test_hosted_prices_reach_from_the_cheapest_host_to_the_one_at_three_quarters(
        self, rates: list[tuple[str, str]], reading: tuple[float, ...], writing: tuple[float, ...]
    ) -> None:
        found = known(hosted=make_hosts(*rates))
        assert bounds(found, "hosted_input_usd_per_mtok") == reading
        assert bounds(found, "hosted_output_usd_per_mtok") == writing
        assert bounds(found, "hosted_cached_usd_per_mtok") == reading  # no host states a rate for cached input
        assert found["hosted_input_usd_per_mtok"].owner is Owner.CATALOG

    def test_the_middle_host_is_named_with_how_many_there_are(self) -> None:
        hosts = make_hosts(("1", "4"), ("2", "6"), ("3", "6"))
        assert pick_host(hosts).provider == "host-1"
        assert known(hosted=hosts)["hosted_input_usd_per_mtok"].source == (
            "host-1, list price checked 2026-01-01; the middle of 3 hosts, host-0 is the cheapest"
        )

    def test_cached_input_at_a_host_has_its_own_rate_where_it_is_stated(self) -> None:
        host = make_price("host", "m", "1", "4", cache_read_usd_per_mtok="0.25")
        assert bounds(known(hosted=(host,)), "hosted_cached_usd_per_mtok") == (0.25, 0.25, 0.25)


class TestCheaperTier:
    """What a cheaper model of the same company costs beside today's."""

    def test_it_lies_between_the_cheapest_and_the_nearest_that_is_clearly_cheaper(self) -> None:
        # five to one: mid 5·2+10 = 20 (today), mini 4.5, nano 0.9; embedding, old, and tiny of another company are none
        mix = replace(METERED, input_tokens_per_request=5.0, output_tokens_per_request=1.0)
        found = known(mix)["cheaper_price_ratio"]
        assert (found.low, found.mid, found.high) == pytest.approx((0.045, 0.225, 0.225))
        assert found.owner is Owner.CATALOG
        assert found.source == "2 cheaper models of acme; mini is the nearest, list prices checked 2026-01-01"

    def test_it_follows_the_mix_of_the_traffic(self) -> None:
        found = known(replace(METERED, input_tokens_per_request=100.0, output_tokens_per_request=100.0))
        assert bounds(found, "cheaper_price_ratio") == pytest.approx((0.5 / 12, 2.5 / 12, 2.5 / 12))

    @pytest.mark.parametrize("tokens", [(None, None), (9_000.0, None), (None, 9_000.0)])
    def test_a_mix_of_which_half_is_unknown_is_taken_as_five_to_one(self, tokens: tuple[float | None, ...]) -> None:
        traffic = replace(METERED, input_tokens_per_request=tokens[0], output_tokens_per_request=tokens[1])
        assert bounds(known(traffic), "cheaper_price_ratio") == pytest.approx((0.045, 0.225, 0.225))

    @pytest.mark.parametrize("model", [None, ("acme", "nano"), ("acme", "gone"), ("nobody", "x"), ("gratis", "free")])
    def test_without_a_cheaper_model_the_reference_range_stays(self, model: tuple[str, str] | None) -> None:
        found = known(replace(METERED, main_model=model))["cheaper_price_ratio"]
        assert (found.low, found.mid, found.high, found.owner) == (0.1, 0.2, 0.4, Owner.ASSUMED)


class TestOwnOnly:
    """A mandate: content may go to own machines alone."""

    def test_everything_moves_and_nothing_falls_back(self) -> None:
        found = known(is_own_only=True)
        assert bounds(found, "movable_share") == (1, 1, 1)
        assert bounds(found, "fallback_share") == (0, 0, 0)
        assert found["movable_share"].owner is found["fallback_share"].owner is Owner.TYPED
        assert bounds(known(), "movable_share") == (0.5, 0.8, 0.9)

    @pytest.mark.parametrize(("name", "value"), [("movable_share", 0.8), ("fallback_share", 0.01)])
    def test_typing_the_contrary_is_refused(self, name: str, value: float) -> None:
        with pytest.raises(ConfigError, match="--own-only") as raised:
            known(is_own_only=True, settings={name: exact(value)})
        assert raised.value.fix == "Leave one of them out."

    def test_typing_the_same_is_not(self) -> None:
        assert bounds(known(is_own_only=True, settings={"movable_share": exact(1.0)}), "movable_share") == (1, 1, 1)


class TestRefusals:
    """Typed assumptions that cannot be."""

    @pytest.mark.parametrize(
        ("name", "typed", "fix"),
        [
            ("movable_share", TypedRange(0.5, 0.8, 1.2), "0.8 or 80%"),
            ("movable_share", exact(80.0), "0.8 or 80%"),
            ("api_price_decay_per_year", exact(1.01), "0.8 or 80%"),
            ("setup_usd", TypedRange(-1, 0, 1), "0 or more"),
            ("fte_share", exact(-0.5), "0 or more"),
            ("volume_growth_per_year", exact(-1.0), "-0.99 or more"),
            ("peak_factor", TypedRange(0.5, 2, 3), "1 or more"),
            ("horizon_months", exact(0.0), "1 or more"),
            ("spend_usd_per_month", exact(0.0), "more than zero"),
            ("run_at_utilisation", exact(0.0), "more than zero"),
            ("traffic_realism", TypedRange(0, 0.5, 1), "more than zero"),
        ],
    )
    def test_a_value_that_cannot_be_is_refused_with_the_fix(self, name: str, typed: TypedRange, fix: str) -> None:
        with pytest.raises(ConfigError) as raised:
            known(settings={name: typed})
        assert name in raised.value.problem
        assert fix in raised.value.fix

    @pytest.mark.parametrize(
        ("name", "value"), [("volume_growth_per_year", -0.5), ("volume_growth_per_year", 3.0), ("cached_share", 1.0)]
    )
    def test_what_may_be_is_taken(self, name: str, value: float) -> None:
        assert bounds(known(settings={name: exact(value)}), name) == (value, value, value)

    def test_an_unknown_name_is_answered_with_near_ones(self) -> None:
        with pytest.raises(ConfigError, match="no assumption 'peak_faktor'") as raised:
            known(settings={"peak_faktor": exact(2.0)})
        assert "Did you mean peak_factor" in raised.value.fix

    def test_a_name_that_is_near_to_nothing_is_answered_with_where_they_stand(self) -> None:
        with pytest.raises(ConfigError) as raised:
            known(settings={"zzz": exact(2.0)})
        assert "--json" in raised.value.fix

    @pytest.mark.parametrize(
        ("names", "problem"),
        [
            (("input_tokens_per_request", "output_tokens_per_request"), "cost nothing at the API today"),
            (("api_input_usd_per_mtok", "api_cached_usd_per_mtok", "api_output_usd_per_mtok"), "the API today"),
            (("hosted_input_usd_per_mtok", "hosted_cached_usd_per_mtok", "hosted_output_usd_per_mtok"), "hosted-open"),
            (("seconds_per_input_token", "seconds_per_output_token"), "no time"),
        ],
    )
    def test_a_request_that_costs_or_takes_nothing_is_refused(self, names: tuple[str, ...], problem: str) -> None:
        settings = {name: exact(0.0) for name in names}
        with pytest.raises(ConfigError) as raised:
            known(settings=settings, hosted=make_hosts(("1", "2")), capacity=make_capacity())
        assert problem in raised.value.problem
        assert "--set" in raised.value.fix
        for name in names:  # each alone may be nothing
            known(settings={name: exact(0.0)}, hosted=make_hosts(("1", "2")), capacity=make_capacity())
