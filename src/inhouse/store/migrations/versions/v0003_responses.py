"""Stored responses: what clients of the Responses dialect asked to have kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "stored_responses",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("response_id", sa.Text, nullable=False),
        sa.Column("previous_response_id", sa.Text),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("endpoint_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("input_json", sa.Text, nullable=False),
        sa.Column("response_json", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "response_id", name="pk_stored_responses"),
    )
    op.create_index("ix_stored_responses_expires_at", "stored_responses", ["expires_at"])
