"""Collects the charges of one file: amounts read exactly, each charge with a key of its own. Knows no format."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

import msgspec

from inhouse.cli.usage_files.intake import make_key
from inhouse.cli.usage_files.labels import clean_label, quote
from inhouse.cli.usage_files.reading import Place, Reading
from inhouse.cli.usage_files.values import parse_moment
from inhouse.domain import DAY_S
from inhouse.store import InvoiceLine

_MAX_AMOUNT = Decimal(9_000_000)
"""What a signed 64-bit number of pico-units holds."""


@dataclass(frozen=True, slots=True)
class InvoiceOptions:
    """What a file does not say itself."""

    provider: str
    month: tuple[int, int] | None = None
    """Unix seconds of the first moments of a month and of the next one: only charges of it count."""
    account: str = ""
    currency: str | None = None
    """Of amounts whose currency the file does not state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One charge as a reader found it."""

    started_at: int
    ended_at: int
    amount: Decimal
    currency: str | None
    description: str | None = None
    model: str | None = None
    project: str | None = None
    is_tokens: bool = True
    parts: tuple[str | None, ...] = ()
    """Whatever else tells it from others."""


@dataclass(slots=True)
class Charges:
    """Takes in charges: of equal ones that the source has summed up, each counts once."""

    reading: Reading
    options: InvoiceOptions
    is_summed: bool
    """Whether equal lines are the same charge (pages of an API), or several (rows of a table)."""
    lines: dict[str, InvoiceLine] = field(default_factory=dict[str, InvoiceLine])
    num_other_months: int = 0
    num_repeated: int = 0

    def add(self, place: Place, charge: Charge) -> None:
        """Take in one charge.

        Raises:
            ConfigError: its currency is not known, or the amount is too large.
        """
        month = self.options.month
        if month is not None and not month[0] <= charge.started_at < month[1]:
            self.num_other_months += 1
            return
        currency = (charge.currency or self.options.currency or "").strip().upper()
        if len(currency) != 3 or not currency.isalpha():
            problem = f"Its currency is {quote(currency)}." if currency else "It states no currency."
            fix = "add a column `currency` (USD, EUR …), or say it with --currency."
            raise self.reading.refuse(problem, line=place.line, path=place.path, fix=fix)
        if abs(charge.amount) > _MAX_AMOUNT:
            problem = f"The amount {charge.amount} is beyond ±{_MAX_AMOUNT:,}."
            raise self.reading.refuse(problem, line=place.line, path=place.path)
        line = InvoiceLine(
            provider=self.options.provider,
            line_id="",
            started_at=charge.started_at,
            ended_at=charge.ended_at,
            description=clean_label(charge.description),
            model=clean_label(charge.model),
            project=clean_label(charge.project),
            is_tokens=charge.is_tokens,
            amount=charge.amount,
            currency=currency,
        )
        self._keep(line, charge)

    def _keep(self, line: InvoiceLine, charge: Charge) -> None:
        labels = (line.description, line.model, line.project, line.is_tokens, line.currency, *charge.parts)
        # The amount is no part of the key: a later export may say another one of the same charge.
        key, number = make_key(self.options.account, line.started_at, line.ended_at, *labels), 1
        found = key
        while (known := self.lines.get(found)) is not None:
            if self.is_summed and known.amount == line.amount:
                self.num_repeated += 1
                return
            number += 1
            found = f"{key}#{number}"
        self.lines[found] = msgspec.structs.replace(line, line_id=found)


def parse_amount(reading: Reading, place: Place, name: str, text: str) -> Decimal:
    """An amount in the currency's own unit; a sign, thousands separators and a currency sign are fine.

    Raises:
        ConfigError: it is none.
    """
    words = text.strip().replace(",", "").replace("$", "").replace("€", "").replace(" ", "")
    is_negative = words.startswith("(") and words.endswith(")")
    try:
        amount = Decimal(words.strip("()"))
    except InvalidOperation:
        amount = Decimal("NaN")
    # `1.234,56` would be read as a thousandth of what it means.
    is_foreign = "," in text and "." in text and text.rindex(",") > text.rindex(".")
    is_doubtful = "," in text and len(text.strip().rpartition(",")[2].partition(".")[0]) != 3
    if not amount.is_finite() or is_foreign or is_doubtful:
        fix = "write amounts with a decimal point: 1234.56."
        problem = f"{name} is no amount; it is {quote(text)}."
        raise reading.refuse(problem, line=place.line, path=place.path, fix=fix)
    return -amount if is_negative else amount


def parse_start(reading: Reading, place: Place, name: str, value: str | float) -> int:
    """Unix seconds of a field.

    Raises:
        ConfigError: it is no time.
    """
    try:
        return parse_moment(value)
    except ValueError as error:
        problem = f"{name} {error}; it is {quote(value)}."
        raise reading.refuse(problem, line=place.line, path=place.path) from None


def find_month(at: int) -> tuple[int, int]:
    """The first moments of the month that a moment lies in, and of the next month."""
    day = datetime.fromtimestamp(at, UTC).date().replace(day=1)
    after = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return _start_of(day), _start_of(after)


def find_day(at: int) -> tuple[int, int]:
    """The first moments of the day that a moment lies in, and of the next day."""
    return at - at % DAY_S, at - at % DAY_S + DAY_S


def _start_of(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
