"""From usage rows (or a typed amount) to the month's traffic and its bill by use case, reconciled. Reads no store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from inhouse.catalog import Catalog
from inhouse.domain import USAGE_BUCKETS, ConfigError, Usage, UsageRow
from inhouse.planning import (
    CostBreakdown,
    Known,
    UsageProfile,
    UsageTotals,
    UseCaseUsage,
    group_use_cases,
    profile_usage,
)
from inhouse.planning.economics import Owner, UseCaseTraffic
from inhouse.reports.decision.assemble import Bill
from inhouse.reports.decision.inputs import Traffic
from inhouse.reports.decision.report import Basis, Coverage, Reconciliation, Scope, UseCaseLine
from inhouse.reports.pricing import Pricer

DAYS_PER_MONTH = 730 / 24
OWN_PROVIDER = "own"
_MTOK = Decimal(1_000_000)
_ZERO = Decimal(0)
_NOMINAL_TOKENS = 2_400
"""Tokens of the request that stands in where a source counts none: costs follow tokens, its size changes none."""
_CACHED = "cache_read"
_OUTPUTS = frozenset({"output_visible", "output_reasoning", "output_audio"})
_INPUTS = frozenset(USAGE_BUCKETS) - _OUTPUTS - {_CACHED}
_SHORT_DAYS = 14
_SHORT_TOKENS, _LONG_TOKENS = 4_000, 32_000
_STEADY_PEAK = 3.0
_NUM_MIXED_TEMPLATES = 6
_SMALL_SHARE, _AUDIO_SHARE, _BATCH_SHARE = 0.05, 0.01, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where rows come from, and what else was said of them."""

    basis: Basis
    names: tuple[str, ...]
    is_example: bool = False
    invoice_usd: Decimal | None = None
    """What was invoiced for the same period."""
    notes: tuple[str, ...] = ()
    """Warnings of the import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTraffic:
    """A bill given by hand."""

    usd_per_month: Decimal
    provider: str | None = None
    model: str | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    cached_share: float | None = None


@dataclass(frozen=True, slots=True)
class _Cost:
    """What one row costs."""

    row: UsageRow
    usd: Decimal | None
    """By price book or contract, else as stated; None: unpriced."""
    computed: Decimal | None
    """By price book or contract alone."""
    bucket_usd: dict[str, Decimal]


@dataclass(slots=True)
class _Sums:
    """Money and tokens of some rows."""

    usd: Decimal = Decimal(0)
    """By price book or contract; where there is no price, as stated."""
    computed_usd: Decimal = Decimal(0)
    stated_usd: Decimal = Decimal(0)
    is_all_stated: bool = True
    num_rows: int = 0
    num_unpriced_requests: int = 0
    bucket_usd: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(USAGE_BUCKETS, Decimal(0)))


def type_bill(typed: TypedTraffic, catalog: Catalog, at: date) -> tuple[Traffic, Bill]:
    """The traffic behind a typed amount; its mix and prices are reference ranges where nothing more was said.

    Raises:
        ConfigError: the model has no price in the price book.
    """
    rates = None
    if typed.provider is not None and typed.model is not None:
        row = catalog.prices.token_price(typed.provider, typed.model, at)
        if row is None:
            raise ConfigError(
                f"--model: no price of {typed.provider}/{typed.model} is in the price book.",
                fix=f"`inhouse catalog prices {typed.provider}` lists those that are.",
            )
        cached = row.input_usd_per_mtok if row.cache_read_usd_per_mtok is None else row.cache_read_usd_per_mtok
        rates = (row.input_usd_per_mtok, cached, row.output_usd_per_mtok)
    traffic = Traffic(
        owner=Owner.TYPED,
        source="given by you",
        usd_per_month=typed.usd_per_month,
        input_tokens_per_request=typed.input_tokens,
        output_tokens_per_request=typed.output_tokens,
        cached_share=typed.cached_share,
        rates_usd_per_mtok=rates,
        main_model=(typed.provider, typed.model) if typed.provider and typed.model else None,
    )
    scope = Scope(
        title="one bill, typed", basis=Basis.TYPED, first_day=None, last_day=None, num_days=None,
        sources=("typed",), is_example=False, is_simulated=False,
    )  # fmt: skip
    bill = Bill(
        scope=scope,
        use_cases=(),
        traffic=(),
        reconciliation=Reconciliation(
            computed_usd=None, stated_usd=typed.usd_per_month, invoice_usd=None, num_unpriced_requests=None
        ),
        coverage=Coverage(num_days=None, num_requests=None, unpriced_share=None, unlabelled_share=None, notes=()),
    )
    return traffic, bill


def read_bill(rows: Sequence[UsageRow], pricer: Pricer, source: Source) -> tuple[Traffic, Bill]:
    """The month's traffic and bill of usage rows of one period.

    Money is by the user's rates or list prices of each day; where there is no price, as the source states it; where it
    states none, the row is unpriced and counted. The period is scaled to a month of 730 hours.

    Raises:
        ConfigError: there are no rows, or none has a price.
    """
    paid = [row for row in rows if row.provider != OWN_PROVIDER]
    costs = [_price(row, pricer) for row in paid]
    priced = [msgspec.structs.replace(row, stated_usd=cost.usd) for row, cost in zip(paid, costs, strict=True)]
    profile = profile_usage(priced)
    if profile is None:
        raise ConfigError(
            "There is no usage of paid APIs in it.", fix="Give an export with at least one day of requests."
        )
    total = _add(costs)
    if total.usd == 0:
        raise ConfigError(
            "Nothing of it has a price: neither its models are in the price book, nor does it state money.",
            fix="Give your own rates under `providers:` of the file (-c), or type the bill with --spend.",
        )
    month = DAYS_PER_MONTH / max(profile.num_days, 1 / 24)
    by_id = {id(row): cost for row, cost in zip(priced, costs, strict=True)}
    groups = group_use_cases(priced)
    alone = {case.labels for case in profile.use_cases if case.num_pooled == 1}
    lines: list[UseCaseLine] = []
    for case in profile.use_cases:
        chosen = [case.labels] if case.num_pooled == 1 else [labels for labels in groups if labels not in alone]
        own = [by_id[id(row)] for labels in chosen for row in groups[labels]]
        lines.append(_describe(case, _add(own), month, total.usd, frozenset(cost.row.template for cost in own)))
    owner = Owner.MEASURED if source.basis is Basis.MEASURED else Owner.IMPORTED
    num_own = sum(row.num_requests or 0 for row in rows if row.provider == OWN_PROVIDER)
    traffic = _make_traffic(profile, total, month, owner, source)
    bill = Bill(
        scope=_make_scope(profile, paid, source),
        use_cases=tuple(lines),
        traffic=tuple(
            _make_case_traffic(case, line, month) for case, line in zip(profile.use_cases, lines, strict=True)
        ),
        reconciliation=_reconcile(total, source),
        coverage=_measure_coverage(profile, total, source, [*_list_gaps(num_own, pricer, len(paid))]),
    )
    return traffic, bill


def _price(row: UsageRow, pricer: Pricer) -> _Cost:
    cost = pricer.price_row(row)
    computed = cost.total_usd
    if computed is None:
        return _Cost(row, row.stated_usd, None, {})
    return _Cost(row, computed, computed, {**dict(cost.buckets_usd), "input_uncached": _with_fee(cost)})


def _with_fee(cost: CostBreakdown) -> Decimal:
    """A fee for each request counts as input: it has no bucket."""
    return dict(cost.buckets_usd)["input_uncached"] + (cost.request_usd or 0)


def _add(costs: Iterable[_Cost]) -> _Sums:
    sums = _Sums()
    for cost in costs:
        sums.num_rows += 1
        if cost.row.stated_usd is None:
            sums.is_all_stated = False
        else:
            sums.stated_usd += cost.row.stated_usd
        if cost.computed is None:
            sums.num_unpriced_requests += cost.row.num_requests or 0
        else:
            sums.computed_usd += cost.computed
        sums.usd += cost.usd or 0
        for bucket, usd in cost.bucket_usd.items():
            sums.bucket_usd[bucket] += usd
    return sums


def _make_traffic(profile: UsageProfile, total: _Sums, month: float, owner: Owner, source: Source) -> Traffic:
    usage = profile.totals.usage or Usage()
    requests = _count_requests(profile.totals)
    mix = max(profile.mix, key=lambda item: item.totals.stated_usd or 0)
    named = (mix.provider, mix.model) if mix.provider is not None and mix.model is not None else None
    return Traffic(
        owner=owner,
        source=f"{', '.join(source.names)}, {profile.num_days:.0f} days",
        usd_per_month=total.usd * Decimal(str(month)),
        requests_per_month=None if profile.totals.num_requests is None else profile.totals.num_requests * month,
        input_tokens_per_request=usage.input_total / requests if requests else None,
        output_tokens_per_request=usage.output_total / requests if requests else None,
        cached_share=profile.totals.cache_share,
        rates_usd_per_mtok=_find_rates(usage, total),
        peak_factor=profile.peak.factor if profile.peak else None,
        main_model=named,
    )


def _count_requests(totals: UsageTotals) -> float:
    """Requests of all rows; where some are not counted, nominal ones."""
    if totals.requests_known is Known.ALL and totals.num_requests:
        return totals.num_requests
    return totals.num_tokens / _NOMINAL_TOKENS


def _find_rates(usage: Usage, total: _Sums) -> tuple[Decimal, Decimal, Decimal] | None:
    """Mean dollars per million of (input not from the cache, input from the cache, output), so that they make the bill.

    What only the source has a price for is spread over all three alike. None where no row has a price by tokens.
    """
    if not total.computed_usd:
        return None
    scale = total.usd / total.computed_usd
    tokens = {bucket: getattr(usage, bucket) for bucket in USAGE_BUCKETS}

    def rate(buckets: frozenset[str]) -> Decimal:
        num = sum(tokens[bucket] for bucket in buckets)
        return sum((total.bucket_usd[bucket] for bucket in buckets), Decimal(0)) * scale * _MTOK / num if num else _ZERO

    read, output = rate(_INPUTS), rate(_OUTPUTS)
    return read, rate(frozenset({_CACHED})) if tokens[_CACHED] else read, output


def _describe(
    case: UseCaseUsage, cost: _Sums, month: float, whole: Decimal, templates: frozenset[str | None]
) -> UseCaseLine:
    totals = case.totals
    requests = totals.num_requests if totals.requests_known is Known.ALL else None
    usd = cost.usd * Decimal(str(month)) if cost.usd or cost.num_unpriced_requests == 0 else None
    share = float(cost.usd / whole) if whole else None
    return UseCaseLine(
        name=case.name,
        labels={name: value or f"(no {name})" for name, value in case.labels},
        models=tuple(dict.fromkeys(f"{item.provider}/{item.model}" for item in case.mix)),
        usd_per_month=usd,
        stated_usd_per_month=cost.stated_usd * Decimal(str(month)) if cost.is_all_stated else None,
        share_of_bill=share,
        requests_per_month=None if requests is None else requests * month,
        input_tokens_per_request=totals.mean_input,
        output_tokens_per_request=totals.mean_output,
        cached_share=totals.cache_share,
        peak_factor=case.peak.factor if case.peak else None,
        moved_saving_usd=None,
        is_candidate=False,
        reasons=tuple(_find_reasons(case, cost, share, templates)),
    )


def _find_reasons(
    case: UseCaseUsage, cost: _Sums, share: float | None, templates: frozenset[str | None]
) -> Iterator[str]:
    """What speaks for or against beginning with it, as codes."""
    usage, mean, num_tokens = case.totals.usage or Usage(), case.totals.mean_input, case.totals.num_tokens
    is_labelled = bool(templates) and None not in templates
    tests = {
        "one_template": is_labelled and len(templates) == 1,
        "mixed_templates": case.num_pooled > 1 or (is_labelled and len(templates) >= _NUM_MIXED_TEMPLATES),
        "short_prompts": mean is not None and mean < _SHORT_TOKENS,
        "long_prompts": mean is not None and mean > _LONG_TOKENS,
        "steady": case.peak is not None and case.peak.factor < _STEADY_PEAK,
        "audio": usage.input_audio + usage.output_audio > _AUDIO_SHARE * num_tokens,
        "batch": (case.totals.batch_share or 0) > _BATCH_SHARE,
        "unpriced": cost.num_unpriced_requests > 0,
        "small": share is not None and share < _SMALL_SHARE,
    }
    yield from (code for code, holds in tests.items() if holds)


def _make_case_traffic(case: UseCaseUsage, line: UseCaseLine, month: float) -> UseCaseTraffic | None:
    """What moving it is judged by; None where tokens or money are not known."""
    usage = case.totals.usage
    if usage is None or line.usd_per_month is None or not case.totals.num_tokens:
        return None
    requests = _count_requests(case.totals)
    return UseCaseTraffic(
        name=case.name,
        usd=float(line.usd_per_month),
        requests=requests * month,
        input_tokens_per_request=usage.input_total / requests,
        cached_share=case.totals.cache_share or 0.0,
        output_tokens_per_request=usage.output_total / requests,
        peak_factor=case.peak.factor if case.peak else None,
    )


def _make_scope(profile: UsageProfile, rows: Sequence[UsageRow], source: Source) -> Scope:
    first, last = (datetime.fromtimestamp(at, UTC).date() for at in (profile.since, profile.until - 1))
    return Scope(
        title=", ".join(source.names),
        basis=source.basis,
        first_day=first,
        last_day=last,
        num_days=round(profile.num_days),
        sources=source.names,
        is_example=source.is_example,
        is_simulated=any(row.is_simulated for row in rows),
    )


def _reconcile(total: _Sums, source: Source) -> Reconciliation:
    return Reconciliation(
        computed_usd=total.computed_usd or None,
        stated_usd=total.stated_usd if total.is_all_stated else None,
        invoice_usd=source.invoice_usd,
        num_unpriced_requests=total.num_unpriced_requests,
    )


def _list_gaps(num_own: int, pricer: Pricer, num_rows: int) -> Iterator[str]:
    if num_own:
        yield f"{num_own:,} requests ran on own machines already and are not in the bill"
    if pricer.num_backdated:
        share = pricer.num_backdated / num_rows
        yield f"{share:.0%} of the periods are older than the list price that they are counted at"


def _measure_coverage(profile: UsageProfile, total: _Sums, source: Source, gaps: Sequence[str]) -> Coverage:
    num = profile.totals.num_requests
    notes = [*source.notes, *gaps]
    if profile.num_days < _SHORT_DAYS:
        notes.append(f"{profile.num_days:.0f} days are few: a month is scaled from them")
    if profile.totals.requests_known is not Known.ALL:
        notes.append("not every row counts its requests; costs follow tokens, and do not need them")
    if profile.peak is None:
        notes.append("only days are known, not hours: the peak is a reference range")
    return Coverage(
        num_days=round(profile.num_days),
        num_requests=num,
        unpriced_share=total.num_unpriced_requests / num if num else None,
        unlabelled_share=profile.coverage.unlabelled_share,
        notes=tuple(notes),
    )
