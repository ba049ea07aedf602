"""One request as one sentence: parse, decide, send, record. The steps live in their own modules."""

from __future__ import annotations

import os
import time

from inhouse.backends import TEXT_ONLY
from inhouse.domain import (
    CaptureMode,
    ErrorCode,
    RequestError,
    RouteDecision,
    make_trace_id,
)
from inhouse.gateway.call import Call, read_call
from inhouse.gateway.connection import ClientConnection, Request
from inhouse.gateway.dialects import ClientDialect
from inhouse.gateway.machine import MachineParts, RequestMachine
from inhouse.gateway.record import ContentCapture, TraceDraft, TraceLabels, TraceSink
from inhouse.gateway.view import ServingView
from inhouse.gateway.why import RecentTraces

_NUM_RANDOM_BYTES = 10


class RequestStarter:
    """Starts requests of every dialect.

    Args:
        parts: what the worker's requests share.
        sink: takes the trace records.
        writer: name of this gateway life, written into every record.
    """

    def __init__(self, parts: MachineParts, sink: TraceSink, writer: str) -> None:
        self._parts = parts
        self._sink = sink
        self._writer = writer
        self._random = b""
        self.recent = RecentTraces()
        """What ended last."""

    def start(
        self, dialect: ClientDialect, request: Request, client: ClientConnection, view: ServingView
    ) -> RequestMachine:
        """Start one request; it serves itself from then on.

        Raises:
            RequestError: it is refused before anything was sent.
        """
        call = read_call(dialect, request, view)
        decision = decide_call(call, view)
        draft = self.draft_trace(call, decision, view)
        machine = RequestMachine(self._parts, client, call, decision, view)
        machine.start(draft)
        return machine

    def draft_trace(self, call: Call, decision: RouteDecision, view: ServingView) -> TraceDraft:
        """The trace of a request, nothing of it written yet."""
        now = time.time()
        random_bytes = self._draw_random()
        draft = TraceDraft(
            self._sink,
            self.recent,
            self._label(call, decision, view),
            make_trace_id(int(now * 1000), random_bytes),
            now,
            call.request.arrived_at,
            len(call.request.body),
        )
        if view.captures:
            draft.capture = _choose_capture(call, decision.route, view, random_bytes)
        return draft

    def _label(self, call: Call, decision: RouteDecision, view: ServingView) -> TraceLabels:
        is_stream = call.wire.is_stream
        known = view.plain_labels(call.key, decision.route, is_stream=is_stream) if call.is_plain else None
        if known is not None:
            return known
        labels = TraceLabels(
            writer=self._writer,
            route=decision.route,
            key_id=call.key.key_id,
            team=call.key.team,
            task=call.facts.task,
            user=call.user,
            tags=call.tags,
            is_stream=is_stream,
            is_eval=call.key.is_eval,
            snapshot_version=view.snapshot.version,
            reasons=decision.reasons,
        )
        if call.is_plain:
            view.keep_labels(labels)
        return labels

    def _draw_random(self) -> bytes:
        """Ten random bytes, drawn from the system in larger lots."""
        if len(self._random) < _NUM_RANDOM_BYTES:
            self._random = os.urandom(_NUM_RANDOM_BYTES * 256)
        drawn, self._random = self._random[:_NUM_RANDOM_BYTES], self._random[_NUM_RANDOM_BYTES:]
        return drawn


def decide_call(call: Call, view: ServingView) -> RouteDecision:
    """Who may serve a request, in order.

    Raises:
        RequestError: 400 or 503, nobody.
    """
    decision = view.decide(call.facts, call.dialect.operation)
    if decision.candidates:
        return decision
    status, param = 503, None
    if decision.is_capability_refusal:
        status, param = 400, "model" if call.wire.modalities == TEXT_ONLY else call.dialect.content_field
    message = f"No endpoint may serve this request ({'; '.join(decision.reasons)})."
    raise RequestError(status, ErrorCode.NO_CANDIDATE, message, param=param)


def _choose_capture(call: Call, route: str, view: ServingView, random_bytes: bytes) -> ContentCapture | None:
    """Whether this request's content is kept. Sampling goes by the trace id's random part: no state, no bias."""
    if call.key.is_eval:
        return None
    mode, share = view.capture(route)
    if mode is CaptureMode.NONE:
        return None
    is_drawn = int.from_bytes(random_bytes[-4:], "big") < share * 2**32
    return ContentCapture(mode, call.request.body) if mode is CaptureMode.HASH or is_drawn else None
