"""When the requests of an open loop are due. Pure."""

from __future__ import annotations

import random


def plan_times_ns(num_requests: int, rate: float, seed: int | None) -> list[int]:
    """Nanoseconds after the start at which each request is due, ascending.

    Args:
        num_requests: how many.
        rate: requests a second, on average.
        seed: of the exponential gaps (Poisson arrivals); None: even gaps.
    """
    gap_ns = 1e9 / rate
    if seed is None:
        return [round(index * gap_ns) for index in range(num_requests)]
    draw = random.Random(seed)
    times: list[int] = []
    at = 0.0
    for _ in range(num_requests):
        at += draw.expovariate(1.0) * gap_ns
        times.append(round(at))
    return times
