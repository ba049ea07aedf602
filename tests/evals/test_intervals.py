"""Single-run intervals against scipy and hand-computed values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inhouse.evals import (
    Interval,
    clustered_interval,
    quantile_interval,
    score_interval,
    t_interval,
    wilson_interval,
)
from inhouse.evals.intervals import clustered_error, normal_quantile, t_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3.5, 9, 30, 199, 5000])
@pytest.mark.parametrize("probability", [0.005, 0.2, 0.5, 0.8, 0.95, 0.975, 0.9995])
def test_t_quantile_agrees_with_scipy(degrees: float, probability: float) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-8, abs=1e-9)


def test_normal_quantile_is_the_textbook_value() -> None:
    assert normal_quantile(0.975) == pytest.approx(1.959963984540054)


@given(n=st.integers(1, 2000), share=st.floats(0, 1), confidence=st.floats(0.5, 0.999))
@settings(max_examples=60, deadline=None)
def test_wilson_agrees_with_scipy(n: int, share: float, confidence: float) -> None:
    right = round(share * n)
    found = wilson_interval(right, n, confidence=confidence)
    oracle = stats.binomtest(right, n).proportion_ci(confidence, method="wilson")
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-9)
    assert 0 <= found.low <= right / n + 1e-12
    assert right / n - 1e-12 <= found.high <= 1


def test_wilson_by_hand() -> None:
    found = wilson_interval(8, 10)
    assert (round(found.low, 4), round(found.high, 4), found.method) == (0.4902, 0.9433, "Wilson")


def test_wilson_is_exact_at_both_ends() -> None:
    assert (wilson_interval(60, 60).high, wilson_interval(0, 60).low) == (1.0, 0.0)


def test_wilson_refuses_an_empty_sample() -> None:
    with pytest.raises(ValueError, match="at least one"):
        wilson_interval(0, 0)


def test_t_interval_agrees_with_scipy() -> None:
    values = [0.2, 0.4, 0.9, 0.7, 0.65, 1.0]
    oracle = stats.t.interval(0.9, 5, loc=np.mean(values), scale=stats.sem(values))
    found = t_interval(values, confidence=0.9)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(oracle)


def test_one_value_says_nothing_of_scatter() -> None:
    assert t_interval([0.7]) is None
    assert score_interval([0.7, 0.7], ["a", "a"]) == wilson_interval(0.7, 1)


def test_clustered_error_by_hand() -> None:
    # Means 0.5; deviations sum to +1 in a, -1 in b, 0 in c: SE² = 3/2 · (1 + 1 + 0) / 6² = 1/12.
    error, num_clusters = clustered_error([1, 1, 0, 0, 1, 0], ["a", "a", "b", "b", "c", "c"])
    assert num_clusters == 3
    assert error == pytest.approx(math.sqrt(1 / 12))


def test_single_clusters_give_the_plain_error() -> None:
    values = [0.1, 0.5, 0.25, 1.0, 0.75]
    plain, clustered = t_interval(values), clustered_interval(values, list("abcde"))
    assert plain is not None
    assert clustered is not None
    assert (clustered.low, clustered.high) == pytest.approx((plain.low, plain.high))


def test_repeated_samples_widen_a_clustered_interval_but_not_a_plain_one() -> None:
    values = [float(value) for value in [1, 0, 1, 1, 0, 1, 0, 1] * 10]
    clusters = [str(position % 8) for position in range(80)]
    plain, clustered = score_interval(values), score_interval(values, clusters)
    assert plain is not None
    assert clustered is not None
    assert clustered.high - clustered.low > 2.5 * (plain.high - plain.low)


@pytest.mark.parametrize("clusters", [None, ["a", "b", "c", "d", "e"]])
def test_a_perfect_small_suite_is_no_proof(clusters: list[str] | None) -> None:
    assert score_interval([1.0] * 5, clusters) == wilson_interval(5, 5)
    assert wilson_interval(5, 5).low < 0.6


def test_score_intervals_choose_by_what_the_scores_are() -> None:
    methods = [found.method for found in (score_interval([1, 0, 1]), score_interval([0.5, 0.2, 1])) if found]
    assert methods == ["Wilson", "t"]
    assert score_interval([]) is None


def test_score_intervals_stay_between_zero_and_one() -> None:
    found = score_interval([0.9, 1.0, 1.0, 0.2])
    assert found is not None
    assert found.high == 1.0


def test_median_interval_by_hand() -> None:
    # n = 10: ranks 2 and 9 hold the median with 97.85 % (binomial tails 1.07 % each).
    assert quantile_interval([float(value) for value in range(1, 11)], 0.5) == Interval(2.0, 9.0, "order statistics")


def test_a_small_sample_has_no_interval_for_p95() -> None:
    assert quantile_interval([1.0] * 50, 0.95) is None
    assert quantile_interval([1.0] * 300, 0.95) is not None


def test_quantile_interval_covers() -> None:
    generator = np.random.default_rng(5)
    truth = float(stats.expon.ppf(0.9))
    hits = 0
    for _ in range(400):
        found = quantile_interval(generator.exponential(size=150).tolist(), 0.9)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / 400 <= 0.99
