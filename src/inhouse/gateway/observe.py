"""Observe mode: every request passes untouched to one upstream with the caller's own key, and becomes a trace.

No gate, no limit, no retry, no content kept. It fails open: where a record cannot be written, the request passes all
the same.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from inhouse.backends import (
    Call,
    EventCutter,
    EventTooLongError,
    Meter,
    Outgoing,
    ReplyFacts,
    ReplyHead,
    meter_operation,
    name_pool,
    parse_target,
    read_operation_facts,
)
from inhouse.domain import (
    Candidate,
    Endpoint,
    EndpointError,
    EndpointKind,
    ErrorCode,
    Observed,
    Operation,
    Replica,
    StateError,
    TraceStatus,
    make_trace_id,
)
from inhouse.gateway.connection import ClientConnection, Request
from inhouse.gateway.dialects import CLIENT_DIALECTS
from inhouse.gateway.machine import MachineParts
from inhouse.gateway.record import Outcome, TraceDraft, TraceLabels, TraceSink
from inhouse.gateway.replies import ErrorDetail, error_body, header_line, status_of
from inhouse.gateway.view import ServingView
from inhouse.gateway.why import RecentTraces

MAX_COLLECTED_BYTES = 16_777_216
"""A JSON reply up to this is held until it is complete, so that its trace is on disk first; a longer one is relayed."""
UNKNOWN_MODEL = "unknown"
_OBSERVED = "observed"
_EVENT_STREAM = b"text/event-stream"
_JSON = b"application/json"
_CLIENT_CLOSED = 499
_FIRST_ERROR = 400
_MAX_MODELS = 1024
_MAX_MODEL_CHARS = 200
_HOP_BY_HOP = frozenset(
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
_OURS = _HOP_BY_HOP | {b"host", b"expect", b"accept-encoding"}
"""Headers of a request that do not pass. Without `accept-encoding` the reply comes uncompressed, so it can be metered."""
_NOT_BACK = _HOP_BY_HOP | {b"set-cookie"}
_log = logging.getLogger("inhouse.gateway")


class _Body(Struct, gc=False):
    model: str | None = None
    stream: bool | None = None


_decode_body = msgspec.json.Decoder(_Body).decode


class Observer:
    """Starts observed requests.

    Args:
        parts: what the worker's requests share.
        sink: takes the trace records.
        recent: remembers them.
        writer: name of this gateway life.
    """

    def __init__(self, parts: MachineParts, sink: TraceSink, recent: RecentTraces, writer: str) -> None:
        self._parts = parts
        self._sink = sink
        self._recent = recent
        self._writer = writer
        self._endpoints: dict[tuple[int, str], Endpoint] = {}

    def start(self, request: Request, client: ClientConnection, view: ServingView, observed: Observed) -> ObservedCall:
        """Pass one request on."""
        dialect = CLIENT_DIALECTS.get(request.path)
        operation = None if dialect is None else dialect.operation
        asked = _read_body(request.body)
        model = (asked.model or UNKNOWN_MODEL)[:_MAX_MODEL_CHARS]
        endpoint = self._find_endpoint(model, view.snapshot.version, observed)
        now = time.time()
        labels = TraceLabels(
            writer=self._writer,
            route=model,
            key_id=view.auth.name_caller(request.headers.get(b"authorization") or request.headers.get(b"x-api-key")),
            team=None,
            task=None,
            user=None,
            tags={} if operation is not None else {"path": request.path[:_MAX_MODEL_CHARS]},
            is_stream=asked.stream is True,
            is_eval=False,
            snapshot_version=view.snapshot.version,
            reasons=(f"observed: passed to {observed.endpoint_id} as it came",),
        )
        trace_id = make_trace_id(int(now * 1000), os.urandom(10))
        draft = TraceDraft(self._sink, self._recent, labels, trace_id, now, request.arrived_at, len(request.body))
        candidate = Candidate(variant=_OBSERVED, variant_digest=None, endpoint_id=endpoint.endpoint_id)
        try:
            draft.begin_attempt(candidate, endpoint, endpoint.replicas[0])
        except StateError as error:
            _log.error("an observed request passes without a trace: %s", error)
        encode = error_body if dialect is None else dialect.error_body
        call = ObservedCall(self._parts, client, draft, operation, encode)
        target = parse_target(observed.root_url + request.target)
        outgoing = Outgoing(
            target,
            _build_head(request, target.path, target.host_header) + request.body,
            observed.network,
            self._parts.settings.timeouts.connect_s,
            name_pool(target, observed.network),
        )
        self._parts.client.start(outgoing, call)
        return call

    def _find_endpoint(self, model: str, version: int, observed: Observed) -> Endpoint:
        key = (version, model)
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            if len(self._endpoints) >= _MAX_MODELS:
                self._endpoints.clear()
            name = f"{observed.endpoint_id}/{model}"
            endpoint = self._endpoints[key] = Endpoint(
                endpoint_id=name,
                kind=EndpointKind.PROVIDER,
                dialect=observed.dialect,
                model=model,
                processor=observed.endpoint_id,
                replicas=(Replica(replica_id=name, base_url=observed.root_url),),
                price=observed.prices.get(model),
                is_simulated=observed.is_simulated,
            )
        return endpoint


class ObservedCall(Call):
    """Relays one reply and meters it on the side. A `Serving` of its connection.

    Args:
        parts: what the worker's requests share.
        client: whom to answer.
        draft: its trace.
        operation: what was asked for; None for a path that is not metered.
        encode: the client dialect's error body.
    """

    def __init__(
        self,
        parts: MachineParts,
        client: ClientConnection,
        draft: TraceDraft,
        operation: Operation | None,
        encode: Callable[[ErrorDetail], bytes],
    ) -> None:
        timeouts = parts.settings.timeouts
        self.first_byte_s = timeouts.first_token_s
        self.idle_s = timeouts.idle_s
        self.total_at = parts.loop.time() + timeouts.total_s
        self._client = client
        self._draft = draft
        self._operation = operation
        self._encode = encode
        self._began_at = time.perf_counter()
        self._status = 0
        self._headers = b""
        self._parts: list[bytes] = []
        self._num_bytes = 0
        self._is_relayed = False
        self._is_over = False
        self._meter: Meter | None = None
        self._cutter = EventCutter()
        self._facts: ReplyFacts | None = None

    # What the client's connection calls.

    def client_left(self) -> None:
        """The client is gone: stop the upstream, and record what came so far."""
        self.abandon()
        if not self._is_over:
            self._end(TraceStatus.CLIENT_CLOSED, _CLIENT_CLOSED if not self._status else self._status)

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
        self._status = head.status
        kind = head.headers.get(b"content-type", b"")
        passed = (b"%b: %b\r\n" % (name, value) for name, value in head.headers.items() if name not in _NOT_BACK)
        self._headers = b"".join(passed) + header_line("x-inhouse-trace", self._draft.trace_id)
        if kind.startswith(_EVENT_STREAM) and self._operation is not None:
            self._meter = meter_operation(self._operation)
        if not kind.startswith(_JSON):
            self._begin_relay()

    def on_data(self, data: bytes) -> None:
        """Relay, or collect."""
        if self.connection is not None:
            self.connection.begin_idle(self)
        if self._is_relayed:
            self._watch(data)
            self._client.write_part(data)
            return
        self._parts.append(data)
        self._num_bytes += len(data)
        if self._num_bytes > MAX_COLLECTED_BYTES:
            self._begin_relay()
            self._client.write_part(b"".join(self._parts))
            self._parts.clear()

    def on_end(self) -> None:
        """The body is complete."""
        self.connection = None
        body = b"".join(self._parts)
        meter = self._meter
        if meter is not None:
            is_cut = self._status < _FIRST_ERROR and not meter.is_complete and meter.error_event is None
            status = TraceStatus.ABORTED if is_cut or meter.error_event is not None else TraceStatus.COMPLETE
            self._end(status, self._status, ErrorCode.UPSTREAM_CUT if is_cut else None)
        else:
            if self._operation is not None and body and self._status < _FIRST_ERROR:
                self._facts = read_operation_facts(self._operation, body)
            is_good = self._status < _FIRST_ERROR
            code = None if is_good else ErrorCode.UPSTREAM_REJECTED
            self._end(TraceStatus.COMPLETE if is_good else TraceStatus.FAILED, self._status, code)
        if self._is_relayed:
            self._client.end_stream()
        else:
            self._client.reply(self._status, self._headers, body)

    def on_failure(self, error: EndpointError) -> None:
        """Before the head: a visible error. After it: the same cut that the client would have seen without us."""
        self.connection = None
        if self._is_over:
            return
        if self._is_relayed:
            self._end(TraceStatus.ABORTED, self._status, error.code)
            self._client.abort()
            return
        status = status_of(error.code)
        self._end(TraceStatus.FAILED, status, error.code, error)
        context = {"trace_id": self._draft.trace_id}
        message = f"The observed API did not answer: {error}."
        detail = ErrorDetail(status=status, code=error.code.value, message=message, context=context)
        self._client.refuse(detail, encode=self._encode)

    # Own steps.

    def _begin_relay(self) -> None:
        self._is_relayed = True
        self._client.begin_stream(self._headers, self, self._status)

    def _watch(self, data: bytes) -> None:
        """Meter a stream on the side; what cannot be metered passes all the same."""
        if self._meter is None:
            return
        try:
            block = self._cutter.feed(data)
        except EventTooLongError:
            self._meter = None
            return
        if block:
            self._meter.feed(block, time.perf_counter())

    def _end(
        self, status: TraceStatus, http_status: int, code: ErrorCode | None = None, error: EndpointError | None = None
    ) -> None:
        self._is_over = True
        meter = self._meter
        facts = self._facts if meter is None else meter.facts()
        outcome = Outcome(status, http_status, code, facts)
        if meter is not None:
            outcome.num_chunks = meter.num_chunks
            outcome.first_content_at = meter.first_content_at
            outcome.last_content_at = meter.last_content_at
            outcome.is_estimated = True  # a stream whose client did not ask for its usage reports none
        try:
            if self._draft.is_open:
                self._draft.note_attempt(self._began_at, self._status, error)
            self._draft.close(outcome)
        except StateError as problem:
            _log.error("the end of trace %s is not recorded: %s", self._draft.trace_id, problem)


def _read_body(body: bytes) -> _Body:
    try:
        return _decode_body(body)
    except (msgspec.DecodeError, RecursionError):
        return _Body()


def _build_head(request: Request, target: str, host: str) -> bytes:
    lines = [f"{request.method} {target} HTTP/1.1\r\nhost: {host}\r\n".encode("latin-1")]
    lines += [b"%b: %b\r\n" % (name, value) for name, value in request.headers.items() if name not in _OURS]
    if request.body or request.method not in ("GET", "DELETE", "HEAD"):
        lines.append(b"content-length: %d\r\n" % len(request.body))
    return b"".join((*lines, b"\r\n"))
