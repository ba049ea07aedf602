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
    PriceVector,
    Replica,
    Signals,
    TraceOpen,
    TraceStatus,
    Usage,
    UsageBasis,
)
from inhouse.gateway.why import RecentTraces

MAX_CAPTURE_BYTES = 262_144
_BYTES_PER_TOKEN = 4
_TRUNCATED = "\n[truncated]"
_MAX_TEXTS = 256
_ANY_ID = "0" * 32
_ANY_TIME = 1.5
_NO_FACTS = ReplyFacts()
_encode = msgspec.json.encode
_read_clock = time.perf_counter
_OK = 200


class TraceSink(Protocol):
    """Where records go. They are on disk when the write returns; StateError where one is not."""

    def write_line(self, line: bytes) -> None:
        """Put one record, encoded and with its newline, on disk."""
        ...


class TraceLabels(Struct, kw_only=True):
    """What is known of a request before it is sent, but for its id and time; the words of `TraceOpen` apply.

    Requests that differ in nothing else share one, and with it the text of their records as far as it is the same.
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
    _texts: dict[tuple[str, str], RecordTexts] = {}
    last: RecordTexts | None = None
    """Those given last."""

    def texts(self, candidate: Candidate, endpoint: Endpoint, replica: Replica) -> RecordTexts:
        """What the records of such requests at one replica have in common."""
        key = (candidate.variant, replica.replica_id)
        texts = self._texts.get(key)
        if texts is None:
            if len(self._texts) >= _MAX_TEXTS:
                self._texts.clear()
            texts = self._texts[key] = RecordTexts(self, candidate, endpoint, replica)
        self.last = texts
        return texts


class RecordTexts:
    """The text that the records of alike requests share, so that only what differs is encoded for each.

    Of the open record: what stands before the id, between id and time, and behind the time.

    Args:
        labels: what is known of the requests.
        candidate: of the attempt that ended them.
        endpoint: the candidate's.
        replica: where it was asked.
    """

    __slots__ = (
        "_close_heads",
        "_writer",
        "candidate",
        "endpoint",
        "open_head",
        "open_middle",
        "open_tail",
        "replica",
        "whole_head",
    )

    def __init__(self, labels: TraceLabels, candidate: Candidate, endpoint: Endpoint, replica: Replica) -> None:
        self.candidate, self.endpoint, self.replica, self._writer = candidate, endpoint, replica, labels.writer
        opened = TraceOpen(
            trace_id=_ANY_ID,
            writer=labels.writer,
            started_at=_ANY_TIME,
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
        self.open_head, _, rest = _encode(opened).partition(_ANY_ID.encode())
        middle, _, tail = rest.partition(b'"started_at":1.5')
        self.open_middle, self.open_tail = middle + b'"started_at":', tail + b"\n"
        self._close_heads: dict[tuple[TraceStatus, int, str | None], bytes] = {}
        self.whole_head = self.close_head(TraceStatus.COMPLETE, 200, None)

    def close_head(self, status: TraceStatus, http_status: int, error_code: str | None) -> bytes:
        """The close record up to what differs between requests that end alike; `_Ending` follows, without its brace."""
        key = (status, http_status, error_code)
        head = self._close_heads.get(key)
        if head is None:
            candidate, endpoint = self.candidate, self.endpoint
            ended = _AlikeEnding(
                writer=self._writer,
                status=status,
                http_status=http_status,
                variant=candidate.variant,
                endpoint_id=candidate.endpoint_id,
                replica_id=self.replica.replica_id,
                variant_digest=candidate.variant_digest,
                endpoint_digest=endpoint.digest,
                is_simulated=endpoint.is_simulated,
                error_code=error_code,
            )
            head = self._close_heads[key] = _encode(ended)[:-1] + b","
        return head


class _AlikeEnding(Struct, kw_only=True, omit_defaults=True, tag="close", tag_field="kind"):
    """The members of `TraceClose` that requests which end alike have in common."""

    writer: str
    status: TraceStatus
    http_status: int
    variant: str
    endpoint_id: str
    replica_id: str
    variant_digest: str | None = None
    endpoint_digest: str | None = None
    is_simulated: bool = False
    error_code: str | None = None


class _Ending(Struct, omit_defaults=True, gc=False):
    """The other members of `TraceClose`."""

    trace_id: str
    ended_at: float
    e2e_ms: float
    overhead_ms: float | None
    attempts: tuple[Attempt, ...]
    finish_reason: str | None
    reported_model: str | None
    fingerprint: str | None
    usage: Usage | None
    usage_basis: UsageBasis
    cost_usd: float | None
    price_id: str | None
    signals: Signals | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    num_chunks: int | None = None
    content: dict[str, str] | None = None
    tier: str | None = None


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
        "_labels",
        "_num_request_bytes",
        "_open_line",
        "_recent",
        "_sink",
        "_started_at",
        "_texts",
        "attempts",
        "capture",
        "is_closed",
        "is_open",
        "sent_at",
        "trace_id",
    )

    _open_line: bytes
    _texts: RecordTexts

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
        texts = self._labels.last
        if texts is None or texts.candidate is not candidate or texts.replica is not replica:
            texts = self._labels.texts(candidate, endpoint, replica)
        self._texts = texts
        if not self.is_open:
            line = self._open_line = b"".join(
                (texts.open_head, self.trace_id.encode(), texts.open_middle, _encode(self._started_at), texts.open_tail)
            )
            self._sink.write_line(line)
            self.is_open = True
            self.sent_at = _read_clock()

    def note_attempt(self, began_at: float, status: int | None, error: EndpointError | None = None) -> None:
        """Note the end of the attempt under way, which began at `began_at` (`time.perf_counter()` seconds)."""
        texts = self._texts
        attempt = Attempt(
            endpoint_id=texts.endpoint.endpoint_id,
            replica_id=texts.replica.replica_id,
            duration_ms=_count_ms(_read_clock() - began_at),
            code=None if error is None else error.code.value,
            status=status or None,
            message=None if error is None else str(error),
        )
        self.attempts = (*self.attempts, attempt)

    def close_whole(self, facts: ReplyFacts, began_at: float, signals: Signals | None) -> None:
        """The same as `note_attempt` and `close` for an unstreamed answer that is complete, in fewer steps.

        Raises:
            StateError: the record is not on disk.
        """
        if self.is_closed or not self.is_open:
            return
        self.is_closed = True
        now, texts, usage = _read_clock(), self._texts, facts.usage
        elapsed_s, endpoint = now - self._arrived_at, texts.endpoint
        attempt = Attempt(endpoint.endpoint_id, texts.replica.replica_id, int((now - began_at) * 1e6) / 1e3, None, _OK)
        self.attempts = (*self.attempts, attempt) if self.attempts else (attempt,)
        price = endpoint.price
        if price is None or usage is None:
            cost = price_id = None
        elif facts.tier is None and not price.longer:
            cost = price.price(usage)
            price_id = None if cost is None else price.price_id
        else:
            cost, price_id = _price_request(price, usage, facts.tier)
        ending = _Ending(
            self.trace_id,
            self._started_at + elapsed_s,
            int(elapsed_s * 1e6) / 1e3,
            int((self.sent_at - self._arrived_at) * 1e6) / 1e3,
            self.attempts,
            facts.finish_reason,
            facts.model,
            facts.fingerprint,
            usage,
            facts.usage_basis,
            cost,
            price_id,
            signals,
        )
        if facts.tier is not None:
            ending.tier = facts.tier
        if self.capture is not None:
            ending.content = self.capture.content()
        line = b"".join((texts.whole_head, _encode(ending)[1:], b"\n"))
        self._recent.keep((self.trace_id, self._open_line, line))
        self._sink.write_line(line)

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
        price = self._texts.endpoint.price
        cost, price_id = _price_request(price, usage, facts.tier)
        elapsed_s = _read_clock() - self._arrived_at
        ending = _Ending(
            trace_id=self.trace_id,
            ended_at=self._started_at + elapsed_s,
            e2e_ms=_count_ms(elapsed_s),
            overhead_ms=_count_ms(self.sent_at - self._arrived_at),
            attempts=self.attempts,
            finish_reason=facts.finish_reason,
            reported_model=facts.model,
            fingerprint=facts.fingerprint,
            usage=usage,
            usage_basis=basis,
            cost_usd=cost,
            price_id=price_id,
            signals=outcome.signals,
            ttft_ms=None if first_at is None else _count_ms(first_at - self._arrived_at),
            tpot_ms=None if first_at is None else _measure_tpot(outcome, usage),
            num_chunks=outcome.num_chunks,
            content=None if self.capture is None else self.capture.content(),
            tier=facts.tier,
        )
        code = outcome.error_code
        head = self._texts.close_head(outcome.status, outcome.http_status, None if code is None else code.value)
        line = b"".join((head, _encode(ending)[1:], b"\n"))
        self._recent.keep((self.trace_id, self._open_line, line))
        self._sink.write_line(line)

    def _estimate_usage(self, num_chunks: int) -> Usage:
        """For a reply that broke off, or a stream whose usage nobody asked for: marked as an estimate.

        A token for each content chunk, and a prompt token for each four bytes of the request's body.
        """
        num_input = -(-self._num_request_bytes // _BYTES_PER_TOKEN)
        return Usage(input_uncached=num_input, output_visible=num_chunks)


def _price_request(price: PriceVector | None, usage: Usage | None, tier: str | None) -> tuple[float | None, str | None]:
    """What a request cost in US dollars, and by which price; both None where it is unpriced."""
    if price is None or usage is None:
        return None, None
    chosen = price.select(usage, tier)
    cost = None if chosen is None else chosen.price(usage)
    return cost, None if chosen is None or cost is None else chosen.price_id


def _measure_tpot(outcome: Outcome, usage: Usage | None) -> float | None:
    """Mean milliseconds per output token after the first; only where two tokens or more are known."""
    if outcome.first_content_at is None or outcome.last_content_at is None or usage is None or usage.output_total <= 1:
        return None
    return _count_ms((outcome.last_content_at - outcome.first_content_at) / (usage.output_total - 1))


def _count_ms(seconds: float) -> float:
    """Milliseconds in whole microseconds."""
    return int(seconds * 1e6) / 1e3


def _bound_text(data: bytes) -> str:
    text = data[:MAX_CAPTURE_BYTES].decode("utf-8", "replace")
    return text + _TRUNCATED if len(data) > MAX_CAPTURE_BYTES else text
