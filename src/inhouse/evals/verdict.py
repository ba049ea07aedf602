"""What a paired result means for an allowed loss: approved, not approved, not enough data. Enforces nothing."""

from __future__ import annotations

import math
from enum import StrEnum

from msgspec import Struct

from inhouse.evals.intervals import normal_quantile
from inhouse.evals.pairing import PairedResult

DEFAULT_POWER = 0.8
_LEAST_ROOM_SHARE = 0.1
"""A loss within a tenth of the allowed one from it is treated as a tenth away, so that counts stay finite."""


class VerdictKind(StrEnum):
    """The three words that a user sees."""

    APPROVED = "approved"
    NOT_APPROVED = "not approved"
    NOT_ENOUGH_DATA = "not enough data"


class AllowedLoss(Struct, frozen=True, kw_only=True):
    """How much worse a candidate's mean score may be (0.05 is five answers in a hundred), and how sure that must be."""

    worse_answers: float
    confidence: float = 0.95
    power: float = DEFAULT_POWER

    def __post_init__(self) -> None:
        """Refuse values that no judgement can use."""
        for name, value in (
            ("worse_answers", self.worse_answers),
            ("confidence", self.confidence),
            ("power", self.power),
        ):
            if not 0 < value < 1:
                raise ValueError(f"{name} is {value:g}: give a share between 0 and 1, for example 0.05")


class Verdict(Struct, frozen=True, kw_only=True):
    """One judgement with its reason.

    `num_more_samples` is what a decision would take with the asked power, given the flips seen so far; None where
    the decision is made, or where no pair says how much flips.
    """

    kind: VerdictKind
    reason: str
    num_more_samples: int | None = None


def judge_loss(result: PairedResult, allowed: AllowedLoss) -> Verdict:
    """Judge by one-sided bounds of the difference, each at the asked confidence.

    Approved: the lower bound is above minus the allowed loss. Not approved: the upper bound is below it. Otherwise the
    samples do not say, and how many more would is estimated.
    """
    bounds = result.bound(allowed.confidence)
    loss = f"{allowed.worse_answers:.1%}"
    if bounds is None:
        words = f"{result.n} pairs in {result.num_clusters} cluster are too few for any interval"
        return Verdict(kind=VerdictKind.NOT_ENOUGH_DATA, reason=words)
    low, high = bounds
    sure = f"with {allowed.confidence:.0%} confidence"
    if low > -allowed.worse_answers:
        return Verdict(
            kind=VerdictKind.APPROVED, reason=f"the change is above {low:+.1%} {sure}; the allowed loss is {loss}"
        )
    if high < -allowed.worse_answers:
        return Verdict(
            kind=VerdictKind.NOT_APPROVED, reason=f"the change is below {high:+.1%} {sure}; the allowed loss is {loss}"
        )
    more = count_more_samples(result, allowed)
    words = f"the change lies between {low:+.1%} and {high:+.1%}, the allowed loss {loss} is inside"
    return Verdict(
        kind=VerdictKind.NOT_ENOUGH_DATA, reason=f"{words}; about {more:,} more samples", num_more_samples=more
    )


def count_samples(flip_rate: float, allowed: AllowedLoss) -> int:
    """Paired samples needed where nothing is truly lost: n = d · (z_confidence + z_power)² / loss², rounded up.

    `flip_rate` d is the share of samples whose score changes (mean squared change for scores between 0 and 1).
    """
    return math.ceil(flip_rate * _z_sum(allowed.confidence, allowed.power) ** 2 / allowed.worse_answers**2)


def smallest_detectable_loss(
    n: int, flip_rate: float, *, power: float = DEFAULT_POWER, confidence: float = 0.95
) -> float:
    """The smallest allowed loss that n pairs can clear with `power`, where nothing is truly lost (0..1)."""
    if n < 1:
        raise ValueError("the smallest detectable loss needs at least one pair")
    return min(1.0, _z_sum(confidence, power) * math.sqrt(flip_rate / n))


def count_more_samples(result: PairedResult, allowed: AllowedLoss) -> int:
    """How many more samples a decision would take, at least 1.

    Where the candidate is worse so far, what counts is the room between that and the allowed loss.
    Clustered samples are inflated by the design effect that was measured.
    """
    room = allowed.worse_answers + min(0.0, result.centre)
    room = max(abs(room), _LEAST_ROOM_SHARE * allowed.worse_answers)
    variance = result.movement
    if result.num_clusters is not None and result.spread is not None:
        variance = max(variance, result.spread**2 * (result.n + 2))
    needed = math.ceil(variance * _z_sum(allowed.confidence, allowed.power) ** 2 / room**2)
    return max(1, needed - result.n)


def _z_sum(confidence: float, power: float) -> float:
    return normal_quantile(confidence) + normal_quantile(power)
