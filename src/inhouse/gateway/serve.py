"""One request as one sentence: parse, decide, send, record. The steps live in their own modules."""

from __future__ import annotations

import os
import time

from msgspec import Struct

from inhouse.backends import TEXT_ONLY
from inhouse.domain import (
    ApiKey,
    CaptureMode,
    ErrorCode,
    RequestError,
    RequestFacts,
    RouteDecision,
    make_trace_tails,
)
from inhouse.gateway.call import NO_TAGS, Call, read_call
from inhouse.gateway.connection import ClientConnection, Request
from inhouse.gateway.dialects import ClientDialect
from inhouse.gateway.machine import MachineParts, RequestMachine
from inhouse.gateway.record import ContentCapture, TraceDraft, TraceLabels, TraceSink
from inhouse.gateway.view import Lane, ServingView
from inhouse.gateway.why import RecentTraces

_NUM_TAIL_BYTES = 2560
_MAX_WAYS = 64


class _PlainWay(Struct, frozen=True):
    """What holds for all plain requests with one head, model and way of answering, under one snapshot."""

    key: ApiKey
    facts: RequestFacts
    forwarded: bytes
    decision: RouteDecision
    labels: TraceLabels
    lane: Lane | None


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
        self._tails: list[str] = []
        self.recent = RecentTraces()
        """What ended last."""

    def start(
        self, dialect: ClientDialect, request: Request, client: ClientConnection, view: ServingView
    ) -> RequestMachine:
        """Start one request; it serves itself from then on.

        Raises:
            RequestError: it is refused before anything was sent.
        """
        memo, wire = request.head.memo, None
        if memo.owner is view and memo.ways:
            wire = dialect.read(request.body)
            way = memo.ways.get((wire.model, wire.is_stream))
            if way is not None and wire.modalities is TEXT_ONLY and not wire.metadata:
                call = Call(dialect, request, wire, way.key, way.facts, way.forwarded, None, NO_TAGS, True)
                machine = RequestMachine(self._parts, client, call, way.decision, view)
                machine.start(self._draft(way.labels, call, view), way.lane)
                return machine
        call = read_call(dialect, request, view, wire)
        decision = decide_call(call, view)
        draft = self.draft_trace(call, decision, view)
        machine = RequestMachine(self._parts, client, call, decision, view)
        lane = view.only_lane(decision, dialect.operation)
        if call.is_plain:
            if len(memo.ways) >= _MAX_WAYS:
                memo.ways.clear()
            labels = self._label(call, decision, view)
            way = _PlainWay(call.key, call.facts, call.forwarded, decision, labels, lane)
            memo.ways[call.wire.model, call.wire.is_stream] = way
        machine.start(draft, lane)
        return machine

    def draft_trace(self, call: Call, decision: RouteDecision, view: ServingView) -> TraceDraft:
        """The trace of a request, nothing of it written yet."""
        return self._draft(self._label(call, decision, view), call, view)

    def _draft(self, labels: TraceLabels, call: Call, view: ServingView) -> TraceDraft:
        now, request, tails = time.time(), call.request, self._tails
        trace_id = int(now * 1000).to_bytes(6, "big").hex() + (tails.pop() if tails else self._draw_tail())
        draft = TraceDraft(self._sink, self.recent, labels, trace_id, now, request.arrived_at, len(request.body))
        if view.captures:
            draft.capture = _choose_capture(call, labels.route, view, trace_id)
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

    def _draw_tail(self) -> str:
        """The random part of a trace id, drawn from the system in larger lots."""
        self._tails = make_trace_tails(os.urandom(_NUM_TAIL_BYTES))
        return self._tails.pop()


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


def _choose_capture(call: Call, route: str, view: ServingView, trace_id: str) -> ContentCapture | None:
    """Whether this request's content is kept. Sampling goes by the trace id's random part: no state, no bias."""
    if call.key.is_eval:
        return None
    mode, share = view.capture(route)
    if mode is CaptureMode.NONE:
        return None
    is_drawn = int(trace_id[-8:], 16) < share * 2**32
    return ContentCapture(mode, call.request.body) if mode is CaptureMode.HASH or is_drawn else None
