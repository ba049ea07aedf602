"""How uneven the load is: the peak against the mean, and the shape of a week. No I/O."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from inhouse.domain import HOUR_S, ServiceTier, UsageRow
from inhouse.planning.totals import count_tokens

HOURS_PER_WEEK = 168
_MIN_HOURS_FOR_P99 = 100
_P99 = Fraction(99, 100)
_THURSDAY_HOURS = 3 * 24
"""Unix time begins on a Thursday, the week on a Monday."""


class PeakBasis(StrEnum):
    """Which hour stands for the peak."""

    P99 = "p99"
    """The 99th percentile of the hours."""
    MAX = "max"
    """The busiest hour: there are too few for a percentile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Load of the peak hour divided by that of the mean hour, over rows that are known by the hour.

    Load is tokens, input and output together (requests, where no row states tokens), of every tier but batch, which can
    wait. Mean and peak are over all hours from the first to the last one with a row, hours without traffic included.
    From 100 hours on the peak is the 99th percentile, linear between order statistics (type 7); below, the busiest.
    """

    factor: float
    basis: PeakBasis
    num_hours: int
    mean_load: float
    """Tokens (or requests) per hour."""
    unit: str
    """`tokens` or `requests`."""
    hourly_share: float
    """Of the load: known by the hour. The rest is known by the day only, and not in here."""


def find_peak(rows: Iterable[UsageRow]) -> Peak | None:
    """The peak; None where no row is known by the hour, or these had no load."""
    known = [row for row in rows if row.tier is not ServiceTier.BATCH]
    loads, unit = _sum_hours(known)
    total = sum(loads)
    if not total:
        return None
    mean = Fraction(total, len(loads))
    is_enough = len(loads) >= _MIN_HOURS_FOR_P99
    high = _quantile(loads, _P99) if is_enough else Fraction(max(loads))
    return Peak(
        factor=float(high / mean),
        basis=PeakBasis.P99 if is_enough else PeakBasis.MAX,
        num_hours=len(loads),
        mean_load=float(mean),
        unit=unit,
        hourly_share=total / sum(_measure_load(row, unit) for row in known),
    )


def shape_week(rows: Iterable[UsageRow]) -> tuple[float | None, ...] | None:
    """Load of each hour of the week against the mean hour, Monday 00:00 UTC first; the mean of all weeks covered.

    An hour of the week that the rows do not cover is None; the whole is None where `find_peak` is.
    """
    known = [row for row in rows if row.tier is not ServiceTier.BATCH]
    loads, _ = _sum_hours(known)
    total = sum(loads)
    if not total:
        return None
    first = min(row.started_at for row in known if row.width_s == HOUR_S) // HOUR_S
    sums: defaultdict[int, list[int]] = defaultdict(list)
    for offset, load in enumerate(loads):
        sums[(first + offset + _THURSDAY_HOURS) % HOURS_PER_WEEK].append(load)
    mean = total / len(loads)
    return tuple(sum(sums[hour]) / len(sums[hour]) / mean if hour in sums else None for hour in range(HOURS_PER_WEEK))


def _sum_hours(rows: Sequence[UsageRow]) -> tuple[list[int], str]:
    """Load of every hour from the first to the last one that has a row, and its unit."""
    hourly = [row for row in rows if row.width_s == HOUR_S]
    unit = "tokens" if any(row.usage is not None for row in hourly) else "requests"
    loads: defaultdict[int, int] = defaultdict(int)
    for row in hourly:
        loads[row.started_at // HOUR_S] += _measure_load(row, unit)
    return ([loads.get(hour, 0) for hour in range(min(loads), max(loads) + 1)] if loads else []), unit


def _measure_load(row: UsageRow, unit: str) -> int:
    if unit == "requests":
        return row.num_requests or 0
    return 0 if row.usage is None else count_tokens(row.usage)


def _quantile(values: Sequence[int], share: Fraction) -> Fraction:
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
