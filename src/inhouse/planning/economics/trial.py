"""Prices a bounded trial of self-hosting before anybody starts one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from inhouse.planning.economics.assumptions import Draws
from inhouse.planning.economics.costs import OptionCosts, Values, read_first_gpus_usd
from inhouse.planning.economics.decision import Trial, measure_band
from inhouse.planning.economics.options import OptionId
from inhouse.planning.economics.question import best_of


def price_trial(
    values: Values, costs: Mapping[OptionId, OptionCosts], totals: Mapping[OptionId, Draws]
) -> Trial | None:
    """What a trial costs and what may be gained by it.

    It costs the people, the GPUs and their power for its months, and the labels. After it the truth is known: where
    self-hosting is cheaper it goes on for the rest of the horizon, else it stops; so the gain is the mean of the
    positive savings, draw by draw, beside the best option that needs no GPUs.

    Returns:
        None where no self-hosted option may be chosen, or nothing else may.
    """
    means = {option: float(total.mean()) for option, total in totals.items()}
    own, other = best_of(means, is_self_host=True), best_of(means, is_self_host=False)
    if own is None or other is None:
        return None
    lines = costs[own].lines
    months = values["trial_months"]
    people = months * (lines["people"] + lines["on_call"])
    gpus = months * read_first_gpus_usd(costs[own])
    cost = people + gpus + values["labelling_usd"]
    saving = totals[other] - totals[own]
    gain = np.maximum(saving, 0) * (values["horizon_months"] - months)
    return Trial(
        option=own,
        other=other,
        cost_usd=measure_band(np.broadcast_to(cost, saving.shape)),
        people_usd=float(people.mean()),
        gpus_usd=float(gpus.mean()),
        labels_usd=float(values["labelling_usd"].mean()),
        chance_go=float((saving > 0).mean()),
        expected_gain_usd=float(gain.mean()),
    )
