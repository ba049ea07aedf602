"""Holds what was computed against what was invoiced, by provider and month. Reads no store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from inhouse.domain import DAY_S
from inhouse.reports.costs.currency import Currency
from inhouse.reports.costs.lines import CostLine
from inhouse.store import EVALS_SOURCE, TRACES_SOURCE, InvoiceLine

_MAX_NAMED = 3
_OURS = frozenset({TRACES_SOURCE, EVALS_SOURCE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """One provider and month. Amounts in US dollars; None is "not known", never zero."""

    provider: str
    month: str
    """`YYYY-MM`, UTC."""
    computed_usd: Decimal
    """What inhouse computed for the month, or the days of it that charges were imported for; evaluations included."""
    computed_from: str
    """`traces`, or `imports`."""
    num_requests: int
    num_unpriced_requests: int
    has_unpriced: bool
    invoiced_usd: Decimal | None
    """Everything charged; None: no invoice of the month was imported, or a charge is in a currency without a rate."""
    other_usd: Decimal
    """What of it the provider says is for something else than tokens: it explains itself."""
    is_simulated: bool
    unknown_currencies: tuple[str, ...] = ()
    """Currencies of charges that no rate was given for."""
    reasons: tuple[str, ...] = ()
    """What may explain the difference, each with its size."""

    @property
    def difference_usd(self) -> Decimal | None:
        """Invoiced less computed."""
        return None if self.invoiced_usd is None else self.invoiced_usd - self.computed_usd

    @property
    def unexplained_usd(self) -> Decimal | None:
        """What is left when charges for something else than tokens are taken off."""
        return None if self.difference_usd is None else self.difference_usd - self.other_usd

    @property
    def unexplained_share(self) -> Decimal | None:
        """Of what was invoiced (of what was computed where nothing was invoiced); None where there is no invoice."""
        if self.invoiced_usd is None or self.unexplained_usd is None:
            return None
        whole = abs(self.invoiced_usd) or abs(self.computed_usd)
        return abs(self.unexplained_usd) / whole if whole else Decimal(0)

    def is_over(self, tolerance: Decimal) -> bool:
        """Whether more is unexplained than is tolerated, or charges are in a currency without a rate."""
        share = self.unexplained_share
        return bool(self.unknown_currencies) or (share is not None and share > tolerance)


def reconcile_invoices(
    lines: Iterable[CostLine], invoices: Iterable[InvoiceLine], currency: Currency, now: float
) -> list[Reconciled]:
    """Every provider and month that has requests or charges, in order; own machines have no invoice and are left out.

    Our own traces are held against the invoice where the month has any; otherwise imported usage. A real invoice is
    never held against simulated requests.

    Args:
        lines: of whole months.
        invoices: of the same months.
        currency: with the rate for charges that are not in dollars.
        now: Unix seconds; a month that is not over is said to be so.
    """
    used: dict[tuple[str, str], list[CostLine]] = defaultdict(list)
    charged: dict[tuple[str, str], list[InvoiceLine]] = defaultdict(list)
    for line in lines:
        if line.provider is not None and not line.is_own:
            used[line.provider, _month(line.started_at)].append(line)
    for charge in invoices:
        charged[charge.provider, _month(charge.started_at)].append(charge)
    return [
        _reconcile(*key, used.get(key, []), charged.get(key, []), currency, now) for key in sorted({*used, *charged})
    ]


def _reconcile(
    provider: str,
    month: str,
    lines: Sequence[CostLine],
    charges: Sequence[InvoiceLine],
    currency: Currency,
    now: float,
) -> Reconciled:
    start = min((charge.started_at for charge in charges), default=0)
    end = max((charge.ended_at for charge in charges), default=None)
    covered = [line for line in lines if line.started_at >= start and (end is None or line.started_at < end)]
    real = [line for line in covered if not line.is_simulated]
    is_simulated = bool(covered) and not real
    ours = [line for line in real if line.source in _OURS]
    held = ours or (covered if is_simulated and not charges else real)
    amounts = [(charge, currency.to_usd(charge.amount, charge.currency)) for charge in charges]
    unknown = sorted({charge.currency for charge, usd in amounts if usd is None})
    known = [(charge, usd) for charge, usd in amounts if usd is not None]
    unpriced = [line for line in held if line.usd is None and (line.num_requests != 0 or line.usage is not None)]
    found = Reconciled(
        provider=provider,
        month=month,
        computed_usd=_sum(line.usd for line in held),
        computed_from="imports" if held and not any(line.source in _OURS for line in held) else "traces",
        num_requests=sum(line.num_requests or 0 for line in held),
        num_unpriced_requests=sum(line.num_requests or 0 for line in unpriced),
        has_unpriced=bool(unpriced),
        invoiced_usd=_sum(usd for _, usd in known) if known and not unknown else None,
        other_usd=_sum(usd for charge, usd in known if not charge.is_tokens),
        is_simulated=is_simulated,
        unknown_currencies=tuple(unknown),
    )
    imported = [line for line in real if line.source not in _OURS]
    return _explain(found, held, imported, known, now) if known else found


def _explain(
    found: Reconciled,
    held: Sequence[CostLine],
    imported: Sequence[CostLine],
    charges: Sequence[tuple[InvoiceLine, Decimal]],
    now: float,
) -> Reconciled:
    reasons = [
        *_explain_coverage(charges),
        *_explain_unpriced(found),
        *_explain_days(held, charges),
        *_explain_models(held, charges),
        *_explain_imports(found, imported),
        *_explain_discount(found),
    ]
    if _month(now) == found.month:
        reasons.append("the month is not over: charges may come later than the requests")
    return replace(found, reasons=tuple(reasons))


def _explain_unpriced(found: Reconciled) -> list[str]:
    if not found.has_unpriced:
        return []
    number = found.num_unpriced_requests
    count = f" ({number:,} {'request' if number == 1 else 'requests'})" if number else ""
    fix = "; `inhouse costs reprice` tries again" if found.computed_from == "traces" else ""
    return [f"usage without a price{count} is not in what was computed{fix}"]


def _explain_coverage(charges: Sequence[tuple[InvoiceLine, Decimal]]) -> list[str]:
    """Days of the month that no charge was imported for."""
    first, last = min(charge.started_at for charge, _ in charges), max(charge.ended_at for charge, _ in charges)
    if _month(first - 1) != _month(first) and _month(last) != _month(last - 1):
        return []
    days = _name_span(first // DAY_S, (last - 1) // DAY_S)
    return [f"charges are there for {days} alone: only that is compared"]


def _explain_days(held: Sequence[CostLine], charges: Sequence[tuple[InvoiceLine, Decimal]]) -> list[str]:
    """Days that were charged and on which inhouse saw nothing: requests that went around it."""
    seen = {line.started_at // DAY_S for line in held}
    missing: dict[int, Decimal] = defaultdict(Decimal)
    for charge, usd in charges:
        if charge.ended_at - charge.started_at <= DAY_S and charge.started_at // DAY_S not in seen and usd > 0:
            missing[charge.started_at // DAY_S] += usd
    if missing:
        days = _name_days(sorted(missing))
        return [f"${_sum(missing.values()):,.2f} charged on {days} on which inhouse saw no request of it"]
    whole = [charge for charge, _ in charges if charge.ended_at - charge.started_at > DAY_S]
    if not whole:
        return []
    first, last = min(charge.started_at for charge in whole), max(charge.ended_at for charge in whole)
    unseen = [day for day in range(first // DAY_S, last // DAY_S) if day not in seen]
    return [f"inhouse saw no request of it on {_name_days(unseen)} of the charged period"] if unseen else []


def _explain_models(held: Sequence[CostLine], charges: Sequence[tuple[InvoiceLine, Decimal]]) -> list[str]:
    """Models that were charged and that inhouse did not see."""
    names = {line.model for line in held if line.model is not None}
    missing: dict[str, Decimal] = defaultdict(Decimal)
    for charge, usd in charges:
        model = charge.model
        if charge.is_tokens and model is not None and not any(_is_same(model, name) for name in names):
            missing[model] += usd
    if not missing:
        return []
    ordered = sorted(missing, key=lambda name: -missing[name])
    more = f" and {len(ordered) - _MAX_NAMED} more" if len(ordered) > _MAX_NAMED else ""
    words = ", ".join(f"{name} ${missing[name]:,.2f}" for name in ordered[:_MAX_NAMED])
    return [f"models charged that inhouse did not see: {words}{more}"]


def _explain_imports(found: Reconciled, imported: Sequence[CostLine]) -> list[str]:
    """The provider's own usage export says how much went around inhouse."""
    if found.computed_from != "traces" or not imported:
        return []
    around = _sum(line.usd for line in imported) - found.computed_usd
    if around <= 0:
        return []
    return [f"the imported usage of it comes to ${around:,.2f} more than the traces: requests outside inhouse"]


def _explain_discount(found: Reconciled) -> list[str]:
    left = found.unexplained_usd
    if left is None or left >= 0 or not found.computed_usd:
        return []
    share = -left / found.computed_usd
    return [f"a discount of {share:.1%} on what was computed would explain it (`providers.{found.provider}.discount`)"]


def _is_same(charged: str, seen: str) -> bool:
    """Whether a charged model may be a seen one: equal, or one with a date behind the other's name."""
    return charged == seen or charged.startswith(f"{seen}-20") or seen.startswith(f"{charged}-20")


def _name_days(days: Sequence[int]) -> str:
    first = datetime.fromtimestamp(days[0] * DAY_S, UTC).date()
    return f"{first}" if len(days) == 1 else f"{len(days)} days (first {first})"


def _name_span(first: int, last: int) -> str:
    days = [datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat() for day in (first, last)]
    return days[0] if first == last else " to ".join(days)


def _month(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()[:7]


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    return sum((amount for amount in amounts if amount is not None), Decimal(0))
