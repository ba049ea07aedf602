"""The only room that knows SQL: tables, migrations, repositories. Knows no metrics, prices or policy."""

from inhouse.store.database import StoreUnavailableError
from inhouse.store.evals import EvalRepository
from inhouse.store.invoices import InvoiceRepository
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
from inhouse.store.spend import SpendRepository
from inhouse.store.spend_rows import (
    InvoiceCounts,
    InvoiceFile,
    InvoiceImport,
    InvoiceLine,
    PricedRequest,
    Reprice,
    RepricedCost,
    Seen,
    SpendRow,
)
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
    "InvoiceCounts",
    "InvoiceFile",
    "InvoiceImport",
    "InvoiceLine",
    "InvoiceRepository",
    "PricedRequest",
    "Quantiles",
    "ReplicaRepository",
    "ReplicaRow",
    "Reprice",
    "RepricedCost",
    "ResponseRepository",
    "Seen",
    "ShipResult",
    "SnapshotRepository",
    "SnapshotRow",
    "SpendRepository",
    "SpendRow",
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
