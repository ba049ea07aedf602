"""The two records of one request, open and close, each written once. Where they go is the sink's business."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from inhouse.backends import WireUsage, parse_usage
from inhouse.domain import (
    Attempt,
    Candidate,
    CaptureMode,
    Endpoint,
    ErrorCode,
    Replica,
    TraceClose,
    TraceOpen,
    TraceStatus,
    Usage,
    UsageBasis,
)

MAX_CAPTURE_BYTES = 262_144
_BYTES_PER_TOKEN = 4
_TRUNCATED = "\n[truncated]"


class TraceSink(Protocol):
    """Where records go. `write` returns when the record is on disk, and raises StateError where it is not."""

    def write(self, record: TraceOpen | TraceClose) -> None:
        """Put one record on disk."""
        ...


class TraceLabels(Struct, frozen=True, kw_only=True):
    """What is known of a request before it is sent; the words of `TraceOpen` apply."""

    trace_id: str
    writer: str
    started_at: float
    arrived_at: float
    route: str
    key_id: str
    team: str | None
    task: str | None
    user: str | None
    tags: Mapping[str, str]
    is_stream: bool
    is_eval: bool
    snapshot_version: int
    reasons: tuple[str, ...]
    num_request_bytes: int = 0


class Outcome(Struct):
    """How a request ended, as the close record tells it. Times are `time.perf_counter()` seconds."""

    status: TraceStatus
    http_status: int
    error_code: ErrorCode | None = None
    finish_reason: str | None = None
    reported_model: str | None = None
    fingerprint: str | None = None
    usage: WireUsage | None = None
    num_chunks: int | None = None
    first_content_at: float | None = None
    last_content_at: float | None = None
    is_estimated: bool = False
    """The reply broke off: where no usage was reported, it is estimated, see `_settle_usage`."""


@dataclass(slots=True)
class ContentCapture:
    """Keeps what the route's capture mode says of the request and the reply; bounded."""

    mode: CaptureMode
    request: bytes
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)  # pyright: ignore[reportPrivateUsage]  # its only name
    _kept: list[bytes] = field(default_factory=list[bytes])
    _num_kept: int = 0

    def add(self, data: bytes) -> None:
        """Take a part of the reply as the client gets it."""
        if self.mode is CaptureMode.HASH:
            self._hash.update(data)
        elif self._num_kept <= MAX_CAPTURE_BYTES:
            self._kept.append(data)
            self._num_kept += len(data)

    def content(self) -> dict[str, str]:
        """The `content` of the close record."""
        if self.mode is CaptureMode.HASH:
            request_hash = hashlib.sha256(self.request).hexdigest()
            return {"request_sha256": request_hash, "response_sha256": self._hash.hexdigest()}
        return {"request": _bound_text(self.request), "response": _bound_text(b"".join(self._kept))}


class TraceDraft:
    """Writes the open record before the first attempt and the close record once, at the end.

    Args:
        sink: where the records go.
        labels: what is known before sending.
        capture: None where no content is kept.
    """

    __slots__ = (
        "_candidate",
        "_endpoint",
        "_labels",
        "_replica",
        "_sink",
        "attempts",
        "capture",
        "is_closed",
        "is_open",
        "sent_at",
    )

    def __init__(self, sink: TraceSink, labels: TraceLabels, capture: ContentCapture | None) -> None:
        self._sink = sink
        self._labels = labels
        self._candidate: Candidate | None = None
        self._endpoint: Endpoint | None = None
        self._replica: Replica | None = None
        self.capture = capture
        self.attempts: list[Attempt] = []
        self.sent_at: float | None = None
        self.is_open = False
        self.is_closed = False

    @property
    def trace_id(self) -> str:
        """The request's id."""
        return self._labels.trace_id

    def begin_attempt(self, candidate: Candidate, endpoint: Endpoint, replica: Replica) -> None:
        """Note what is tried now; the first time, put the open record on disk.

        Raises:
            StateError: the record is not on disk, so nothing may be sent.
        """
        self._candidate, self._endpoint, self._replica = candidate, endpoint, replica
        if self.is_open:
            return
        labels = self._labels
        self._sink.write(
            TraceOpen(
                trace_id=labels.trace_id,
                writer=labels.writer,
                started_at=labels.started_at,
                route=labels.route,
                variant=candidate.variant,
                endpoint_id=candidate.endpoint_id,
                replica_id=replica.replica_id,
                key_id=labels.key_id,
                team=labels.team,
                task=labels.task,
                user=labels.user,
                tags=dict(labels.tags),
                is_stream=labels.is_stream,
                is_eval=labels.is_eval,
                is_simulated=endpoint.is_simulated,
                variant_digest=candidate.variant_digest,
                endpoint_digest=endpoint.digest,
                snapshot_version=labels.snapshot_version,
                reasons=labels.reasons,
            )
        )
        self.is_open = True
        self.sent_at = time.perf_counter()

    def note_attempt(self, began_at: float, status: int | None, code: ErrorCode | None = None) -> None:
        """Note the end of the attempt under way, which began at `began_at` (`time.perf_counter()` seconds)."""
        if self._endpoint is None or self._replica is None:
            raise AssertionError("an attempt ends only after it began")
        self.attempts.append(
            Attempt(
                endpoint_id=self._endpoint.endpoint_id,
                replica_id=self._replica.replica_id,
                duration_ms=_milliseconds(time.perf_counter() - began_at),
                code=None if code is None else code.value,
                status=status or None,
            )
        )

    def close(self, outcome: Outcome) -> None:
        """Put the close record on disk, once; later calls do nothing.

        Raises:
            StateError: the record is not on disk.
        """
        candidate, endpoint, replica = self._candidate, self._endpoint, self._replica
        if self.is_closed or not self.is_open or candidate is None or endpoint is None or replica is None:
            return
        self.is_closed = True
        labels, now = self._labels, time.perf_counter()
        usage, basis = _settle_usage(outcome, labels.num_request_bytes)
        price = endpoint.price if usage is not None else None
        first_at = outcome.first_content_at
        self._sink.write(
            TraceClose(
                trace_id=labels.trace_id,
                writer=labels.writer,
                ended_at=labels.started_at + (now - labels.arrived_at),
                status=outcome.status,
                http_status=outcome.http_status,
                variant=candidate.variant,
                endpoint_id=candidate.endpoint_id,
                replica_id=replica.replica_id,
                variant_digest=candidate.variant_digest,
                endpoint_digest=endpoint.digest,
                is_simulated=endpoint.is_simulated,
                error_code=None if outcome.error_code is None else outcome.error_code.value,
                finish_reason=outcome.finish_reason,
                reported_model=outcome.reported_model,
                fingerprint=outcome.fingerprint,
                usage=usage,
                usage_basis=basis,
                cost_usd=None if price is None or usage is None else price.price(usage),
                price_id=None if price is None else price.price_id,
                ttft_ms=None if first_at is None else _milliseconds(first_at - labels.arrived_at),
                tpot_ms=_measure_tpot(outcome, usage),
                e2e_ms=_milliseconds(now - labels.arrived_at),
                overhead_ms=None if self.sent_at is None else _milliseconds(self.sent_at - labels.arrived_at),
                num_chunks=outcome.num_chunks,
                attempts=tuple(self.attempts),
                content=None if self.capture is None else self.capture.content(),
            )
        )


def _settle_usage(outcome: Outcome, num_request_bytes: int) -> tuple[Usage | None, UsageBasis]:
    """What the endpoint reported; for a reply that broke off without a report, an estimate, marked as one.

    Estimated are a token for each content chunk, and a prompt token for each four bytes of the request's body.
    """
    if outcome.usage is None and outcome.is_estimated and outcome.num_chunks:
        num_input = -(-num_request_bytes // _BYTES_PER_TOKEN)
        return Usage(input_uncached=num_input, output_visible=outcome.num_chunks), UsageBasis.ESTIMATED
    return parse_usage(outcome.usage)


def _measure_tpot(outcome: Outcome, usage: Usage | None) -> float | None:
    """Mean milliseconds per output token after the first; only where two tokens or more are known."""
    if usage is None or usage.output_total <= 1 or outcome.first_content_at is None or outcome.last_content_at is None:
        return None
    return _milliseconds((outcome.last_content_at - outcome.first_content_at) / (usage.output_total - 1))


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000.0, 3)


def _bound_text(data: bytes) -> str:
    text = data[:MAX_CAPTURE_BYTES].decode("utf-8", "replace")
    return text + _TRUNCATED if len(data) > MAX_CAPTURE_BYTES else text
