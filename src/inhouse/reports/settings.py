"""Settings of reports: the team whose time a decision counts."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from inhouse.domain.settings import Settings, Share


class TeamSettings(Settings):
    """The people who would run the platform. A decision asks for the share of their time; it has no default."""

    engineers: int | None = Field(default=None, ge=1)
    """How many there are."""
    loaded_usd_per_month: Decimal | None = Field(default=None, gt=0)
    """What one of them costs a month, everything included; a stated range where not given."""
    fte_share: Share | None = Field(default=None, ge=0, le=20)
    """Full-time engineers that self-hosting would take (`0.5`: half of one)."""
