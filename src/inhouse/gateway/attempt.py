"""One attempt's reply: buffered whole, or a stream held until its first event and then relayed. Chooses no endpoint."""

from __future__ import annotations

import time
from typing import Protocol

from msgspec import Struct

from inhouse.backends import (
    Call,
    ChatMeter,
    ChatRequest,
    EventCutter,
    EventTooLongError,
    ExchangePlan,
    Meter,
    ReplyFacts,
    ReplyHead,
    Translator,
    WireRequest,
    read_data,
    split_events,
)
from inhouse.domain import EndpointError, ErrorCode, Signals, TraceStatus
from inhouse.gateway.chunk_relay import ChunkRelay
from inhouse.gateway.connection import ClientConnection
from inhouse.gateway.record import ContentCapture, Outcome
from inhouse.telemetry import Ask, StreamAnswer, ask_again, measure_signals, read_answer, read_ask

MAX_BUFFERED_BYTES = 67_108_864
"""What is held whole before the commit point: an unstreamed reply, or a stream on a buffered route. More is refused."""
_EVENT_STREAM = b"text/event-stream"
_OK = 200
_read_clock = time.perf_counter
_BARE_DONE = b"data: [DONE]"


class AttemptOwner(Protocol):
    """Who made the attempt, and decides what follows from it."""

    def take_ready(self, attempt: AttemptCall) -> None:
        """The reply can be committed: an unstreamed one is complete, a stream's first event is there."""
        ...

    def take_answer(self, attempt: AttemptCall, facts: ReplyFacts) -> None:
        """The reply can be committed: it is unstreamed, an answer, and passes as it came."""
        ...

    def take_failure(self, attempt: AttemptCall, error: EndpointError) -> None:
        """The attempt failed before the commit point: another may be made."""
        ...

    def close_trace(self, outcome: Outcome) -> None:
        """The reply is about to end: put the close record on disk. Called before the last byte."""
        ...

    def describe_break(self, error: EndpointError) -> bytes:
        """The error event that ends a broken stream, in the client's dialect."""
        ...

    def take_end(self, attempt: AttemptCall, error: EndpointError | None) -> None:
        """A committed stream has ended, with the failure that broke it off."""
        ...


class AttemptTerms(Struct, frozen=True, gc=False):
    """What attempts are made under: how the exchange goes, and the deadlines.

    `is_held`: the route is buffered, so a stream too is complete before it is ready. `is_measured`: the answer's free
    signals go into its trace.
    """

    plan: ExchangePlan
    first_byte_s: float
    idle_s: float
    is_held: bool
    is_measured: bool


class AttemptCall(Call):
    """Takes the reply of one attempt and, once committed, relays it.

    Args:
        owner: told what came.
        wire: the request.
        terms: see there.
        now: on the loop's clock.
        total_at: end of the whole request on that clock.
        translator: None where the reply passes as it is.
    """

    # Made when the reply turns out to be a stream.
    _cutter: EventCutter
    _meter: Meter
    # What most attempts never change.
    head: ReplyHead | None = None
    body = b""
    facts: ReplyFacts | None = None
    is_stream = False
    _whole = b""
    _parts: list[bytes]
    _num_bytes = 0
    _client: ClientConnection | None = None
    _capture: ContentCapture | None = None
    _chunks: ChunkRelay | None = None
    _answer: StreamAnswer | None = None
    _alike: ChatMeter | None = None
    _is_ended = False
    _has_passed_end = False
    _is_over = False

    def __init__(
        self,
        owner: AttemptOwner,
        wire: WireRequest,
        terms: AttemptTerms,
        now: float,
        total_at: float,
        translator: Translator | None,
    ) -> None:
        self._owner = owner
        self._wire = wire
        self._terms = terms
        self._translator = translator
        self.first_byte_s = terms.first_byte_s
        self.idle_s = terms.idle_s
        self.first_at = now + terms.first_byte_s
        self.total_at = total_at
        self.began_at = _read_clock()

    @property
    def status(self) -> int:
        """The endpoint's status; 0 before its head."""
        return 0 if self.head is None else self.head.status

    @property
    def num_events(self) -> int:
        """Events that the client got so far, where the dialect numbers them."""
        numbered = self._translator if self._translator is not None else self._meter if self.is_stream else None
        return getattr(numbered, "num_events", 0)

    @property
    def final_response(self) -> bytes | None:
        """The finished response object as the client gets it, in the Responses dialect; None before, and in others."""
        if not self.is_stream:
            return self.body
        if self._translator is not None:
            return getattr(self._translator, "final_response", None)
        return getattr(self._meter, "last_response", None)

    def commit(self, client: ClientConnection, headers: bytes, capture: ContentCapture | None) -> None:
        """The commit point of a stream: from here on every event goes to the client as it comes."""
        self._client = client
        self._capture = capture
        client.begin_stream(headers, self)
        waiting, self._parts = b"".join(self._parts), []
        if self._is_ended:
            self._conclude(waiting)
            return
        self._write(waiting)
        if self._translator is None and capture is None and isinstance(self._meter, ChatMeter):
            self._alike = self._meter
            self._learn_chunk(client)

    def break_off(self, error: EndpointError) -> None:
        """End a committed stream visibly: an error event of the client's dialect, the end of the body, no `[DONE]`."""
        client = self._client
        if client is None or self._is_over:
            return
        if self._has_passed_end:
            self._conclude(b"")  # everything was delivered; only the end of the connection went wrong
            return
        self._owner.close_trace(self.summarize(TraceStatus.ABORTED, _OK, error.code))
        client.write_part(self._owner.describe_break(error))
        client.end_stream()
        self._finish(error)

    def summarize(self, status: TraceStatus, http_status: int, error_code: ErrorCode | None = None) -> Outcome:
        """What the close record says of this reply as far as it came."""
        if not self.is_stream:
            return Outcome(status, http_status, error_code, self.facts, signals=self.measure_whole())
        self._count_relayed()
        meter = self._meter
        facts = meter.facts()
        return Outcome(
            status,
            http_status,
            error_code,
            facts,
            signals=self._measure_stream(facts),
            num_chunks=meter.num_chunks,
            first_content_at=meter.first_content_at,
            last_content_at=meter.last_content_at,
            is_estimated=status is not TraceStatus.COMPLETE,
        )

    # Flow: the client's pace is the endpoint's pace.

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
        self.head = head
        self._parts = []
        if head.status == _OK and head.headers.get(b"content-type", b"").startswith(_EVENT_STREAM):
            self.is_stream = True
            self._cutter = EventCutter()
            self._meter = self._terms.plan.new_meter(not self._wire.asks_usage)
            if self._terms.is_measured:
                self._answer = StreamAnswer(self._terms.plan.upstream)
            if not self._wire.is_stream:
                self._give_up(EndpointError(ErrorCode.UPSTREAM_ERROR, "the endpoint streamed, which was not asked for"))

    def on_whole(self, head: ReplyHead, body: bytes) -> None:
        """An unstreamed reply in one read."""
        if head.memo is not None and head.status == _OK and self._translator is None and not self._wire.is_stream:
            self.connection = None
            facts = self._terms.plan.read_facts(body)
            if facts is not None and not facts.is_error:
                self.head, self.facts = head, facts
                self.body = self._whole = body
                self._is_over = True
                self._owner.take_answer(self, facts)
                return
        self.on_head(head)
        if self.is_stream:
            if body:
                self.on_data(body)
            self.on_end()
        else:
            self.connection = None
            self._judge(head, body)

    def on_data(self, data: bytes) -> None:
        """Buffer, or relay."""
        if self._is_over:
            return
        if not self.is_stream:
            self._buffer(data)
            return
        cutter = self._cutter
        if cutter.tail or not data.endswith(b"\n\n"):
            try:
                data = cutter.feed(data)
            except EventTooLongError as error:
                self._give_up(EndpointError(ErrorCode.UPSTREAM_ERROR, str(error)))
                return
            # While part of an event waits, no chunk is an event.
            self.shortcut = None if cutter.tail else self._chunks
        if data:
            self._take_events(data)

    def find_progress(self) -> float:
        """Chunks that were relayed past the meter are progress."""
        if self._chunks is not None and self._chunks.last_at > self.progress_at:
            self.progress_at = self._chunks.last_at
        return self.progress_at

    def on_end(self) -> None:
        """The body is complete."""
        self.connection = None
        if self._is_over:
            return
        if not self.is_stream:
            if self.head is not None:
                self._judge(self.head, b"".join(self._parts))
            return
        tail, self._cutter.tail = self._cutter.tail, b""
        if tail.rstrip(b"\r\n") == _BARE_DONE:  # some servers end so; any other part of an event is a cut
            self._take_events(_BARE_DONE + b"\n\n")
            if self._is_over:
                return
        if not self._meter.is_complete and self._meter.error_event is None:
            cut = EndpointError(ErrorCode.UPSTREAM_CUT, "the endpoint's stream ended before its answer was finished")
            self.on_failure(cut)
            return
        self._is_ended = True
        if self._client is None:
            self._parts.append(self._finish_translation())
            self._become_ready()
        else:
            self._conclude(self._finish_translation())

    def on_failure(self, error: EndpointError) -> None:
        """Before the commit point: fail the attempt. After it: end the stream visibly."""
        self.connection = None
        if self._is_over:
            return
        if self._client is not None:
            self.break_off(error)
        else:
            self._is_over = True
            self._owner.take_failure(self, error)

    # Unstreamed.

    def _buffer(self, data: bytes) -> None:
        self._parts.append(data)
        self._num_bytes += len(data)
        if self._num_bytes > MAX_BUFFERED_BYTES:
            message = f"the endpoint's reply is longer than {MAX_BUFFERED_BYTES} bytes"
            self._give_up(EndpointError(ErrorCode.UPSTREAM_ERROR, message))
        elif self.connection is not None:
            self.connection.begin_idle(self)

    def _judge(self, head: ReplyHead, body: bytes) -> None:
        """A whole reply: fit to pass on, or a failure of the attempt."""
        self.body = self._whole = body
        error = self._judge_body(body) if head.status == _OK else judge_status(head.status, head.headers)
        self._is_over = True
        if error is None:
            self._owner.take_ready(self)
        else:
            self._owner.take_failure(self, error)

    def _judge_body(self, body: bytes) -> EndpointError | None:
        facts = self.facts = self._terms.plan.read_facts(body)
        if facts is None:
            return EndpointError(ErrorCode.UPSTREAM_ERROR, "the endpoint answered 200 without a reply", status=_OK)
        if facts.is_error:
            return EndpointError(ErrorCode.UPSTREAM_ERROR, "the endpoint answered 200 with an error", status=_OK)
        if self._wire.is_stream:
            return EndpointError(ErrorCode.UPSTREAM_ERROR, "the endpoint did not stream, as it was asked", status=_OK)
        if self._translator is not None:
            try:
                self.body = self._translator.translate_reply(body)
            except ValueError as error:
                return EndpointError(
                    ErrorCode.UPSTREAM_ERROR, f"the endpoint's reply is malformed: {error}", status=_OK
                )
        return None

    # Streamed.

    def _learn_chunk(self, client: ClientConnection) -> None:
        """From now on chunks like the one just metered are relayed past the meter, where that may be."""
        meter = self._alike
        if meter is None or not meter.last_plain or self._cutter.tail:
            return
        alike = meter.find_alike()
        if alike is None:
            return
        if self._chunks is None:
            write = client.chunk_writer()
            if write is None:
                return
            self._chunks = ChunkRelay(write, self._answer)
        self._chunks.learn(alike[0], alike[1] + b"\r\n")
        self.shortcut = self._chunks

    def _take_events(self, block: bytes) -> None:
        """Meter whole events, translate them where that is asked, and pass or keep them."""
        now = time.perf_counter()
        self._count_relayed()
        self._gather(block)
        passed, has_progress = self._meter.feed(block, now)
        if self._meter.is_malformed:
            self._give_up(_fail("the endpoint's stream holds data that is no JSON"))
            return
        if self._translator is not None:
            try:
                passed = self._translator.translate_events(block)
            except ValueError as error:
                self._give_up(_fail(f"the endpoint's stream is malformed: {error}"))
                return
        if has_progress:
            if self.progress_at:
                self.progress_at = now
            elif self.connection is not None:
                self.connection.begin_idle(self)
        if self._client is None:
            self._keep(passed, has_progress=has_progress)
        elif self._meter.error_event is None:
            self._write(passed)
            self._learn_chunk(self._client)
        elif self._translator is not None:
            self._give_up(_fail("the endpoint's stream broke off with an error"))
        else:  # what came after the error, a `[DONE]` even, is no part of an answer
            self.abandon()
            self._conclude(_cut_after_error(block, self._meter.error_event))

    def _keep(self, passed: bytes, *, has_progress: bool) -> None:
        """Hold events before the commit point; the first that brings something is it, unless the route is buffered."""
        self._parts.append(passed)
        self._num_bytes += len(passed)
        if self._num_bytes > MAX_BUFFERED_BYTES:
            self._give_up(_fail(f"the endpoint's stream is longer than {MAX_BUFFERED_BYTES} bytes"))
        elif self._meter.error_event is not None:
            self._give_up(_fail("the endpoint's stream began with an error"))
        elif has_progress and not self._terms.is_held and not self._is_blank():
            self._become_ready()

    def _become_ready(self) -> None:
        """The first event is there (or all, where it is held)."""
        if self._meter.error_event is not None:
            self._give_up(EndpointError(ErrorCode.UPSTREAM_ERROR, "the endpoint's stream carried an error"))
            return
        if self._is_ended:
            self.facts = self._meter.facts()
            if self._is_blank():
                self._give_up(EndpointError(ErrorCode.UPSTREAM_CUT, "the endpoint's stream ended without an answer"))
                return
        self._owner.take_ready(self)

    def _is_blank(self) -> bool:
        """Whether the stream said that it is finished, and nothing else."""
        meter = self._meter
        return meter.is_done and meter.num_chunks == 0 and meter.facts().finish_reason is None

    def _gather(self, block: bytes) -> None:
        """Keep what the signals of the answer are measured from."""
        if self._answer is not None:
            for event in split_events(block):
                data = read_data(event)
                if data is not None:
                    self._answer.add_event(data)

    def measure_whole(self) -> Signals | None:
        """The free signals of an unstreamed answer; None where they are not wanted, or it has no words."""
        terms, facts = self._terms, self.facts
        if not terms.is_measured or facts is None:
            return None
        answer = read_answer(terms.plan.upstream, self._whole)
        if answer is None:
            return None
        return measure_signals(answer, self._read_ask(), facts.usage)

    def _measure_stream(self, facts: ReplyFacts) -> Signals | None:
        gathered, self._answer = self._answer, None  # measured once: the trace's first close is the one that counts
        answer = None if gathered is None else gathered.finish()
        if answer is None:
            return None
        return measure_signals(answer, self._read_ask(), facts.usage)

    def _read_ask(self) -> Ask:
        """What was asked; all but the words is the same for requests of one shape."""
        wire = self._wire
        if not isinstance(wire, ChatRequest):
            return read_ask(wire.operation, wire.body)
        known = wire.shape.memo
        if not isinstance(known, Ask):
            known = wire.shape.memo = read_ask(wire.operation, wire.body)
        return ask_again(known, wire.messages)

    def _finish_translation(self) -> bytes:
        return b"" if self._translator is None else self._translator.finish()

    def _write(self, passed: bytes) -> None:
        """Pass events on. Before the one that says that the stream is finished, the trace is closed."""
        client = self._client
        if client is None or not passed:
            return
        if self._capture is not None:
            self._capture.add(passed)
        if self._meter.is_done:
            self._close_trace()
            self._has_passed_end = True
        client.write_part(passed)

    def _conclude(self, passed: bytes) -> None:
        client = self._client
        if client is None:
            return
        if self._capture is not None:
            self._capture.add(passed)
        if not self._has_passed_end:
            self._close_trace()
        client.write_part(passed)
        client.end_stream()
        self._finish(None)

    def _close_trace(self) -> None:
        if self._meter.error_event is None:
            self._owner.close_trace(self.summarize(TraceStatus.COMPLETE, _OK))
        else:
            self._owner.close_trace(self.summarize(TraceStatus.ABORTED, _OK, ErrorCode.UPSTREAM_ERROR))

    def _finish(self, error: EndpointError | None) -> None:
        self._is_over = True
        if error is None and self._meter.error_event is not None:
            error = EndpointError(ErrorCode.UPSTREAM_ERROR, "the endpoint's stream broke off with an error")
        self._owner.take_end(self, error)

    def _count_relayed(self) -> None:
        """Tell the meter of the chunks that were relayed past it."""
        chunks = self._chunks
        if chunks is None:
            return
        chunks.settle()
        if chunks.num_taken:
            self._meter.num_chunks += chunks.num_taken
            self._meter.last_content_at = chunks.last_at
            chunks.num_taken = 0

    def _give_up(self, error: EndpointError) -> None:
        """The reply is not what it should be: close the connection, and fail."""
        self.abandon()
        self.on_failure(error)


def _fail(message: str) -> EndpointError:
    return EndpointError(ErrorCode.UPSTREAM_ERROR, message)


def _cut_after_error(block: bytes, error_data: bytes) -> bytes:
    """The block up to and with the event of the error."""
    events = split_events(block)
    for number, event in enumerate(events):
        if read_data(event) == error_data:
            return b"".join(events[: number + 1])
    return block


def judge_status(status: int, headers: dict[bytes, bytes]) -> EndpointError | None:
    """What a status means for the attempt: None where the reply passes on to the client as it is.

    The words never carry the endpoint's body: it may quote content or credentials.
    """
    words = f"the endpoint answered {status}"
    if status in (401, 403):
        words = "the endpoint refused the gateway's key"
        return EndpointError(ErrorCode.UPSTREAM_AUTH_FAILED, words, status=status, is_retryable=False)
    if status == 429:
        retry_after = headers.get(b"retry-after", b"")
        retry_after_s = float(retry_after) if retry_after.isdigit() else None
        return EndpointError(ErrorCode.UPSTREAM_RATE_LIMITED, words, status=status, retry_after_s=retry_after_s)
    if status == 408:
        return EndpointError(ErrorCode.UPSTREAM_TIMEOUT, words, status=status)
    if 400 <= status < 500 and status != 409:
        return None
    return EndpointError(ErrorCode.UPSTREAM_ERROR, words, status=status)
