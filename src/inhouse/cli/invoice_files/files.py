"""Reads a file of charges, whatever its form, whole or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from inhouse.cli.invoice_files.charges import Charges, InvoiceOptions
from inhouse.cli.invoice_files.exports import read_anthropic_pages, read_openai_pages, read_openai_rows
from inhouse.cli.invoice_files.table import read_table_rows
from inhouse.cli.usage_files.opening import OpenedFile, Shape, look_into, read_document, split_header
from inhouse.cli.usage_files.reading import Reading
from inhouse.cli.usage_files.report import Report
from inhouse.domain import ConfigError, SourceLocation
from inhouse.store import InvoiceFile, InvoiceLine


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceDocument:
    """What a file holds."""

    lines: tuple[InvoiceLine, ...]
    about: InvoiceFile
    warnings: tuple[str, ...]


def read_invoice(path: Path, options: InvoiceOptions, now: float) -> InvoiceDocument:
    """Read a file of charges: OpenAI's or Anthropic's cost export, or a table. Gzipped files are read too.

    Args:
        path: the file.
        options: what it does not say.
        now: Unix seconds.

    Raises:
        ConfigError: it cannot be read, has another form, is malformed, or holds no charge.
    """
    opened = look_into(path)
    reading = Reading(opened, Report())
    form = _find_form(opened)
    charges = Charges(reading, options, is_summed=form != "table")
    width = "day"
    if form == "openai-costs" and opened.shape is Shape.CSV:
        read_openai_rows(reading, charges)
    elif form == "openai-costs":
        read_openai_pages(reading, charges)
    elif form == "anthropic-costs":
        read_anthropic_pages(reading, charges)
    else:
        width = read_table_rows(reading, charges)
    lines = tuple(charges.lines.values())
    if not lines:
        other = f" ({charges.num_other_months} of other months)" if charges.num_other_months else ""
        raise reading.refuse(f"It holds no charge{other}.", fix="export it again, or name another --month.")
    about = InvoiceFile(
        provider=options.provider,
        file=path.name,
        sha256=hashlib.sha256(read_document(path)).hexdigest(),
        account=options.account,
        grouped_by=f"{form} by {width}",
        imported_at=now,
        since=min(line.started_at for line in lines),
        until=max(line.ended_at for line in lines),
    )
    return InvoiceDocument(lines=lines, about=about, warnings=tuple(_list_warnings(reading, charges)))


def _list_warnings(reading: Reading, charges: Charges) -> list[str]:
    found: list[str] = []
    if reading.report.has_more:
        found.append("the last page says that another follows: charges are missing")
    if charges.num_other_months:
        found.append(f"{charges.num_other_months:,} charges of other months were left out")
    if charges.num_repeated:
        found.append(f"{charges.num_repeated:,} charges stood in the file twice, and count once")
    return found


def _find_form(opened: OpenedFile) -> str:
    """Which form a file has, by the names that only one has.

    Raises:
        ConfigError: none of those that are known.
    """
    if opened.shape is Shape.CSV:
        return "openai-costs" if "amount_value" in split_header(opened.head) else "table"
    if '_tokens"' in opened.head and '"amount"' not in opened.head:
        raise ConfigError(
            "It is a usage export: it has tokens and no amounts.",
            fix="`inhouse import openai-usage` or `anthropic-usage` reads it; an invoice is the export of costs.",
            location=SourceLocation(file=str(opened.path)),
        )
    if '"starting_at"' in opened.head:
        return "anthropic-costs"
    if '"start_time"' in opened.head:
        return "openai-costs"
    raise ConfigError(
        "It is no cost export that is known: it has neither `start_time` (OpenAI's organization/costs) nor "
        "`starting_at` (Anthropic's cost_report).",
        fix="export one of those, or write a table with date, amount, currency and description.",
        location=SourceLocation(file=str(opened.path)),
    )
