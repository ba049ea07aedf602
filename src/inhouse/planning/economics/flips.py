"""Where one assumption, moved alone, changes the answer. A flip that few draws find is confirmed with all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inhouse.catalog import Unit
from inhouse.planning.economics.assumptions import Assumption
from inhouse.planning.economics.costs import Values
from inhouse.planning.economics.decision import Flip
from inhouse.planning.economics.options import Family
from inhouse.planning.economics.question import choose
from inhouse.planning.economics.search import Grid, Search, spread

_NUM_GRID = 16
_NUM_NARROWINGS = 2
_REACH = 30.0
"""How far from its middle a quantity without natural bounds is searched, as a factor."""
_BOUNDS: dict[str, tuple[float, float]] = {
    "peak_factor": (1.0, 30.0),
    "run_at_utilisation": (0.05, 0.99),
    "horizon_months": (6.0, 60.0),
    "volume_growth_per_year": (-0.9, 5.0),
    "fte_share": (0.0, 10.0),
    "spare_replicas": (0.0, 4.0),
    "spare_replicas_alone": (0.0, 4.0),
}
_UNIT_BOUNDS = {Unit.SHARE: (0.0, 0.99), Unit.SHARE_PER_YEAR: (0.0, 0.95), Unit.FTE: (0.0, 2.0)}
_SPEND = "spend_usd_per_month"
_ROOM_USD = 10_000.0
"""How far an amount that is now nothing is searched."""
_PUSHES = (0.0, 0.01, 0.03, 0.1)
"""How far beyond a flip found with few draws all draws are tried, as a share of the way to it."""
_DIGITS = 3

Answer = Callable[[Family], object]
"""What counts as one answer: the family itself, or only whether it runs on GPUs of one's own."""


@dataclass(frozen=True, slots=True)
class Flips:
    """The flips of both questions, each nearest first, those that never flip last."""

    family: tuple[Flip, ...]
    self_host: tuple[Flip, ...]


def find_flips(search: Search, family: Family, values: Values) -> Flips:
    """The nearest flip of each assumption.

    Args:
        search: the question with few draws.
        family: the answer as it is.
        values: all draws of all assumptions, to confirm with.
    """
    finders = [_Finder(search, item, family, values) for item in search.question.assumptions]
    return Flips(
        family=_order([finder.find(_as_family) for finder in finders]),
        self_host=_order([finder.find(_as_self_host) for finder in finders]),
    )


def find_bounds(item: Assumption) -> tuple[float, float]:
    """Between which values an assumption is moved: natural bounds, else a factor of 30 either way."""
    bounds = _BOUNDS.get(item.name) or _UNIT_BOUNDS.get(item.unit)
    if bounds is not None:
        return min(bounds[0], item.mid), max(bounds[1], item.mid)
    if item.unit in {Unit.USD, Unit.USD_PER_MONTH} and item.name != _SPEND:
        return 0.0, item.mid * _REACH or _ROOM_USD
    return item.mid / _REACH, item.mid * _REACH


class _Finder:
    """The search along one assumption; the first grid of each side serves both questions."""

    def __init__(self, search: Search, item: Assumption, family: Family, values: Values) -> None:
        self._search = search
        self._item = item
        self._family = family
        self._values = values
        self._bounds = find_bounds(item)
        grids = [_spread(item.mid, bound) for bound in self._bounds if bound != item.mid]
        self._sides = [(grid, self._choose_along(grid)) for grid in grids]

    def find(self, answer: Answer) -> Flip:
        """The nearest flip of this answer."""
        found = [self._narrow(grid, families, answer) for grid, families in self._sides]
        near = sorted((at for at in found if at is not None), key=self._measure_distance)
        for candidate in near:
            confirmed = self._confirm(candidate, answer)
            if confirmed is not None:
                at, to = confirmed
                return Flip(self._item.name, self._item.mid, at, to, self._measure_distance(at), *self._bounds)
        return Flip(self._item.name, self._item.mid, None, None, None, *self._bounds)

    def _narrow(self, grid: Grid, families: Sequence[Family], answer: Answer) -> float | None:
        """The value nearest to the grid's start at which the answer is another; None where there is none."""
        first = self._first_other(families, answer)
        if first is None:
            return None
        for _ in range(_NUM_NARROWINGS):
            grid = spread(float(grid[max(first - 1, 0)]), float(grid[first]), _NUM_GRID, is_geometric=False)
            first = self._first_other(self._choose_along(grid), answer) or 0
        return float(grid[first])

    def _first_other(self, families: Sequence[Family], answer: Answer) -> int | None:
        is_other = [answer(found) != answer(self._family) for found in families]
        return is_other.index(True) if True in is_other else None

    def _choose_along(self, grid: Grid) -> list[Family]:
        means = self._search.walk(self._item.name, grid, self._search.question.choosable)
        options = tuple(means)
        return [
            options[int(index)].family for index in np.argmin(np.stack([means[option] for option in options]), axis=0)
        ]

    def _confirm(self, found: float, answer: Answer) -> tuple[float, Family] | None:
        """(value in few digits, the other answer) at or a little beyond what was found, with all draws."""
        item, question = self._item, self._search.question
        for push in _PUSHES:
            at = _round_away(found + push * (found - item.mid), item.mid)
            moved = replace(question, assumptions=question.assumptions.fix(item.name, at))
            totals = moved.total_choosable({**self._values, item.name: np.asarray([at])})
            chosen = choose({option: float(total.mean()) for option, total in totals.items()}).family
            if answer(chosen) != answer(self._family):
                return at, chosen
        return None

    def _measure_distance(self, at: float) -> float:
        """How far a flip is: in units of the range on its side; of an exact value, in doublings or halvings."""
        item = self._item
        reach = item.high - item.mid if at >= item.mid else item.mid - item.low
        reach = reach or item.high - item.low  # the middle may be a bound itself
        if reach > 0:
            return abs(at - item.mid) / reach
        if item.is_exact and at > 0 and item.mid > 0:
            return abs(math.log2(at / item.mid))
        return abs(at - item.mid) / max(abs(item.mid), abs(at))


def _as_family(family: Family) -> object:
    return family


def _as_self_host(family: Family) -> object:
    return family is Family.SELF_HOST


def _order(flips: Sequence[Flip]) -> tuple[Flip, ...]:
    return tuple(sorted(flips, key=lambda flip: math.inf if flip.distance is None else flip.distance))


def _spread(start: float, end: float) -> Grid:
    """Points from `start` to `end`, denser near the start where both have a logarithm."""
    is_wide = start > 0 and end > 0 and max(start / end, end / start) > 2
    return spread(start, end, _NUM_GRID, is_geometric=is_wide)


def _round_away(value: float, start: float) -> float:
    """To `_DIGITS` digits, away from `start`, so that the flip is not lost by rounding."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - _DIGITS + 1)
    scaled = value / step
    whole = math.ceil(scaled - 1e-9) if value >= start else math.floor(scaled + 1e-9)
    return float(f"{whole * step:.6g}")
