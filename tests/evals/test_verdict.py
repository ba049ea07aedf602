"""Verdicts and sample sizes, against the table of published and hand-computed values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.evals import (
    AllowedLoss,
    VerdictKind,
    compare_pairs,
    count_more_samples,
    count_samples,
    judge_loss,
    smallest_detectable_loss,
)


@pytest.mark.parametrize(
    ("flip_rate", "loss", "power", "needed"),
    [
        (0.05, 0.02, 0.8, 773),
        (0.05, 0.02, 0.9, 1071),
        (0.02, 0.01, 0.8, 1237),
        (0.10, 0.05, 0.8, 248),
        (0.20, 0.05, 0.9, 686),
    ],
)
def test_sample_sizes(flip_rate: float, loss: float, power: float, needed: int) -> None:
    # (z.95 + z.80)² = 6.1826, (z.95 + z.90)² = 8.5638
    found = count_samples(flip_rate, AllowedLoss(worse_answers=loss, power=power))
    assert found == pytest.approx(needed, abs=1)


def test_smallest_detectable_loss_inverts_the_sample_size() -> None:
    assert smallest_detectable_loss(773, 0.05) == pytest.approx(0.02, abs=1e-4)
    assert smallest_detectable_loss(3, 0.5) == 1.0
    with pytest.raises(ValueError, match="at least one"):
        smallest_detectable_loss(0, 0.05)


def judge(n: int, num_lost: int, num_won: int, loss: float = 0.05) -> tuple[VerdictKind, int | None, str]:
    before = [1.0] * num_lost + [0.0] * num_won + [1.0] * (n - num_lost - num_won)
    after = [0.0] * num_lost + [1.0] * num_won + [1.0] * (n - num_lost - num_won)
    verdict = judge_loss(compare_pairs(before, after), AllowedLoss(worse_answers=loss))
    return verdict.kind, verdict.num_more_samples, verdict.reason


def test_the_three_words() -> None:
    assert judge(1000, 10, 10)[:2] == (VerdictKind.APPROVED, None)
    assert judge(1000, 150, 10)[:2] == (VerdictKind.NOT_APPROVED, None)
    kind, more, reason = judge(60, 2, 2)
    assert (kind, VerdictKind.NOT_ENOUGH_DATA.value) == ("not enough data", "not enough data")
    # movement (4 + 2) / 62, 6.1826 · 0.0968 / 0.0025 = 239.3: 240 in all.
    assert more == 180
    assert "about 180 more samples" in reason


def test_a_handful_of_equal_answers_is_not_approved() -> None:
    assert judge(5, 0, 0)[0] is VerdictKind.NOT_ENOUGH_DATA


def test_a_worse_candidate_needs_more_samples_than_an_equal_one() -> None:
    equal, worse = judge(100, 5, 5)[1], judge(100, 8, 5)[1]
    assert equal is not None
    assert worse is not None
    assert worse > equal


@given(n=st.integers(1, 300), share=st.floats(0, 1), lost=st.floats(0, 1), loss=st.floats(0.001, 0.5))
@settings(max_examples=100, deadline=None)
def test_an_open_verdict_always_asks_for_at_least_one_more(n: int, share: float, lost: float, loss: float) -> None:
    flips = int(share * n)
    num_lost = int(lost * flips)
    before = [1.0] * num_lost + [0.0] * (n - num_lost)
    after = [0.0] * num_lost + [1.0] * (flips - num_lost) + [0.0] * (n - flips)
    result, allowed = compare_pairs(before, after), AllowedLoss(worse_answers=loss)
    verdict = judge_loss(result, allowed)
    if verdict.kind is VerdictKind.NOT_ENOUGH_DATA:
        assert verdict.num_more_samples == count_more_samples(result, allowed) >= 1
    else:
        assert verdict.num_more_samples is None


def test_clusters_are_paid_for() -> None:
    before, after = [1.0, 0.0] * 50, [0.0, 1.0] * 10 + [1.0, 0.0] * 40
    loose = [str(position) for position in range(100)]
    tight = [str(position // 20) for position in range(100)]
    allowed = AllowedLoss(worse_answers=0.05)
    # Within a tight cluster losses and wins cancel, so only what is independent is compared here.
    assert count_more_samples(compare_pairs(before, after, clusters=loose), allowed) == pytest.approx(
        count_more_samples(compare_pairs(before, after), allowed), rel=0.05
    )
    lost = [0.0] * 20 + [1.0] * 80
    assert count_more_samples(compare_pairs([1.0] * 100, lost, clusters=tight), allowed) > 5 * count_more_samples(
        compare_pairs([1.0] * 100, lost), allowed
    )


@pytest.mark.parametrize("values", [{"worse_answers": 0}, {"worse_answers": 5}, {"worse_answers": 0.05, "power": 1}])
def test_impossible_losses_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        AllowedLoss(**values)
