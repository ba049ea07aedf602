"""From usage rows (or a typed amount) to the month's traffic and its bill by use case, reconciled. Reads no store."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from inhouse.domain import OWN_PROCESSOR, ConfigError, Usage, UsageRow
from inhouse.planning import (
    Known,
    ModelUsage,
    UsageProfile,
    UsageTotals,
    UseCaseUsage,
    group_use_cases,
    profile_usage,
    sum_rows,
)
from inhouse.planning.economics import Owner, UseCaseTraffic
from inhouse.reports.decision.assemble import Bill
from inhouse.reports.decision.gaps import list_gaps, read_peak, say_days
from inhouse.reports.decision.inputs import DAYS_PER_MONTH, Traffic
from inhouse.reports.decision.report import Basis, Coverage, Reconciliation, Scope, UseCaseLine
from inhouse.reports.decision.sums import RowCost, Sums, add_costs, cost_row, find_rates
from inhouse.reports.pricing import Pricer

_NOMINAL_TOKENS = 2_400
"""Tokens of the request that stands in where a source counts none: costs follow tokens, its size changes none."""
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


def type_bill(typed: TypedTraffic, pricer: Pricer, at: date) -> tuple[Traffic, Bill]:
    """The traffic behind a typed amount; its mix and prices are reference ranges where nothing more was said.

    Raises:
        ConfigError: the model has no price, or a figure cannot be.
    """
    _check_typed(typed)
    rates = None
    if typed.provider is not None and typed.model is not None:
        rates = _find_rates(typed.provider, typed.model, typed.input_tokens or 0, pricer, at)
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


def _check_typed(typed: TypedTraffic) -> None:
    tokens = {"--input-tokens": typed.input_tokens, "--output-tokens": typed.output_tokens}
    for option, value in tokens.items():
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"{option} {value:g} is no number of tokens.", fix="Give zero or more.")
    if typed.input_tokens == 0 and typed.output_tokens == 0:
        raise ConfigError("--input-tokens and --output-tokens are both zero.", fix="Give one of them, or neither.")
    if typed.cached_share is not None and not 0 <= typed.cached_share <= 1:
        raise ConfigError(f"A cached share of {typed.cached_share:g} is no share.", fix="Give 0 to 1.")


def _find_rates(
    provider: str, model: str, num_input: float, pricer: Pricer, at: date
) -> tuple[Decimal, Decimal, Decimal]:
    """What (input, cached input, output) cost the user on a day, for prompts of this length."""
    moment = datetime(at.year, at.month, at.day, tzinfo=UTC).timestamp()
    rates = pricer.find_rates(provider, model, moment, int(num_input))
    if rates is None:
        raise ConfigError(
            f"--model: no price of {provider}/{model} is known.",
            fix=f"`inhouse catalog prices {provider}` lists those that are; your own go under `providers:`.",
        )
    return rates


def read_bill(rows: Sequence[UsageRow], pricer: Pricer, source: Source) -> tuple[Traffic, Bill]:
    """The month's traffic and bill of usage rows of one period.

    Money is by the user's rates or list prices of each day; where there is no price, as the source states it; where it
    states none, the row is unpriced and counted. The period is scaled to a month of 730 hours.

    Raises:
        ConfigError: there are no rows, or none has a price.
    """
    paid = [row for row in rows if row.provider != OWN_PROCESSOR]
    num_backdated = pricer.num_backdated
    costs = [cost_row(row, pricer) for row in paid]
    num_backdated = pricer.num_backdated - num_backdated
    priced = [msgspec.structs.replace(row, stated_usd=cost.usd) for row, cost in zip(paid, costs, strict=True)]
    profile = profile_usage(priced)
    if profile is None:
        raise ConfigError(
            "There is no usage of paid APIs in it.", fix="Give an export with at least one day of requests."
        )
    total = add_costs(costs)
    if total.usd <= 0:
        raise ConfigError(
            "Nothing of it has a price: neither its models are in the price book, nor does it state money.",
            fix="Give your own rates under `providers:` of the file (-c), or type the bill with --spend.",
        )
    month = DAYS_PER_MONTH / max(profile.num_days, 1 / 24)
    by_id = {id(row): cost for row, cost in zip(priced, costs, strict=True)}
    groups = group_use_cases(priced)
    alone = {case.labels for case in profile.use_cases if case.num_pooled == 1}
    lines: list[UseCaseLine] = []
    moves: list[UseCaseTraffic | None] = []
    for case in profile.use_cases:
        chosen = [case.labels] if case.num_pooled == 1 else [labels for labels in groups if labels not in alone]
        own = [by_id[id(row)] for labels in chosen for row in groups[labels]]
        cost = add_costs(own)
        lines.append(_describe(case, cost, month, total.usd, frozenset(item.row.template for item in own)))
        moves.append(_make_case_traffic(case, cost, _sum_counted(own), month))
    num_own = sum(row.num_requests or 0 for row in rows if row.provider == OWN_PROCESSOR)
    bill = Bill(
        scope=_make_scope(profile, paid, source),
        use_cases=tuple(lines),
        traffic=tuple(moves),
        reconciliation=_reconcile(total, source),
        coverage=_measure_coverage(
            profile, total, (*source.notes, *list_gaps(profile, total, num_own, num_backdated / len(paid)))
        ),
    )
    return _make_traffic(profile, total, _sum_counted(costs), month, source), bill


def _sum_counted(costs: Sequence[RowCost]) -> UsageTotals:
    """Totals of the rows that state tokens: what a mean request is taken from."""
    return sum_rows(cost.row for cost in costs if cost.num_tokens)


def _make_traffic(profile: UsageProfile, total: Sums, counted: UsageTotals, month: float, source: Source) -> Traffic:
    usage = counted.usage or Usage()
    requests = _count_requests(counted)
    return Traffic(
        owner=Owner.MEASURED if source.basis is Basis.MEASURED else Owner.IMPORTED,
        source=f"{', '.join(source.names)}, {say_days(profile.num_days)}",
        usd_per_month=total.usd * Decimal(str(month)),
        requests_per_month=_count_known(profile.totals, month),
        input_tokens_per_request=usage.input_total / requests if requests else None,
        output_tokens_per_request=usage.output_total / requests if requests else None,
        is_request_nominal=bool(requests) and counted.requests_known is not Known.ALL,
        cached_share=counted.cache_share,
        rates_usd_per_mtok=find_rates(usage, total),
        peak_factor=read_peak(profile.peak),
        main_model=_find_main_model(profile),
    )


def _find_main_model(profile: UsageProfile) -> tuple[str, str] | None:
    """The model that most of the money goes to, over all tariffs; None where it has no name."""
    usd: defaultdict[tuple[str | None, str | None], Decimal] = defaultdict(Decimal)
    for item in profile.mix:
        usd[item.provider, item.model] += item.totals.stated_usd or 0
    provider, model = max(usd, key=lambda name: usd[name])
    return None if provider is None or model is None else (provider, model)


def _count_requests(totals: UsageTotals) -> float:
    """Requests of all rows; where some are not counted, nominal ones."""
    if totals.requests_known is Known.ALL and totals.num_requests:
        return totals.num_requests
    return totals.num_tokens / _NOMINAL_TOKENS


def _count_known(totals: UsageTotals, month: float) -> float | None:
    """Requests of a month; None where not every row counts them."""
    is_known = totals.requests_known is Known.ALL and totals.num_requests is not None
    return totals.num_requests * month if is_known and totals.num_requests is not None else None


def _describe(
    case: UseCaseUsage, cost: Sums, month: float, whole: Decimal, templates: frozenset[str | None]
) -> UseCaseLine:
    totals = case.totals
    usd = cost.usd * Decimal(str(month)) if cost.usd or not cost.num_unpriced_rows else None
    share = float(cost.usd / whole) if whole else None
    return UseCaseLine(
        name=case.name,
        labels={name: value or f"(no {name})" for name, value in case.labels},
        models=tuple(dict.fromkeys(_name_model(item) for item in case.mix)),
        usd_per_month=usd,
        stated_usd_per_month=cost.stated_usd * Decimal(str(month)) if cost.is_all_stated else None,
        share_of_bill=share,
        requests_per_month=_count_known(totals, month),
        input_tokens_per_request=totals.mean_input,
        output_tokens_per_request=totals.mean_output,
        cached_share=totals.cache_share,
        peak_factor=read_peak(case.peak),
        moved_saving_usd=None,
        is_candidate=False,
        reasons=tuple(_find_reasons(case, cost, share, templates)),
    )


def _find_reasons(
    case: UseCaseUsage, cost: Sums, share: float | None, templates: frozenset[str | None]
) -> Iterator[str]:
    """What speaks for or against beginning with it, as codes."""
    usage, mean, num_tokens = case.totals.usage or Usage(), case.totals.mean_input, case.totals.num_tokens
    peak = read_peak(case.peak)
    is_labelled = bool(templates) and None not in templates
    tests = {
        "one_template": is_labelled and len(templates) == 1,
        "mixed_templates": case.num_pooled > 1 or (is_labelled and len(templates) >= _NUM_MIXED_TEMPLATES),
        "short_prompts": mean is not None and mean < _SHORT_TOKENS,
        "long_prompts": mean is not None and mean > _LONG_TOKENS,
        "steady": peak is not None and peak < _STEADY_PEAK,
        "audio": usage.input_audio + usage.output_audio > _AUDIO_SHARE * num_tokens,
        "batch": (case.totals.batch_share or 0) > _BATCH_SHARE,
        "unpriced": cost.num_unpriced_rows > 0,
        "small": share is not None and share < _SMALL_SHARE,
    }
    yield from (code for code, holds in tests.items() if holds)


def _name_model(item: ModelUsage) -> str:
    return "/".join(name for name in (item.provider, item.model) if name is not None) or "(no model)"


def _make_case_traffic(case: UseCaseUsage, cost: Sums, counted: UsageTotals, month: float) -> UseCaseTraffic | None:
    """What moving it is judged by; None where tokens or money are not known.

    Money without tokens is taken to buy the same mix as the rest.
    """
    usage, usd = counted.usage, cost.usd - cost.tokenless_usd
    if usage is None or not usd:
        return None
    requests = _count_requests(counted)
    return UseCaseTraffic(
        name=case.name,
        usd=float(cost.usd) * month,
        requests=requests * float(cost.usd / usd) * month,
        input_tokens_per_request=usage.input_total / requests,
        cached_share=counted.cache_share or 0.0,
        output_tokens_per_request=usage.output_total / requests,
        peak_factor=read_peak(case.peak),
    )


def _make_scope(profile: UsageProfile, rows: Sequence[UsageRow], source: Source) -> Scope:
    first, last = (datetime.fromtimestamp(at, UTC).date() for at in (profile.since, profile.until - 1))
    return Scope(
        title=", ".join(source.names),
        basis=source.basis,
        first_day=first,
        last_day=last,
        num_days=max(1, round(profile.num_days)),
        sources=source.names,
        is_example=source.is_example,
        is_simulated=any(row.is_simulated for row in rows),
    )


def _reconcile(total: Sums, source: Source) -> Reconciliation:
    return Reconciliation(
        computed_usd=total.computed_usd or None,
        stated_usd=total.stated_usd if total.is_all_stated else None,
        invoice_usd=source.invoice_usd,
        num_unpriced_requests=total.num_unpriced_requests,
    )


def _measure_coverage(profile: UsageProfile, total: Sums, notes: tuple[str, ...]) -> Coverage:
    num = profile.totals.num_requests if profile.totals.requests_known is Known.ALL else None
    if num and total.num_unpriced_requests is not None:
        unpriced_share = total.num_unpriced_requests / num
    else:
        unpriced_share = total.num_unpriced_tokens / total.num_tokens if total.num_tokens else None
    return Coverage(
        num_days=max(1, round(profile.num_days)),
        num_requests=num,
        unpriced_share=unpriced_share,
        unlabelled_share=profile.coverage.unlabelled_share,
        notes=notes,
    )
