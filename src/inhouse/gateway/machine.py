"""One request as a state machine with a commit point: tries, waits, commits, relays, ends. Parses nothing.

TRYING ──ready──▶ (committed whole) ─▶ ENDED
  │ ▲  └─ready, a stream──▶ RELAYING ──end or failure──▶ ENDED
  │ └── wait over ──┐
  └──failure──▶ another candidate at once, or WAITING, or an error to the client ──▶ ENDED

Before the commit point a failure leads to another attempt; after it only to a visible end.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Any

from inhouse.backends import HttpClient, KeyRing, ReplyFacts, UntranslatableError, UpstreamFault, classify_rejection
from inhouse.domain import (
    Endpoint,
    EndpointError,
    ErrorCode,
    FallbackCause,
    Replica,
    RequestError,
    Route,
    RouteDecision,
    StateError,
    TraceStatus,
)
from inhouse.gateway.attempt import AttemptCall
from inhouse.gateway.call import Call
from inhouse.gateway.connection import ClientConnection
from inhouse.gateway.health import ReplicaHealth
from inhouse.gateway.record import Outcome, TraceDraft
from inhouse.gateway.replies import (
    LENGTH_LINES,
    STATUS_LINES,
    ErrorDetail,
    header_line,
    pass_headers,
    status_of,
)
from inhouse.gateway.retries import RetryBudget, choose_wait_s
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.view import Lane, ServingView
from inhouse.routing import pick_replica

_log = logging.getLogger("inhouse.gateway")
_OK = 200
_CLIENT_CLOSED = 499
_MAX_STARTS = 64
_KEY_STATUSES = frozenset({401, 403, 429})
"""Answers that concern the key that was shown: another one may do."""
_FALLING_BACK = frozenset({UpstreamFault.CONTEXT_LENGTH, UpstreamFault.CAPABILITY, UpstreamFault.MODEL_MISSING})


class Stage(Enum):
    """Where a request stands."""

    TRYING = auto()
    WAITING = auto()
    RELAYING = auto()
    ENDED = auto()


_TRYING, _ENDED = Stage.TRYING, Stage.ENDED


@dataclass(slots=True)
class MachineParts:
    """What all requests of one worker share. `num_unwritten_closes` counts ends that are not on disk."""

    loop: asyncio.AbstractEventLoop
    client: HttpClient
    settings: GatewaySettings
    health: ReplicaHealth
    budget: RetryBudget
    in_flight: Counter[str]
    draw_chance: Callable[[], float] = random.random
    num_sent: int = 0
    num_unwritten_closes: int = 0


class RequestMachine:
    """Serves one request to its end. An `AttemptOwner`.

    Args:
        parts: what the worker's requests share.
        client: the client's connection.
        call: the request, parsed.
        decision: who may serve it, in order; not empty.
        view: the snapshot that it was decided on; kept to the end.
    """

    _lane: Lane
    _key: str | None = None
    _ring: KeyRing | None = None
    _stage = Stage.TRYING
    _attempt: AttemptCall | None = None
    _index = 0
    _first_index = 0
    _num_attempts = 0
    _num_rounds = 0
    _ignores_health = False
    _tried: frozenset[str] = frozenset()
    _left_out: Mapping[str, str] = MappingProxyType({})
    _failure: EndpointError | None = None
    _untranslatable: UntranslatableError | None = None
    _rejection: tuple[AttemptCall, Lane] | None = None
    _retry_after_s: float | None = None
    _wait: asyncio.TimerHandle | None = None

    def __init__(
        self, parts: MachineParts, client: ClientConnection, call: Call, decision: RouteDecision, view: ServingView
    ) -> None:
        self._parts = parts
        self._client = client
        self._call = call
        self._decision = decision
        self._view = view

    def start(self, draft: TraceDraft, lane: Lane | None = None) -> None:
        """Make the first attempt; `draft` is the request's trace, `lane` the first choice where nothing is to pick.

        Raises:
            RequestError: nothing can be sent: the trace cannot be recorded, or no candidate can express the request.
        """
        parts = self._parts
        self._draft = draft
        now = parts.loop.time()
        self._total_at = now + parts.settings.timeouts.total_s
        parts.budget.note_request(now)
        if lane is None or lane.replica_id in parts.health.troubled or not self._begin(lane, now):
            self._advance()

    # What the client's connection calls.

    def client_left(self) -> None:
        """The client is gone: stop the endpoint at once, and record what came so far."""
        attempt = self._drop_attempt()
        if self._stage is Stage.RELAYING and attempt is not None:
            self.close_trace(attempt.summarize(TraceStatus.CLIENT_CLOSED, _OK))
        else:
            self.close_trace(Outcome(TraceStatus.CLIENT_CLOSED, _CLIENT_CLOSED))
        self._end()

    def shut_down(self) -> None:
        """The gateway ends: say so, before the commit point with a 503, after it with an error event."""
        error = EndpointError(ErrorCode.SHUTTING_DOWN, "the gateway is shutting down")
        if self._stage is Stage.RELAYING and self._attempt is not None:
            attempt = self._attempt
            attempt.break_off(error)
            attempt.abandon()
        elif self._stage is not Stage.ENDED:
            self._drop_attempt()
            self.close_trace(Outcome(TraceStatus.FAILED, 503, ErrorCode.SHUTTING_DOWN))
            detail = self._describe(503, ErrorCode.SHUTTING_DOWN, "The gateway is shutting down. Try again.")
            self._end()
            self._client.refuse(detail, self._trace_header(), self._call.dialect.error_body, closes=True)

    # What an attempt calls.

    def take_ready(self, attempt: AttemptCall) -> None:
        """The commit point, unless the answer is one that the route falls back from."""
        cause = self._find_fallback(attempt)
        if cause is not None:
            if attempt.status != _OK:
                self._rejection = (attempt, self._lane)
            self.take_failure(attempt, cause)
            return
        draft = self._draft
        draft.note_attempt(attempt.began_at, attempt.status)
        if attempt.is_stream:
            self._stage = Stage.RELAYING
            attempt.commit(self._client, self._list_headers(attempt), draft.capture)
            return
        self._judge_replica(None)
        self._deliver(attempt)

    def take_answer(self, attempt: AttemptCall, facts: ReplyFacts) -> None:
        """The same as `take_ready` for the usual answer, in fewer steps: unstreamed, whole, passing as it is."""
        if facts.is_filtered or facts.is_refusal:
            self.take_ready(attempt)
            return
        parts, lane, draft, body = self._parts, self._lane, self._draft, attempt.body
        self._attempt = None
        parts.in_flight[lane.replica_id] -= 1
        if lane.replica_id in parts.health.troubled:
            parts.health.note_success(lane.replica_id)
        if draft.capture is not None:
            draft.capture.add(body)
        try:
            draft.close_whole(facts, attempt.began_at, attempt.measure_whole())
        except StateError as error:
            self._note_unwritten(error)
        self._stage = _ENDED
        head = attempt.head
        if head is None or head.memo is None:
            raise AssertionError("such an answer has a head that came before")
        starts = lane.reply_starts
        start = starts.get(head.memo)
        if start is None:
            if len(starts) >= _MAX_STARTS:
                starts.clear()
            start = starts[head.memo] = b"".join((STATUS_LINES[_OK], head.memo, lane.reply_lines, b"x-inhouse-trace: "))
        self._client.write_reply(b"".join((start, draft.trace_id.encode(), b"\r\n")), body)

    def _list_headers(self, attempt: AttemptCall) -> bytes:
        """Header lines of the reply: those of the endpoint that may pass, and what was decided."""
        head = attempt.head
        if head is None:
            raise AssertionError("a reply is ready only after its head")
        lines = head.memo
        if lines is None:
            lines = head.memo = pass_headers(head.headers)
        trace_id = self._draft.trace_id.encode()
        return b"".join((lines, self._lane.reply_lines, b"x-inhouse-trace: ", trace_id, b"\r\n"))

    def _deliver(self, attempt: AttemptCall) -> None:
        """Write a whole reply: an answer, or the endpoint's rejection of the request."""
        status, draft = attempt.status, self._draft
        self._attempt = None
        body = self._shape_whole(attempt, status)
        if draft.capture is not None:
            draft.capture.add(body)
        if status == _OK:
            self.close_trace(attempt.summarize(TraceStatus.COMPLETE, _OK))
        else:
            self.close_trace(attempt.summarize(TraceStatus.FAILED, status, ErrorCode.UPSTREAM_REJECTED))
        self._stage = Stage.ENDED
        self._client.reply(status, self._list_headers(attempt), body)

    def take_failure(self, attempt: AttemptCall, error: EndpointError) -> None:
        """An attempt failed before the commit point: try something else, or say so."""
        has_other_key = self._report_key(error)
        self._drop_attempt(None if has_other_key else error)
        self._draft.note_attempt(attempt.began_at, error.status, error)
        self._failure = error
        if has_other_key:
            self._tried -= {self._lane.replica.replica_id}
        if error.retry_after_s is not None:
            known_s = self._retry_after_s
            self._retry_after_s = error.retry_after_s if known_s is None else min(known_s, error.retry_after_s)
        try:
            self._advance()
        except RequestError as refusal:
            self._refuse(refusal)

    def _report_key(self, error: EndpointError) -> bool:
        """Whether a refused or throttled key leaves another one to try at the same address."""
        ring, status = self._ring, error.status
        if ring is None or self._key is None or status is None:
            return False
        now = self._parts.loop.time()
        ring.report(self._key, status, now, error.retry_after_s)
        return status in _KEY_STATUSES and ring.count_usable(now) > 0

    def take_end(self, attempt: AttemptCall, error: EndpointError | None) -> None:
        """A committed stream has ended."""
        attempt.abandon()
        self._attempt = None
        self._judge_replica(error)
        self._stage = Stage.ENDED

    def describe_break(self, error: EndpointError) -> bytes:
        """The error event that ends a broken stream."""
        num_events = 0 if self._attempt is None else self._attempt.num_events
        message = f"The stream broke off: {error}."
        detail = self._describe(status_of(error.code), error.code, message, num_events=num_events)
        return self._call.dialect.error_event(detail)

    def close_trace(self, outcome: Outcome) -> None:
        """Record the end. A reply already made is not withheld for a full disk; the gap is logged and counted."""
        try:
            self._draft.close(outcome)
        except StateError as error:
            self._note_unwritten(error)

    def _note_unwritten(self, error: StateError) -> None:
        self._parts.num_unwritten_closes += 1
        _log.error("the end of trace %s is not recorded: %s", self._draft.trace_id, error)

    # Trying.

    def _advance(self) -> None:
        """Make the next attempt; where nothing is left, wait for another round, or answer with the last failure."""
        parts = self._parts
        now = parts.loop.time()
        while self._num_attempts < parts.settings.retries.max_attempts and now < self._total_at:
            lane = self._find_try(now)
            if lane is None:
                break
            if self._begin(lane, now):
                return
        if not self._wait_for_round(now):
            self._give_up()

    def _find_try(self, now: float) -> Lane | None:
        """The next replica of the next candidate that was not tried in this round and is not left out.

        Where every one is left out, nobody is: an ejection must not turn into an outage.
        """
        while True:
            candidates = self._decision.candidates
            while self._index < len(candidates):
                candidate = candidates[self._index]
                replica = self._pick(self._view.snapshot.endpoints[candidate.endpoint_id], now)
                if replica is not None:
                    return self._view.lane(self._decision.route, candidate, replica, self._call.dialect.operation)
                self._index += 1
            if self._ignores_health or self._num_attempts or not self._left_out:
                return None
            self._ignores_health = True
            self._index = self._first_index

    def _pick(self, endpoint: Endpoint, now: float) -> Replica | None:
        parts, exclude = self._parts, self._tried
        if parts.health.troubled and not self._ignores_health:
            out = parts.health.list_out(endpoint, now)
            if out:
                self._left_out = {**self._left_out, **out}
                exclude = exclude | out.keys()
        if self._tried and not self._may_retry(endpoint, now):
            return None
        parts.num_sent += 1
        return pick_replica(endpoint.replicas, parts.in_flight, exclude, tie=parts.num_sent)

    def _may_retry(self, endpoint: Endpoint, now: float) -> bool:
        """Another replica of an endpoint that failed already is a retry, and counts as one."""
        is_retry = any(replica.replica_id in self._tried for replica in endpoint.replicas)
        has_more = is_retry and any(replica.replica_id not in self._tried for replica in endpoint.replicas)
        return not is_retry or (has_more and self._parts.budget.take(now))

    def _begin(self, lane: Lane, now: float) -> bool:
        """Send; False where this candidate cannot express the request, so that nothing was sent."""
        parts, call = self._parts, self._call
        wire, new_translator, endpoint = call.wire, lane.plan.new_translator, lane.endpoint
        self._lane = lane
        self._tried = self._tried | lane.only if self._tried else lane.only
        translator = None
        try:
            if new_translator is None:
                body = wire.edit(endpoint.model)
            else:
                translator = new_translator(wire)
                body = translator.build(endpoint.model)
        except UntranslatableError as error:
            self._untranslatable = error
            self._index += 1  # no other replica of it could either
            return False
        try:
            self._draft.begin_attempt(lane.candidate, endpoint, lane.replica)
        except StateError as error:
            _log.error("request refused, its trace cannot be recorded: %s", error)
            message = "The gateway cannot record this request, so it was not sent. Its log says why."
            raise RequestError(500, ErrorCode.INTERNAL_ERROR, message) from None
        self._num_attempts += 1
        self._stage = _TRYING
        attempt = self._attempt = AttemptCall(self, wire, lane.terms, now, self._total_at, translator)
        parts.in_flight[lane.replica_id] += 1
        if lane.replica_id in parts.health.troubled:
            parts.health.begin(lane.replica_id, now)
        address = lane.address
        try:
            if address is None:
                raise _refuse_keyless(endpoint)
            head, self._key = address.choose_head(now)
        except EndpointError as error:
            self._ring = None
            parts.loop.call_soon(attempt.on_failure, error)
            return True
        self._ring = address.ring
        payload = b"".join((head, call.forwarded, LENGTH_LINES[len(body)], body))
        parts.client.start(address.way, payload, attempt)
        return True

    def _wait_for_round(self, now: float) -> bool:
        """Wait, then try everything once more; False where that is not allowed, or not worth it."""
        parts, failure = self._parts, self._failure
        retries = parts.settings.retries
        if failure is None or not failure.is_retryable or self._num_attempts >= retries.max_attempts:
            return False
        self._num_rounds += 1
        wait_s = choose_wait_s(retries, self._num_rounds, self._retry_after_s, parts.draw_chance())
        if wait_s is None or now + wait_s >= self._total_at or not parts.budget.take(now):
            return False
        self._stage = Stage.WAITING
        self._wait = parts.loop.call_later(wait_s, self._begin_round)
        return True

    def _begin_round(self) -> None:
        self._wait = None
        self._index = self._first_index
        self._tried = frozenset()
        self._retry_after_s = None
        self._ignores_health = True  # they were all tried a moment ago, and nothing else is left
        try:
            self._advance()
        except RequestError as refusal:
            self._refuse(refusal)

    # Ending.

    def _find_fallback(self, attempt: AttemptCall) -> EndpointError | None:
        """Why a reply that could be committed is not: another candidate may do what this one cannot."""
        if attempt.status != _OK:
            endpoint = self._lane.endpoint
            fault = classify_rejection(endpoint.dialect, endpoint.engine, attempt.status, attempt.body)
            if fault in _FALLING_BACK or (fault is UpstreamFault.CONTENT_FILTER and self._falls_back_on_filter()):
                words = f"the endpoint refused the request ({fault.value.replace('_', ' ')})"
                return self._replaceable(EndpointError(ErrorCode.UPSTREAM_REJECTED, words, status=attempt.status))
            return None
        facts, route = attempt.facts, self._find_route()
        if facts is None or route is None or not route.fallback_on:
            return None
        if facts.is_filtered and FallbackCause.CONTENT_FILTER in route.fallback_on:
            return self._replaceable(
                EndpointError(ErrorCode.UPSTREAM_REJECTED, "the endpoint's content filter withheld the answer")
            )
        if facts.is_refusal and FallbackCause.REFUSAL in route.fallback_on:
            return self._replaceable(EndpointError(ErrorCode.UPSTREAM_REJECTED, "the model refused"))
        return None

    def _falls_back_on_filter(self) -> bool:
        route = self._find_route()
        return route is not None and FallbackCause.CONTENT_FILTER in route.fallback_on

    def _find_route(self) -> Route | None:
        """None for a pinned request."""
        return self._view.snapshot.routes.get(self._decision.route)

    def _replaceable(self, error: EndpointError) -> EndpointError | None:
        """The error, where another candidate is left that could do better; else the reply stands as it is."""
        rest = self._decision.candidates[self._index + 1 :]
        has_other = any(candidate.endpoint_id != self._lane.endpoint.endpoint_id for candidate in rest)
        if not has_other or self._num_attempts >= self._parts.settings.retries.max_attempts:
            return None
        self._index += 1
        self._first_index = self._index
        return error

    def _shape_whole(self, attempt: AttemptCall, status: int) -> bytes:
        """The body as the client's dialect has it."""
        translate = self._lane.plan.translate_rejection
        return attempt.body if status == _OK or translate is None else translate(status, attempt.body)

    def _drop_attempt(self, error: EndpointError | None = None) -> AttemptCall | None:
        """Nobody waits for the attempt under way any more: close its connection and uncount it."""
        attempt, self._attempt = self._attempt, None
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None
        if attempt is not None:
            attempt.abandon()
            self._judge_replica(error, is_judged=error is not None, is_unreachable=not attempt.is_sent)
        return attempt

    def _judge_replica(
        self, error: EndpointError | None, *, is_judged: bool = True, is_unreachable: bool = False
    ) -> None:
        """The replica's request has ended: count it out, and remember what it tells of the replica."""
        parts, replica_id = self._parts, self._lane.replica.replica_id
        parts.in_flight[replica_id] -= 1
        health = parts.health
        if not is_judged:
            health.note_unjudged(replica_id)
        elif error is None or error.code is ErrorCode.UPSTREAM_REJECTED:
            if replica_id in health.troubled:
                health.note_success(replica_id)
        elif error.code is ErrorCode.UPSTREAM_RATE_LIMITED:
            if error.retry_after_s:
                health.rest(replica_id, error.retry_after_s, parts.loop.time())
        elif error.code is not ErrorCode.SHUTTING_DOWN:
            health.note_failure(replica_id, str(error), parts.loop.time(), is_unreachable=is_unreachable)

    def _give_up(self) -> None:
        """Nothing is left to try and nothing was committed: answer with the last failure."""
        if self._failure is None and self._untranslatable is not None:
            raise self._untranslatable
        if self._rejection is not None:  # what the client sent was refused, and nobody else could serve it either
            attempt, self._lane = self._rejection
            self._deliver(attempt)
            return
        failure = self._failure or EndpointError(ErrorCode.UPSTREAM_UNREACHABLE, "no replica is ready")
        code = ErrorCode.UPSTREAM_ERROR if failure.code is ErrorCode.UPSTREAM_CUT else failure.code
        status = status_of(code)
        self.close_trace(Outcome(TraceStatus.FAILED, status, code))
        headers = self._trace_header()
        if status == 429:
            headers += b"retry-after: %d\r\n" % max(1, round(failure.retry_after_s or 1))
        detail = self._describe(status, code, f"No endpoint answered: {failure}.")
        self._end()
        self._client.refuse(detail, headers, self._call.dialect.error_body)

    def _refuse(self, refusal: RequestError) -> None:
        """A refusal after an attempt was made already."""
        self.close_trace(Outcome(TraceStatus.FAILED, refusal.status, refusal.code))
        detail = self._describe(refusal.status, refusal.code, str(refusal), param=refusal.param)
        self._end()
        self._client.refuse(detail, self._trace_header(), self._call.dialect.error_body)

    def _describe(
        self, status: int, code: ErrorCode, message: str, *, param: str | None = None, num_events: int = 0
    ) -> ErrorDetail:
        """An error with what acted: every attempt, and who was left out and why."""
        context: dict[str, Any] = {"trace_id": self._draft.trace_id, "attempts": self._draft.attempts}
        if self._left_out:
            context["left_out"] = dict(self._left_out)
        return ErrorDetail(
            status=status, code=code.value, message=message, param=param, context=context, num_events=num_events
        )

    def _trace_header(self) -> bytes:
        return header_line("x-inhouse-trace", self._draft.trace_id) if self._draft.is_open else b""

    def _end(self) -> None:
        self._stage = Stage.ENDED


def _refuse_keyless(endpoint: Endpoint) -> EndpointError:
    message = f"no credential is held for endpoint {endpoint.endpoint_id}"
    return EndpointError(ErrorCode.UPSTREAM_AUTH_FAILED, message, is_retryable=False)
