"""Sums over usage rows that keep apart what is stated and what is not. No I/O, no prices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter

from inhouse.domain import USAGE_BUCKETS, ServiceTier, Usage, UsageRow


class Known(StrEnum):
    """How much of something the sources state."""

    ALL = "all"
    PART = "part"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotals:
    """Rows added up. What no row states is None; `…_known` says whether the sum is of all rows."""

    num_rows: int
    num_requests: int | None
    requests_known: Known
    usage: Usage | None
    usage_known: Known
    stated_usd: Decimal | None
    """What the sources say it cost."""
    usd_known: Known
    num_unpriced: int
    """Own requests that have no cost."""
    mean_input: float | None
    """Tokens of the prompt per request, over rows that state both."""
    mean_output: float | None
    """Tokens of the answer per request, over rows that state both."""
    cache_share: float | None
    """Of input tokens: read from a cache."""
    batch_share: float | None
    """Of all tokens: under the batch tariff."""

    @property
    def num_tokens(self) -> int:
        """Input and output; 0 where no row states tokens."""
        return 0 if self.usage is None else count_tokens(self.usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUsage:
    """Rows of one provider, model and tariff added up: what a price is multiplied with."""

    provider: str | None
    model: str | None
    tier: ServiceTier
    totals: UsageTotals


def count_tokens(usage: Usage) -> int:
    """Input and output tokens together."""
    return usage.input_total + usage.output_total


def sum_rows(rows: Iterable[UsageRow]) -> UsageTotals:
    """Add rows up."""
    known = list(rows)
    with_requests = [row for row in known if row.num_requests is not None]
    with_usage = [row for row in known if row.usage is not None]
    with_usd = [row.stated_usd for row in known if row.stated_usd is not None]
    both = [row for row in with_requests if row.usage is not None]
    usage = _sum_usage(with_usage)
    batch = _sum_usage([row for row in with_usage if row.tier is ServiceTier.BATCH])
    num_both = sum(row.num_requests or 0 for row in both)
    means = _sum_usage(both)
    return UsageTotals(
        num_rows=len(known),
        num_requests=sum(row.num_requests or 0 for row in with_requests) if with_requests else None,
        requests_known=_know(len(with_requests), len(known)),
        usage=usage if with_usage else None,
        usage_known=_know(len(with_usage), len(known)),
        stated_usd=sum(with_usd, Decimal(0)) if with_usd else None,
        usd_known=_know(len(with_usd), len(known)),
        num_unpriced=sum(row.num_unpriced for row in known),
        mean_input=_divide(means.input_total, num_both),
        mean_output=_divide(means.output_total, num_both),
        cache_share=_divide(usage.cache_read, usage.input_total),
        batch_share=_divide(count_tokens(batch), count_tokens(usage)),
    )


def split_by_model(rows: Iterable[UsageRow]) -> tuple[ModelUsage, ...]:
    """Sums per provider, model and tariff; the most tokens first, then by name."""
    groups: defaultdict[tuple[str | None, str | None, ServiceTier], list[UsageRow]] = defaultdict(list)
    for row in rows:
        groups[row.provider, row.model, row.tier].append(row)
    mix = [
        ModelUsage(provider=provider, model=model, tier=tier, totals=sum_rows(group))
        for (provider, model, tier), group in groups.items()
    ]
    return tuple(sorted(mix, key=lambda one: (-one.totals.num_tokens, one.provider or "", one.model or "", one.tier)))


def _sum_usage(rows: Iterable[UsageRow]) -> Usage:
    usages = [row.usage for row in rows if row.usage is not None]
    return Usage(**{name: sum(map(attrgetter(name), usages)) for name in USAGE_BUCKETS})


def _know(num_stated: int, num_rows: int) -> Known:
    if not num_stated:
        return Known.NOTHING
    return Known.ALL if num_stated == num_rows else Known.PART


def _divide(part: int, whole: int) -> float | None:
    return part / whole if whole else None
