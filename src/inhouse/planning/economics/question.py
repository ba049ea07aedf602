"""What is to be decided, and the rule that decides: the lowest expected cost of those options that may be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inhouse.planning.economics.assumptions import Assumptions, Draws
from inhouse.planning.economics.costs import Fleet, OptionCosts, Values, cost_options
from inhouse.planning.economics.options import Family, OptionId, Terms, list_options

_FULL_PARITY = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The assumptions, the GPUs, how they can be paid for, and what may not be chosen."""

    assumptions: Assumptions
    fleet: Fleet
    terms: tuple[Terms, ...]
    """Each needs an assumption `gpu_usd_per_hour.TERMS`; `ordered` needs that of `on_demand`."""
    has_hosted: bool = True
    """Whether a hosted-open price is known (assumptions `hosted_…_usd_per_mtok`)."""
    excluded: Mapping[Family, str] = field(default_factory=dict[Family, str])
    """Families that may not be chosen, with the reason's code (`licence`, `no_capacity`, `own_only` …)."""

    @property
    def options(self) -> tuple[OptionId, ...]:
        """Every option."""
        return list_options(self.terms, has_hosted=self.has_hosted)

    @property
    def choosable(self) -> tuple[OptionId, ...]:
        """Options that may be chosen.

        Raises:
            ValueError: none is left.
        """
        found = tuple(option for option in self.options if self.exclusion(option) is None)
        if not found:
            raise ValueError("every option is excluded")
        return found

    def exclusion(self, option: OptionId) -> str | None:
        """The code why an option may not be chosen; None where it may.

        To move everything, (almost) everything must be able to move; where that is so, there is no hybrid. Spot GPUs
        can all be taken back at once, so that something must be left to fall back to.
        """
        if option.family in self.excluded:
            return self.excluded[option.family]
        if not option.moves:
            return None
        is_full = self.assumptions["movable_share"].mid >= _FULL_PARITY
        if option.is_hybrid == is_full:
            return "nothing_left_at_api" if is_full else "needs_full_parity"
        if option.terms is Terms.SPOT and not option.is_hybrid:
            return "spot_without_fallback"
        return None

    def cost(self, values: Values) -> dict[OptionId, OptionCosts]:
        """Every option's costs for these values."""
        return cost_options(values, self.fleet, self.options)

    def total_choosable(self, values: Values) -> dict[OptionId, Draws]:
        """Totals of the options that may be chosen, dollars a month."""
        costs = cost_options(values, self.fleet, self.choosable)
        return {option: cost.total for option, cost in costs.items()}


def choose(means: Mapping[OptionId, float]) -> OptionId:
    """The option with the lowest expected cost; the first of equals, and options stand simplest first."""
    return min(means, key=lambda option: means[option])


def best_of(means: Mapping[OptionId, float], *, is_self_host: bool) -> OptionId | None:
    """The cheapest of those that run on own GPUs, or of all others; None where there is none."""
    side = {option: usd for option, usd in means.items() if option.is_self_host == is_self_host}
    return choose(side) if side else None
