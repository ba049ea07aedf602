"""How figures read on the decision page: dollars, shares, values by unit. Pure; None is never a number."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from inhouse.catalog import Unit

_FIXED = re.compile(r"(?<=[\d×]) (?=%|×|FTE\b|[A-Z]\d)|(?<=P10|P50|P90) ")
NOT_KNOWN = "not known"
_PERIODS = {
    Unit.USD_PER_MONTH: " a month",
    Unit.USD_PER_HOUR: " an hour",
    Unit.USD_PER_MTOK: " per M tokens",
    Unit.SHARE_PER_YEAR: " a year",
    Unit.SECONDS_PER_TOKEN: " a token",
}


def format_dollars(value: float | Decimal | None) -> str:
    """Dollars in about three digits: `$642`, `$8.8k`, `$128k`, `$2.0M`; negative ones with a minus sign."""
    if value is None:
        return NOT_KNOWN
    amount = abs(float(value))
    sign = "−" if value < 0 and round(amount) > 0 else ""
    if amount < 999.5:
        return f"{sign}${amount:.0f}"
    if amount < 99_950:
        return f"{sign}${amount / 1e3:.1f}k"
    if amount < 999_500:
        return f"{sign}${amount / 1e3:.0f}k"
    return f"{sign}${amount / 1e6:.1f}M" if amount < 99.95e6 else f"{sign}${amount / 1e6:,.0f}M"


def format_rate(value: float | Decimal | None) -> str:
    """A price of one thing, in three digits and at least cents: `$0.15`, `$0.075`, `$3.50`."""
    if value is None:
        return NOT_KNOWN
    amount = float(value)
    if amount >= 1000:
        return format_dollars(amount)
    cents = f"{amount:.2f}"
    return f"${cents}" if amount == 0 or float(cents) == float(f"{amount:.3g}") else f"${amount:.3g}"


def format_share(value: float | None) -> str:
    """A share of one in per cent: `46 %`, `3.5 %`, `99.6 %`. What is neither none nor all is never rounded to it."""
    if value is None:
        return NOT_KNOWN
    percent = round(value * 100, 6)
    if 0 < percent < 0.1:
        return "below 0.1 %"
    if 99.9 < percent < 100:
        return "above 99.9 %"
    digits = 1 if 0 < abs(percent) < 9.95 or 99 < percent < 100 else 0
    text = f"{percent:.{digits}f}".removesuffix(".0")
    return f"{text.replace('-', '−')} %"


def format_count(value: float | None) -> str:
    """A number of things: `3.2`, `90`, `2,000`, `27.6k`, `2.5M`."""
    if value is None:
        return NOT_KNOWN
    for limit, divisor, letter in ((999.5e6, 1e9, "G"), (999_500, 1e6, "M"), (9_995, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / divisor:.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 9.95 else f"{value:.2g}"


def keep_together(text: str) -> str:
    """The same with spaces that do not break inside of figures: before per cent signs, behind P10."""
    return _FIXED.sub("\u00a0", text)


def format_factor(value: float | None) -> str:
    """A ratio in two digits: `4×`, `0.85×`, `12×`."""
    if value is None:
        return NOT_KNOWN
    return f"{value:,.0f}×" if abs(value) >= 9.95 else f"{value:.2g}×"


def format_value(value: float | None, unit: Unit) -> str:
    """An assumption's value with its unit, without its period: `80 %`, `$18.0k`, `57.5 µs`."""
    if value is None:
        return NOT_KNOWN
    return _FORMATS[unit](value)


def format_with_unit(value: float | None, unit: Unit) -> str:
    """The same with its period: `$18.0k a month`, `15 % a year`."""
    return format_value(value, unit) + ("" if value is None else period_of(unit))


def period_of(unit: Unit) -> str:
    """What stands behind a value of the unit: ` a month`, ` per M tokens`, or nothing."""
    return _PERIODS.get(unit, "")


def _format_fte(value: float) -> str:
    return f"{value:.2g} FTE"


def _format_months(value: float) -> str:
    return f"{value:.3g} month{'' if value == 1 else 's'}"


def _format_pace(value: float) -> str:
    return f"{value * 1e6:.3g} µs"


_FORMATS: dict[Unit, Callable[[float], str]] = {
    Unit.SHARE: format_share,
    Unit.SHARE_PER_YEAR: format_share,
    Unit.USD: format_dollars,
    Unit.USD_PER_MONTH: format_dollars,
    Unit.USD_PER_HOUR: format_rate,
    Unit.USD_PER_MTOK: format_rate,
    Unit.FTE: _format_fte,
    Unit.FACTOR: format_factor,
    Unit.SECONDS_PER_TOKEN: _format_pace,
    Unit.MONTHS: _format_months,
    Unit.COUNT: format_count,
}
