"""The two records of one request, open and close, each written once. Where they go is the sink's business."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from msgspec import Struct

from inhouse.backends import ReplyFacts
from inhouse.domain import (
    Attempt,
    Candidate,
    CaptureMode,
    Endpoint,
    EndpointError,
    ErrorCode,
    Replica,
    Signals,
    TraceClose,
    TraceOpen,
    TraceStatus,
    Usage,
    UsageBasis,
)
from inhouse.gateway.why import RecentTraces

MAX_CAPTURE_BYTES = 262_144
_BYTES_PER_TOKEN = 4
_TRUNCATED = "\n[truncated]"
_MAX_TEMPLATES = 256
_ANY_ID = "0" * 32
_ANY_TIME = 1.5
_NO_FACTS = ReplyFacts()
_encode = msgspec.json.encode


class TraceSink(Protocol):
    """Where records go. They are on disk when a write returns; StateError where one is not."""

    def write(self, record: TraceOpen | TraceClose) -> None:
        """Put one record on disk."""
        ...

    def write_line(self, buffer: bytearray) -> None:
        """Put one record that is encoded already on disk."""
        ...


class TraceLabels(Struct, kw_only=True):
    """What is known of a request before it is sent, but for its id and time; the words of `TraceOpen` apply.

    Requests that differ in nothing else share one, and with it the encoded text around id and time.
    """

    writer: str
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
    templates: dict[tuple[str, str], tuple[bytes, bytes, bytes, TraceOpen]] = {}

    def encode_open(
        self, trace_id: str, started_at: float, candidate: Candidate, endpoint: Endpoint, replica: Replica
    ) -> tuple[bytearray, TraceOpen]:
        """The open record as JSON, and one like it in all but id and time."""
        key = (candidate.variant, replica.replica_id)
        template = self.templates.get(key)
        if template is None:
            if len(self.templates) >= _MAX_TEMPLATES:
                self.templates.clear()
            template = self.templates[key] = self._make_template(candidate, endpoint, replica)
        before, between, after, opened = template
        line = b"%b%b%b%b%b" % (before, trace_id.encode(), between, repr(started_at).encode(), after)
        return bytearray(line), opened

    def _make_template(
        self, candidate: Candidate, endpoint: Endpoint, replica: Replica
    ) -> tuple[bytes, bytes, bytes, TraceOpen]:
        opened = TraceOpen(
            trace_id=_ANY_ID,
            writer=self.writer,
            started_at=_ANY_TIME,
            route=self.route,
            variant=candidate.variant,
            endpoint_id=candidate.endpoint_id,
            replica_id=replica.replica_id,
            key_id=self.key_id,
            team=self.team,
            task=self.task,
            user=self.user,
            tags=dict(self.tags),
            is_stream=self.is_stream,
            is_eval=self.is_eval,
            is_simulated=endpoint.is_simulated,
            variant_digest=candidate.variant_digest,
            endpoint_digest=endpoint.digest,
            snapshot_version=self.snapshot_version,
            reasons=self.reasons,
        )
        before, _, rest = _encode(opened).partition(_ANY_ID.encode())
        between, _, after = rest.partition(b'"started_at":1.5')
        return before, between + b'"started_at":', after, opened


class Outcome(Struct, gc=False):
    """How a request ended, as the close record tells it. Times are `time.perf_counter()` seconds."""

    status: TraceStatus
    http_status: int
    error_code: ErrorCode | None = None
    facts: ReplyFacts | None = None
    num_chunks: int | None = None
    first_content_at: float | None = None
    last_content_at: float | None = None
    is_estimated: bool = False
    """The reply broke off: where no usage was reported, it is estimated, see `_settle_usage`."""
    signals: Signals | None = None


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
        recent: remembers the pair of them.
        labels: what is known before sending.
        trace_id: the request's id.
        started_at: Unix seconds.
        arrived_at: the same moment on `time.perf_counter()`.
        num_request_bytes: of the request's body, for estimates.
    """

    __slots__ = (
        "_arrived_at",
        "_candidate",
        "_endpoint",
        "_labels",
        "_num_request_bytes",
        "_opened",
        "_recent",
        "_replica",
        "_sink",
        "_started_at",
        "attempts",
        "capture",
        "is_closed",
        "is_open",
        "sent_at",
        "trace_id",
    )

    _candidate: Candidate
    _endpoint: Endpoint
    _opened: TraceOpen
    _replica: Replica

    def __init__(  # noqa: PLR0913, PLR0917  # one per request on the hot path: a struct of its own would cost more than it says
        self,
        sink: TraceSink,
        recent: RecentTraces,
        labels: TraceLabels,
        trace_id: str,
        started_at: float,
        arrived_at: float,
        num_request_bytes: int,
    ) -> None:
        self._sink = sink
        self._recent = recent
        self._labels = labels
        self.trace_id = trace_id
        self._started_at = started_at
        self._arrived_at = arrived_at
        self._num_request_bytes = num_request_bytes
        self.capture: ContentCapture | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.sent_at = 0.0
        self.is_open = False
        self.is_closed = False

    def begin_attempt(self, candidate: Candidate, endpoint: Endpoint, replica: Replica) -> None:
        """Note what is tried now; the first time, put the open record on disk.

        Raises:
            StateError: the record is not on disk, so nothing may be sent.
        """
        self._candidate, self._endpoint, self._replica = candidate, endpoint, replica
        if not self.is_open:
            line, self._opened = self._labels.encode_open(self.trace_id, self._started_at, candidate, endpoint, replica)
            self._sink.write_line(line)
            self.is_open = True
            self.sent_at = time.perf_counter()

    def note_attempt(self, began_at: float, status: int | None, error: EndpointError | None = None) -> None:
        """Note the end of the attempt under way, which began at `began_at` (`time.perf_counter()` seconds)."""
        attempt = Attempt(
            endpoint_id=self._endpoint.endpoint_id,
            replica_id=self._replica.replica_id,
            duration_ms=round((time.perf_counter() - began_at) * 1000.0, 3),
            code=None if error is None else error.code.value,
            status=status or None,
            message=None if error is None else str(error),
        )
        self.attempts = (*self.attempts, attempt)

    def close(self, outcome: Outcome) -> None:
        """Put the close record on disk, once; later calls do nothing.

        Raises:
            StateError: the record is not on disk.
        """
        if self.is_closed or not self.is_open:
            return
        self.is_closed = True
        facts, first_at = outcome.facts or _NO_FACTS, outcome.first_content_at
        usage, basis = facts.usage, facts.usage_basis
        if usage is None and outcome.is_estimated and outcome.num_chunks:
            usage, basis = self._estimate_usage(outcome.num_chunks), UsageBasis.ESTIMATED
        candidate, endpoint = self._candidate, self._endpoint
        price = None if usage is None else endpoint.price
        elapsed_s = time.perf_counter() - self._arrived_at
        closed = TraceClose(
            trace_id=self.trace_id,
            writer=self._labels.writer,
            ended_at=self._started_at + elapsed_s,
            status=outcome.status,
            http_status=outcome.http_status,
            variant=candidate.variant,
            endpoint_id=candidate.endpoint_id,
            replica_id=self._replica.replica_id,
            variant_digest=candidate.variant_digest,
            endpoint_digest=endpoint.digest,
            is_simulated=endpoint.is_simulated,
            error_code=outcome.error_code,
            finish_reason=facts.finish_reason,
            reported_model=facts.model,
            fingerprint=facts.fingerprint,
            usage=usage,
            usage_basis=basis,
            cost_usd=None if price is None or usage is None else price.price(usage),
            price_id=None if price is None else price.price_id,
            ttft_ms=None if first_at is None else round((first_at - self._arrived_at) * 1000.0, 3),
            tpot_ms=None if first_at is None else _measure_tpot(outcome, usage),
            e2e_ms=round(elapsed_s * 1000.0, 3),
            overhead_ms=round((self.sent_at - self._arrived_at) * 1000.0, 3),
            num_chunks=outcome.num_chunks,
            attempts=self.attempts,
            content=None if self.capture is None else self.capture.content(),
            signals=outcome.signals,
        )
        self._recent.keep(self._opened, closed)
        self._sink.write(closed)

    def _estimate_usage(self, num_chunks: int) -> Usage:
        """For a reply that broke off, or a stream whose usage nobody asked for: marked as an estimate.

        A token for each content chunk, and a prompt token for each four bytes of the request's body.
        """
        num_input = -(-self._num_request_bytes // _BYTES_PER_TOKEN)
        return Usage(input_uncached=num_input, output_visible=num_chunks)


def _measure_tpot(outcome: Outcome, usage: Usage | None) -> float | None:
    """Mean milliseconds per output token after the first; only where two tokens or more are known."""
    if outcome.first_content_at is None or outcome.last_content_at is None or usage is None or usage.output_total <= 1:
        return None
    return round((outcome.last_content_at - outcome.first_content_at) * 1000.0 / (usage.output_total - 1), 3)


def _bound_text(data: bytes) -> str:
    text = data[:MAX_CAPTURE_BYTES].decode("utf-8", "replace")
    return text + _TRUNCATED if len(data) > MAX_CAPTURE_BYTES else text
