"""What each assumption does to the saving (tornado), and where self-hosting begins to pay (break-even)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inhouse.planning.economics.costs import (
    OptionCosts,
    Values,
    api_usd_per_request,
    gpu_usd_per_hour,
    hosted_usd_per_request,
    read_utilisation,
    replica_seconds_per_request,
)
from inhouse.planning.economics.decision import BreakEven, TornadoBar, measure_band
from inhouse.planning.economics.options import STAY, OptionId
from inhouse.planning.economics.search import Grid, Search, cheapest, spread

_NUM_GRID = 25
_NUM_NARROWINGS = 2
_MAX_SCALE = 1000.0
_SPEND = "spend_usd_per_month"


def measure_tornado(search: Search) -> tuple[TornadoBar, ...]:
    """What moving each assumption from its 10th to its 90th percentile does to the saving, widest first.

    The saving is the best option that needs no GPUs minus the best self-hosted one, in dollars a month. Empty where one
    of the two may not be chosen.
    """
    own, others = _split(search.question.choosable)
    if not own or not others:
        return ()
    bars: list[TornadoBar] = []
    for item in search.question.assumptions:
        if item.is_exact:
            continue
        grid = np.asarray([item.at(0.1), item.at(0.9)])
        means = search.walk(item.name, grid, (*own, *others))
        saving = cheapest(_pick(means, others)) - cheapest(_pick(means, own))
        low, high = (float(value) for value in saving)
        bars.append(TornadoBar(item.name, float(grid[0]), float(grid[1]), low, high))
    return tuple(sorted(bars, key=lambda bar: -abs(bar.high_usd - bar.low_usd)))


def find_break_even(search: Search, values: Values, costs: Mapping[OptionId, OptionCosts]) -> BreakEven | None:
    """Spend and utilisation at which self-hosting begins to pay; None where there is no self-hosted option.

    Args:
        search: the question with few draws, for the spend.
        values: all draws, for the utilisation.
        costs: every option's costs for them.
    """
    question = search.question
    own, others = _split(question.options)
    fair = tuple(option for option in own if option.is_hybrid) or own
    if not fair:
        return None
    rivals = tuple(option for option in others if question.exclusion(option) is None)
    best = min(fair, key=lambda option: float(costs[option].total.mean()))
    rate = gpu_usd_per_hour(values, best.terms) * question.fleet.gpus_per_replica
    usd_when_busy = rate * replica_seconds_per_request(values) / 3600
    return BreakEven(
        option=best,
        spend_usd_beside_stay=_find_spend(search, fair, (STAY,)),
        spend_usd_beside_best=_find_spend(search, fair, rivals) if rivals else None,
        utilisation_beside_api=measure_band(usd_when_busy / api_usd_per_request(values)),
        utilisation_beside_hosted=measure_band(usd_when_busy / hosted_usd_per_request(values))
        if question.has_hosted
        else None,
        utilisation_now=measure_band(read_utilisation(costs[best])),
    )


def _find_spend(search: Search, own: tuple[OptionId, ...], rivals: tuple[OptionId, ...]) -> float | None:
    """The smallest spend from a thousandth to a thousand times today's at which one of `own` costs no more."""
    today = search.question.assumptions[_SPEND].mid
    grid = spread(today / _MAX_SCALE, today * _MAX_SCALE, _NUM_GRID, is_geometric=True)
    at: float | None = None
    for _ in range(_NUM_NARROWINGS + 1):
        means = search.walk(_SPEND, grid, tuple(dict.fromkeys((*own, *rivals))))
        pays = cheapest(_pick(means, own)) <= cheapest(_pick(means, rivals))
        if not pays.any():
            return at
        first = int(np.argmax(pays))
        at = float(grid[first])
        if first == 0:
            return at
        grid = spread(float(grid[first - 1]), at, _NUM_GRID, is_geometric=True)
    return at


def _split(options: tuple[OptionId, ...]) -> tuple[tuple[OptionId, ...], tuple[OptionId, ...]]:
    """(those on GPUs of one's own, the others)."""
    own = tuple(option for option in options if option.is_self_host)
    return own, tuple(option for option in options if not option.is_self_host)


def _pick(means: Mapping[OptionId, Grid], options: tuple[OptionId, ...]) -> dict[OptionId, Grid]:
    return {option: means[option] for option in options}
