"""The free quality signals of an answer, beside its trace."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; traces from before have none measured."""
    op.add_column("traces", sa.Column("signals_json", sa.Text))
