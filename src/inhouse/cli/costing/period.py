"""Periods as people write them: days, `7d`, months. All in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from inhouse.domain import DAY_S, ConfigError
from inhouse.reports.costs import CostPeriod

DEFAULT_DAYS = 30
_DAYS = re.compile(r"^([1-9][0-9]{0,4})d$")
_MONTH = re.compile(r"^(\d{4})-(\d{2})$")
_FIX = "write a day like 2026-11-01, or 7d for today and the six days before it."


def parse_period(since: str | None, until: str | None, now: float) -> CostPeriod:
    """Whole UTC days; `until` is the last day of the period. Without a beginning it is 30 days long.

    Args:
        since: a day, or `7d`: so many days up to the end, that day included.
        until: a day; today where not given.
        now: Unix seconds.

    Raises:
        ConfigError: one is no day, or the end is before the beginning.
    """
    today = datetime.fromtimestamp(now, UTC).date()
    last = today if until is None else _parse_day("--until", until)
    days = _DAYS.match(since or f"{DEFAULT_DAYS}d")
    try:
        first = last - timedelta(days=int(days[1]) - 1) if days else _parse_day("--since", since or "")
    except OverflowError:
        raise ConfigError(f"--since {since!r} is too long ago.", fix=_FIX) from None
    if first > last:
        raise ConfigError(f"The period ends on {last}, before it begins on {first}.", fix="swap the two days.")
    return CostPeriod(since=_start_of(first), until=_start_of(last) + DAY_S)


def parse_month(word: str | None) -> tuple[int, int] | None:
    """Unix seconds of a month's first moment and of the next month's, from `YYYY-MM`; None for None.

    Raises:
        ConfigError: it is no month.
    """
    if word is None:
        return None
    found = _MONTH.match(word)
    if found is None or not 1 <= int(found[2]) <= 12 or int(found[1]) < 1970:
        raise ConfigError(f"--month {word!r} is no month.", fix="write it like 2026-11.")
    year, month = int(found[1]), int(found[2])
    after = date(year + month // 12, month % 12 + 1, 1)
    return int(_start_of(date(year, month, 1))), int(_start_of(after))


def _parse_day(name: str, word: str) -> date:
    try:
        return date.fromisoformat(word)
    except ValueError:
        raise ConfigError(f"{name} {word!r} is no day.", fix=_FIX) from None


def _start_of(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()
