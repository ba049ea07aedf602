"""The trace spool, metrics and redaction of what reaches a log. Knows no SQL and no business rules."""

from inhouse.telemetry.metrics import (
    EVAL_ROUTE,
    METRIC_NAMES,
    UNKNOWN_ROUTE,
    FindOpens,
    MetricInfo,
    MetricKind,
    TraceMetrics,
)
from inhouse.telemetry.redaction import MASK, RedactingFormatter, Redactor, redact, register_secret
from inhouse.telemetry.spool import (
    SPOOL_SUFFIX,
    SpoolBatch,
    SpoolError,
    SpoolWriter,
    TraceRecord,
    find_gone_writers,
    is_writer_gone,
    list_spools,
    read_batch,
    spool_writer_of,
)

__all__ = [
    "EVAL_ROUTE",
    "MASK",
    "METRIC_NAMES",
    "SPOOL_SUFFIX",
    "UNKNOWN_ROUTE",
    "FindOpens",
    "MetricInfo",
    "MetricKind",
    "RedactingFormatter",
    "Redactor",
    "SpoolBatch",
    "SpoolError",
    "SpoolWriter",
    "TraceMetrics",
    "TraceRecord",
    "find_gone_writers",
    "is_writer_gone",
    "list_spools",
    "read_batch",
    "redact",
    "register_secret",
    "spool_writer_of",
]
