"""What moving one use case alone is worth, on a platform that is there already: people and set-up left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inhouse.planning.economics.assumptions import Draws
from inhouse.planning.economics.costs import (
    Fleet,
    Values,
    gpu_usd_per_hour,
    hosted_usd_per_request,
    replica_seconds_per_request,
)
from inhouse.planning.economics.decision import Band, measure_band
from inhouse.planning.economics.options import OptionId

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseTraffic:
    """The month of one use case."""

    name: str
    usd: float
    requests: float
    input_tokens_per_request: float
    """Cached ones included."""
    cached_share: float
    output_tokens_per_request: float
    peak_factor: float | None
    """Its own busiest hour beside its mean hour; None: the peak of all traffic counts."""


def measure_moves(
    values: Values, fleet: Fleet, option: OptionId, use_cases: Sequence[UseCaseTraffic], num_draws: int
) -> tuple[Band, ...]:
    """Dollars a month, at today's prices, that moving each use case's movable share to the option's open weights saves.

    On own GPUs it pays for the share of replicas that its peak needs, not rounded up: a pooled fleet.

    Args:
        values: draws of every assumption.
        fleet: GPUs of a replica.
        option: hosted-open or self-hosted.
        use_cases: what may move.
        num_draws: number of draws.
    """
    return tuple(
        measure_band(np.broadcast_to(_measure_move(_narrow(values, item), fleet, option, item), num_draws))
        for item in use_cases
    )


def measure_requests_per_second(values: Values) -> Band:
    """What one saturated replica serves of the mean request."""
    return measure_band(1 / replica_seconds_per_request(values))


def _narrow(values: Values, item: UseCaseTraffic) -> Values:
    """The same assumptions with this use case's mean request."""
    own = {
        "input_tokens_per_request": item.input_tokens_per_request,
        "cached_share": item.cached_share,
        "output_tokens_per_request": item.output_tokens_per_request,
    }
    if item.peak_factor is not None:
        own["peak_factor"] = item.peak_factor
    return {**values, **{name: np.asarray([value]) for name, value in own.items()}}


def _measure_move(values: Values, fleet: Fleet, option: OptionId, item: UseCaseTraffic) -> Draws:
    if option.is_self_host:
        rate = gpu_usd_per_hour(values, option.terms) * fleet.gpus_per_replica
        reserved = values["peak_factor"] / values["run_at_utilisation"]
        per_request = rate * replica_seconds_per_request(values) / _SECONDS_PER_HOUR * reserved
    else:
        per_request = hosted_usd_per_request(values)
    kept = 1 - values["fallback_share"]
    return values["movable_share"] * (item.usd * kept - item.requests * per_request)
