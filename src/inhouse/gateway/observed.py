"""The way back of an observed request: its reply passes as it is, and is metered on the side. Changes no byte of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from inhouse.backends import (
    Call,
    EventCutter,
    EventTooLongError,
    Meter,
    ReplyFacts,
    ReplyHead,
    meter_operation,
    read_operation_facts,
)
from inhouse.domain import EndpointError, ErrorCode, StateError, TraceStatus
from inhouse.gateway.connection import CHUNKED, ClientConnection
from inhouse.gateway.dialects import ClientDialect
from inhouse.gateway.machine import MachineParts
from inhouse.gateway.record import Outcome, TraceDraft
from inhouse.gateway.replies import ErrorDetail, error_body, header_line, status_of

MAX_COLLECTED_BYTES = 16_777_216
"""A JSON reply up to this is held until it is complete, so that its trace is on disk first; a longer one is relayed
and not metered."""
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
    }
)
"""Headers that belong to one connection (RFC 9110 §7.6.1), and the length, which is written anew."""
_TRACE_HEADER = "x-inhouse-trace"
_NOT_BACK = HOP_BY_HOP | {b"set-cookie", b"alt-svc", _TRACE_HEADER.encode()}
"""Headers of a reply that do not pass: cookies and other addresses are the upstream host's own."""
_EVENT_STREAM = b"text/event-stream"
_JSON = b"application/json"
_NO_CONTENT = (204, 304)
_FIRST_ERROR = 400
_FIRST_SERVER_ERROR = 500
_TOO_MANY = 429
_CLIENT_CLOSED = 499
_log = logging.getLogger("inhouse.gateway")


def read_hop_names(headers: Mapping[bytes, bytes]) -> frozenset[bytes]:
    """The headers that a message's `connection` header declares to be of this connection only."""
    value = headers.get(b"connection")
    return frozenset() if value is None else frozenset(name.strip() for name in value.lower().split(b","))


class ObservedCall(Call):
    """Relays one reply and meters it on the side. A `Serving` and a `Flow` of its connection.

    Args:
        parts: what the worker's requests share.
        client: whom to answer.
        draft: its trace; not open where it could not be written.
        dialect: what was asked for; None for what is not metered.
        is_head: the reply has no body, whatever its headers say.
    """

    def __init__(
        self,
        parts: MachineParts,
        client: ClientConnection,
        draft: TraceDraft,
        dialect: ClientDialect | None,
        *,
        is_head: bool,
    ) -> None:
        timeouts = parts.settings.timeouts
        self.first_byte_s = timeouts.first_token_s
        self.idle_s = timeouts.idle_s
        self.total_at = parts.loop.time() + timeouts.total_s
        self._client = client
        self._draft = draft
        self._dialect = dialect
        self._is_head = is_head
        self._began_at = time.perf_counter()
        self._trace_header = header_line(_TRACE_HEADER, draft.trace_id) if draft.is_open else b""
        self._status = 0
        self._headers = b""
        self._framing = CHUNKED
        self._collected: list[bytes] | None = []
        self._num_bytes = 0
        self._is_over = False
        self._is_readable = False
        self._meter: Meter | None = None
        self._cutter: EventCutter | None = None
        self._facts: ReplyFacts | None = None

    # What the client's connection calls.

    def client_left(self) -> None:
        """The client is gone: stop the upstream, and record what came so far.

        Who leaves after the last event has all of the answer.
        """
        self.abandon()
        if self._is_over:
            return
        if self._status < _FIRST_ERROR and self._meter is not None and self._meter.is_done:
            self._end(TraceStatus.COMPLETE, self._status)
        else:
            self._end(TraceStatus.CLIENT_CLOSED, self._status or _CLIENT_CLOSED)

    def shut_down(self) -> None:
        """The gateway ends."""
        self.abandon()
        self.on_failure(EndpointError(ErrorCode.SHUTTING_DOWN, "the gateway is shutting down"))

    def pause_reading(self) -> None:
        """The client reads slowly."""
        if self.connection is not None:
            self.connection.pause_reading()

    def resume_reading(self) -> None:
        """The client has caught up."""
        if self.connection is not None:
            self.connection.resume_reading()

    # What the upstream connection calls.

    def on_head(self, head: ReplyHead) -> None:
        """Decide how the body is taken."""
        headers = head.headers
        self._status = head.status
        left_out = _NOT_BACK | read_hop_names(headers)
        passed = (b"%b: %b\r\n" % (name, value) for name, value in headers.items() if name not in left_out)
        self._headers = b"".join(passed) + self._trace_header
        length = headers.get(b"content-length")
        if length is not None:
            self._framing = b"content-length: %b\r\n" % length
        if self._is_head or head.status in _NO_CONTENT:
            self._answer_bodyless(is_open_ended=self._is_head or length not in (None, b"0"))
            return
        kind = headers.get(b"content-type", b"").lower()
        is_good = head.status < _FIRST_ERROR
        self._is_readable = is_good and headers.get(b"content-encoding", b"identity").lower() == b"identity"
        if self._is_readable and self._dialect is not None and kind.startswith(_EVENT_STREAM):
            self._meter = meter_operation(self._dialect.operation)
            self._cutter = EventCutter()
        if not kind.startswith(_JSON):
            self._begin_relay()

    def on_data(self, data: bytes) -> None:
        """Relay, or collect."""
        if self._is_over:
            return
        if self.connection is not None:
            self.connection.begin_idle(self)
        if self._collected is None:
            self._watch(data)
            self._client.write_part(data)
            return
        self._collected.append(data)
        self._num_bytes += len(data)
        if self._num_bytes > MAX_COLLECTED_BYTES:
            whole = b"".join(self._collected)
            self._begin_relay()
            self._client.write_part(whole)

    def on_end(self) -> None:
        """The body is complete."""
        self.connection = None
        if self._is_over:
            return
        if self._collected is None:
            if self._cutter is not None and self._cutter.tail:
                self._watch(b"\n\n")  # the last event's empty line is often left out
            self._end(*self._judge())
            self._client.end_stream()
            return
        body = b"".join(self._collected)
        if self._is_readable and self._dialect is not None:
            self._facts = read_operation_facts(self._dialect.operation, body)
        self._end(*self._judge())
        self._client.reply(self._status, self._headers, body)

    def on_failure(self, error: EndpointError) -> None:
        """Before the client has a byte: a visible error. After it: the same cut that it would have seen without us."""
        self.connection = None
        if self._is_over:
            return
        if self._collected is None:
            self._end(TraceStatus.ABORTED, self._status, error.code, error)
            self._client.cut()
            return
        status = status_of(error.code)
        words = _explain(error, has_begun=self._status > 0)
        self._end(TraceStatus.FAILED, status, error.code, error)
        context = {"trace_id": self._draft.trace_id} if self._draft.is_open else None
        detail = ErrorDetail(status=status, code=error.code.value, message=words, context=context)
        encode = error_body if self._dialect is None else self._dialect.error_body
        is_last = error.code is ErrorCode.SHUTTING_DOWN
        self._client.refuse(detail, self._trace_header, encode, closes=is_last)

    # Own steps.

    def _answer_bodyless(self, *, is_open_ended: bool) -> None:
        """A head is all there is. The parser awaits the body that some of these heads announce: it is not asked."""
        if is_open_ended:
            self.abandon()
        has_length = self._framing is not CHUNKED and self._status != _NO_CONTENT[0]
        self._framing = self._framing if has_length else b""
        self._begin_relay()
        self._end(*self._judge())
        self._client.end_stream()

    def _begin_relay(self) -> None:
        self._collected = None
        self._client.begin_stream(self._headers, self, self._status, self._framing)

    def _watch(self, data: bytes) -> None:
        """Meter a stream on the side; from an event on that is too long to hold, the rest passes unmetered."""
        if self._meter is None or self._cutter is None:
            return
        try:
            block = self._cutter.feed(data)
        except EventTooLongError:
            self._cutter = None
            return
        if block:
            self._meter.feed(block, time.perf_counter())

    def _judge(self) -> tuple[TraceStatus, int, ErrorCode | None]:
        """What a reply that came to its end was."""
        status, meter = self._status, self._meter
        if status >= _FIRST_ERROR:
            return TraceStatus.FAILED, status, _code_of(status)
        if self._facts is not None and self._facts.is_error:
            return TraceStatus.FAILED, status, ErrorCode.UPSTREAM_ERROR
        if meter is not None and meter.error_event is not None:
            return TraceStatus.ABORTED, status, ErrorCode.UPSTREAM_ERROR
        if meter is not None and self._cutter is not None and not meter.is_complete:
            return TraceStatus.ABORTED, status, ErrorCode.UPSTREAM_CUT
        return TraceStatus.COMPLETE, status, None

    def _end(
        self, status: TraceStatus, http_status: int, code: ErrorCode | None = None, error: EndpointError | None = None
    ) -> None:
        self._is_over = True
        if not self._draft.is_open:
            return
        meter = self._meter
        outcome = Outcome(status, http_status, code, self._facts if meter is None else meter.facts())
        if meter is not None:
            outcome.num_chunks = meter.num_chunks
            outcome.first_content_at = meter.first_content_at
            outcome.last_content_at = meter.last_content_at
            outcome.is_estimated = True  # a stream whose client did not ask for its usage reports none
        self._draft.note_attempt(self._began_at, self._status, error)
        try:
            self._draft.close(outcome)
        except StateError as problem:
            _log.error("the end of trace %s is not recorded: %s", self._draft.trace_id, problem)


def _code_of(status: int) -> ErrorCode:
    if status == _TOO_MANY:
        return ErrorCode.UPSTREAM_RATE_LIMITED
    return ErrorCode.UPSTREAM_ERROR if status >= _FIRST_SERVER_ERROR else ErrorCode.UPSTREAM_REJECTED


def _explain(error: EndpointError, *, has_begun: bool) -> str:
    if error.code is ErrorCode.SHUTTING_DOWN:
        return "The gateway is shutting down. Try again."
    if error.code is ErrorCode.INTERNAL_ERROR:
        return f"The gateway did not pass the answer on: {error}."
    what = "answer broke off" if has_begun else "API did not answer"
    return f"The observed {what}: {error}."
