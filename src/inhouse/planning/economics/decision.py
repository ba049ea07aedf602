"""What a decision consists of, as figures: no prose, no rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from inhouse.planning.economics.assumptions import Assumption, Draws
from inhouse.planning.economics.options import Family, OptionId


@dataclass(frozen=True, slots=True)
class Band:
    """A quantity over the draws: 10th, 50th and 90th percentile, and the mean."""

    p10: float
    p50: float
    p90: float
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionResult:
    """One option: avoidable dollars a month, averaged over the horizon."""

    option: OptionId
    total_usd: Band
    lines_usd: Mapping[str, Band]
    """By line (`api`, `gpus`, `people` …)."""
    saving_usd: Band
    """Beside staying, draw by draw."""
    chance_cheapest: float
    """Share of draws in which it is the cheapest of those that may be chosen; 0 where it may not."""
    chance_saves: float
    """Share of draws in which it is cheaper than staying."""
    num_gpus: Band | None
    utilisation: Band | None
    excluded_because: str | None
    """A code why it may not be chosen (`needs_full_parity`, `licence`, `own_only` …); None where it may."""


@dataclass(frozen=True, slots=True)
class Flip:
    """Where one assumption, moved alone, changes the answer.

    `flips_at` is None where no value between `searched_low` and `searched_high` changes it. `distance` is how far the
    flip lies from the middle, in units of the assumption's own range on that side (below 1: inside the stated range);
    of an exact value, in doublings or halvings; None where nothing flips.
    """

    name: str
    now: float
    flips_at: float | None
    flips_to: Family | None
    distance: float | None
    searched_low: float
    searched_high: float


@dataclass(frozen=True, slots=True)
class TornadoBar:
    """What one assumption alone does to the dollars a month that self-hosting saves beside the best other option."""

    name: str
    low_value: float
    """Its 10th percentile."""
    high_value: float
    low_usd: float
    """The saving there, the other assumptions drawn; negative: it costs more."""
    high_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """Where self-hosting begins to pay, with the same mix. None: not up to a thousand times today's spend."""

    option: OptionId
    """The self-hosted option that it is told of."""
    spend_usd_beside_stay: float | None
    spend_usd_beside_best: float | None
    utilisation_beside_api: Band
    """Average utilisation at which the GPUs alone cost what the API takes for the same requests."""
    utilisation_beside_hosted: Band | None
    """The same beside the hosted-open API; None where no price of it is known."""
    utilisation_now: Band
    """Of the best self-hosted hybrid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What knowing one assumption is worth, in dollars a month: expected value of partial perfect information."""

    name: str
    usd_per_month: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A bounded trial of self-hosting, priced before it is advised."""

    option: OptionId
    other: OptionId
    """The best option that needs no GPUs."""
    cost_usd: Band
    people_usd: float
    gpus_usd: float
    labels_usd: float
    chance_go: float
    """Share of draws in which self-hosting beats the best other option."""
    expected_gain_usd: float
    """Over the rest of the horizon: what is saved where it goes on, nothing where it stops."""

    @property
    def is_worth_it(self) -> bool:
        """Whether the expected gain pays the trial."""
        return self.expected_gain_usd > self.cost_usd.mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer and everything it rests on."""

    chosen: OptionId
    best_by_family: Mapping[Family, OptionId]
    """The cheapest of each family that may be chosen; a family without one is absent."""
    options: tuple[OptionResult, ...]
    assumptions: tuple[Assumption, ...]
    flips: tuple[Flip, ...]
    """Where another family is chosen; nearest first, those that never flip last."""
    self_host_flips: tuple[Flip, ...]
    """Where the answer to "on GPUs of our own?" changes; in the same order."""
    tornado: tuple[TornadoBar, ...]
    """Widest first."""
    break_even: BreakEven | None
    """None where there is no self-hosted option."""
    worth: tuple[Worth, ...]
    """Dearest first; only what is worth a dollar or more."""
    trial: Trial | None
    """None where no self-hosted option may be chosen."""
    quick_savings_usd: Mapping[str, Band]
    """Dollars a month of each saving at the API alone, at today's prices."""
    num_draws: int
    seed: int

    def result(self, option: OptionId) -> OptionResult:
        """The figures of one option."""
        return next(item for item in self.options if item.option == option)


def measure_band(values: Draws) -> Band:
    """Percentiles and mean of draws, shape (n,)."""
    p10, p50, p90 = np.percentile(values, (10, 50, 90))
    return Band(float(p10), float(p50), float(p90), float(np.mean(values)))
