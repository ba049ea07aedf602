"""Confidence intervals for one run's metric: proportions, means, clustered means, quantiles. Compares nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Interval(Struct, frozen=True):
    """A two-sided confidence interval, in the metric's own unit, with the name of the method that made it."""

    low: float
    high: float
    method: str


def normal_quantile(probability: float) -> float:
    """The z with P(Z ≤ z) = probability."""
    return NormalDist().inv_cdf(probability)


def t_quantile(probability: float, degrees: float) -> float:
    """The t with P(T ≤ t) = probability, for `degrees` > 0 degrees of freedom. Bisection, exact to 1e-10 relative."""
    if probability == 0.5:
        return 0.0
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    low, high = 0.0, 1.0
    while _t_cdf(high, degrees) < probability:
        low, high = high, high * 2
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        if _t_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def wilson_interval(num_right: float, n: float, *, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927); raises ValueError for n = 0."""
    if n <= 0:
        raise ValueError("a proportion needs at least one observation")
    z = normal_quantile((1 + confidence) / 2)
    share = num_right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if share <= 0 else max(0.0, middle - half)  # exact at both ends, where rounding would miss them
    high = 1.0 if share >= 1 else min(1.0, middle + half)
    return Interval(low, high, "Wilson")


def t_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval | None:
    """Student's t interval of a mean; None below two values, where nothing says how they scatter."""
    n = len(values)
    if n < 2:
        return None
    array = np.asarray(values, dtype=np.float64)
    half = t_quantile((1 + confidence) / 2, n - 1) * float(array.std(ddof=1)) / math.sqrt(n)
    mean = float(array.mean())
    return Interval(mean - half, mean + half, "t")


def clustered_error(values: Sequence[float], clusters: Sequence[str]) -> tuple[float, int]:
    """Cluster-robust standard error of a mean (Liang and Zeger 1986), and the number of clusters G.

    SE² = G/(G-1) · (1/n²) · Σ over clusters of (Σ of the cluster's deviations)². Needs two clusters, else ValueError.
    """
    array = np.asarray(values, dtype=np.float64)
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    num_clusters = int(index.max()) + 1 if len(array) else 0
    if num_clusters < 2:
        raise ValueError("a clustered error needs at least two clusters")
    sums = np.bincount(index, weights=array - array.mean(), minlength=num_clusters)
    variance = float((sums**2).sum()) / len(array) ** 2 * num_clusters / (num_clusters - 1)
    return math.sqrt(variance), num_clusters


def clustered_interval(
    values: Sequence[float], clusters: Sequence[str], *, confidence: float = 0.95
) -> Interval | None:
    """Interval by t of a mean with cluster-robust error and G - 1 degrees of freedom; None below two clusters."""
    if len(set(clusters)) < 2:
        return None
    error, num_clusters = clustered_error(values, clusters)
    mean = float(np.mean(values))
    half = t_quantile((1 + confidence) / 2, num_clusters - 1) * error
    return Interval(mean - half, mean + half, "clustered t")


def score_interval(
    values: Sequence[float], clusters: Sequence[str] | None = None, *, confidence: float = 0.95
) -> Interval | None:
    """Interval of the mean of scores in 0..1: Wilson where each is 0 or 1, else t; clustered where clusters are given.

    Values that do not scatter at all would give an interval without width. Then Wilson's is given, over the clusters
    where there are some: a suite of five right answers proves little. None where nothing can be said.
    """
    if not values:
        return None
    if clusters is not None:
        found = clustered_interval(values, clusters, confidence=confidence)
        if found is not None and found.high > found.low:
            return _clip(found)
        num_clusters = len(set(clusters))
        return wilson_interval(float(np.mean(values)) * num_clusters, num_clusters, confidence=confidence)
    if all(value in {0.0, 1.0} for value in values) or len(set(values)) == 1:
        return wilson_interval(math.fsum(values), len(values), confidence=confidence)
    found = t_interval(values, confidence=confidence)
    return None if found is None else _clip(found)


def quantile_interval(values: Sequence[float], share: float, *, confidence: float = 0.95) -> Interval | None:
    """Distribution-free interval of a quantile from order statistics; None where the sample is too small for one.

    Takes the narrowest pair of ranks, each tail holding at most (1 - confidence) / 2 of the binomial(n, share).
    """
    n = len(values)
    tail = (1 - confidence) / 2
    below = _binomial_cdf(n, share)
    low = sum(1 for value in below if value <= tail)
    high = next((rank for rank, value in enumerate(below) if value >= 1 - tail), n) + 1
    if low < 1 or high > n:
        return None
    ordered = sorted(values)
    return Interval(ordered[low - 1], ordered[high - 1], "order statistics")


def _clip(interval: Interval) -> Interval:
    return Interval(max(0.0, interval.low), min(1.0, interval.high), interval.method)


def _binomial_cdf(n: int, share: float) -> list[float]:
    """P(X ≤ k) for k = 0 … n-1."""
    total = 0.0
    cdf: list[float] = []
    for k in range(n):
        log_term = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        total += math.exp(log_term + k * math.log(share) + (n - k) * math.log1p(-share))
        cdf.append(total)
    return cdf


def _t_cdf(t: float, degrees: float) -> float:
    """P(T ≤ t) for t ≥ 0, by the regularized incomplete beta function."""
    return 1 - _incomplete_beta(degrees / (degrees + t * t), degrees / 2, 0.5) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) by its continued fraction, evaluated with Lentz's method (DLMF 8.17.22)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    tiny = 1e-300
    numerator, denominator = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1), tiny)
    fraction = denominator
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            denominator = 1 / _away_from_zero(1 + term * denominator, tiny)
            numerator = _away_from_zero(1 + term / numerator, tiny)
            fraction *= numerator * denominator
        if abs(numerator * denominator - 1) < 1e-15:
            break
    return math.exp(log_front) * fraction / a


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
