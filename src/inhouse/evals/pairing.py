"""Paired comparison of two runs over the same samples: difference, interval, flips, exact test. Passes no verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from inhouse.evals.intervals import Interval, clustered_error, normal_quantile, t_quantile

BONETT_PRICE = "Bonett-Price"
ADJUSTED_T = "paired t, two added pairs"
CLUSTERED_T = "clustered t, two added pairs"


class PairedResult(Struct, frozen=True, kw_only=True):
    """What pairs of scores in 0..1 say: candidate minus baseline.

    `difference` is the plain mean; `spread` and `degrees` belong to the interval, which is built around
    `centre`, the mean with one won and one lost pair added. `num_lost` counts samples where the candidate scored lower,
    `num_won` higher. `spread` is None where pairs or clusters are too few for any interval.
    """

    n: int
    difference: float
    num_lost: int
    num_won: int
    method: str
    centre: float
    spread: float | None
    degrees: float | None = None
    num_clusters: int | None = None
    movement: float
    """Mean squared difference, with the two added pairs: the flip rate where scores are 0 or 1."""

    @property
    def flip_rate(self) -> float:
        """Share of samples whose score changed, either way."""
        return (self.num_lost + self.num_won) / self.n

    def bound(self, confidence: float) -> tuple[float, float] | None:
        """One-sided lower and upper bounds, each holding with `confidence`; None where there is no spread."""
        if self.spread is None:
            return None
        quantile = normal_quantile(confidence) if self.degrees is None else t_quantile(confidence, self.degrees)
        half = quantile * self.spread
        return max(-1.0, self.centre - half), min(1.0, self.centre + half)

    def interval(self, confidence: float = 0.95) -> Interval | None:
        """Two-sided interval of the difference."""
        bounds = self.bound((1 + confidence) / 2)
        return None if bounds is None else Interval(*bounds, self.method)


def compare_pairs(
    baseline: Sequence[float], candidate: Sequence[float], *, clusters: Sequence[str] | None = None
) -> PairedResult:
    """Compare scores of the same samples, sample by sample.

    Where every score is 0 or 1 the interval is Bonett and Price's (2012): one won and one lost pair are added, so that
    a few samples without a flip do not look like proof. The same two pairs are added to other scores in 0..1, with t
    in place of z, and to clustered ones, where each is a cluster of its own.

    Raises:
        ValueError: no pairs, unequal lengths, or a score outside 0..1.
    """
    if not baseline or len(baseline) != len(candidate):
        raise ValueError(f"pairs need two equal, non-empty series, got {len(baseline)} and {len(candidate)}")
    before, after = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if min(before.min(), after.min()) < 0 or max(before.max(), after.max()) > 1:
        raise ValueError("scores stand between 0 and 1")
    change = after - before
    n = len(change)
    extended = np.append(change, (1.0, -1.0))
    is_binary = bool(np.isin(before, (0.0, 1.0)).all() and np.isin(after, (0.0, 1.0)).all())
    spread, degrees, method = _spread(extended, is_binary=is_binary)
    num_clusters = None
    if clusters is not None:
        method, num_clusters = CLUSTERED_T, len(set(clusters))
        spread, degrees = None, float(num_clusters - 1)
        if num_clusters > 1:
            spread, _ = clustered_error(extended.tolist(), [*(f"c:{name}" for name in clusters), "won", "lost"])
    return PairedResult(
        n=n,
        difference=float(change.mean()),
        num_lost=int((change < 0).sum()),
        num_won=int((change > 0).sum()),
        method=method,
        centre=float(extended.mean()),
        spread=spread,
        degrees=degrees,
        num_clusters=num_clusters,
        movement=float((extended**2).mean()),
    )


def paired_t_interval(
    baseline: Sequence[float], candidate: Sequence[float], *, confidence: float = 0.95
) -> Interval | None:
    """Plain paired t interval of the mean difference, of any unit; None below two pairs."""
    change = np.asarray(candidate, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    if len(change) < 2:
        return None
    half = t_quantile((1 + confidence) / 2, len(change) - 1) * float(change.std(ddof=1)) / math.sqrt(len(change))
    return Interval(float(change.mean()) - half, float(change.mean()) + half, "paired t")


def paired_bootstrap_interval(
    baseline: Sequence[float],
    candidate: Sequence[float],
    *,
    seed: int,
    clusters: Sequence[str] | None = None,
    confidence: float = 0.95,
    num_draws: int = 10_000,
) -> Interval | None:
    """Percentile bootstrap of the mean difference over samples, or over clusters; None below two of them.

    Seeded, so that the same runs give the same interval. A second opinion where t is doubted (money, times).
    """
    change = np.asarray(candidate, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    names = [str(position) for position in range(len(change))] if clusters is None else list(clusters)
    _, index = np.unique(np.asarray(names), return_inverse=True)
    num_units = int(index.max()) + 1 if len(change) else 0
    if num_units < 2:
        return None
    sums, sizes = np.bincount(index, weights=change), np.bincount(index)
    generator = np.random.default_rng(seed)
    means = np.empty(num_draws)
    for position in range(num_draws):
        drawn = generator.integers(0, num_units, num_units)
        means[position] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.quantile(means, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Interval(float(low), float(high), "paired bootstrap")


class McNemar(Struct, frozen=True):
    """Two-sided p-values of McNemar's exact test and its mid-p form (Fagerland and others 2013)."""

    exact_p: float
    mid_p: float


def mcnemar(num_lost: int, num_won: int) -> McNemar:
    """Test that losses and wins are equally likely; without a flip both p-values are 1."""
    flips = num_lost + num_won
    if flips == 0:
        return McNemar(1.0, 1.0)
    fewer = min(num_lost, num_won)
    weights = [math.exp(_log_choose(flips, k) - flips * math.log(2)) for k in range(fewer + 1)]
    tail = math.fsum(weights)
    # Where both are equal the two tails overlap in their middle term, so 2·tail passes 1 by it: mid-p is then 1 too.
    return McNemar(min(1.0, 2 * tail), min(1.0, 2 * tail - weights[-1]))


def _spread(extended: np.typing.NDArray[np.float64], *, is_binary: bool) -> tuple[float, float | None, str]:
    """Standard error of the mean over n + 2 pairs, degrees of freedom (None for z) and the method's name."""
    variance = float((extended**2).mean() - extended.mean() ** 2)
    spread = math.sqrt(variance / len(extended))
    return (spread, None, BONETT_PRICE) if is_binary else (spread, float(len(extended) - 1), ADJUSTED_T)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
