"""Cost lines as rows of FOCUS 1.2, the FinOps Open Cost and Usage Specification. Writes no file.

Columns and their meaning: https://focus.finops.org/focus-specification/v1-2/. All 21 mandatory columns are given, and
those of the others that apply. Columns of our own begin with `x_`, as the specification wants.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from inhouse.domain import USAGE_BUCKETS, UsageRow
from inhouse.planning import CostBreakdown
from inhouse.reports.costs.lines import OWN_PROVIDER, CostLine
from inhouse.reports.pricing import Pricer

FOCUS_VERSION = "1.2"
ALL_TOKENS = "tokens"
"""Bucket of a row whose amount is not known by bucket."""
FOCUS_COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd",
    "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost",
    "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit",
    "ProviderName", "PublisherName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName",
    "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags", "x_CostBasis",
    "x_IsEvaluation", "x_IsSimulated", "x_Source",
)  # fmt: skip
_MTOK = Decimal(1_000_000)
_ZERO = Decimal(0)
_PICO = Decimal("1e-12")
_CONSUMED_UNIT = "Tokens"
_PRICING_UNIT = "1000000 Tokens"


@dataclass(frozen=True, slots=True)
class FocusPricers:
    """How amounts are split by bucket and compared with list prices."""

    own: Pricer
    """By the user's rates."""
    listed: Pricer
    """By list prices alone."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One bucket's share of a line."""

    bucket: str
    num_tokens: int
    usd: Decimal
    list_usd: Decimal
    has_list: bool
    price_id: str | None


def list_focus_rows(lines: Iterable[CostLine], pricers: FocusPricers) -> Iterator[dict[str, str]]:
    """A row for each line and token bucket, as text by column; their `BilledCost` adds up to the lines' dollars.

    A line's amount is split by the prices of its buckets; where they are not known it stays in one row. Lines without
    a price have no cost that could be stated, and give no row.
    """
    for line in lines:
        if line.usd is not None:
            for part in _split(line, line.usd, pricers):
                yield _make_row(line, part)


def _split(line: CostLine, usd: Decimal, pricers: FocusPricers) -> list[_Part]:
    listed = pricers.listed.price_row(_make_usage_row(line))
    list_buckets = dict(listed.buckets_usd)
    priced = pricers.own.price_row(_make_usage_row(line))
    parts = _divide(usd, priced)
    if parts is None:
        has_list = not listed.is_unpriced
        list_usd = (listed.total_usd or _ZERO) if has_list else usd
        return [_Part(ALL_TOKENS, line.num_tokens, usd, list_usd, has_list, None)]
    has_list = bool(list_buckets)
    return [
        _Part(
            bucket,
            0 if line.usage is None else getattr(line.usage, bucket, 0),
            amount,
            list_buckets.get(bucket, _ZERO) if has_list else amount,
            has_list,
            priced.price_id,
        )
        for bucket, amount in parts
    ]


def _divide(usd: Decimal, priced: CostBreakdown) -> list[tuple[str, Decimal]] | None:
    """An amount over the buckets in proportion to their prices; what rounding leaves goes to the largest.

    None where the prices are not known, or are all zero.
    """
    whole = priced.total_usd
    if not whole:
        return None
    shares = [(bucket, amount) for bucket, amount in (*priced.buckets_usd, ("requests", priced.request_usd)) if amount]
    if whole == usd:
        return shares
    parts = [(bucket, (usd * amount / whole).quantize(_PICO)) for bucket, amount in shares]
    largest = max(range(len(parts)), key=lambda number: parts[number][1])
    bucket, amount = parts[largest]
    parts[largest] = (bucket, amount + usd - sum((amount for _, amount in parts), _ZERO))
    return parts


def _make_usage_row(line: CostLine) -> UsageRow:
    return UsageRow(
        source=line.source,
        started_at=line.started_at,
        width_s=line.width_s,
        provider=line.provider,
        model=line.model,
        tier=line.tier,
        num_requests=line.num_requests,
        usage=line.usage,
    )


def _make_row(line: CostLine, part: _Part) -> dict[str, str]:
    provider = "Self-hosted" if line.provider == OWN_PROVIDER else line.provider or "Unknown"
    is_tokens = part.bucket == ALL_TOKENS or part.bucket in USAGE_BUCKETS
    num_units = part.num_tokens if is_tokens else line.num_requests or 0
    quantity = num_units / _MTOK if is_tokens else Decimal(num_units)
    month = datetime.fromtimestamp(line.started_at, UTC).replace(day=1, hour=0, minute=0, second=0)
    cost = _number(part.usd)
    return dict.fromkeys(FOCUS_COLUMNS, "") | {
        "BilledCost": cost,
        "BillingAccountId": provider,
        "BillingAccountName": provider,
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _time((month.replace(day=28).timestamp() // 86_400 + 4) * 86_400, is_month=True),
        "BillingPeriodStart": _time(month.timestamp()),
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{part.bucket} of {line.model or 'an unknown model'}, usage-based",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _time(line.started_at + line.width_s),
        "ChargePeriodStart": _time(line.started_at),
        "ConsumedQuantity": str(num_units),
        "ConsumedUnit": _CONSUMED_UNIT if is_tokens else "Requests",
        "ContractedCost": cost,
        "ContractedUnitPrice": _number(part.usd / quantity) if quantity else "",
        "EffectiveCost": cost,
        "InvoiceIssuerName": provider,
        "ListCost": _number(part.list_usd),
        "ListUnitPrice": _number(part.list_usd / quantity) if quantity and part.has_list else "",
        "PricingCategory": "Standard",
        "PricingQuantity": _number(quantity),
        "PricingUnit": _PRICING_UNIT if is_tokens else "Requests",
        "ProviderName": provider,
        "PublisherName": provider,
        "ResourceId": f"{line.provider or ''}/{line.model or ''}",
        "ResourceName": line.model or "",
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": f"{provider} inference" if line.is_own else f"{provider} API",
        "ServiceSubcategory": "Generative AI",
        "SkuId": f"{line.provider or ''}/{line.model or ''}/{line.tier.value}/{part.bucket}",
        "SkuMeter": part.bucket,
        "SkuPriceId": part.price_id or "",
        "SubAccountId": line.project or "",
        "SubAccountName": line.project or "",
        "Tags": _tags(line),
        "x_CostBasis": line.basis.value,
        "x_IsEvaluation": str(line.is_eval).lower(),
        "x_IsSimulated": str(line.is_simulated).lower(),
        "x_Source": line.source,
    }


def _tags(line: CostLine) -> str:
    found = {"route": line.project, "key": line.key, "task": line.task, **dict(line.tags)}
    return json.dumps({name: value for name, value in found.items() if value is not None}, ensure_ascii=False)


def _time(at: float, *, is_month: bool = False) -> str:
    """A moment as the specification writes it; with `is_month`, the first moment of its month."""
    moment = datetime.fromtimestamp(at, UTC)
    return (moment.replace(day=1) if is_month else moment).strftime("%Y-%m-%dT%H:%M:%SZ")


def _number(amount: Decimal) -> str:
    """Plain digits, without an exponent or zeros at the end."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
