"""What a decision rests on: named quantities with range, unit, owner and source. Draws values; judges nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from inhouse.catalog import AssumptionRow, Unit

Draws = NDArray[np.float64]
"""One value for each draw, shape (num_draws,)."""


class Owner(StrEnum):
    """Who answers for an assumption."""

    TYPED = "typed"
    """The user gave it."""
    IMPORTED = "imported"
    """Computed from a usage export."""
    MEASURED = "measured"
    """Computed from this installation's own traces."""
    CATALOG = "catalog"
    """A dated fact of the catalog."""
    ASSUMED = "assumed"
    """A reference range of inhouse; nobody of the user's has said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One quantity: what it is taken to be, and between which bounds it may lie.

    Drawn from a triangular distribution over [`low`, `high`] with its peak at `mid`; exact where `low` equals `high`.
    Drawn by its own stream, so that adding or fixing one assumption changes no other one's draws.
    """

    name: str
    low: float
    mid: float
    high: float
    unit: Unit
    owner: Owner
    label: str
    """What people read."""
    source: str
    """Where the figures come from, in words, with a date where it ages."""

    def __post_init__(self) -> None:
        if not self.low <= self.mid <= self.high:
            raise ValueError(f"{self.name}: low {self.low}, mid {self.mid} and high {self.high} are not in order")

    @property
    def is_exact(self) -> bool:
        """Whether there is nothing to draw."""
        return self.low == self.high

    def draw(self, num_draws: int, seed: int) -> Draws:
        """Values, shape (num_draws,); the same for the same name, bounds, number and seed.

        One from each of `num_draws` equally likely slices, in random order (Latin hypercube sampling, McKay, Beckman
        and Conover 1979), so that means settle with few draws.
        """
        if self.is_exact:
            return np.full(num_draws, self.mid)
        generator = np.random.default_rng([seed, *self.name.encode()])
        slices = generator.permutation(num_draws) + generator.random(num_draws)
        return self.quantile(slices / num_draws)

    def quantile(self, shares: Draws) -> Draws:
        """Quantiles of the triangular distribution (its inverse distribution function), for shares in [0, 1]."""
        if self.is_exact:
            return np.full_like(shares, self.mid)
        span, left, right = self.high - self.low, self.mid - self.low, self.high - self.mid
        is_left = shares * span < left
        below = self.low + np.sqrt(shares * span * left)
        above = self.high - np.sqrt((1 - shares) * span * right)
        return np.where(is_left, below, above)

    def at(self, share: float) -> float:
        """One quantile."""
        return float(self.quantile(np.asarray([share]))[0])


@dataclass(frozen=True, slots=True)
class Assumptions:
    """All assumptions of a decision, by name."""

    by_name: Mapping[str, Assumption]

    def __getitem__(self, name: str) -> Assumption:
        return self.by_name[name]

    def __iter__(self) -> Iterator[Assumption]:
        return iter(self.by_name.values())

    def fix(self, name: str, value: float) -> Assumptions:
        """The same with one assumption exact."""
        return self.put(replace(self.by_name[name], low=value, mid=value, high=value))

    def put(self, assumption: Assumption) -> Assumptions:
        """The same with one assumption added or replaced."""
        return Assumptions({**self.by_name, assumption.name: assumption})

    def mids(self) -> dict[str, Draws]:
        """The middle of each, shape (1,): what the decision is before any uncertainty."""
        return {item.name: np.asarray([item.mid]) for item in self}

    def draw(self, num_draws: int, seed: int) -> dict[str, Draws]:
        """Draws of each by name, shape (num_draws,)."""
        return {item.name: item.draw(num_draws, seed) for item in self}


def read_assumption(row: AssumptionRow) -> Assumption:
    """A reference range of the catalog: nobody of the user's has said so."""
    return Assumption(
        name=row.name,
        low=float(row.low),
        mid=float(row.mid),
        high=float(row.high),
        unit=row.unit,
        owner=Owner.ASSUMED,
        label=row.label,
        source=row.source.removeprefix("assumption: "),
    )
