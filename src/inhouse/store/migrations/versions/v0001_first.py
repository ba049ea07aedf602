"""The first schema: traces and their content, spool cursors, replicas, snapshots, evaluation runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    _make_traces()
    _make_trace_content()
    _make_spool_cursors()
    _make_replicas()
    _make_snapshots()
    _make_eval_runs()
    _make_eval_outputs()
    _make_eval_scores()


def _make_traces() -> None:
    op.create_table(
        "traces",
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("writer", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("route", sa.Text),
        sa.Column("key_id", sa.Text),
        sa.Column("team", sa.Text),
        sa.Column("task", sa.Text),
        sa.Column("user", sa.Text),
        sa.Column("is_stream", sa.Boolean),
        sa.Column("is_eval", sa.Boolean),
        sa.Column("snapshot_version", sa.BigInteger),
        sa.Column("variant", sa.Text, nullable=False),
        sa.Column("endpoint_id", sa.Text, nullable=False),
        sa.Column("replica_id", sa.Text, nullable=False),
        sa.Column("variant_digest", sa.Text),
        sa.Column("endpoint_digest", sa.Text),
        sa.Column("is_simulated", sa.Boolean, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("http_status", sa.Integer),
        sa.Column("error_code", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("reported_model", sa.Text),
        sa.Column("input_uncached", sa.BigInteger),
        sa.Column("cache_read", sa.BigInteger),
        sa.Column("cache_write", sa.BigInteger),
        sa.Column("output_visible", sa.BigInteger),
        sa.Column("output_reasoning", sa.BigInteger),
        sa.Column("usage_basis", sa.Text),
        sa.Column("cost_usd", sa.Double),
        sa.Column("price_id", sa.Text),
        sa.Column("ttft_ms", sa.Double),
        sa.Column("tpot_ms", sa.Double),
        sa.Column("e2e_ms", sa.Double),
        sa.Column("overhead_ms", sa.Double),
        sa.Column("is_lost", sa.Boolean, nullable=False),
        sa.Column("open_json", sa.Text),
        sa.Column("close_json", sa.Text),
        sa.PrimaryKeyConstraint("trace_id", name="pk_traces"),
    )
    op.create_index("ix_traces_started_at", "traces", ["started_at"])
    op.create_index("ix_traces_route_started_at", "traces", ["route", "started_at"])
    op.create_index("ix_traces_status_started_at", "traces", ["status", "started_at"])
    is_open = sa.text("status = 'open'")
    op.create_index("ix_traces_writer_open", "traces", ["writer"], sqlite_where=is_open, postgresql_where=is_open)


def _make_trace_content() -> None:
    op.create_table(
        "trace_content",
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("content_json", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("trace_id", name="pk_trace_content"),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.trace_id"], name="fk_trace_content_traces", ondelete="CASCADE"),
    )


def _make_spool_cursors() -> None:
    op.create_table(
        "spool_cursors",
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("offset_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("file", name="pk_spool_cursors"),
    )


def _make_replicas() -> None:
    op.create_table(
        "replicas",
        sa.Column("replica_id", sa.Text, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("host_id", sa.Text, nullable=False),
        sa.Column("base_url", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("digest", sa.Text),
        sa.Column("digest_fields_json", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger),
        sa.Column("num_restarts", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("replica_id", name="pk_replicas"),
    )


def _make_snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_snapshots"),
    )


def _make_eval_runs() -> None:
    op.create_table(
        "eval_runs",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("suite", sa.Text, nullable=False),
        sa.Column("suite_digest", sa.Text, nullable=False),
        sa.Column("endpoint_id", sa.Text, nullable=False),
        sa.Column("endpoint_digest", sa.Text),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("num_samples", sa.Integer, nullable=False),
        sa.Column("config_json", sa.Text, nullable=False),
        sa.Column("summary_json", sa.Text),
        sa.Column("is_simulated", sa.Boolean, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_eval_runs"),
    )
    op.create_index("ix_eval_runs_suite_started_at", "eval_runs", ["suite", "started_at"])
    op.create_index("ix_eval_runs_endpoint_digest", "eval_runs", ["endpoint_digest"])


def _make_eval_outputs() -> None:
    op.create_table(
        "eval_outputs",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("sample_id", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("trace_id", sa.Text),
        sa.Column("output", sa.Text),
        sa.Column("error_code", sa.Text),
        sa.Column("latency_ms", sa.Double),
        sa.PrimaryKeyConstraint("run_id", "sample_id", "epoch", name="pk_eval_outputs"),
        sa.ForeignKeyConstraint(["run_id"], ["eval_runs.run_id"], name="fk_eval_outputs_eval_runs", ondelete="CASCADE"),
    )


def _make_eval_scores() -> None:
    op.create_table(
        "eval_scores",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("sample_id", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("scorer", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("is_scored", sa.Boolean, nullable=False),
        sa.Column("explanation", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "sample_id", "epoch", "scorer", name="pk_eval_scores"),
        sa.ForeignKeyConstraint(["run_id"], ["eval_runs.run_id"], name="fk_eval_scores_eval_runs", ondelete="CASCADE"),
    )
