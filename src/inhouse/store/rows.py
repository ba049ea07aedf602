"""What the repositories take and give: frozen rows, no SQL."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any

from msgspec import Struct

from inhouse.domain import DigestField, ReplicaState, TraceStatus, Usage

GATEWAY_LOST = "gateway_lost"
"""Error code of a close that was made for a request whose gateway died."""


class SpoolCursor(Struct, frozen=True):
    """How far a spool file has been shipped: its name (no folder) and the byte after the last line stored."""

    file: str
    offset: int


class ShipResult(Struct, frozen=True, kw_only=True):
    """What one `ship` did: records given, and how many of them changed the table (a replay changes none)."""

    num_records: int
    num_applied: int


class Quantiles(Struct, frozen=True, kw_only=True):
    """Median and 95th percentile over `n` measured requests, in milliseconds; None where n is 0.

    Linear interpolation between order statistics (Hyndman and Fan's type 7).
    """

    n: int
    p50_ms: float | None = None
    p95_ms: float | None = None


class TraceSummaryRow(Struct, frozen=True, kw_only=True):
    """Requests of one (route, task, variant, endpoint, simulated) since a moment.

    Quantiles are over completed requests that carry the value. `tokens` sums the `num_with_usage` requests whose usage
    is known. `cost_usd` is None where nothing is priced. `num_unpriced` counts ended requests without a cost; failed
    ones are left out, since no answer was delivered.
    """

    route: str
    task: str | None
    variant: str
    endpoint_id: str
    is_simulated: bool
    num_by_status: dict[TraceStatus, int]
    ttft: Quantiles
    tpot: Quantiles
    e2e: Quantiles
    tokens: Usage
    num_with_usage: int
    cost_usd: Decimal | None
    num_priced: int
    num_unpriced: int

    @property
    def num_requests(self) -> int:
        """Requests of every status, those under way included."""
        return sum(self.num_by_status.values())


class TraceSummary(Struct, frozen=True, kw_only=True):
    """All groups since Unix second `since`, sorted by route, task, variant and endpoint."""

    since: float
    rows: tuple[TraceSummaryRow, ...]


class ReplicaRow(Struct, frozen=True, kw_only=True):
    """A replica as its host agent last saw it. `detail` holds the last error in words."""

    replica_id: str
    deployment: str
    host_id: str
    base_url: str
    state: ReplicaState
    digest: str | None = None
    digest_fields: tuple[DigestField, ...] = ()
    pid: int | None = None
    num_restarts: int = 0
    updated_at: float
    detail: str = ""


class SnapshotRow(Struct, frozen=True, kw_only=True):
    """A compiled snapshot: msgspec JSON of `domain.Snapshot`, made at Unix second `created_at`."""

    version: int
    payload: bytes
    created_at: float


class EvalRunStatus(StrEnum):
    """Where an evaluation run stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


class EvalRunRow(Struct, frozen=True, kw_only=True):
    """One run of a suite against an endpoint. `config` and `summary` are JSON objects; times are Unix seconds."""

    run_id: str
    suite: str
    suite_digest: str
    endpoint_id: str
    endpoint_digest: str | None = None
    started_at: float
    finished_at: float | None = None
    status: EvalRunStatus = EvalRunStatus.RUNNING
    num_samples: int
    config: dict[str, Any] = {}
    summary: dict[str, Any] | None = None
    is_simulated: bool = False
    note: str = ""


class EvalOutputRow(Struct, frozen=True, kw_only=True):
    """What an endpoint answered to one sample in one epoch. `output` is None where `error_code` says why."""

    run_id: str
    sample_id: str
    epoch: int
    trace_id: str | None = None
    output: str | None = None
    error_code: str | None = None
    latency_ms: float | None = None


class EvalScoreRow(Struct, frozen=True, kw_only=True):
    """One scorer's score of one output. `value` None with `is_scored` False is unscored, never zero."""

    run_id: str
    sample_id: str
    epoch: int
    scorer: str
    value: float | None
    is_scored: bool
    explanation: str = ""
