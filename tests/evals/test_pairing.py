"""Paired comparison against scipy, hand-computed values and seeded simulation of its error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inhouse.evals import (
    AllowedLoss,
    VerdictKind,
    compare_pairs,
    judge_loss,
    mcnemar,
    paired_bootstrap_interval,
    paired_t_interval,
)


def pairs(both_right: int, both_wrong: int, num_lost: int, num_won: int) -> tuple[list[float], list[float]]:
    before = [1.0] * both_right + [0.0] * both_wrong + [1.0] * num_lost + [0.0] * num_won
    after = [1.0] * both_right + [0.0] * both_wrong + [0.0] * num_lost + [1.0] * num_won
    return before, after


def test_bonett_price_by_hand() -> None:
    # n = 100, b = 8, c = 2: p̃b = 9/102, p̃c = 3/102, D̃ = -6/102, SE = √((12/102 - (6/102)²) / 102).
    found = compare_pairs(*pairs(70, 20, 8, 2))
    error = math.sqrt((12 / 102 - (6 / 102) ** 2) / 102)
    interval = found.interval()
    assert interval is not None
    assert (found.difference, found.num_lost, found.num_won, found.flip_rate) == (pytest.approx(-0.06), 8, 2, 0.1)
    assert interval.low == pytest.approx(-6 / 102 - 1.959964 * error, abs=1e-6)
    assert interval.high == pytest.approx(-6 / 102 + 1.959964 * error, abs=1e-6)
    assert interval.method == "Bonett-Price"


def test_equal_runs_still_have_width() -> None:
    interval = compare_pairs(*pairs(5, 0, 0, 0)).interval()
    assert interval is not None
    assert interval.low < -0.2
    assert interval.high > 0.2


def test_fractional_scores_use_t_and_are_never_narrower_than_the_plain_one() -> None:
    generator = np.random.default_rng(3)
    before, after = generator.uniform(size=40).tolist(), generator.uniform(size=40).tolist()
    found, plain = compare_pairs(before, after), paired_t_interval(before, after)
    interval = found.interval()
    assert interval is not None
    assert plain is not None
    assert interval.method == "paired t, two added pairs"
    assert interval.high - interval.low > plain.high - plain.low


def test_plain_paired_t_agrees_with_scipy() -> None:
    before, after = [0.5, 0.7, 0.2, 0.9, 0.4], [0.6, 0.65, 0.4, 0.95, 0.7]
    oracle = stats.ttest_rel(after, before).confidence_interval(0.95)
    found = paired_t_interval(before, after)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high))
    assert paired_t_interval([1.0], [0.0]) is None


def test_bootstrap_agrees_with_scipy_and_is_repeatable() -> None:
    generator = np.random.default_rng(11)
    before = generator.uniform(size=60)
    after = before + generator.normal(0.05, 0.1, size=60)
    found = paired_bootstrap_interval(before.tolist(), after.tolist(), seed=1)
    assert found == paired_bootstrap_interval(before.tolist(), after.tolist(), seed=1)
    oracle = stats.bootstrap(
        (after, before),
        lambda a, b, axis=-1: np.mean(a - b, axis=axis),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.002)


def test_bootstrap_draws_whole_clusters() -> None:
    before, after = [0.0] * 40, ([1.0] * 10 + [0.0] * 10) * 2
    clusters = [str(position // 10) for position in range(40)]
    plain = paired_bootstrap_interval(before, after, seed=1, num_draws=2000)
    clustered = paired_bootstrap_interval(before, after, seed=1, clusters=clusters, num_draws=2000)
    assert plain is not None
    assert clustered is not None
    assert clustered.high - clustered.low > 2 * (plain.high - plain.low)
    assert paired_bootstrap_interval(before, after, seed=1, clusters=["one"] * 40) is None


@given(num_lost=st.integers(0, 400), num_won=st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_mcnemar_agrees_with_the_binomial_test(num_lost: int, num_won: int) -> None:
    found = mcnemar(num_lost, num_won)
    flips, fewer = num_lost + num_won, min(num_lost, num_won)
    if flips:
        assert found.exact_p == pytest.approx(stats.binomtest(fewer, flips).pvalue, rel=1e-9)
        mid = (
            1.0 if num_lost == num_won else 2 * stats.binom.cdf(fewer, flips, 0.5) - stats.binom.pmf(fewer, flips, 0.5)
        )
        assert found.mid_p == pytest.approx(mid, rel=1e-9)
    assert 0 <= found.mid_p <= found.exact_p <= 1


def test_mcnemar_by_hand() -> None:
    # b = 1, c = 5: 2 · (1 + 6) / 64 and 2 · (1 + 6/2) / 64.
    assert (mcnemar(1, 5).exact_p, mcnemar(1, 5).mid_p) == (pytest.approx(14 / 64), pytest.approx(8 / 64))
    assert (mcnemar(0, 0).exact_p, mcnemar(3, 3).mid_p) == (1.0, 1.0)


@pytest.mark.parametrize(("before", "after"), [([], []), ([1.0], [1.0, 0.0]), ([1.5], [1.0]), ([0.0], [-0.1])])
def test_impossible_pairs_are_refused(before: list[float], after: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pairs need|between 0 and 1"):
        compare_pairs(before, after)


def test_one_cluster_gives_no_interval() -> None:
    found = compare_pairs([1.0] * 20, [0.0] * 20, clusters=["only"] * 20)
    assert found.interval() is None
    verdict = judge_loss(found, AllowedLoss(worse_answers=0.05))
    assert (verdict.kind, verdict.num_more_samples) == (VerdictKind.NOT_ENOUGH_DATA, None)


@pytest.mark.parametrize(("n", "flip_rate", "loss"), [(100, 0.06, 0.05), (200, 0.10, 0.05), (500, 0.05, 0.02)])
def test_a_candidate_at_the_allowed_loss_is_approved_about_one_time_in_twenty(
    n: int, flip_rate: float, loss: float
) -> None:
    """The false-pass rate of Bonett and Price's bound stays near its nominal 5 %."""
    generator = np.random.default_rng(20261101)
    lost, won = (flip_rate + loss) / 2, (flip_rate - loss) / 2
    counts = generator.multinomial(n, [lost, won, 1 - lost - won], size=4000)
    allowed = AllowedLoss(worse_answers=loss)
    verdicts = {
        (b, c): judge_loss(compare_pairs(*pairs(n - b - c, 0, b, c)), allowed).kind
        for b, c in {(int(row[0]), int(row[1])) for row in counts}
    }
    passes = sum(verdicts[int(row[0]), int(row[1])] is VerdictKind.APPROVED for row in counts)
    assert 0.02 <= passes / 4000 <= 0.065


def test_an_equal_candidate_is_approved_as_often_as_planned() -> None:
    """n = d(z+z)²/m² for 80 %: 124 pairs at 5 % flips and 5 points; the two added pairs cost a little of it."""
    generator = np.random.default_rng(7)
    counts = generator.multinomial(124, [0.025, 0.025, 0.95], size=2000)
    allowed = AllowedLoss(worse_answers=0.05)
    kinds = [
        judge_loss(compare_pairs(*pairs(124 - b - c, 0, b, c)), allowed).kind
        for b, c, _ in ((int(row[0]), int(row[1]), int(row[2])) for row in counts)
    ]
    assert 0.65 <= kinds.count(VerdictKind.APPROVED) / 2000 <= 0.9
    assert kinds.count(VerdictKind.NOT_APPROVED) / 2000 < 0.01


def test_clustered_samples_do_not_pass_for_independent_ones() -> None:
    """50 clusters of 10 with whole clusters flipping together, no true change: false alarms stay near 5 %."""
    generator = np.random.default_rng(13)
    clusters = [str(position // 10) for position in range(500)]
    alarms = {"clustered": 0, "plain": 0}
    for _ in range(300):
        changes = np.repeat(generator.choice([-1.0, 0.0, 1.0], p=[0.15, 0.7, 0.15], size=50), 10)
        before, after = (changes < 0).astype(float).tolist(), (changes > 0).astype(float).tolist()
        for name, used in (("clustered", clusters), ("plain", None)):
            interval = compare_pairs(before, after, clusters=used).interval()
            assert interval is not None
            alarms[name] += not interval.low <= 0 <= interval.high
    assert alarms["clustered"] / 300 <= 0.09
    assert alarms["plain"] / 300 >= 0.35
