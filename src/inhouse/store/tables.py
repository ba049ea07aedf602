"""The tables as the code sees them. The migrations make them; a test holds the two together."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
    }
)

TRACES = sa.Table(
    "traces",
    METADATA,
    sa.Column("trace_id", sa.Text, primary_key=True),
    sa.Column("writer", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    # From the open; null while only the close has arrived.
    sa.Column("started_at", sa.Double),
    sa.Column("route", sa.Text),
    sa.Column("key_id", sa.Text),
    sa.Column("team", sa.Text),
    sa.Column("task", sa.Text),
    sa.Column("user", sa.Text),
    sa.Column("is_stream", sa.Boolean),
    sa.Column("is_eval", sa.Boolean),
    sa.Column("snapshot_version", sa.BigInteger),
    # From the open, until a close says otherwise: a fallback may have changed them.
    sa.Column("variant", sa.Text, nullable=False),
    sa.Column("endpoint_id", sa.Text, nullable=False),
    sa.Column("replica_id", sa.Text, nullable=False),
    sa.Column("variant_digest", sa.Text),
    sa.Column("endpoint_digest", sa.Text),
    sa.Column("is_simulated", sa.Boolean, nullable=False),
    # From the close; null while the request is under way.
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
    sa.Column("cache_write_1h", sa.BigInteger),
    sa.Column("input_audio", sa.BigInteger),
    sa.Column("output_audio", sa.BigInteger),
    sa.Column("usage_basis", sa.Text),
    # Another tariff than the provider's standard one, as the reply named it.
    sa.Column("tier", sa.Text),
    # A binary double, as the gateway computed it; sums are made in Decimal by the reader.
    sa.Column("cost_usd", sa.Double),
    sa.Column("price_id", sa.Text),
    sa.Column("ttft_ms", sa.Double),
    sa.Column("tpot_ms", sa.Double),
    sa.Column("e2e_ms", sa.Double),
    sa.Column("overhead_ms", sa.Double),
    # True where the close was made for a dead gateway; the gateway's own close, should it still arrive, replaces it.
    sa.Column("is_lost", sa.Boolean, nullable=False),
    sa.Column("open_json", sa.Text),
    # Without the signals, which stand beside it so that SQL can sum them; null where nothing was measured.
    sa.Column("close_json", sa.Text),
    sa.Column("signals_json", sa.Text),
    sa.Index(None, "started_at"),
    sa.Index(None, "route", "started_at"),
    sa.Index(None, "status", "started_at"),
    sa.Index(
        "ix_traces_writer_open",
        "writer",
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    ),
)

# Apart from the traces, so that retention and erasure touch no count, cost or time.
TRACE_CONTENT = sa.Table(
    "trace_content",
    METADATA,
    sa.Column("trace_id", sa.Text, sa.ForeignKey("traces.trace_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("content_json", sa.Text, nullable=False),
)

SPOOL_CURSORS = sa.Table(
    "spool_cursors",
    METADATA,
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("offset_bytes", sa.BigInteger, nullable=False),
)

REPLICAS = sa.Table(
    "replicas",
    METADATA,
    sa.Column("replica_id", sa.Text, primary_key=True),
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
)

SNAPSHOTS = sa.Table(
    "snapshots",
    METADATA,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
)

# Content that a client asked to have kept; it goes at `expires_at`. Each key has its own ids, and sees only these.
STORED_RESPONSES = sa.Table(
    "stored_responses",
    METADATA,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("response_id", sa.Text, primary_key=True),
    sa.Column("previous_response_id", sa.Text),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("endpoint_id", sa.Text, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),
    sa.Column("input_json", sa.Text, nullable=False),
    sa.Column("response_json", sa.Text, nullable=False),
    sa.Index(None, "expires_at"),
)

EVAL_RUNS = sa.Table(
    "eval_runs",
    METADATA,
    sa.Column("run_id", sa.Text, primary_key=True),
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
    sa.Index(None, "suite", "started_at"),
    sa.Index(None, "endpoint_digest"),
)

EVAL_OUTPUTS = sa.Table(
    "eval_outputs",
    METADATA,
    sa.Column("run_id", sa.Text, sa.ForeignKey("eval_runs.run_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("sample_id", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("trace_id", sa.Text),
    sa.Column("output", sa.Text),
    sa.Column("error_code", sa.Text),
    sa.Column("latency_ms", sa.Double),
)

EVAL_SCORES = sa.Table(
    "eval_scores",
    METADATA,
    sa.Column("run_id", sa.Text, sa.ForeignKey("eval_runs.run_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("sample_id", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("scorer", sa.Text, primary_key=True),
    sa.Column("value", sa.Double),
    sa.Column("is_scored", sa.Boolean, nullable=False),
    sa.Column("explanation", sa.Text, nullable=False),
)

# A file that was imported, and what it changed.
USAGE_IMPORTS = sa.Table(
    "usage_imports",
    METADATA,
    sa.Column("import_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("account", sa.Text, nullable=False),
    # Length of the periods and the labels that they are grouped by; empty for single requests.
    sa.Column("grouped_by", sa.Text, nullable=False),
    sa.Column("imported_at", sa.Double, nullable=False),
    sa.Column("since", sa.BigInteger),
    sa.Column("until", sa.BigInteger),
    sa.Column("num_new", sa.BigInteger, nullable=False),
    sa.Column("num_replaced", sa.BigInteger, nullable=False),
    sa.Column("num_same", sa.BigInteger, nullable=False),
    sa.Column("num_fuller", sa.BigInteger, nullable=False),
)

# A record belongs to the import that brought its present figures. Null is "not stated".
USAGE_RECORDS = sa.Table(
    "usage_records",
    METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("record_id", sa.Text, primary_key=True),
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
    # Whole pico-dollars, so that SQL sums them exactly.
    sa.Column("stated_pico_usd", sa.BigInteger),
    sa.Column("import_id", sa.Integer, sa.ForeignKey("usage_imports.import_id"), nullable=False),
    # None by import: taking one back reads the table once, and each index costs every record of every import.
    sa.Index(None, "started_at"),
)

# One run of computing costs again.
REPRICES = sa.Table(
    "reprices",
    METADATA,
    sa.Column("reprice_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("repriced_at", sa.Double, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", sa.Double),
    sa.Column("until", sa.Double),
    sa.Column("num_traces", sa.BigInteger, nullable=False),
)

# Beside the trace's own cost, never over it; of several, the one of the latest run counts.
REPRICED_COSTS = sa.Table(
    "repriced_costs",
    METADATA,
    sa.Column("reprice_id", sa.Integer, sa.ForeignKey("reprices.reprice_id"), primary_key=True),
    sa.Column("trace_id", sa.Text, primary_key=True),
    sa.Column("cost_usd", sa.Double, nullable=False),
    sa.Column("price_id", sa.Text, nullable=False),
    sa.Index(None, "trace_id"),
)

# A file of a provider's charges that was imported, and what it changed.
INVOICE_IMPORTS = sa.Table(
    "invoice_imports",
    METADATA,
    sa.Column("import_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("account", sa.Text, nullable=False),
    # Form of the file and length of its periods: two of one account and time must agree in it.
    sa.Column("grouped_by", sa.Text, nullable=False),
    sa.Column("imported_at", sa.Double, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("num_new", sa.BigInteger, nullable=False),
    sa.Column("num_replaced", sa.BigInteger, nullable=False),
    sa.Column("num_same", sa.BigInteger, nullable=False),
)

# One charge. It belongs to the import that brought its present amount.
INVOICES = sa.Table(
    "invoices",
    METADATA,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("line_id", sa.Text, primary_key=True),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("project", sa.Text),
    sa.Column("is_tokens", sa.Boolean, nullable=False),
    # Whole millionths of a millionth of the currency, so that SQL sums them exactly.
    sa.Column("amount_pico", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("import_id", sa.Integer, sa.ForeignKey("invoice_imports.import_id"), nullable=False),
    sa.Index(None, "started_at"),
)
