"""Draws, chooses and says how firm the choice is: one call from a question to a decision."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inhouse.planning.economics.assumptions import Draws
from inhouse.planning.economics.costs import OptionCosts, Values, cheaper_parts
from inhouse.planning.economics.decision import Band, Decision, OptionResult, measure_band
from inhouse.planning.economics.flips import find_flips
from inhouse.planning.economics.options import STAY, Family, OptionId
from inhouse.planning.economics.question import Question, choose
from inhouse.planning.economics.search import make_search
from inhouse.planning.economics.sensitivity import find_break_even, measure_tornado
from inhouse.planning.economics.trial import price_trial
from inhouse.planning.economics.worth import measure_worth

NUM_DRAWS = 10_000
SEED = 20_261_123


def decide(question: Question, *, num_draws: int = NUM_DRAWS, seed: int = SEED) -> Decision:
    """Answer a question.

    Args:
        question: assumptions, GPUs and what may not be chosen.
        num_draws: Monte Carlo draws; the percentiles' own error shrinks with their root.
        seed: the same seed gives the same decision.

    Raises:
        ValueError: every option is excluded.
        KeyError: an assumption that the options need is missing; names it.
    """
    values = question.assumptions.draw(num_draws, seed)
    costs = question.cost(values)
    totals = {option: np.broadcast_to(costs[option].total, num_draws) for option in question.choosable}
    means = {option: float(total.mean()) for option, total in totals.items()}
    chosen = choose(means)
    search = make_search(question, seed)
    flips = find_flips(search, chosen.family, values)
    return Decision(
        chosen=chosen,
        best_by_family=_find_best(means),
        options=_sum_up(question, costs, totals),
        assumptions=tuple(question.assumptions),
        flips=flips.family,
        self_host_flips=flips.self_host,
        tornado=measure_tornado(search),
        break_even=find_break_even(search, values, costs),
        worth=measure_worth(question.assumptions, values, totals, seed),
        trial=price_trial(values, costs, totals),
        quick_savings_usd=_measure_savings(values, num_draws),
        num_draws=num_draws,
        seed=seed,
    )


def _find_best(means: Mapping[OptionId, float]) -> dict[Family, OptionId]:
    families = dict.fromkeys(option.family for option in means)
    return {
        family: choose({option: usd for option, usd in means.items() if option.family is family}) for family in families
    }


def _sum_up(
    question: Question, costs: Mapping[OptionId, OptionCosts], totals: Mapping[OptionId, Draws]
) -> tuple[OptionResult, ...]:
    choosable = tuple(totals)
    cheapest = np.argmin(np.stack([totals[option] for option in choosable]), axis=0)
    num_draws = len(cheapest)
    stay = np.broadcast_to(costs[STAY].total, num_draws)
    results: list[OptionResult] = []
    for option, cost in costs.items():
        total = np.broadcast_to(cost.total, num_draws)
        is_cheapest = cheapest == choosable.index(option) if option in totals else np.zeros(num_draws, dtype=bool)
        results.append(
            OptionResult(
                option=option,
                total_usd=measure_band(total),
                lines_usd={name: measure_band(line) for name, line in cost.lines.items()},
                saving_usd=measure_band(stay - total),
                chance_cheapest=float(is_cheapest.mean()),
                chance_saves=float((total < stay).mean()),
                num_gpus=_measure(cost.num_gpus),
                utilisation=_measure(cost.utilisation),
                excluded_because=question.exclusion(option),
            )
        )
    return tuple(results)


def _measure(values: Draws | None) -> Band | None:
    return None if values is None else measure_band(values)


def _measure_savings(values: Values, num_draws: int) -> dict[str, Band]:
    spend = values["spend_usd_per_month"]
    return {
        name: measure_band(np.broadcast_to(share * spend, num_draws)) for name, share in cheaper_parts(values).items()
    }
