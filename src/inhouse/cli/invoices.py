"""`inhouse import invoice`: keep what a provider charged, to hold it against what was computed."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.costing.books import CostsConfigOption, CostsStoreOption, find_configuration
from inhouse.cli.costing.period import parse_month
from inhouse.cli.costing.view import count_of
from inhouse.cli.installation import JsonOption
from inhouse.cli.invoice_files import InvoiceDocument, InvoiceOptions, read_invoice
from inhouse.cli.terminal import err, out, print_json
from inhouse.domain import ConfigError
from inhouse.store import InvoiceCounts, Store, open_store


def import_invoice(
    file: Annotated[
        Path | None,
        typer.Argument(help="OpenAI's or Anthropic's cost export (JSON, CSV), or a table.", show_default=False),
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Whose charges: the provider's name in inhouse.")] = None,
    month: Annotated[str | None, typer.Option(help="YYYY-MM: of rows without a date; others are left out.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of amounts whose currency the file does not state.")] = None,
    account: Annotated[str, typer.Option(help="Tells two accounts of one provider apart.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and sum up; keep nothing.")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="List what was imported.")] = False,
    remove: Annotated[int | None, typer.Option(help="Take this import back.")] = None,
    config: CostsConfigOption = None,
    store: CostsStoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep what a provider charged; imported twice, a file changes nothing. `inhouse costs reconcile` compares it."""
    if list_all or remove is not None:
        with _open_store(config, store) as opened:
            _list_imports(opened, as_json=as_json) if remove is None else _remove(opened, remove)
        return
    if file is None or provider is None:
        missing = "FILE" if file is None else "--provider"
        raise ConfigError(f"{missing} is missing.", fix="inhouse import invoice FILE --provider NAME")
    options = InvoiceOptions(provider, parse_month(month), account, currency)
    document = read_invoice(file, options, time.time())
    counts = None
    if not dry_run:
        with _open_store(config, store) as opened:
            counts = opened.invoices.add(document.lines, document.about)
    if as_json:
        about = document.about
        print_json({"schema": 1, "file": about, "counts": counts, "months": _sum_months(document)})
        return
    _show(document, counts)


def _open_store(config: Path | None, store: str | None) -> Store:
    configuration = find_configuration(config, store)
    url = store or (None if configuration is None else configuration.store_url)
    if url is None:
        raise ConfigError("No store is named.", fix="name one: `-c inhouse.yaml` or `--store sqlite:///PATH`.")
    return open_store(url)


def _sum_months(document: InvoiceDocument) -> dict[str, dict[str, Decimal]]:
    """Amounts by month and currency."""
    found: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for line in document.lines:
        found[datetime.fromtimestamp(line.started_at, UTC).strftime("%Y-%m")][line.currency] += line.amount
    return found


def _show(document: InvoiceDocument, counts: InvoiceCounts | None) -> None:
    about = document.about
    for month, amounts in sorted(_sum_months(document).items()):
        words = ", ".join(f"{code} {amount:,.2f}" for code, amount in sorted(amounts.items()))
        out.print(f"{about.provider} {month}: {words} ({about.grouped_by})", markup=False)
    for warning in document.warnings:
        err.print(f"note: {warning}", markup=False)
    if counts is None:
        out.print("nothing was kept (--dry-run)")
    elif counts.import_id is None:
        out.print("everything in it was there already: nothing changed")
    else:
        replaced = f", {counts.num_replaced:,} replaced" if counts.num_replaced else ""
        same = f", {counts.num_same:,} were there already" if counts.num_same else ""
        out.print(f"kept {count_of(counts.num_new, 'charge')}{replaced}{same}")
        out.print("next: inhouse costs reconcile")
        out.print(f"undo: inhouse import invoice --remove {counts.import_id}", style="dim")


def _list_imports(store: Store, *, as_json: bool) -> None:
    imports = store.invoices.imports()
    if as_json:
        print_json(imports)
        return
    for one in imports:
        days = " to ".join(datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d") for at in (one.since, one.until - 1))
        out.print(f"{one.import_id}  {one.provider}  {days}  {one.file}  ({one.grouped_by})", markup=False)
    if not imports:
        out.print("no invoices were imported")


def _remove(store: Store, import_id: int) -> None:
    num_lines = store.invoices.remove(import_id)
    if num_lines is None:
        raise ConfigError(
            f"There is no invoice {import_id}.", fix="`inhouse import invoice --list` shows those there are."
        )
    out.print(f"took invoice {import_id} back: {count_of(num_lines, 'charge')}")
