"""A cost report as one JSON document and as rows of a table: every figure, amounts as decimal text. Renders nothing."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from inhouse.domain import USAGE_BUCKETS, ConfigError
from inhouse.reports.costs import CostReport, CostTotals, DeploymentCost, Reconciled

SCHEMA = 1


def describe_report(report: CostReport) -> dict[str, Any]:
    """The report as JSON-able values. Amounts are in US dollars; None is "not known"."""
    question = report.question
    period, currency = question.period, question.currency
    return {
        "schema": SCHEMA,
        "since": period.first_day.isoformat(),
        "until": period.last_day.isoformat(),
        "by": list(question.dimensions),
        "sources": list(report.sources),
        "currency": "USD",
        "shown_in": None
        if currency.is_usd
        else {"currency": currency.code, "usd_rate": str(currency.usd_rate), "rate_as_of": str(currency.as_of)},
        "on": [
            {"asked": other.asked, "model": other.name, "price_of": period.last_day.isoformat()}
            for other in question.elsewhere
        ],
        "groups": [
            {
                **dict(zip(question.dimensions, group.labels, strict=True)),
                "is_simulated": group.is_simulated,
                "is_evaluation": group.is_eval,
                **describe_totals(group.totals),
            }
            for group in report.groups
        ],
        "total": describe_totals(report.total),
        "simulated": None if report.simulated is None else describe_totals(report.simulated),
        "evaluations": None if report.evals is None else describe_totals(report.evals),
        "deployments": [_describe_deployment(one) for one in report.deployments],
        "paid_usd": _text(report.paid_usd),
        "counted_twice": list(report.overlaps),
        "num_rows_older_than_price": report.num_backdated,
    }


def describe_totals(totals: CostTotals) -> dict[str, Any]:
    """Sums as JSON-able values."""
    return {
        "num_requests": totals.num_requests,
        "all_requests_counted": totals.is_counted,
        "num_failed": totals.num_failed,
        **{name: getattr(totals.usage, name) for name in USAGE_BUCKETS},
        "usage_based_usd": _text(totals.known_usd),
        "usage_based_usd_per_mtok": _text(totals.usd_per_mtok),
        "has_unpriced": totals.has_unpriced,
        "num_unpriced_requests": totals.num_unpriced_requests,
        "num_unpriced_tokens": totals.num_unpriced_tokens,
        "num_repriced": totals.num_repriced,
        "as_stated_usd": _text(totals.stated_usd),
        "on_usd": [_text(usd) for usd in totals.on_usd],
        "on_unpriced_tokens": list(totals.on_unpriced_tokens),
    }


def describe_reconciled(rows: Iterable[Reconciled], tolerance: Decimal) -> list[dict[str, Any]]:
    """Reconciled months as JSON-able values, amounts in US dollars."""
    return [
        {
            "provider": row.provider,
            "month": row.month,
            "computed_usd": _text(row.computed_usd),
            "computed_from": row.computed_from,
            "num_requests": row.num_requests,
            "has_unpriced": row.has_unpriced,
            "num_unpriced_requests": row.num_unpriced_requests,
            "invoiced_usd": _text(row.invoiced_usd),
            "not_tokens_usd": _text(row.other_usd),
            "difference_usd": _text(row.difference_usd),
            "unexplained_usd": _text(row.unexplained_usd),
            "unexplained_share": _text(row.unexplained_share),
            "is_over_tolerance": row.is_over(tolerance),
            "is_simulated": row.is_simulated,
            "currencies_without_rate": list(row.unknown_currencies),
            "reasons": list(row.reasons),
        }
        for row in rows
    ]


def write_groups(path: Path, report: CostReport) -> int:
    """Write every group as a row of a CSV; returns how many.

    Raises:
        ConfigError: the file cannot be written.
    """
    document = describe_report(report)
    names = [other["asked"] for other in document["on"]]
    rows: list[dict[str, Any]] = []
    for group in document["groups"]:
        on_usd, on_unpriced = group.pop("on_usd"), group.pop("on_unpriced_tokens")
        beside = {f"on {name} usd": usd for name, usd in zip(names, on_usd, strict=True)}
        beside |= {f"on {name} unpriced tokens": count for name, count in zip(names, on_unpriced, strict=True)}
        rows.append(group | beside)
    header = list(rows[0]) if rows else list(report.question.dimensions)
    return write_table(path, header, rows)


def write_table(path: Path, header: Iterable[str], rows: Iterable[Mapping[str, object]]) -> int:
    """Write rows as CSV, an empty field for None; returns how many.

    Raises:
        ConfigError: the file cannot be written.
    """
    num_rows = 0
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(header))
            writer.writeheader()
            for row in rows:
                writer.writerow({name: _field(value) for name, value in row.items()})
                num_rows += 1
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.", fix="name another file.") from None
    return num_rows


def _describe_deployment(one: DeploymentCost) -> dict[str, Any]:
    found = msgspec.to_builtins(one.machines, enc_hook=str) | {
        "num_unpriced_requests": one.num_unpriced_requests,
        "is_simulated": one.is_simulated,
    }
    if one.allocation is None:
        return found | {"allocation_based_usd": None}
    allocation = one.allocation
    return found | {
        "allocation_based_usd": _text(allocation.paid_usd),
        "usage_based_usd": _text(allocation.used_usd),
        "idle_usd": _text(allocation.idle_usd),
        "utilisation": _text(allocation.utilisation),
        "usage_based_usd_per_mtok": _text(allocation.usage_usd_per_mtok),
        "allocation_based_usd_per_mtok": _text(allocation.allocation_usd_per_mtok),
        "users": [
            {
                "name": share.name,
                "usage_based_usd": _text(share.usage_usd),
                "allocation_based_usd": _text(share.allocated_usd),
            }
            for share in allocation.shares
        ],
    }


def _field(value: object) -> object:
    """A table's field. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value[:1] in {"=", "+", "@", "\t", "\r"}:
        return f"'{value}"
    return value


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
