"""Costs computed again beside those of the traces, and invoices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "reprices",
        sa.Column("reprice_id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("repriced_at", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since", sa.Double),
        sa.Column("until", sa.Double),
        sa.Column("num_traces", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("reprice_id", name="pk_reprices"),
    )
    op.create_table(
        "repriced_costs",
        sa.Column("reprice_id", sa.Integer, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("cost_usd", sa.Double, nullable=False),
        sa.Column("price_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("reprice_id", "trace_id", name="pk_repriced_costs"),
        sa.ForeignKeyConstraint(["reprice_id"], ["reprices.reprice_id"], name="fk_repriced_costs_reprices"),
    )
    op.create_index("ix_repriced_costs_trace_id", "repriced_costs", ["trace_id"])
    op.create_table(
        "invoice_imports",
        sa.Column("import_id", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("grouped_by", sa.Text, nullable=False),
        sa.Column("imported_at", sa.Double, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("num_new", sa.BigInteger, nullable=False),
        sa.Column("num_replaced", sa.BigInteger, nullable=False),
        sa.Column("num_same", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("import_id", name="pk_invoice_imports"),
    )
    op.create_table(
        "invoices",
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("line_id", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("project", sa.Text),
        sa.Column("is_tokens", sa.Boolean, nullable=False),
        sa.Column("amount_pico", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("import_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("provider", "line_id", name="pk_invoices"),
        sa.ForeignKeyConstraint(["import_id"], ["invoice_imports.import_id"], name="fk_invoices_invoice_imports"),
    )
    op.create_index("ix_invoices_started_at", "invoices", ["started_at"])
