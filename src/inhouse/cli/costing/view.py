"""Costs for people: tables and the notes under them. Sums nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from inhouse.reports.costs import (
    CostGroup,
    CostReport,
    CostTotals,
    Currency,
    DeploymentCost,
    Difference,
    Reconciled,
)

_Column = tuple[str, Callable[[CostTotals], str]]
"""Heading of a figure, and what reads it."""
_MAX_GROUPS = 40
_WIDE = 100
"""Columns of a terminal from which every figure has a column."""
_UNITS = ((1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
_SIMULATED = " [magenta]simulated[/]"
_EVAL = " [cyan]evaluation[/]"


def render_report(report: CostReport, width: int) -> RenderableType:
    """The whole report for a terminal of so many columns: groups with totals, own machines with idle time, notes."""
    period = report.question.period
    title = f"{period.first_day} to {period.last_day} UTC, usage-based"
    parts: list[RenderableType] = [Text(title, style="bold")]
    if report.groups:
        parts.append(_render_groups(report, width))
    else:
        parts.append(Text("no requests and no imported usage in this period"))
    if report.deployments:
        parts += [Text(), _render_deployments(report)]
    notes = list(list_notes(report))
    if notes:
        parts += [Text(), *(Text(f"· {note}", style="dim") for note in notes)]
    return Group(*parts)


def list_notes(report: CostReport) -> Iterator[str]:
    """What must be known to read the figures right."""
    currency = report.question.currency
    if not currency.is_usd:
        yield f"amounts in {currency.code}: {currency.describe()}"
    if report.deployments or report.own_usd:
        yield "own/…: the busy share alone; with a provider's price compare the allocation-based figure"
    yield from _list_gaps(report)
    for other in report.question.elsewhere:
        meant = "" if other.asked == other.name else f" ({other.name})"
        yield (
            f"on {other.asked}{meant}: the same tokens at its price of {report.question.period.last_day}, cached as "
            "cached; another tokenizer counts ± 20 % other tokens"
        )
    if report.simulated is not None:
        yield "simulated requests cost made-up money; they are in no total but their own"


def _list_gaps(report: CostReport) -> Iterator[str]:
    """What is missing in the figures, or may be in them twice."""
    everything = [report.total, *([report.simulated] if report.simulated else [])]
    if any(sums.has_unpriced for sums in everything):
        yield "unpriced requests are in no sum; `inhouse costs reprice` computes what today's price book knows"
    num_repriced = sum(sums.num_repriced for sums in everything)
    if num_repriced:
        count = count_of(num_repriced, "request")
        yield f"{count} at a repriced cost, their own is kept (`inhouse costs reprice --list`)"
    if report.total.stated_usd:
        amount = report.question.currency.show(report.total.stated_usd)
        yield f"{amount} is as the imported source states it: the price book has no price"
    if report.num_backdated:
        count = count_of(report.num_backdated, "imported row")
        yield f"{count} older than the list price counted: a price is known from the day on which it was first read"
    if not all(sums.is_counted for sums in everything):
        yield "some sources do not count requests (?): their tokens and dollars are in"
    num_failed = sum(sums.num_failed for sums in everything)
    if num_failed:
        yield f"{count_of(num_failed, 'request')} failed: answered with an error, in no count of requests"
    if report.overlaps:
        names = ", ".join(report.overlaps)
        yield f"usage of {names} is both in traces and imported for the same days, and may count twice: use --source"


def _render_groups(report: CostReport, width: int) -> Table:
    question = report.question
    columns = _pick_columns(report, width)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for name in question.dimensions:
        table.add_column(name.removeprefix("tag:"), overflow="fold", min_width=8)
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for other in question.elsewhere:
        table.add_column(f"on {other.asked}", justify="right", overflow="fold")
    for group in report.groups[:_MAX_GROUPS]:
        table.add_row(*_label_group(group), *_format_totals(group.totals, columns, question.currency))
    if len(report.groups) > _MAX_GROUPS:
        table.add_row(f"… {len(report.groups) - _MAX_GROUPS} more: --json, --csv", style="dim")
    table.add_section()
    blanks = [""] * (len(question.dimensions) - 1)
    for name, totals, style in _list_totals(report):
        table.add_row(name, *blanks, *_format_totals(totals, columns, question.currency), style=style)
    return table


def _list_totals(report: CostReport) -> Iterator[tuple[str, CostTotals, str]]:
    """The lines under the groups; what is simulated has a total of its own."""
    if report.simulated is None or not all(group.is_simulated for group in report.groups):
        yield "total", report.total, "bold"
    if report.evals is not None:
        yield "evaluations of it", report.evals, ""
    if report.simulated is not None:
        yield f"total{_SIMULATED}", report.simulated, "bold"


def _pick_columns(report: CostReport, width: int) -> list[_Column]:
    """The columns that have something to say; a narrow terminal leaves out those that notes can stand in for."""
    currency = report.question.currency
    everything = [report.total, *([report.simulated] if report.simulated else [])]
    is_wide = width >= _WIDE
    columns: list[_Column] = [("requests", _format_requests)]
    if is_wide and any(totals.num_failed for totals in everything):
        columns.append(("failed", lambda totals: f"{totals.num_failed:,}" if totals.num_failed else ""))
    columns.append(("in", lambda totals: format_count(totals.usage.input_total)))
    if is_wide:
        columns.append(("cached", lambda totals: format_count(totals.usage.cache_read)))
    columns.append(("out", lambda totals: format_count(totals.usage.output_total)))
    columns.append((currency.code, lambda totals: _format_cost(totals, currency)))
    columns.append(("/Mtok", lambda totals: "" if totals.usd_per_mtok is None else currency.show(totals.usd_per_mtok)))
    if any(totals.has_unpriced for totals in everything):
        columns.append(("unpriced", _format_unpriced))
    return columns


def _label_group(group: CostGroup) -> list[str]:
    labels = [escape(label) for label in group.labels]
    labels[-1] += (_SIMULATED if group.is_simulated else "") + (_EVAL if group.is_eval else "")
    return labels


def _format_totals(totals: CostTotals, columns: Sequence[_Column], currency: Currency) -> list[str]:
    on = zip(totals.on_usd, totals.on_unpriced_tokens, strict=True)
    return [read(totals) for _, read in columns] + [_format_on(usd, number, currency) for usd, number in on]


def _format_requests(totals: CostTotals) -> str:
    """How many; `?` where no source counts them."""
    if totals.is_counted:
        return f"{totals.num_requests:,}"
    return f"≥ {totals.num_requests:,}" if totals.num_requests else "?"


def _format_cost(totals: CostTotals, currency: Currency) -> str:
    if totals.num_priced_lines:
        return currency.show(totals.usd)
    return "unpriced" if totals.has_unpriced else "-"


def _format_unpriced(totals: CostTotals) -> str:
    """How much has no price: requests, or where they are not counted, tokens."""
    if not totals.has_unpriced:
        return ""
    number = totals.num_unpriced_requests
    return f"[yellow]{number:,}[/]" if number else f"[yellow]{format_count(totals.num_unpriced_tokens)} tok[/]"


def _format_on(usd: Decimal | None, num_unpriced_tokens: int, currency: Currency) -> str:
    if usd is None:
        return "unpriced" if num_unpriced_tokens else "-"
    rest = f"\n[yellow]+ {format_count(num_unpriced_tokens)} tok[/]" if num_unpriced_tokens else ""
    return currency.show(usd) + rest


def _render_deployments(report: CostReport) -> RenderableType:
    deployments, currency = report.deployments, report.question.currency
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("own machines", overflow="fold")
    for name in ("usage-based", "share", "allocation-based", "per Mtok"):
        table.add_column(name, justify="right", no_wrap=True)
    notes: list[Text] = []
    for one in deployments:
        _add_deployment(table, one, currency)
        notes += [Text(f"· {note}", style="dim") for note in _describe_deployment(one, currency)]
    if report.paid_usd is not None:
        table.add_section()
        table.add_row("paid in all, providers too", "", "", currency.show(report.paid_usd), "", style="bold")
    return Group(table, *notes)


def _add_deployment(table: Table, one: DeploymentCost, currency: Currency) -> None:
    machines, allocation = one.machines, one.allocation
    name = f"[bold]{escape(machines.deployment)}[/]" + (_SIMULATED if one.is_simulated else "")
    if allocation is None:
        table.add_row(name, "", "", "not known", "")
        return
    table.add_row(
        name,
        currency.show(allocation.used_usd),
        _format_share(allocation.utilisation),
        currency.show(allocation.paid_usd),
        "" if allocation.allocation_usd_per_mtok is None else currency.show(allocation.allocation_usd_per_mtok),
    )
    for share in allocation.shares:
        part = share.usage_usd / allocation.paid_usd if allocation.paid_usd else None
        table.add_row(
            f"  {escape(share.name)}",
            currency.show(share.usage_usd),
            _format_share(part),
            currency.show(share.allocated_usd),
        )
    idle = allocation.idle_usd / allocation.paid_usd if allocation.paid_usd else None
    table.add_row("  idle", currency.show(allocation.idle_usd), _format_share(idle), "in the shares", style="yellow")


def _describe_deployment(one: DeploymentCost, currency: Currency) -> Iterable[str]:
    machines, name = one.machines, one.machines.deployment
    if machines.usd_per_hour is None:
        yield f"{name}: what its machines cost is {machines.price_id}"
        return
    price = currency.show(machines.usd_per_hour)
    count = f"{machines.num_replicas} × " if machines.num_replicas != 1 else ""
    yield f"{name}: {count}{price}/h ({machines.price_id}) × {machines.up_s / 3600:,.1f} h, {machines.hours_basis}"
    if one.num_unpriced_requests:
        yield f"{name}: {count_of(one.num_unpriced_requests, 'request')} without a cost: idle time, as it looks here"
    if one.allocation is not None and one.allocation.idle_usd < 0:
        yield f"{name}: usage charges more than was paid: its measured seconds per token are too many for this load"


def render_reconciled(rows: Sequence[Reconciled], currency: Currency, tolerance: Decimal) -> RenderableType:
    """Computed beside invoiced, and under each row what may explain the difference."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("provider", overflow="fold")
    table.add_column("month", no_wrap=True)
    for name in ("computed", "invoiced", "difference", "not tokens", "unexplained"):
        table.add_column(name, justify="right", no_wrap=True)
    notes: list[Text] = []
    for row in rows:
        name = escape(row.provider) + (_SIMULATED if row.is_simulated else "")
        invoiced = "no invoice" if row.invoiced_usd is None else currency.show(row.invoiced_usd)
        if row.unknown_currencies:
            invoiced = "needs a rate"
        table.add_row(
            name,
            row.month,
            currency.show(row.computed_usd) if row.computed_usd or not row.has_unpriced else "unpriced",
            invoiced,
            "" if row.difference_usd is None else currency.show(row.difference_usd),
            currency.show(row.other_usd) if row.other_usd else "",
            _format_unexplained(row, tolerance),
        )
        notes += [Text(f"· {row.provider} {row.month}: {reason}", style="dim") for reason in _list_reasons(row)]
    return Group(table, *([Text(), *notes] if notes else []))


def _list_reasons(row: Reconciled) -> Iterable[str]:
    if row.unknown_currencies:
        names = ", ".join(row.unknown_currencies)
        yield f"charges in {names}, and no rate for it: `costs: {{currency: {names}, usd_rate: …, rate_as_of: …}}`"
    if row.computed_from == "imports":
        yield "computed from imported usage, since no request of it passed inhouse in this month"
    yield from row.reasons


def _format_unexplained(row: Reconciled, tolerance: Decimal) -> str:
    share = row.unexplained_share
    if share is None:
        return "" if not row.unknown_currencies else "[red]not known[/]"
    return f"[red]{share:.1%}[/]" if row.is_over(tolerance) else f"[green]{share:.1%}[/]"


def render_differences(differences: Iterable[Difference]) -> Table:
    """What computing again changes, by model."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    for name in ("looked at", "changed", "newly priced", "still unpriced", "before → after"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in differences:
        name = escape(one.endpoint_id if "/" in one.endpoint_id else f"own/{one.endpoint_id}")
        counts = (one.num_looked_at, one.num_changed, one.num_newly_priced, one.num_still_unpriced)
        table.add_row(
            name + (_SIMULATED if one.is_simulated else ""), *(f"{count:,}" for count in counts), one.describe()
        )
    return table


def format_count(number: int) -> str:
    """Tokens in three digits: `950`, `12.3k`, `4.56M`."""
    for size, unit in _UNITS:
        if number >= size:
            value = number / size
            return f"{value:.2f}{unit}" if value < 10 else f"{value:.1f}{unit}" if value < 100 else f"{value:.0f}{unit}"
    return str(number)


def count_of(number: int, noun: str) -> str:
    """`1 request`, `1,200 requests`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _format_share(share: Decimal | None) -> str:
    return "" if share is None else f"{share:.1%}"
