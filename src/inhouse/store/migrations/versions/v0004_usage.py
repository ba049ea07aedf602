"""Usage in eight buckets, and the provider's tariff."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_BUCKETS = ("cache_write_1h", "input_audio", "output_audio")


def upgrade() -> None:
    """Add the columns; traces with known usage had no such tokens told apart: zero. Unknown usage stays null."""
    for name in _BUCKETS:
        op.add_column("traces", sa.Column(name, sa.BigInteger))
    op.add_column("traces", sa.Column("tier", sa.Text))
    zeros = ", ".join(f"{name} = 0" for name in _BUCKETS)
    op.execute(sa.text(f"UPDATE traces SET {zeros} WHERE input_uncached IS NOT NULL"))  # noqa: S608 - constants
