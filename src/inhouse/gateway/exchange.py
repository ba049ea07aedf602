"""One attempt's reply: buffered whole, or a stream held until its first event and then relayed. Chooses no endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from inhouse.backends import EventCutter, EventTooLongError, Exchange, WireReply, is_json, read_reply
from inhouse.domain import EndpointError, ErrorCode, TraceStatus
from inhouse.gateway.connection import ClientConnection
from inhouse.gateway.meter import StreamMeter
from inhouse.gateway.record import ContentCapture, Outcome
from inhouse.gateway.replies import error_event
from inhouse.gateway.settings import TimeoutSettings

MAX_BUFFERED_BYTES = 67_108_864
"""An unstreamed reply is held whole before the commit point; a longer one is refused."""
_EVENT_STREAM = b"text/event-stream"
_OK = 200


@dataclass(frozen=True, slots=True)
class Relay:
    """Where a committed stream goes: the client, the closing of its trace, and the capture of its content."""

    client: ClientConnection
    close_trace: Callable[[Outcome], None]
    capture: ContentCapture | None


class ChatExchange(Exchange):
    """Takes the reply of one attempt.

    `started` resolves when the reply can be committed: an unstreamed one when it is complete, a stream when its first
    event is there. It fails with EndpointError where another endpoint may be tried.

    Args:
        loop: the running loop.
        timeouts: the deadlines.
        total_at: end of the whole request on the loop's clock.
        withholds_usage: see StreamMeter.
    """

    # Made when the reply turns out to be a stream.
    finished: asyncio.Future[None]
    _cutter: EventCutter
    _meter: StreamMeter

    def __init__(
        self, loop: asyncio.AbstractEventLoop, timeouts: TimeoutSettings, total_at: float, *, withholds_usage: bool
    ) -> None:
        super().__init__(loop)
        self.first_byte_s = timeouts.first_token_s
        self.idle_s = timeouts.idle_s
        self.total_at = total_at
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.is_stream = False
        self.body = b""
        self.reply: WireReply | None = None
        self._parts: list[bytes] = []
        self._num_bytes = 0
        self._withholds_usage = withholds_usage
        self._relay: Relay | None = None
        self._failure: EndpointError | None = None
        self._is_ended = False
        self._is_over = False

    def commit(self, relay: Relay, headers: bytes) -> None:
        """The commit point of a stream: from here on every event goes to the client as it comes."""
        self._relay = relay
        relay.client.begin_stream(headers, self)
        waiting, self._parts = b"".join(self._parts), []
        if self._failure is not None:
            self._write(waiting)
            self.break_off(self._failure)
        elif self._is_ended:
            self._conclude(waiting)
        else:
            self._write(waiting)

    def break_off(self, error: EndpointError) -> None:
        """End a committed stream visibly: a protocol-correct error event, the end of the body, no `[DONE]`."""
        relay = self._relay
        if relay is None or self._is_over:
            return
        if self._meter.is_done:
            self._conclude(b"")  # everything was delivered; only the end of the connection went wrong
            return
        relay.close_trace(self._summarize_stream(TraceStatus.ABORTED, _OK, error.code))
        relay.client.write_part(error_event(502, error.code, f"The stream broke off: {error}."))
        relay.client.end_stream()
        self._finish()

    def summarize(self, status: TraceStatus, http_status: int, error_code: ErrorCode | None = None) -> Outcome:
        """What the close record says of this reply as far as it came."""
        if self.is_stream:
            return self._summarize_stream(status, http_status, error_code)
        outcome = Outcome(status, http_status, error_code)
        if self.reply is not None:
            for choice in self.reply.choices or ():
                outcome.finish_reason = outcome.finish_reason or choice.finish_reason
            outcome.reported_model = self.reply.model
            outcome.fingerprint = self.reply.system_fingerprint
            outcome.usage = self.reply.usage
        return outcome

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

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """Decide how the body is taken."""
        self.status = status
        self.headers = headers
        if status == _OK and headers.get(b"content-type", b"").startswith(_EVENT_STREAM):
            self.is_stream = True
            self._cutter = EventCutter()
            self._meter = StreamMeter(withholds_usage=self._withholds_usage)
            self.finished = self.started.get_loop().create_future()

    def on_data(self, data: bytes) -> None:
        """Buffer, or relay."""
        if not self.is_stream:
            self._buffer(data)
            return
        relay = self._relay
        if (
            relay is not None
            and relay.capture is None
            and data.endswith(b"\n\n")
            and not self._cutter.tail
            and self._meter.take_plain(data, time.perf_counter())
        ):
            if self.connection is not None:
                self.connection.note_progress(self)
            relay.client.write_part(data)
            return
        try:
            block = self._cutter.feed(data)
        except EventTooLongError as error:
            self.abandon()
            self.on_failure(EndpointError(ErrorCode.UPSTREAM_ERROR, str(error)))
            return
        if block:
            self._take_events(block)

    def take_chunk(self, framed: bytes, start: int) -> bool:
        """Relay one chunk that is one more plain content event like the ones before, bytes and framing as they came."""
        relay = self._relay
        if relay is None or relay.capture is not None or self._cutter.tail:
            return False
        if not self._meter.take_alike(framed, start, time.perf_counter()):
            return False
        if self.connection is not None:
            self.connection.note_progress(self)
        relay.client.pass_chunk(framed, start)
        return True

    def on_end(self) -> None:
        """The body is complete."""
        self.connection = None
        if not self.is_stream:
            self.body = b"".join(self._parts)
            self._judge()
            return
        tail = self._cutter.tail
        passed = self._meter.feed(tail, time.perf_counter())[0] if tail else b""
        if not self._meter.is_complete and self._meter.error_event is None:
            cut = EndpointError(ErrorCode.UPSTREAM_CUT, "the endpoint's stream ended before its answer was finished")
            self.on_failure(cut)
            return
        self._is_ended = True
        if self._relay is None:
            self._parts.append(passed)
            self._start_stream()
        else:
            self._conclude(passed)

    def on_failure(self, error: EndpointError) -> None:
        """Before the commit point: fail the attempt. After it: end the stream visibly."""
        self.connection = None
        if self._relay is not None:
            self.break_off(error)
        elif not self.started.done():
            self.started.set_exception(error)  # not kept: a stale connection is replaced, and the exchange goes on
        else:
            self._failure = error

    # Unstreamed.

    def _buffer(self, data: bytes) -> None:
        self._parts.append(data)
        self._num_bytes += len(data)
        if self._num_bytes > MAX_BUFFERED_BYTES:
            self.abandon()
            message = f"the endpoint's reply is longer than {MAX_BUFFERED_BYTES} bytes"
            self.on_failure(EndpointError(ErrorCode.UPSTREAM_ERROR, message))
        elif self.connection is not None:
            self.connection.note_progress(self)

    def _judge(self) -> None:
        """A whole reply: fit to pass on, or a failure of the attempt."""
        error = judge_status(self.status, self.headers)
        if error is None and self.status == _OK:
            self.reply = read_reply(self.body)
            if self.reply is None and not is_json(self.body):
                error = EndpointError(ErrorCode.UPSTREAM_ERROR, "the endpoint answered 200 without JSON", status=_OK)
        if error is None:
            self.begin()
        else:
            self.on_failure(error)

    # Streamed.

    def _take_events(self, block: bytes) -> None:
        passed, has_progress = self._meter.feed(block, time.perf_counter())
        if has_progress and self.connection is not None:
            self.connection.note_progress(self)
        if self._relay is None:
            self._parts.append(passed)
            if has_progress:
                self._start_stream()
        else:
            self._write(passed)

    def _start_stream(self) -> None:
        """The first event is there; if it is an error, nothing is committed and another endpoint may be tried."""
        if self.started.done():
            return
        if self._meter.error_event is not None:
            self.abandon()
            self.on_failure(EndpointError(ErrorCode.UPSTREAM_ERROR, "the endpoint's stream began with an error"))
        else:
            self.begin()

    def _write(self, passed: bytes) -> None:
        """Pass events on. Before the one that says that the stream is finished, the trace is closed."""
        relay = self._relay
        if relay is None or not passed:
            return
        if relay.capture is not None:
            relay.capture.add(passed)
        if self._meter.is_done:
            self._close_trace(relay)
        relay.client.write_part(passed)

    def _conclude(self, passed: bytes) -> None:
        relay = self._relay
        if relay is None:
            return
        if relay.capture is not None:
            relay.capture.add(passed)
        self._close_trace(relay)
        relay.client.write_part(passed)
        relay.client.end_stream()
        self._finish()

    def _close_trace(self, relay: Relay) -> None:
        if self._meter.error_event is None:
            relay.close_trace(self._summarize_stream(TraceStatus.COMPLETE, _OK, None))
        else:
            relay.close_trace(self._summarize_stream(TraceStatus.ABORTED, _OK, ErrorCode.UPSTREAM_ERROR))

    def _finish(self) -> None:
        self._is_over = True
        if not self.finished.done():
            self.finished.set_result(None)

    def _summarize_stream(self, status: TraceStatus, http_status: int, error_code: ErrorCode | None) -> Outcome:
        meter = self._meter
        return Outcome(
            status,
            http_status,
            error_code,
            finish_reason=meter.finish_reason,
            reported_model=meter.model,
            fingerprint=meter.fingerprint,
            usage=meter.usage,
            num_chunks=meter.num_chunks,
            first_content_at=meter.first_content_at,
            last_content_at=meter.last_content_at,
            is_estimated=status is not TraceStatus.COMPLETE,
        )


def judge_status(status: int, headers: dict[bytes, bytes]) -> EndpointError | None:
    """What a status means for the attempt: None where the reply passes on to the client as it is.

    The words never carry the endpoint's body: it may quote content or credentials.
    """
    if status == _OK:
        return None
    words = f"the endpoint answered {status}"
    if status in (401, 403):
        return EndpointError(ErrorCode.UPSTREAM_AUTH_FAILED, "the endpoint refused the gateway's key", status=status)
    if status == 429:
        retry_after = headers.get(b"retry-after", b"")
        retry_after_s = float(retry_after) if retry_after.isdigit() else None
        return EndpointError(ErrorCode.UPSTREAM_RATE_LIMITED, words, status=status, retry_after_s=retry_after_s)
    if status == 408:
        return EndpointError(ErrorCode.UPSTREAM_TIMEOUT, words, status=status)
    if 400 <= status < 500 and status != 409:
        return None
    return EndpointError(ErrorCode.UPSTREAM_ERROR, words, status=status)
