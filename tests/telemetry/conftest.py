"""Records to spool and count."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from inhouse.domain import TraceClose, TraceOpen, TraceStatus, Usage, UsageBasis

WRITER = "gw0-1763925240123-4711"


class MakeOpen(Protocol):
    def __call__(self, trace_id: str, **changes: Any) -> TraceOpen: ...


class MakeClose(Protocol):
    def __call__(self, trace_id: str, **changes: Any) -> TraceClose: ...


@pytest.fixture
def make_open() -> MakeOpen:
    def make(trace_id: str, **changes: Any) -> TraceOpen:
        values: dict[str, Any] = {
            "writer": WRITER,
            "started_at": 1763925240.5,
            "route": "triage",
            "variant": "in-house",
            "endpoint_id": "clerk",
            "replica_id": "clerk-0",
            "key_id": "app",
        }
        return TraceOpen(trace_id=trace_id, **(values | changes))

    return make


@pytest.fixture
def make_close() -> MakeClose:
    def make(trace_id: str, **changes: Any) -> TraceClose:
        values: dict[str, Any] = {
            "writer": WRITER,
            "ended_at": 1763925241.25,
            "status": TraceStatus.COMPLETE,
            "http_status": 200,
            "variant": "in-house",
            "endpoint_id": "clerk",
            "replica_id": "clerk-0",
            "usage": Usage(input_uncached=100, output_visible=20),
            "usage_basis": UsageBasis.MEASURED,
            "cost_usd": 0.25,
            "price_id": "machine:cpu@2026-01-01",
            "ttft_ms": 120.0,
            "tpot_ms": 4.0,
            "e2e_ms": 750.0,
            "overhead_ms": 0.15,
        }
        return TraceClose(trace_id=trace_id, **(values | changes))

    return make
