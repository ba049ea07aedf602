"""Values as exports write them: moments, amounts, token counts. Raises ValueError in words; knows no file."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated

from msgspec import Meta

from inhouse.domain import PICO_PER_USD, to_pico_usd

Count = Annotated[int, Meta(ge=0)]
"""A number of tokens or requests."""

_FIRST_MOMENT_S = 1_420_070_400
"""2015: nothing that this reads is older."""
_LAST_MOMENT_S = 4_102_444_800
_MILLISECONDS_FROM = 100_000_000_000
DATE_CHARS = 10
"""Of a day without a time of day; longer texts have one."""
_MAX_PICO_USD = 1_000_000 * PICO_PER_USD


def parse_moment(value: str | float) -> int:
    """Unix seconds, rounded down. A text without a time zone is UTC; numbers may be seconds or milliseconds.

    Raises:
        ValueError: it is no time, or one before 2015 or after 2100.
    """
    if isinstance(value, str):
        if value.isdecimal() and len(value) >= DATE_CHARS:  # not 20260301, which is a day
            return _check_moment(int(value))
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            seconds = _read_text(value)
        else:
            seconds = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    else:
        seconds = float(value)
    return _check_moment(seconds)


def is_date(text: str) -> bool:
    """Whether a text is a day without a time of day."""
    if len(text) > DATE_CHARS and not (text[0].isspace() or text[-1].isspace()):
        return False  # most texts, at once
    return len(text.strip()) <= DATE_CHARS and not text.strip().isdigit()


def parse_usd(text: str | Decimal) -> int:
    """Pico-dollars of an amount in dollars, read exactly.

    Raises:
        ValueError: it is no amount between 0 and a million dollars.
    """
    try:
        amount = to_pico_usd(Decimal(text.replace("$", "", 1) if isinstance(text, str) else text))
    except InvalidOperation:
        raise ValueError("is no amount in dollars (write it like 12.345678)") from None
    except (ValueError, OverflowError):
        amount = -1  # not a number, or infinite
    if not 0 <= amount <= _MAX_PICO_USD:
        raise ValueError("is no amount between 0 and 1,000,000 dollars")
    return amount


def parse_count(text: str) -> int:
    """A number of zero or more; `3.0` is 3.

    Raises:
        ValueError: it is none.
    """
    if text.isdecimal():
        return int(text)
    count = _read_whole(text)
    if count < 0:
        raise ValueError("is less than zero")
    return count


def _read_whole(text: str) -> int:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("is no whole number (write it like 1234567)") from None
    if not number.is_finite() or number != int(number):
        raise ValueError("is no whole number")
    return int(number)


def _check_moment(seconds: float) -> int:
    if seconds >= _MILLISECONDS_FROM:
        seconds /= 1000
    if not _FIRST_MOMENT_S <= seconds < _LAST_MOMENT_S:
        raise ValueError("is no time between 2015 and 2100")
    return int(seconds)


def _read_text(text: str) -> float:
    words = text.strip().removesuffix("UTC").rstrip()
    try:
        moment = datetime.fromisoformat(words.replace("/", "-"))
    except ValueError:
        try:
            return float(words)
        except ValueError:
            raise ValueError("is no time (write it like 2026-03-01T14:00:00Z)") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
