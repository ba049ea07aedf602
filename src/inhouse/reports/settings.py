"""Settings of reports: the team whose time a decision counts, the currency that costs are shown in."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Self

from pydantic import Field, model_validator

from inhouse.domain.settings import Settings, Share


class TeamSettings(Settings):
    """The people who would run the platform. A decision asks for the share of their time; it has no default."""

    engineers: int | None = Field(default=None, ge=1)
    """How many there are."""
    loaded_usd_per_month: Decimal | None = Field(default=None, gt=0)
    """What one of them costs a month, everything included; a stated range where not given."""
    fte_share: Share | None = Field(default=None, ge=0, le=20)
    """Full-time engineers that self-hosting would take (`0.5`: half of one)."""


class CostsSettings(Settings):
    """The currency that `inhouse costs` shows amounts in. They are computed in US dollars; no rate is looked up."""

    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    """Three letters, `EUR`. Another one than USD needs `usd_rate` and `rate_as_of`."""
    usd_rate: Decimal | None = Field(default=None, gt=0)
    """What one US dollar is in it, in quotes: `"0.92"`."""
    rate_as_of: date | None = None
    """The day of that rate, shown beside every amount."""

    @model_validator(mode="after")
    def _check_rate(self) -> Self:
        is_stated = self.usd_rate is not None and self.rate_as_of is not None
        if self.currency == "USD" and (self.usd_rate is not None or self.rate_as_of is not None):
            raise ValueError("a rate is given, and the currency is USD: name the currency that it is for")
        if self.currency != "USD" and not is_stated:
            raise ValueError(f"{self.currency} needs `usd_rate` and `rate_as_of`: no rate is looked up")
        return self
