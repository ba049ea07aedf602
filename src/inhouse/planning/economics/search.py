"""Expected costs of options while one assumption walks along a grid, the others drawn. Chooses nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inhouse.planning.economics.assumptions import Draws
from inhouse.planning.economics.costs import cost_options
from inhouse.planning.economics.options import OptionId
from inhouse.planning.economics.question import Question

_NUM_SEARCH_DRAWS = 400

Grid = NDArray[np.float64]
"""Values of one assumption, shape (k,)."""


@dataclass(frozen=True, slots=True)
class Search:
    """A question with a few draws of its assumptions, made once for all walks."""

    question: Question
    draws: Mapping[str, Draws]

    def walk(self, name: str, grid: Grid, options: tuple[OptionId, ...]) -> dict[OptionId, Grid]:
        """Expected dollars a month of each option at each value of one assumption, shape (k,)."""
        values = {other: _repeat(draws, len(grid)) for other, draws in self.draws.items()}
        values[name] = np.repeat(grid, _NUM_SEARCH_DRAWS)
        costs = cost_options(values, self.question.fleet, options)
        shape = (len(grid), _NUM_SEARCH_DRAWS)
        return {
            option: np.broadcast_to(cost.total, len(grid) * _NUM_SEARCH_DRAWS).reshape(shape).mean(axis=1)
            for option, cost in costs.items()
        }


def make_search(question: Question, seed: int) -> Search:
    """Draw a question's assumptions for walks."""
    draws = {item.name: item.draw(1 if item.is_exact else _NUM_SEARCH_DRAWS, seed) for item in question.assumptions}
    return Search(question, draws)


def cheapest(means: Mapping[OptionId, Grid]) -> Grid:
    """The lowest of some options' costs at each value, shape (k,)."""
    return np.min(np.stack(list(means.values())), axis=0)


def spread(start: float, end: float, num: int, *, is_geometric: bool) -> Grid:
    """`num` points from `start` to `end`, both included, evenly or by equal factors."""
    if is_geometric:
        return start * (end / start) ** np.linspace(0.0, 1.0, num)
    return np.linspace(start, end, num)


def _repeat(draws: Draws, num: int) -> Draws:
    return draws if len(draws) == 1 else np.tile(draws, num)
