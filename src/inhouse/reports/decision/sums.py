"""Rows of usage with their money, added up: what is priced, what is only stated, what is neither. Words nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from inhouse.domain import USAGE_BUCKETS, Usage, UsageRow
from inhouse.planning.totals import count_tokens
from inhouse.reports.pricing import Pricer

_MTOK = Decimal(1_000_000)
_ZERO = Decimal(0)
_CACHED = frozenset({"cache_read"})
_OUTPUTS = frozenset({"output_visible", "output_reasoning", "output_audio"})
_INPUTS = frozenset(USAGE_BUCKETS) - _OUTPUTS - _CACHED


@dataclass(frozen=True, slots=True)
class RowCost:
    """What one row costs."""

    row: UsageRow
    usd: Decimal | None
    """By price book or contract, else as stated; None: unpriced."""
    computed: Decimal | None
    """By price book or contract alone."""
    bucket_usd: dict[str, Decimal]
    """Of `computed`, by usage bucket, those with money; a fee for each request counts as input: it has no bucket."""

    @property
    def num_tokens(self) -> int:
        """Input and output; 0 where none are stated."""
        return 0 if self.row.usage is None else count_tokens(self.row.usage)

    @property
    def is_unpriced(self) -> bool:
        """Whether there was use that has no money, neither by a price nor as stated."""
        return self.usd is None and (self.num_tokens > 0 or self.row.num_requests != 0)


@dataclass(slots=True)
class Sums:
    """Money and tokens of some rows."""

    usd: Decimal = _ZERO
    """By price book or contract; where there is no price, as stated."""
    computed_usd: Decimal = _ZERO
    stated_usd: Decimal = _ZERO
    is_all_stated: bool = True
    tokenless_usd: Decimal = _ZERO
    """Of `usd`: of rows that state no tokens."""
    num_unpriced_rows: int = 0
    num_unpriced_requests: int | None = 0
    """None: a row that is unpriced does not count its requests."""
    num_unpriced_tokens: int = 0
    num_tokens: int = 0
    bucket_usd: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(USAGE_BUCKETS, _ZERO))

    @property
    def stated_only_usd(self) -> Decimal:
        """Money that is as the source states it, since no price of it is known."""
        return self.usd - self.computed_usd


def cost_row(row: UsageRow, pricer: Pricer) -> RowCost:
    """The cost of one row, by its price, else as it is stated, else unpriced."""
    cost = pricer.price_row(row)
    computed = cost.total_usd
    if computed is None:
        return RowCost(row, row.stated_usd, None, {})
    parts = {bucket: usd for bucket, usd in cost.buckets_usd if usd}
    if cost.request_usd:
        parts["input_uncached"] = parts.get("input_uncached", _ZERO) + cost.request_usd
    return RowCost(row, computed, computed, parts)


def add_costs(costs: Iterable[RowCost]) -> Sums:
    """Add rows up."""
    sums = Sums()
    for cost in costs:
        usd = cost.usd or _ZERO
        sums.usd += usd
        sums.computed_usd += cost.computed or _ZERO
        sums.num_tokens += cost.num_tokens
        if not cost.num_tokens:
            sums.tokenless_usd += usd
        if cost.row.stated_usd is None:
            sums.is_all_stated = False
        else:
            sums.stated_usd += cost.row.stated_usd
        if cost.is_unpriced:
            _count_unpriced(sums, cost)
        for bucket, part in cost.bucket_usd.items():
            sums.bucket_usd[bucket] += part
    return sums


def find_rates(usage: Usage, total: Sums) -> tuple[Decimal, Decimal, Decimal] | None:
    """Mean dollars per million of (input not from the cache, input from the cache, output).

    Tokens times rates are the money of the rows that state tokens. What has no price by tokens (money that only the
    source states, a fee on requests without input) is spread over all three alike. None where no row has one.
    """
    groups = [(buckets, sum(getattr(usage, bucket) for bucket in buckets)) for buckets in (_INPUTS, _CACHED, _OUTPUTS)]
    usd = [sum((total.bucket_usd[bucket] for bucket in buckets), _ZERO) if num else _ZERO for buckets, num in groups]
    by_tokens = sum(usd, _ZERO)
    if not by_tokens:
        return None
    scale = (total.usd - total.tokenless_usd) / by_tokens
    read, cached, output = (
        part * scale * _MTOK / num if num else None for part, (_, num) in zip(usd, groups, strict=True)
    )
    return read or _ZERO, (read or _ZERO) if cached is None else cached, output or _ZERO


def _count_unpriced(sums: Sums, cost: RowCost) -> None:
    sums.num_unpriced_rows += 1
    sums.num_unpriced_tokens += cost.num_tokens
    requests = cost.row.num_requests
    known = sums.num_unpriced_requests
    sums.num_unpriced_requests = None if known is None or requests is None else known + requests
