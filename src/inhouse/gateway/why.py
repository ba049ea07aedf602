"""Answers to "why?": the traces of a key's own requests, and what acted on them in words. Decides nothing."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

import msgspec

from inhouse.domain import ErrorCode, Trace, TraceClose, TraceOpen, TraceStatus, format_usd

MAX_RECENT = 2048
"""Ended requests that a worker remembers; older ones are asked of control."""
_STATUS_WORDS = {
    TraceStatus.OPEN: "The request is under way.",
    TraceStatus.COMPLETE: "The request was answered in full.",
    TraceStatus.FAILED: "The request ended with an error, before any of an answer was sent.",
    TraceStatus.ABORTED: "The answer broke off after its first byte was sent: what arrived is not a full answer.",
    TraceStatus.CLIENT_CLOSED: "The client closed the connection before the answer was complete.",
}
_CODE_WORDS = {
    ErrorCode.UPSTREAM_RATE_LIMITED: "it asked to slow down",
    ErrorCode.UPSTREAM_AUTH_FAILED: "it refused the platform's own key",
    ErrorCode.UPSTREAM_UNREACHABLE: "it could not be reached",
    ErrorCode.UPSTREAM_TIMEOUT: "a deadline passed",
    ErrorCode.UPSTREAM_CUT: "its reply was cut short",
    ErrorCode.UPSTREAM_REJECTED: "it refused the request",
}


_decode_open = msgspec.json.Decoder(TraceOpen).decode
_decode_close = msgspec.json.Decoder(TraceClose).decode


class RecentTraces:
    """The requests that ended last, by trace id; bounded."""

    def __init__(self, max_recent: int = MAX_RECENT) -> None:
        self._lines: deque[tuple[str, bytes, bytes]] = deque(maxlen=max_recent)
        self.keep = self._lines.append
        """Remembers one by its id and its two records as they are encoded, and forgets the oldest."""

    def find(self, trace_id: str) -> Trace | None:
        """The trace; None where this worker does not remember it."""
        for known_id, opened, closed in reversed(self._lines):
            if known_id == trace_id:
                return Trace(open=_decode_open(opened), close=_decode_close(closed))
        return None


def explain_trace(trace: Trace) -> dict[str, Any]:
    """A trace for the application developer who sent the request: what happened, why, and what it cost."""
    opened, closed = trace.open, trace.close
    shown: dict[str, Any] = {
        "id": opened.trace_id,
        "object": "inhouse.trace",
        "status": trace.status.value,
        "why": _list_reasons(trace),
        "route": opened.route,
        "variant": opened.variant if closed is None else closed.variant,
        "endpoint": opened.endpoint_id if closed is None else closed.endpoint_id,
        "is_simulated": opened.is_simulated if closed is None else closed.is_simulated,
        "snapshot_version": opened.snapshot_version,
    }
    if closed is not None:
        shown |= {
            "ended_at": datetime.fromtimestamp(closed.ended_at, UTC).isoformat(timespec="milliseconds"),
            "http_status": closed.http_status,
            "error_code": closed.error_code,
            "finish_reason": closed.finish_reason,
            "model_reported": closed.reported_model,
            "attempts": closed.attempts,
            "usage": closed.usage,
            "usage_basis": closed.usage_basis.value,
            "cost_usd": closed.cost_usd,
            "ttft_ms": closed.ttft_ms,
            "tpot_ms": closed.tpot_ms,
            "e2e_ms": closed.e2e_ms,
            "overhead_ms": closed.overhead_ms,
            "signals": closed.signals,
        }
    return shown


def _list_reasons(trace: Trace) -> list[str]:
    opened, closed = trace.open, trace.close
    reasons = [_STATUS_WORDS[trace.status], *(f"Choice: {reason}." for reason in opened.reasons)]
    if closed is None:
        return reasons
    for number, attempt in enumerate(closed.attempts, 1):
        if attempt.code is None:
            reasons.append(f"Attempt {number} at {attempt.replica_id}: answered in {attempt.duration_ms:.0f} ms.")
            continue
        words = _CODE_WORDS.get(ErrorCode(attempt.code), "it failed") if attempt.code in set(ErrorCode) else "it failed"
        detail = f": {attempt.message}" if attempt.message else ""
        reasons.append(
            f"Attempt {number} at {attempt.replica_id} failed after {attempt.duration_ms:.0f} ms: {words}{detail}."
        )
    if closed.usage is None:
        reasons.append("Tokens: not known, so there is no cost.")
    else:
        price = format_usd(closed.cost_usd)
        reasons.append(
            f"Tokens: {closed.usage.input_total} in, {closed.usage.output_total} out "
            f"({closed.usage_basis.value}); cost {price}."
        )
    return reasons
