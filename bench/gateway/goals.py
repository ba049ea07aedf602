"""What must hold: a figure beside its limit, and the arithmetic between them. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """One line of the table. `measured` is None where `why` says why there is no figure."""

    row: str
    words: str
    limit: float
    measured: float | None
    unit: str = "×"
    why: str = ""
    is_least: bool = False
    """The figure must be at least the limit, not at most."""

    @property
    def holds(self) -> bool | None:
        """None where it was not measured: no figure is neither a pass nor a failure."""
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.is_least else self.measured <= self.limit


def sort_goals(goals: Sequence[Goal]) -> list[Goal]:
    """Those that hold, those not measured, those that fail; the table's order within each."""
    order = {True: 0, None: 1, False: 2}
    return sorted(goals, key=lambda goal: order[goal.holds])


def show_goal(goal: Goal) -> str:
    """One line for people."""
    bound = f"{'at least' if goal.is_least else 'at most'} {_show(goal.limit)} {goal.unit}"
    if goal.measured is None:
        return f"not measured  ({goal.row}) {goal.words} ({bound}): {goal.why}"
    verdict = "met   " if goal.holds else "FAILED"
    return f"{verdict}  ({goal.row}) {goal.words}: {_show(goal.measured)} {goal.unit} ({bound})"


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the blocks' ratios.

    Both figures of a block come from the same moments, so what else the machine did then cancels out.

    Raises:
        ValueError: there are not as many of one as of the other, or none.
    """
    if not over:
        raise ValueError("there are no blocks")
    return statistics.median(one / two for one, two in zip(over, under, strict=True))


def find_quantile(values: Sequence[float], share: float) -> float:
    """The least value that at least `share` of them do not exceed (no interpolation).

    Raises:
        ValueError: there are no values, or `share` is not within 0..1.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError(f"no quantile {share} of {len(values)} values")
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def find_spread(values: Sequence[float]) -> float:
    """Greatest less least, as a share of the first."""
    return (max(values) - min(values)) / values[0]


def _show(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
