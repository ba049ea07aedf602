"""Usage that was imported: its records, and the files that they came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "usage_imports",
        sa.Column("import_id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("grouped_by", sa.Text, nullable=False),
        sa.Column("imported_at", sa.Double, nullable=False),
        sa.Column("since", sa.BigInteger),
        sa.Column("until", sa.BigInteger),
        sa.Column("num_new", sa.BigInteger, nullable=False),
        sa.Column("num_replaced", sa.BigInteger, nullable=False),
        sa.Column("num_same", sa.BigInteger, nullable=False),
        sa.Column("num_fuller", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("import_id", name="pk_usage_imports"),
    )
    op.create_table(
        "usage_records",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("record_id", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("width_s", sa.BigInteger, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("project", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("task", sa.Text),
        sa.Column("template", sa.Text),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("num_requests", sa.BigInteger),
        sa.Column("input_uncached", sa.BigInteger),
        sa.Column("cache_read", sa.BigInteger),
        sa.Column("cache_write", sa.BigInteger),
        sa.Column("output_visible", sa.BigInteger),
        sa.Column("output_reasoning", sa.BigInteger),
        sa.Column("cache_write_1h", sa.BigInteger),
        sa.Column("input_audio", sa.BigInteger),
        sa.Column("output_audio", sa.BigInteger),
        sa.Column("stated_pico_usd", sa.BigInteger),
        sa.Column("import_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("source", "record_id", name="pk_usage_records"),
        sa.ForeignKeyConstraint(["import_id"], ["usage_imports.import_id"], name="fk_usage_records_usage_imports"),
    )
    op.create_index("ix_usage_records_started_at", "usage_records", ["started_at"])
