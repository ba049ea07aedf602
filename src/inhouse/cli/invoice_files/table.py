"""A table of charges: a day, a period or a month, an amount, a currency; FOCUS exports too. One row is one charge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inhouse.cli.invoice_files.charges import Charge, Charges, find_day, find_month, parse_amount, parse_start
from inhouse.cli.usage_files.labels import quote
from inhouse.cli.usage_files.opening import read_table
from inhouse.cli.usage_files.reading import Place, Reading
from inhouse.domain import DAY_S, ConfigError

FIELDS: dict[str, tuple[str, ...]] = {
    "date": ("day", "usage_date", "start_time", "start", "period_start", "charge_period_start", "chargeperiodstart"),
    "until": ("end_time", "end", "period_end", "charge_period_end", "chargeperiodend"),
    "month": ("billing_month", "invoice_month", "billing_period", "billingperiodstart"),
    "amount": ("cost", "total", "charge", "amount_usd", "cost_usd", "total_usd", "usd", "billedcost", "price"),
    "currency": ("amount_currency", "billing_currency", "billingcurrency"),
    "description": ("item", "line_item", "product", "service", "chargedescription", "sku"),
    "model": ("model_name", "model_id", "resourcename"),
    "project": ("project_id", "project_name", "workspace", "workspace_id", "subaccountid"),
    "kind": ("cost_type", "charge_type", "charge_category", "chargecategory", "type"),
}
"""Every field of a table of charges, with the other names that its column may have."""
_MONTH_CHARS = 7
_TOKEN_KINDS = frozenset({"", "tokens", "token", "usage"})


def read_table_rows(reading: Reading, charges: Charges) -> str:
    """The charges of a table.

    Returns:
        `day` or `month`: what its rows are for (that of the last one).

    Raises:
        ConfigError: a column is missing, or a value is not as it must be; names file, line, column and fix.
    """
    header, rows = read_table(reading.opened.path, reading.advance)
    columns = _find_columns(reading, header, has_month=charges.options.month is not None)
    width = "month"
    for line, row in rows:
        place = Place(line)
        values = {name: row[at].strip() for name, at in columns.items()}
        (start, end), width = _find_period(reading, place, values, charges.options.month)
        if not values["amount"]:
            raise reading.refuse("It has no amount.", line=line, path=header[columns["amount"]])
        charges.add(
            place,
            Charge(
                started_at=start,
                ended_at=end,
                amount=parse_amount(reading, place, header[columns["amount"]], values["amount"]),
                currency=values.get("currency") or _find_currency(header[columns["amount"]]),
                description=values.get("description") or None,
                model=values.get("model") or None,
                project=values.get("project") or None,
                is_tokens=values.get("kind", "").lower() in _TOKEN_KINDS,
            ),
        )
    return width


def _find_period(
    reading: Reading, place: Place, values: Mapping[str, str], month: tuple[int, int] | None
) -> tuple[tuple[int, int], str]:
    """The period of a row, and whether it is a day or longer."""
    if values.get("date"):
        start = parse_start(reading, place, "date", values["date"])
        end = parse_start(reading, place, "until", values["until"]) if values.get("until") else find_day(start)[1]
        if end <= start:
            raise reading.refuse("It ends before it begins.", line=place.line)
        return (start, end), "day" if end - start <= DAY_S else "month"
    if values.get("month"):
        word = values["month"]
        return find_month(parse_start(reading, place, "month", f"{word}-01" if len(word) == _MONTH_CHARS else word)), (
            "month"
        )
    if month is not None:
        return month, "month"
    raise reading.refuse("It has neither a date nor a month.", line=place.line, fix="fill it in, or use --month.")


def _find_columns(reading: Reading, header: Sequence[str], *, has_month: bool) -> dict[str, int]:
    names = [name.strip().lower().replace(" ", "_") for name in header]
    found: dict[str, int] = {}
    for name, aliases in FIELDS.items():
        at = next((names.index(alias) for alias in (name, *aliases) if alias in names), None)
        if at is not None and at not in found.values():
            found[name] = at
    if "amount" not in found:
        raise _refuse(reading, header, "amount", "It has no column with an amount.")
    if "date" not in found and "month" not in found and not has_month:
        raise _refuse(reading, header, "date", "It has no column with a day or month, and --month is not given.")
    return found


def _refuse(reading: Reading, header: Sequence[str], name: str, problem: str) -> ConfigError:
    columns = ", ".join(quote(column) for column in header)
    fix = f"name a column one of {', '.join((name, *FIELDS[name]))}; the columns are {columns}."
    return reading.refuse(problem, line=1, fix=fix)


def _find_currency(column: str) -> str | None:
    """The currency that the amount's own heading states (`cost_usd`)."""
    return "USD" if column.strip().lower().replace(" ", "_").endswith("usd") else None
