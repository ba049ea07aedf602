"""`inhouse costs`: what was spent, on what, what it would cost elsewhere, and whether it agrees with the invoice."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from inhouse.cli.costing.books import CostBooks, CostsConfigOption, CostsStoreOption, open_books
from inhouse.cli.costing.document import describe_reconciled, describe_report, write_groups, write_table
from inhouse.cli.costing.machines import list_machines
from inhouse.cli.costing.period import parse_month, parse_period
from inhouse.cli.costing.view import count_of, format_count, render_differences, render_reconciled, render_report
from inhouse.cli.installation import JsonOption
from inhouse.cli.terminal import ExitCode, err, out, print_json
from inhouse.domain import ConfigError, format_usd
from inhouse.domain.settings import Share
from inhouse.reports.costs import (
    FOCUS_COLUMNS,
    CostLine,
    CostPeriod,
    CostQuestion,
    CostSums,
    Elsewhere,
    FocusPricers,
    Reconciled,
    Repricing,
    find_elsewhere,
    list_focus_rows,
    list_tags,
    parse_dimensions,
    reconcile_invoices,
    report_costs,
)
from inhouse.store import TRACES_SOURCE, RepricedCost

costs_app = typer.Typer(
    help="What was spent, on what, and whether it agrees with the invoice.", invoke_without_command=True
)

SinceOption = Annotated[str | None, typer.Option(help="First day (UTC), or 7d for the last seven days; 30d.")]
UntilOption = Annotated[str | None, typer.Option(help="Last day (UTC); today.")]
SourceOption = Annotated[
    list[str] | None,
    typer.Option(help="Only this: traces, imported, or a format that was imported; may be given several times."),
]


class ExportFormat(StrEnum):
    """Formats of `inhouse costs export`."""

    FOCUS = "focus"
    """FOCUS 1.2, the FinOps Open Cost and Usage Specification."""


@costs_app.callback()
def show_costs(
    context: typer.Context,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="route (or project), key, task, model, provider, source, tier, day, month, tag:NAME; "
            "may be given several times. Default: route and model."
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    on: Annotated[
        list[str] | None,
        typer.Option(help="What the same tokens would cost on PROVIDER/MODEL or hosted:OPEN-MODEL; several times."),
    ] = None,
    config: CostsConfigOption = None,
    store: CostsStoreOption = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the rows to this file too.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was spent: tokens and usage-based dollars by label, and own machines with their idle time."""
    if context.invoked_subcommand is not None:
        return
    now = time.time()
    period, dimensions = parse_period(since, until, now), parse_dimensions(by or ())
    with open_books(config, store) as books:
        question = CostQuestion(
            period=period,
            dimensions=dimensions,
            currency=books.currency,
            elsewhere=_find_elsewhere(books, on or (), period),
            machines=() if source and TRACES_SOURCE not in source else list_machines(books, period, now),
        )
        lines = books.lines(period.since, period.until, source or (), list_tags(dimensions))
        report = report_costs(question, lines, books.pricer)
    if csv is not None:
        num_rows = write_groups(csv, report)
        err.print(f"wrote {csv}: {num_rows} rows, amounts in USD")
    if as_json:
        print_json(describe_report(report))
    else:
        out.print(render_report(report, out.width))


@costs_app.command("reprice")
def reprice(
    since: SinceOption = None,
    until: UntilOption = None,
    all_requests: Annotated[bool, typer.Option("--all", help="Those that have a cost too, not only unpriced.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the difference; keep nothing.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept with the run.")] = "",
    undo: Annotated[int | None, typer.Option(help="Take this run back; what was before counts again.")] = None,
    list_runs: Annotated[bool, typer.Option("--list", help="List the runs that are in force.")] = False,
    config: CostsConfigOption = None,
    store: CostsStoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the cost of traces again, by today's price book and rates at each request's day; the old one is kept."""
    with open_books(config, store) as books:
        if undo is not None:
            _undo_reprice(books, undo)
        elif list_runs:
            _list_reprices(books, as_json=as_json)
        else:
            period = parse_period(since, until, time.time())
            words = reason or ("all requests" if all_requests else "unpriced requests")
            _reprice(books, period, words, is_all=all_requests, is_dry=dry_run, as_json=as_json)


@costs_app.command("reconcile")
def reconcile(
    month: Annotated[str | None, typer.Option(help="YYYY-MM; every month that has an invoice.")] = None,
    tolerance: Annotated[str, typer.Option(help="How much of an invoice may stay unexplained.")] = "2%",
    source: SourceOption = None,
    config: CostsConfigOption = None,
    store: CostsStoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold what was computed against what was invoiced. Exit code 1 where more than the tolerance is unexplained."""
    limit = _parse_tolerance(tolerance)
    with open_books(config, store) as books:
        rows = _reconcile(books, parse_month(month), source or ())
        currency = books.currency
    if as_json:
        print_json({"schema": 1, "tolerance": f"{limit:f}", "months": describe_reconciled(rows, limit)})
    elif rows:
        out.print(render_reconciled(rows, currency, limit))
        if not currency.is_usd:
            out.print(f"· amounts in {currency.code}: {currency.describe()}", style="dim")
    else:
        out.print("no invoices yet: `inhouse import invoice FILE --provider NAME`")
    if any(row.is_over(limit) for row in rows):
        raise typer.Exit(ExitCode.FAILED)


@costs_app.command("export")
def export(
    out_file: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    wanted: Annotated[ExportFormat, typer.Option("--format", help="Format of the file.")] = ExportFormat.FOCUS,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    with_simulated: Annotated[bool, typer.Option("--with-simulated", help="Simulated requests too, marked.")] = False,
    config: CostsConfigOption = None,
    store: CostsStoreOption = None,
) -> None:
    """Write costs for a FinOps tool: FOCUS 1.2, a row for each hour, model, project and token bucket, in US dollars."""
    period = parse_period(since, until, time.time())
    written, left_out, simulated = CostSums(), CostSums(), CostSums()

    def pick(lines: Iterable[CostLine]) -> Iterator[CostLine]:
        for line in lines:
            if line.is_simulated and not with_simulated:
                simulated.add(line)
            elif line.usd is None:
                left_out.add(line)
            else:
                written.add(line)
                yield line

    with open_books(config, store) as books:
        lines = books.lines(period.since, period.until, source or ())
        rows = list_focus_rows(pick(lines), FocusPricers(books.pricer, books.listed))
        num_rows = write_table(out_file, FOCUS_COLUMNS, rows)
    out.print(f"wrote {out_file}: {num_rows:,} rows of {wanted.value}, {format_usd(written.usd)} in all", markup=False)
    if left_out.has_unpriced:
        requests, tokens = left_out.num_unpriced_requests, format_count(left_out.num_unpriced_tokens)
        out.print(f"· unpriced usage is not in it ({count_of(requests, 'request')}, {tokens} tokens): no cost to state")
    if simulated.num_requests:
        out.print(f"· simulated: {count_of(simulated.num_requests, 'request')}, not in it (--with-simulated)")


def _find_elsewhere(books: CostBooks, asked: Iterable[str], period: CostPeriod) -> tuple[Elsewhere, ...]:
    at = period.until - 1
    return tuple(find_elsewhere(one, books.book, books.pricer, period.last_day, at) for one in asked)


def _reprice(books: CostBooks, period: CostPeriod, reason: str, *, is_all: bool, is_dry: bool, as_json: bool) -> None:
    repricing = Repricing(books.find_vector)
    requests = books.store.spend.requests(period.since, period.until, is_unpriced_only=not is_all)
    costs: Iterable[RepricedCost] = repricing.run(requests)
    run = None
    if is_dry:
        for _ in costs:
            pass
    else:
        run = books.store.spend.add_reprice(
            costs, reason=reason, at=time.time(), since=period.since, until=period.until
        )
    differences = list(repricing.differences.values())
    if as_json:
        print_json({"schema": 1, "run": run, "is_dry_run": is_dry, "models": differences})
        return
    if not differences:
        out.print(f"no {'' if is_all else 'unpriced '}requests from {period.first_day} to {period.last_day}")
        return
    out.print(render_differences(differences))
    if run is not None:
        out.print(f"kept the costs of {count_of(run.num_traces, 'request')} as run {run.reprice_id}")
        out.print(f"undo: inhouse costs reprice --undo {run.reprice_id}", style="dim")
    elif is_dry:
        out.print("nothing was kept (--dry-run)")
    else:
        out.print("nothing to keep: no cost differs")


def _undo_reprice(books: CostBooks, reprice_id: int) -> None:
    num_costs = books.store.spend.undo_reprice(reprice_id)
    if num_costs is None:
        raise ConfigError(f"There is no run {reprice_id}.", fix="`inhouse costs reprice --list` shows those there are.")
    out.print(f"took run {reprice_id} back: the cost of before counts again for {count_of(num_costs, 'request')}")


def _list_reprices(books: CostBooks, *, as_json: bool) -> None:
    runs = books.store.spend.reprices()
    if as_json:
        print_json(runs)
        return
    for run in runs:
        day = datetime.fromtimestamp(run.repriced_at, UTC).strftime("%Y-%m-%d %H:%M")
        out.print(f"run {run.reprice_id}  {day}  {count_of(run.num_traces, 'request')}  {run.reason}", markup=False)
    if not runs:
        out.print("no costs were computed again")


def _reconcile(books: CostBooks, month: tuple[int, int] | None, sources: Iterable[str]) -> list[Reconciled]:
    invoices = books.store.invoices.lines(*(month or (None, None)))
    if month is None:
        if not invoices:
            return []
        months = {datetime.fromtimestamp(line.started_at, UTC).strftime("%Y-%m") for line in invoices}
        spans = [parse_month(one) or (0, 0) for one in sorted(months)]
    else:
        spans = [month]
    lines: list[CostLine] = []
    for since, until in spans:
        lines += (line for line in books.lines(since, until, list(sources)) if not line.is_own)
    return reconcile_invoices(lines, invoices, books.currency, time.time())


def _parse_tolerance(word: str) -> Decimal:
    try:
        found: Decimal = TypeAdapter[Decimal](Share).validate_python(word)
    except ValidationError:
        found = Decimal(-1)
    if not 0 <= found <= 1:
        raise ConfigError(f"--tolerance {word!r} is no share.", fix="write it like 2% or 0.02.")
    return found
