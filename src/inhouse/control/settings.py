"""Settings of the control process: the admin port."""

from __future__ import annotations

from pydantic import Field

from inhouse.domain.settings import Settings


class AdminSettings(Settings):
    """The admin port (API, status page). Separate from the data port."""

    host: str = "127.0.0.1"
    """Loopback only, until the admin API has keys of its own."""
    port: int = Field(default=8081, ge=0, le=65_535)
    """Admin port; 0 picks a free one."""
