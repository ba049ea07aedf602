"""A decision is reproducible, consistent with its own draws, and its flips flip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.catalog import Unit, load_assumptions
from inhouse.planning.economics import (
    CHEAPER,
    SEED,
    STAY,
    Assumption,
    Assumptions,
    Decision,
    Family,
    Fleet,
    OptionId,
    Owner,
    Question,
    Terms,
    UseCaseTraffic,
    cost_options,
    decide,
    list_options,
    measure_moves,
    measure_requests_per_second,
    read_assumption,
)
from inhouse.planning.economics.costs import cheaper_parts, read_first_gpus_usd, read_utilisation
from inhouse.planning.economics.flips import find_bounds, find_flips
from inhouse.planning.economics.question import choose
from inhouse.planning.economics.search import make_search
from planning.worked import make_assumption, make_question

HYBRID = OptionId(Family.SELF_HOST, Terms.ON_DEMAND, is_hybrid=True)
ORDERED = OptionId(Family.SELF_HOST, Terms.ORDERED, is_hybrid=True)
HOSTED = OptionId(Family.HOSTED_OPEN, None, is_hybrid=True)
RANGES: dict[str, float | tuple[float, ...]] = {
    "movable_share": (0.5, 0.8, 0.9),
    "peak_factor": (2, 4, 6),
    "capacity_factor": (0.68, 1, 1.32),
    "fte_share": 0.5,
    "setup_usd": (30_000, 60_000, 130_000),
    "volume_growth_per_year": (0, 0.15, 0.5),
    "api_price_decay_per_year": (0, 0.3, 0.5),
    "cheaper_share": (0.1, 0.3, 0.6),
    "hosted_fte_share": (0.02, 0.05, 0.1),
    "evaluation_usd_per_month": (100, 300, 1000),
    "labelling_usd": 2000,
    "spend_usd_per_month": 22_000,
}
DRAWS = 2_000


def ask(
    excluded: Mapping[Family, str] | None = None,
    terms: tuple[Terms, ...] = tuple(Terms),
    /,
    **changed: float | tuple[float, ...],
) -> Question:
    """A question with ranges."""
    question = make_question(terms, 2, **{**RANGES, **changed})
    return replace(question, excluded=excluded or {})


def answer(question: Question) -> Family:
    """The family that a decision of this question chooses."""
    values = question.assumptions.draw(DRAWS, SEED)
    return choose({option: float(total.mean()) for option, total in question.total_choosable(values).items()}).family


@pytest.fixture(scope="module")
def decision() -> Decision:
    return decide(ask(), num_draws=DRAWS)


def test_options_are_listed_simplest_first() -> None:
    assert [str(option) for option in list_options((Terms.SPOT,))] == [
        "stay",
        "stay_cheaper",
        "hosted_open/hybrid",
        "hosted_open/all",
        "self_host/spot/hybrid",
        "self_host/spot/all",
    ]


def test_the_same_seed_gives_the_same_decision(decision: Decision) -> None:
    assert decide(ask(), num_draws=DRAWS) == decision


def test_chances_are_shares_of_the_draws(decision: Decision) -> None:
    assert sum(result.chance_cheapest for result in decision.options) == pytest.approx(1)
    assert decision.result(STAY).chance_saves == 0
    assert all(result.chance_cheapest == 0 for result in decision.options if result.excluded_because)


def test_the_chosen_option_has_the_lowest_expected_cost(decision: Decision) -> None:
    choosable = [result for result in decision.options if result.excluded_because is None]
    assert decision.chosen == min(choosable, key=lambda result: result.total_usd.mean).option
    assert decision.chosen == HOSTED
    assert decision.best_by_family[Family.HOSTED_OPEN] == HOSTED


def test_percentiles_are_in_order_and_lines_add_up(decision: Decision) -> None:
    for result in decision.options:
        assert result.total_usd.p10 <= result.total_usd.p50 <= result.total_usd.p90
        assert sum(line.mean for line in result.lines_usd.values()) == pytest.approx(result.total_usd.mean)


def test_moving_everything_may_not_be_chosen_while_a_share_must_stay(decision: Decision) -> None:
    assert decision.result(OptionId(Family.HOSTED_OPEN)).excluded_because == "needs_full_parity"
    everything = ask(movable_share=1.0)
    assert everything.exclusion(HOSTED) == "nothing_left_at_api"
    assert everything.exclusion(OptionId(Family.HOSTED_OPEN)) is None


def test_spot_gpus_need_something_to_fall_back_to() -> None:
    everything = ask(movable_share=1.0)
    assert everything.exclusion(OptionId(Family.SELF_HOST, Terms.SPOT)) == "spot_without_fallback"
    assert everything.exclusion(OptionId(Family.SELF_HOST, Terms.RESERVED)) is None
    assert ask().exclusion(OptionId(Family.SELF_HOST, Terms.SPOT, is_hybrid=True)) is None


def test_every_reported_flip_flips(decision: Decision) -> None:
    """An assumption set to its flip point gives another answer, with all draws and the same seed."""
    flips = [flip for flip in decision.flips if flip.flips_at is not None]
    assert len(flips) >= 5
    for flip in flips:
        assert flip.flips_at is not None
        question = ask()
        moved = replace(question, assumptions=question.assumptions.fix(flip.name, flip.flips_at))
        assert answer(moved) is flip.flips_to, flip


def test_short_of_a_flip_the_answer_stays(decision: Decision) -> None:
    """Nine tenths of the way to the nearest flips nothing changes: they are not reported too near."""
    for flip in decision.flips[:4]:
        assert flip.flips_at is not None
        question = ask()
        before = flip.now + 0.9 * (flip.flips_at - flip.now)
        moved = replace(question, assumptions=question.assumptions.fix(flip.name, before))
        assert answer(moved) is decision.chosen.family, flip


def test_a_flip_that_all_draws_do_not_confirm_is_not_reported() -> None:
    """Few draws find one; all draws, here of a question whose rival costs nearly nothing, do not have it."""
    search = make_search(ask(), SEED)
    sure = ask(movable_share=0.98, hosted_input_usd_per_mtok=0.0, hosted_output_usd_per_mtok=0.0, fallback_share=0.0)
    found = find_flips(search, Family.HOSTED_OPEN, ask().assumptions.draw(DRAWS, SEED)).family
    unsure = find_flips(search, Family.HOSTED_OPEN, sure.assumptions.draw(DRAWS, SEED)).family
    flips_at = [{flip.name: flip.flips_at for flip in flips}["cheaper_share"] for flips in (found, unsure)]
    assert flips_at[0] is not None
    assert flips_at[1] is None


def test_flips_are_ordered_by_nearness_and_those_without_come_last(decision: Decision) -> None:
    distances = [flip.distance for flip in decision.flips]
    known = [distance for distance in distances if distance is not None]
    assert known == sorted(known)
    assert distances[len(known) :] == [None] * (len(distances) - len(known))


def test_flips_to_ones_own_gpus_are_searched_apart() -> None:
    """Where the hosted price is the rival, a dear enough one makes self-hosting win."""
    decision = decide(ask(spend_usd_per_month=300_000.0, fte_share=1.0), num_draws=DRAWS)
    flips = {flip.name: flip for flip in decision.self_host_flips}
    found = flips["hosted_output_usd_per_mtok"]
    assert decision.chosen.family is Family.HOSTED_OPEN
    assert found.flips_to is Family.SELF_HOST
    assert found.flips_at is not None
    assert found.flips_at > 0.6


def test_the_tornado_is_widest_first_and_measures_the_saving(decision: Decision) -> None:
    widths = [abs(bar.high_usd - bar.low_usd) for bar in decision.tornado]
    assert widths == sorted(widths, reverse=True)
    setup = next(bar for bar in decision.tornado if bar.name == "setup_usd")
    assert setup.high_usd - setup.low_usd == pytest.approx(-(setup.high_value - setup.low_value) / 24, rel=0.01)


def test_break_even_spend_is_where_self_hosting_costs_what_staying_costs() -> None:
    decision = decide(make_question(fte_share=0.1, spend_usd_per_month=20_000), num_draws=100)
    assert decision.break_even is not None
    assert decision.break_even.spend_usd_beside_stay == pytest.approx(5_444, rel=0.01)
    assert decision.break_even.spend_usd_beside_best is None
    assert decision.break_even.utilisation_beside_hosted is not None
    assert decision.break_even.utilisation_beside_hosted.p50 == pytest.approx(0.27, abs=0.005)


def test_a_gpu_that_is_free_pays_from_the_first_dollar() -> None:
    question = make_question((Terms.ORDERED,), 64, power_usd_per_gpu_month=0, hosted_output_usd_per_mtok=9)
    decision = decide(question, num_draws=100)
    assert decision.chosen.terms is Terms.ORDERED
    assert decision.break_even is not None
    assert decision.break_even.spend_usd_beside_best == pytest.approx(20, rel=0.01)


def test_without_terms_there_is_no_break_even_no_tornado_and_no_trial() -> None:
    decision = decide(ask(None, ()), num_draws=DRAWS)
    assert (decision.break_even, decision.tornado, decision.trial) == (None, (), None)


def test_an_excluded_family_is_shown_and_not_chosen() -> None:
    decision = decide(ask({Family.HOSTED_OPEN: "own_only"}), num_draws=DRAWS)
    assert decision.chosen.family is Family.CHEAPER
    assert decision.result(HOSTED).excluded_because == "own_only"
    assert Family.HOSTED_OPEN not in decision.best_by_family


def test_only_own_gpus_leaves_nothing_to_compare_with() -> None:
    """A mandate: all but self-hosting is excluded, and then everything has to move."""
    everything_else: dict[Family, str] = dict.fromkeys((Family.STAY, Family.CHEAPER, Family.HOSTED_OPEN), "own_only")
    decision = decide(ask(everything_else, movable_share=1.0), num_draws=DRAWS)
    assert decision.chosen.family is Family.SELF_HOST
    assert not decision.chosen.is_hybrid
    assert decision.trial is None
    assert decision.tornado == ()
    assert decision.break_even is not None
    assert decision.break_even.spend_usd_beside_best is None
    assert decision.break_even.spend_usd_beside_stay is not None


def test_a_question_without_options_is_refused() -> None:
    with pytest.raises(ValueError, match="every option is excluded"):
        decide(ask(dict.fromkeys(Family, "licence")), num_draws=10)


def test_ordered_gpus_cost_their_power_and_the_rest_is_rented() -> None:
    question = make_question((Terms.ORDERED,), 2, spend_usd_per_month=100_000)
    lines = cost_options(question.assumptions.mids(), question.fleet, (ORDERED,))[ORDERED].lines
    assert float(lines["power"][0]) == 2 * 126
    assert float(lines["gpus"][0]) == 2 * 3.5 * 730


def test_ordered_gpus_are_rented_after_their_commitment_has_ended() -> None:
    """Paid for half of the horizon: half of the power, half of the rent; the trial falls into the paid half."""
    question = make_question((Terms.ORDERED,), 1, spend_usd_per_month=5_000)
    fleet = Fleet(gpus_per_replica=1, ordered_gpus=1, paid_months=12)
    costs = cost_options(question.assumptions.mids(), fleet, (ORDERED,))[ORDERED]
    assert float(costs.lines["power"][0]) == pytest.approx(126 / 2)
    assert float(costs.lines["gpus"][0]) == pytest.approx(3.5 * 730 / 2)
    assert float(read_first_gpus_usd(costs)[0]) == 126


def test_reserved_prices_do_not_fall_and_on_demand_prices_do() -> None:
    values = make_question(tuple(Terms), gpu_price_decay_per_year=0.2).assumptions.mids()
    costs = {terms: OptionId(Family.SELF_HOST, terms, is_hybrid=True) for terms in (Terms.RESERVED, Terms.ON_DEMAND)}
    found = cost_options(values, Fleet(gpus_per_replica=1), tuple(costs.values()))
    assert float(found[costs[Terms.RESERVED]].lines["gpus"][0]) == pytest.approx(1.6 * 730)
    assert float(found[costs[Terms.ON_DEMAND]].lines["gpus"][0]) < 0.9 * 3.5 * 730


def test_only_options_on_gpus_have_a_utilisation() -> None:
    question = make_question()
    costs = question.cost(question.assumptions.mids())
    assert 0 < float(read_utilisation(costs[HYBRID])[0]) < 1
    for read in (read_utilisation, read_first_gpus_usd):
        with pytest.raises(ValueError, match="only a self-hosted option"):
            read(costs[STAY])


def test_a_trial_costs_its_people_gpus_and_labels() -> None:
    question = make_question(
        fte_share=0.5, labelling_usd=2_000, hosted_output_usd_per_mtok=9, hosted_input_usd_per_mtok=2
    )
    trial = decide(question, num_draws=100).trial
    assert trial is not None
    assert trial.cost_usd.mean == pytest.approx(3 * (9_000 + 2_555) + 2_000)
    assert (trial.people_usd, trial.labels_usd) == (pytest.approx(27_000), 2_000)
    assert trial.chance_go == 1
    assert trial.expected_gain_usd > 0
    assert not replace(trial, expected_gain_usd=0).is_worth_it


def test_savings_at_the_api_are_shares_of_the_bill() -> None:
    values = make_question(cheaper_share=0.5, cacheable_share=0.5, batchable_share=0.2).assumptions.mids()
    parts = {name: float(share[0]) for name, share in cheaper_parts(values).items()}
    assert parts == pytest.approx(
        {"cheaper_tier": 0.5 * 0.8, "prompt_caching": 0.5 * 0.75 * 0.5, "batch_tariff": 0.2 * 0.5}
    )


def test_people_for_the_api_never_cost_more_than_those_for_self_hosting() -> None:
    question = make_question(fte_share=0.02, hosted_fte_share=0.05)
    lines = question.cost(question.assumptions.mids())[HOSTED].lines
    assert float(lines["people"][0]) == pytest.approx(0.02 * 18_000)


def test_worth_of_knowing_finds_the_assumption_that_decides() -> None:
    """Where one uncertain quantity alone decides, knowing it is worth most, and knowing an idle one nothing."""
    decision = decide(
        ask(movable_share=(0.05, 0.3, 0.95), cheaper_share=(0.2, 0.3, 0.4), evaluation_usd_per_month=(299, 300, 301)),
        num_draws=4_000,
    )
    worth = {item.name: item.usd_per_month for item in decision.worth}
    assert next(iter(worth)) == "movable_share"
    assert "evaluation_usd_per_month" not in worth


@pytest.mark.parametrize(
    ("option", "per_request"),
    [
        (HOSTED, 2_000 * 0.15e-6 + 400 * 0.6e-6),
        (HYBRID, 3.5 / 3600 * (2_000 / 17_400 + 400 / 11_300) * 4 / 0.7),
        (
            OptionId(Family.SELF_HOST, Terms.ORDERED, is_hybrid=True),
            3.5 / 3600 * (2_000 / 17_400 + 400 / 11_300) * 2 / 0.7,
        ),
    ],
)
def test_moving_one_use_case_saves_its_bill_less_what_it_takes(option: OptionId, per_request: float) -> None:
    question = make_question(fallback_share=0.05)
    case = UseCaseTraffic(
        name="triage",
        usd=5_000,
        requests=625_000,
        input_tokens_per_request=2_000,
        cached_share=0,
        output_tokens_per_request=400,
        peak_factor=2 if option.terms is Terms.ORDERED else None,
    )
    (band,) = measure_moves(question.assumptions.mids(), question.fleet, option, [case], 1)
    assert band.p50 == pytest.approx(0.8 * (5_000 * 0.95 - 625_000 * per_request))


def test_requests_a_second_follow_from_two_points() -> None:
    assert measure_requests_per_second(make_question().assumptions.mids()).p50 == pytest.approx(6.65, abs=0.01)


def test_draws_fill_the_range_evenly() -> None:
    item = make_assumption("x", 1, 2, 5)
    draws = item.draw(1_000, 7)
    assert 1 <= draws.min() < 1.2
    assert 4.6 < draws.max() <= 5
    assert float(draws.mean()) == pytest.approx((1 + 2 + 5) / 3, rel=1e-3)
    assert np.array_equal(draws, item.draw(1_000, 7))
    assert not np.array_equal(draws, make_assumption("y", 1, 2, 5).draw(1_000, 7))


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1))
@settings(deadline=None)
def test_quantiles_lie_in_the_range(low: float, left: float, right: float, share: float) -> None:
    item = make_assumption("x", low, low + left, low + left + right)
    assert item.low - 1e-6 <= item.at(share) <= item.high + 1e-6


def test_bounds_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="not in order"):
        make_assumption("x", 2, 1, 3)


def test_reference_ranges_are_owned_by_nobody() -> None:
    read = [read_assumption(row) for row in load_assumptions()]
    assert {item.owner for item in read} == {Owner.ASSUMED}
    assert all(item.label and item.source for item in read)
    assert "fte_share" not in {item.name for item in read}


@pytest.mark.parametrize(
    ("name", "mid", "unit", "bounds"),
    [
        ("peak_factor", 4, Unit.FACTOR, (1, 30)),
        ("movable_share", 0.8, Unit.SHARE, (0, 0.99)),
        ("fte_share", 12, Unit.FTE, (0, 12)),
        ("on_call_usd_per_month", 0, Unit.USD_PER_MONTH, (0, 10_000)),
        ("setup_usd", 100, Unit.USD, (0, 3_000)),
        ("spend_usd_per_month", 3_000, Unit.USD_PER_MONTH, (100, 90_000)),
        ("input_tokens_per_request", 30, Unit.COUNT, (1, 900)),
    ],
)
def test_bounds_of_the_search(name: str, mid: float, unit: Unit, bounds: tuple[float, float]) -> None:
    item = Assumption(name=name, low=mid, mid=mid, high=mid, unit=unit, owner=Owner.TYPED, label="", source="")
    assert find_bounds(item) == bounds


def test_assumptions_are_replaced_not_changed() -> None:
    before = Assumptions({"x": make_assumption("x", 1, 2, 3)})
    after = before.fix("x", 9)
    assert (before["x"].mid, after["x"].mid, after["x"].is_exact) == (2, 9, True)
    assert [item.name for item in after.put(make_assumption("y", 1))] == ["x", "y"]


def test_stay_and_cheaper_run_on_no_gpus(decision: Decision) -> None:
    for option in (STAY, CHEAPER):
        assert decision.result(option).num_gpus is None
        assert decision.result(option).utilisation is None
