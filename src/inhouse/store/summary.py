"""Sums up traces for the status page: one pass over the period's rows, grouped here, money in Decimal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from inhouse.domain import USAGE_BUCKETS, TraceStatus, Usage
from inhouse.store.rows import Quantiles, TraceSummary, TraceSummaryRow
from inhouse.store.tables import TRACES

_ROWS_PER_FETCH = 5000
_GROUP = ("route", "task", "variant", "endpoint_id", "is_simulated")
_MEASURED = ("status", "cost_usd", "ttft_ms", "tpot_ms", "e2e_ms", *USAGE_BUCKETS)


def summarize_rows(connection: sa.Connection, since: float, *, is_eval: bool, by_task: bool) -> TraceSummary:
    """Sum up the traces that began at Unix second `since` or later."""
    task = TRACES.c.task if by_task else sa.null().label("task")
    group = (task if name == "task" else TRACES.c[name] for name in _GROUP)
    query = sa.select(*group, *(TRACES.c[name] for name in _MEASURED)).where(
        TRACES.c.started_at >= since, TRACES.c.is_eval == is_eval
    )
    groups: dict[tuple[Any, ...], _Group] = {}
    rows = connection.execution_options(yield_per=_ROWS_PER_FETCH).execute(query)
    for row in rows:
        key = tuple(row[: len(_GROUP)])
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group()
        group.add(row[len(_GROUP) :])
    ordered = sorted(groups, key=lambda key: tuple(str(part or "") for part in key))
    return TraceSummary(since=since, rows=tuple(groups[key].summarize(*key) for key in ordered))


def measure_quantiles(values: Sequence[float]) -> Quantiles:
    """Median and 95th percentile, type 7; both None for no values."""
    if not values:
        return Quantiles(n=0)
    ordered = sorted(values)
    return Quantiles(n=len(ordered), p50_ms=_interpolate(ordered, 0.5), p95_ms=_interpolate(ordered, 0.95))


@dataclass(slots=True)
class _Group:
    """What is counted while the rows of one group go by."""

    num_by_status: Counter[TraceStatus] = field(default_factory=Counter[TraceStatus])
    cost_usd: Decimal = Decimal(0)
    num_priced: int = 0
    num_unpriced: int = 0
    ttft_ms: list[float] = field(default_factory=list[float])
    tpot_ms: list[float] = field(default_factory=list[float])
    e2e_ms: list[float] = field(default_factory=list[float])
    tokens: list[int] = field(default_factory=lambda: [0] * len(USAGE_BUCKETS))
    num_with_usage: int = 0

    def add(self, row: Sequence[Any]) -> None:
        """Count one trace, given in the order of `_MEASURED`."""
        status, cost_usd, ttft_ms, tpot_ms, e2e_ms, *buckets = row
        self.num_by_status[TraceStatus(status)] += 1
        if cost_usd is not None:
            self.num_priced += 1
            self.cost_usd += Decimal(repr(cost_usd))
        elif status not in {TraceStatus.OPEN, TraceStatus.FAILED}:
            self.num_unpriced += 1
        if buckets[0] is not None:
            self.num_with_usage += 1
            self.tokens = [total + number for total, number in zip(self.tokens, buckets, strict=True)]
        if status == TraceStatus.COMPLETE:
            for values, value in ((self.ttft_ms, ttft_ms), (self.tpot_ms, tpot_ms), (self.e2e_ms, e2e_ms)):
                if value is not None:
                    values.append(value)

    def summarize(
        self,
        route: str,
        task: str | None,
        variant: str,
        endpoint_id: str,
        is_simulated: bool,  # noqa: FBT001 - a key's part
    ) -> TraceSummaryRow:
        """The finished row."""
        return TraceSummaryRow(
            route=route,
            task=task,
            variant=variant,
            endpoint_id=endpoint_id,
            is_simulated=is_simulated,
            num_by_status=dict(self.num_by_status),
            ttft=measure_quantiles(self.ttft_ms),
            tpot=measure_quantiles(self.tpot_ms),
            e2e=measure_quantiles(self.e2e_ms),
            tokens=Usage(**dict(zip(USAGE_BUCKETS, self.tokens, strict=True))),
            num_with_usage=self.num_with_usage,
            cost_usd=self.cost_usd if self.num_priced else None,
            num_priced=self.num_priced,
            num_unpriced=self.num_unpriced,
        )


def _interpolate(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
