"""The trace spool, metrics and redaction of what reaches a log. Knows no SQL and no business rules."""

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
    "SPOOL_SUFFIX",
    "SpoolBatch",
    "SpoolError",
    "SpoolWriter",
    "TraceRecord",
    "find_gone_writers",
    "is_writer_gone",
    "list_spools",
    "read_batch",
    "spool_writer_of",
]
