"""Reference ranges for a decision, dated. Looks up; draws and decides nothing."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import model_validator

from inhouse.catalog.book import BOOK_FOLDER, load_rows
from inhouse.catalog.rows import Amount, DatedRow
from inhouse.domain.settings import Settings


class Unit(StrEnum):
    """What an assumption's value is in."""

    SHARE = "share"
    USD = "usd"
    USD_PER_MONTH = "usd_per_month"
    USD_PER_HOUR = "usd_per_hour"
    USD_PER_MTOK = "usd_per_mtok"
    FTE = "fte"
    FACTOR = "factor"
    SHARE_PER_YEAR = "share_per_year"
    SECONDS_PER_TOKEN = "seconds_per_token"  # noqa: S105 - a unit
    MONTHS = "months"
    COUNT = "count"


class LearnRow(Settings):
    """What finding out takes."""

    how: str
    usd: Amount
    """Dollars paid to others."""
    hours: Amount
    """Hours of one's own people."""


class AssumptionRow(DatedRow):
    """The reference range of one assumption."""

    name: str
    label: str
    """What people read."""
    low: Decimal
    mid: Decimal
    """The likeliest value."""
    high: Decimal
    unit: Unit
    learn: LearnRow | None = None
    """None where waiting is the only way."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if not self.low <= self.mid <= self.high:
            raise ValueError("low, mid and high must be in order")
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """The name."""
        return (self.name,)


def load_assumptions(path: Path = BOOK_FOLDER / "assumptions.yaml") -> tuple[AssumptionRow, ...]:
    """Read and check the reference ranges.

    Raises:
        ConfigError: the file is missing or not as it must be; names file, row and fix.
    """
    return load_rows(path, AssumptionRow)
