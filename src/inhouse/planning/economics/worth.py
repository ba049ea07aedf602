"""What knowing one assumption exactly would be worth: expected value of partial perfect information, by slices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from inhouse.planning.economics.assumptions import Assumptions, Draws
from inhouse.planning.economics.costs import Values
from inhouse.planning.economics.decision import Worth
from inhouse.planning.economics.options import OptionId

_NUM_SLICES = 20
_NUM_SHUFFLES = 4
_MIN_USD = 1.0


def measure_worth(
    assumptions: Assumptions, values: Values, totals: Mapping[OptionId, Draws], seed: int
) -> tuple[Worth, ...]:
    """Dollars a month by which the choice would be cheaper on average, were one assumption known.

    Draws are cut into `_NUM_SLICES` equal slices by the assumption's value; in each the best option is taken (Strong,
    Oakley and Brennan 2014 discuss such estimators). What the same gives for shuffled draws is noise, and taken off.

    Returns:
        Those worth `_MIN_USD` or more, dearest first.
    """
    table = np.stack([totals[option] for option in totals])
    table = table[:, : table.shape[1] // _NUM_SLICES * _NUM_SLICES]
    generator = np.random.default_rng([seed, _NUM_SLICES])
    num = table.shape[1]
    noise = float(np.mean([_gain(table, generator.permutation(num)) for _ in range(_NUM_SHUFFLES)]))
    found = [
        Worth(name=item.name, usd_per_month=_gain(table, np.argsort(values[item.name][:num])) - noise)
        for item in assumptions
        if not item.is_exact
    ]
    return tuple(
        sorted(
            (item for item in found if item.usd_per_month >= max(_MIN_USD, noise)), key=lambda item: -item.usd_per_month
        )
    )


def _gain(table: NDArray[np.float64], order: NDArray[np.int64]) -> float:
    """How much choosing anew in each slice saves beside one choice for all; `table` is options by draws."""
    by_slice = table[:, order].reshape(len(table), _NUM_SLICES, -1).mean(axis=2)
    return float(table.mean(axis=1).min() - by_slice.min(axis=0).mean())
