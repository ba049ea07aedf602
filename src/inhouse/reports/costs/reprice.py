"""Computes the cost of requests again from today's price book and rates, at each request's day. Stores nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal

from inhouse.domain import PriceVector, format_usd
from inhouse.store import PricedRequest, RepricedCost

FindVector = Callable[[str, date, bool], PriceVector | None]
"""(endpoint, day, whether the request was simulated) → its price, None where there is none."""

_SAME_SHARE = 1e-9
"""Costs that differ by less are the same: sums of doubles differ in their last digits."""


@dataclass(slots=True)
class Difference:
    """What computing again changes for one endpoint. Dollars of requests that had no cost are not in `before_usd`."""

    endpoint_id: str
    is_simulated: bool
    num_looked_at: int = 0
    num_changed: int = 0
    num_newly_priced: int = 0
    num_still_unpriced: int = 0
    before_usd: Decimal = Decimal(0)
    """Of the changed requests."""
    after_usd: Decimal = Decimal(0)
    """Of the changed requests."""

    def describe(self) -> str:
        """Before and after, in words."""
        before = format_usd(self.before_usd) if self.num_changed > self.num_newly_priced else "unpriced"
        return f"{before} → {format_usd(self.after_usd)}" if self.num_changed else "no change"


@dataclass(slots=True)
class Repricing:
    """Computes costs again, one request after the other, and keeps the differences by endpoint."""

    find_vector: FindVector
    differences: dict[tuple[str, bool], Difference] = field(default_factory=dict[tuple[str, bool], Difference])
    _vectors: dict[tuple[str, date, bool], PriceVector | None] = field(
        default_factory=dict[tuple[str, date, bool], PriceVector | None]
    )

    def run(self, requests: Iterable[PricedRequest]) -> Iterator[RepricedCost]:
        """The costs that differ from what is there.

        The arithmetic is the gateway's own, so that a request costs what it would have cost had the price been known.
        """
        for request in requests:
            key = (request.endpoint_id, request.is_simulated)
            found = self.differences.setdefault(key, Difference(*key))
            found.num_looked_at += 1
            cost, price_id = self._price(request)
            if cost is None or price_id is None:
                found.num_still_unpriced += request.cost_usd is None
            elif request.cost_usd is None or not math.isclose(cost, request.cost_usd, rel_tol=_SAME_SHARE):
                found.num_changed += 1
                found.after_usd += Decimal(repr(cost))
                if request.cost_usd is None:
                    found.num_newly_priced += 1
                else:
                    found.before_usd += Decimal(repr(request.cost_usd))
                yield RepricedCost(trace_id=request.trace_id, cost_usd=cost, price_id=price_id)

    def _price(self, request: PricedRequest) -> tuple[float | None, str | None]:
        day = datetime.fromtimestamp(request.started_at, UTC).date()
        key = (request.endpoint_id, day, request.is_simulated)
        if key not in self._vectors:
            self._vectors[key] = self.find_vector(*key)
        vector = self._vectors[key]
        reached = None if vector is None else vector.select(request.usage, request.tier)
        return (None, None) if reached is None else (reached.price(request.usage), reached.price_id)
