"""One chat request as one sentence: parse, decide, send, record. The steps live in their own modules."""

from __future__ import annotations

import asyncio
import logging
import os
import time

from inhouse.domain import (
    CaptureMode,
    EndpointError,
    ErrorCode,
    RequestError,
    RouteDecision,
    StateError,
    TraceStatus,
    make_trace_id,
)
from inhouse.gateway.call import ChatCall, read_call
from inhouse.gateway.connection import ClientConnection, Request
from inhouse.gateway.exchange import ChatExchange, Relay
from inhouse.gateway.record import ContentCapture, Outcome, TraceDraft, TraceLabels, TraceSink
from inhouse.gateway.replies import pass_headers
from inhouse.gateway.send import Sender, Sent
from inhouse.gateway.view import ServingView

_log = logging.getLogger("inhouse.gateway")
_OK = 200
_CLIENT_CLOSED = 499
_NUM_RANDOM_BYTES = 10
_STATUS_OF_CODE = {
    ErrorCode.UPSTREAM_TIMEOUT: 504,
    ErrorCode.UPSTREAM_RATE_LIMITED: 429,
    ErrorCode.SHUTTING_DOWN: 503,
}
_SHUTTING_DOWN = "the gateway is shutting down"


class ChatHandler:
    """Serves `POST /v1/chat/completions`.

    Args:
        sender: tries endpoints.
        sink: takes the trace records.
        writer: name of this gateway life, written into every record.
    """

    def __init__(self, sender: Sender, sink: TraceSink, writer: str) -> None:
        self._sender = sender
        self._sink = sink
        self._writer = writer
        self._random = b""
        self.num_unwritten_closes = 0

    async def serve(self, request: Request, client: ClientConnection, view: ServingView) -> None:
        """Serve one request to its end.

        Raises:
            RequestError: it is refused before anything was sent.
        """
        call = read_call(request, view)
        decision = _decide(call, view)
        draft = self._draft_trace(call, decision, view)
        try:
            sent = await self._sender.send(call, decision.candidates, view, draft)
            await self._deliver(sent, client, draft, view.reply_headers(decision.route, sent.candidate))
        except EndpointError as error:
            self._fail(error, client, draft)
        except asyncio.CancelledError:
            self._end_early(client, draft)
            raise
        except StateError as error:
            _log.error("request refused, its trace cannot be recorded: %s", error)
            message = "The gateway cannot record this request, so it was not sent. Its log says why."
            raise RequestError(500, ErrorCode.INTERNAL_ERROR, message) from None

    def _draft_trace(self, call: ChatCall, decision: RouteDecision, view: ServingView) -> TraceDraft:
        now = time.time()
        random_bytes = self._draw_random()
        labels = TraceLabels(
            trace_id=make_trace_id(int(now * 1000), random_bytes),
            writer=self._writer,
            started_at=now,
            arrived_at=call.request.arrived_at,
            route=decision.route,
            key_id=call.key.key_id,
            team=call.key.team,
            task=call.facts.task,
            user=call.user,
            tags=call.tags,
            is_stream=call.chat.is_stream,
            is_eval=call.key.is_eval,
            snapshot_version=view.snapshot.version,
            reasons=decision.reasons,
            num_request_bytes=len(call.request.body),
        )
        return TraceDraft(self._sink, labels, _choose_capture(call, decision.route, view, random_bytes))

    def _draw_random(self) -> bytes:
        """Ten random bytes, drawn from the system in larger lots."""
        if len(self._random) < _NUM_RANDOM_BYTES:
            self._random = os.urandom(_NUM_RANDOM_BYTES * 256)
        drawn, self._random = self._random[:_NUM_RANDOM_BYTES], self._random[_NUM_RANDOM_BYTES:]
        return drawn

    async def _deliver(self, sent: Sent, client: ClientConnection, draft: TraceDraft, decided: bytes) -> None:
        """Commit the reply: a stream is relayed to its end, anything else is written whole."""
        exchange = sent.exchange
        headers = b"%b%bx-inhouse-trace: %b\r\n" % (pass_headers(exchange.headers), decided, draft.trace_id.encode())
        if not exchange.is_stream:
            self._sender.release(sent.replica)
            self._reply(exchange, client, draft, headers)
            return
        try:
            relay = Relay(client, lambda outcome: self._close(draft, outcome), draft.capture)
            exchange.commit(relay, headers)
            await exchange.finished
        except asyncio.CancelledError:
            if client.is_gone:
                self._close(draft, exchange.summarize(TraceStatus.CLIENT_CLOSED, _OK))
            else:
                exchange.break_off(EndpointError(ErrorCode.SHUTTING_DOWN, _SHUTTING_DOWN))
            raise
        finally:
            exchange.abandon()
            self._sender.release(sent.replica)

    def _reply(self, exchange: ChatExchange, client: ClientConnection, draft: TraceDraft, headers: bytes) -> None:
        if draft.capture is not None:
            draft.capture.add(exchange.body)
        if exchange.status == _OK:
            outcome = exchange.summarize(TraceStatus.COMPLETE, _OK)
        else:
            outcome = exchange.summarize(TraceStatus.FAILED, exchange.status, ErrorCode.UPSTREAM_REJECTED)
        self._close(draft, outcome)
        client.reply(exchange.status, headers, exchange.body)

    def _fail(self, error: EndpointError, client: ClientConnection, draft: TraceDraft) -> None:
        """Nothing is left to try and nothing was committed: answer with the last failure."""
        code = ErrorCode.UPSTREAM_ERROR if error.code is ErrorCode.UPSTREAM_CUT else error.code
        status = _STATUS_OF_CODE.get(code, 502)
        headers = _trace_header(draft)
        if status == 429:
            headers += b"retry-after: %d\r\n" % max(1, round(error.retry_after_s or 1))
        self._close(draft, Outcome(TraceStatus.FAILED, status, code))
        client.refuse(RequestError(status, code, f"No endpoint answered: {error}."), headers)

    def _end_early(self, client: ClientConnection, draft: TraceDraft) -> None:
        """The client left, or the gateway ends, before the commit point (after it, the trace is closed already)."""
        if client.is_gone:
            self._close(draft, Outcome(TraceStatus.CLIENT_CLOSED, _CLIENT_CLOSED))
        elif not client.has_begun:
            self._close(draft, Outcome(TraceStatus.FAILED, 503, ErrorCode.SHUTTING_DOWN))
            message = "The gateway is shutting down. Try again."
            client.refuse(RequestError(503, ErrorCode.SHUTTING_DOWN, message), _trace_header(draft), closes=True)

    def _close(self, draft: TraceDraft, outcome: Outcome) -> None:
        """Record the end. A reply already made is not withheld for a full disk; the gap is logged and counted."""
        try:
            draft.close(outcome)
        except StateError as error:
            self.num_unwritten_closes += 1
            _log.error("the end of trace %s is not recorded: %s", draft.trace_id, error)


def _decide(call: ChatCall, view: ServingView) -> RouteDecision:
    decision = view.decide(call.facts)
    if decision.candidates:
        return decision
    status, param = (400, "messages") if decision.is_capability_refusal else (503, None)
    message = f"No endpoint may serve this request ({'; '.join(decision.reasons)})."
    raise RequestError(status, ErrorCode.NO_CANDIDATE, message, param=param)


def _choose_capture(call: ChatCall, route: str, view: ServingView, random_bytes: bytes) -> ContentCapture | None:
    """Whether this request's content is kept. Sampling goes by the trace id's random part: no state, no bias."""
    if call.key.is_eval:
        return None
    mode, share = view.capture(route)
    if mode is CaptureMode.NONE:
        return None
    is_drawn = int.from_bytes(random_bytes[-4:], "big") < share * 2**32
    return ContentCapture(mode, call.request.body) if mode is CaptureMode.HASH or is_drawn else None


def _trace_header(draft: TraceDraft) -> bytes:
    return b"x-inhouse-trace: %b\r\n" % draft.trace_id.encode() if draft.is_open else b""
