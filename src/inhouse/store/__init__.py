"""The only room that knows SQL: tables, migrations, repositories. Knows no metrics, prices or policy."""

from inhouse.store.database import StoreUnavailableError
from inhouse.store.evals import EvalRepository
from inhouse.store.replicas import ReplicaRepository
from inhouse.store.responses import ResponseRepository, StoredResponse
from inhouse.store.rows import (
    GATEWAY_LOST,
    EvalOutputRow,
    EvalRunRow,
    EvalRunStatus,
    EvalScoreRow,
    Quantiles,
    ReplicaRow,
    ShipResult,
    SnapshotRow,
    SpoolCursor,
    TraceSummary,
    TraceSummaryRow,
)
from inhouse.store.snapshots import SnapshotRepository
from inhouse.store.store import Store, open_store
from inhouse.store.traces import TraceRepository
from inhouse.store.usage import EVALS_SOURCE, TRACES_SOURCE, UsageRepository
from inhouse.store.usage_rows import ImportCounts, ImportRow, UsageImport

__all__ = [
    "EVALS_SOURCE",
    "GATEWAY_LOST",
    "TRACES_SOURCE",
    "EvalOutputRow",
    "EvalRepository",
    "EvalRunRow",
    "EvalRunStatus",
    "EvalScoreRow",
    "ImportCounts",
    "ImportRow",
    "Quantiles",
    "ReplicaRepository",
    "ReplicaRow",
    "ResponseRepository",
    "ShipResult",
    "SnapshotRepository",
    "SnapshotRow",
    "SpoolCursor",
    "Store",
    "StoreUnavailableError",
    "StoredResponse",
    "TraceRepository",
    "TraceSummary",
    "TraceSummaryRow",
    "UsageImport",
    "UsageRepository",
    "open_store",
]
