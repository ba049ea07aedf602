"""Figures of the page from values: what machines read and what people read, side by side."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from inhouse.planning.economics import Band
from inhouse.reports.decision.formats import NOT_KNOWN, format_count, format_dollars, format_factor, format_share
from inhouse.reports.decision.page import Figure, Spread


def money(value: float | Decimal | None, missing: str = NOT_KNOWN) -> Figure:
    """Dollars: text with cents for machines."""
    return Figure(None, missing) if value is None else Figure(f"{value:.2f}", format_dollars(value))


def share(value: float | None, missing: str = NOT_KNOWN) -> Figure:
    """A share of one."""
    return Figure(None, missing) if value is None else Figure(_round(value), format_share(value))


def quantity(value: float | None, missing: str = NOT_KNOWN) -> Figure:
    """A number of things."""
    return Figure(None, missing) if value is None else Figure(_round(value), format_count(value))


def ratio(value: float | None, missing: str = NOT_KNOWN) -> Figure:
    """A factor."""
    return Figure(None, missing) if value is None else Figure(_round(value), format_factor(value))


def spread_money(band: Band) -> Spread:
    """Dollars over the draws."""
    return _spread(band, money)


def spread_share(band: Band) -> Spread:
    """A share over the draws."""
    return _spread(band, share)


def spread_gpus(band: Band) -> Spread:
    """A mean number of GPUs over the draws, in two digits."""
    return _spread(band, _gpus)


def _spread(band: Band, figure: Callable[[float], Figure]) -> Spread:
    return Spread(p10=figure(band.p10), p50=figure(band.p50), p90=figure(band.p90), mean=figure(band.mean))


def _gpus(value: float) -> Figure:
    return Figure(_round(value), f"{value:.0f}" if value >= 10 else f"{value:.2g}")


def _round(value: float) -> float:
    return float(f"{value:.6g}")
