"""One client connection as an asyncio protocol: reads requests, one at a time, and writes replies. Decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from msgspec import Struct

from inhouse.backends import Deadline
from inhouse.domain import ErrorCode, RequestError
from inhouse.gateway.chunked import ChunkedDecoder, too_large
from inhouse.gateway.head import HeadReader, RequestHead, refuse
from inhouse.gateway.replies import JSON_HEADER, LENGTH_LINES, ErrorDetail, describe_refusal, error_body, status_line
from inhouse.gateway.settings import LimitSettings

LINGER_S = 2.0
"""How long a refused client's remaining bytes are read and dropped, so that the refusal reaches it before a reset."""
_MAX_LINGER_BYTES = 256 * 1024 * 1024
_MAX_PIPELINED_BYTES = 65_536
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"connection: close\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
"""Framing of a streamed body whose length is not known."""
_NUM_SIZE_LINES = 4096
_SIZE_LINES = tuple(b"%x\r\n" % length for length in range(_NUM_SIZE_LINES))


class Request(Struct, frozen=True, gc=False):
    """One whole request. `arrived_at` is `time.perf_counter()` at its last byte."""

    head: RequestHead
    body: bytes
    arrived_at: float

    @property
    def method(self) -> str:
        """As it came."""
        return self.head.method

    @property
    def path(self) -> str:
        """What decisions rest on."""
        return self.head.path

    @property
    def target(self) -> str:
        """The path with its query."""
        return self.head.target

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Names in lower case."""
        return self.head.headers


class Flow(Protocol):
    """Something whose reading stops while the client reads slowly."""

    def pause_reading(self) -> None:
        """Stop."""
        ...

    def resume_reading(self) -> None:
        """Go on."""
        ...


class Serving(Protocol):
    """A request under way."""

    def client_left(self) -> None:
        """The client is gone."""
        ...

    def shut_down(self) -> None:
        """The gateway ends: finish visibly, now."""
        ...


class Host(Protocol):
    """What a connection needs of the server that accepted it."""

    limits: LimitSettings
    is_draining: bool

    def admit(self, connection: ClientConnection) -> bool:
        """Count the connection; False where there are too many."""
        ...

    def forget(self, connection: ClientConnection) -> None:
        """The connection is gone."""
        ...

    def serve(self, request: Request, connection: ClientConnection) -> Serving | None:
        """Serve one request. None where its reply is written already."""
        ...

    def note_refusal(self, error: RequestError, path: str) -> None:
        """Count and log a refusal."""
        ...


class _State(Enum):
    HEAD = auto()
    BODY = auto()
    BUSY = auto()
    LINGER = auto()
    GONE = auto()


_HEAD, _BUSY = _State.HEAD, _State.BUSY
_read_clock = time.perf_counter


class ClientConnection(asyncio.Protocol):
    """Reads a request, hands it to the host, takes its reply, reads the next.

    An end of file while a request runs means that the client left: who serves it is told at once.
    """

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._limits = host.limits
        self._loop = loop
        self._deadline = Deadline(loop, self._expire)
        self._transport: asyncio.Transport | None = None
        self._state = _State.HEAD
        self._buffer = b""
        self._reader = HeadReader(self._limits.max_headers)
        self._head: RequestHead | None = None
        self._decoder: ChunkedDecoder | None = None
        self._parts: list[bytes] = []
        self._num_missing = 0
        self._num_lingered = 0
        self._serving: Serving | None = None
        self._flow: Flow | None = None
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._is_turn_due = False
        self._is_head_timed = False
        self._is_timed = False
        self._is_idle = True
        self._has_begun = False
        self._is_framed = True

    # What handlers use.

    @property
    def is_gone(self) -> bool:
        """Whether the client has left."""
        return self._state is _State.GONE

    @property
    def is_busy(self) -> bool:
        """Whether a request is being read or served."""
        return self._state is _State.BUSY or self._head is not None or bool(self._buffer)

    @property
    def has_begun(self) -> bool:
        """Whether a byte of the current reply has been written: the commit point."""
        return self._has_begun

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Write a whole reply. `headers` are whole header lines; content-length and connection are added."""
        self.write_reply(status_line(status) + headers, body)

    def write_reply(self, head: bytes, body: bytes) -> None:
        """The same, where `head` is the status line and all header lines but those two."""
        transport, asked = self._transport, self._head
        if transport is None or self._state is not _BUSY:
            return
        self._has_begun = True
        closes = asked is None or not asked.keeps_alive or self._host.is_draining
        length = LENGTH_LINES[len(body)]
        if closes:
            length = _CLOSE + length
        if asked is not None and asked.method == "HEAD":
            body = b""
        transport.write(b"".join((head, length, body)))
        self._finish(closes=closes)

    def begin_stream(self, headers: bytes, flow: Flow, status: int = 200, framing: bytes = CHUNKED) -> None:
        """Write the head of a streamed reply; from now on `flow` stops while the client reads slowly.

        `framing` is the header line that says where the body ends: `CHUNKED`, or its content-length, which the parts
        must then have together; empty where there is no body.
        """
        transport = self._transport
        if transport is None:
            return
        self._has_begun = True
        is_chunked = framing is CHUNKED
        self._is_framed = is_chunked and (self._head is None or not self._head.is_http_10)
        if is_chunked and not self._is_framed:
            framing = b""  # the end of the connection is the end of the body
        closing = _CLOSE if self._must_close() else b""
        transport.write(b"%b%b%b%b\r\n" % (status_line(status), headers, framing, closing))
        self._flow = flow
        if self._is_writing_paused:
            flow.pause_reading()

    def write_part(self, data: bytes) -> None:
        """Write a part of a stream."""
        if data and self._transport is not None and self._state is _State.BUSY:
            if self._is_framed:
                length = len(data)
                data = (_SIZE_LINES[length] if length < _NUM_SIZE_LINES else b"%x\r\n" % length) + data + b"\r\n"
            self._transport.write(data)

    def chunk_writer(self) -> Callable[[bytes], None] | None:
        """What writes a part of the stream under way that is framed as an HTTP chunk already; None where none may be.

        It is good until the stream ends.
        """
        if self._transport is None or self._state is not _BUSY or not self._is_framed:
            return None
        return self._transport.write

    def end_stream(self) -> None:
        """End a stream's body."""
        transport = self._transport
        self._flow = None
        if transport is None or self._state is not _State.BUSY:
            return
        if self._is_framed:
            transport.write(b"0\r\n\r\n")
        self._finish(closes=self._must_close())

    def refuse(
        self,
        detail: ErrorDetail,
        headers: bytes = b"",
        encode: Callable[[ErrorDetail], bytes] = error_body,
        *,
        closes: bool = False,
    ) -> None:
        """Answer with an error; with `closes`, what the client still sends is dropped for a while, then closed."""
        if self._transport is None or self._state is _State.GONE:
            return
        body = encode(detail)
        if not closes:
            self.reply(detail.status, JSON_HEADER + headers, body)
            return
        self._has_begun = True
        self._serving = None
        is_bodyless = self._head is not None and self._head.method == "HEAD"
        self._transport.write(
            b"%b%b%bcontent-length: %d\r\n%b\r\n%b"
            % (status_line(detail.status), JSON_HEADER, headers, len(body), _CLOSE, b"" if is_bodyless else body)
        )
        self._linger()

    def cut(self) -> None:
        """End a stream short of its end, so that the client sees it; what is written already still goes out."""
        transport = self._transport
        if transport is None or self._state is not _State.BUSY:
            return
        self._serving = self._flow = None
        if not self._is_framed and self._head is not None and self._head.is_http_10:
            transport.abort()  # a regular close would pass for the end of the body
            return
        self._state = _State.LINGER
        transport.close()
        self._deadline.set(self._loop.time() + LINGER_S)

    def abort(self) -> None:
        """Close at once, dropping what is not yet written."""
        if self._transport is not None:
            self._transport.abort()

    def end_now(self) -> None:
        """The gateway ends: cancel the request under way, or close where there is none."""
        if self._state is _State.BUSY and self._serving is not None:
            self._serving.shut_down()
        else:
            self.close_if_idle()

    def close_if_idle(self) -> None:
        """Close a kept-alive connection on which nothing is under way."""
        if not self.is_busy and self._state is _State.HEAD and self._transport is not None:
            self._transport.close()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, or refuse where there are too many connections."""
        self._transport = cast("asyncio.Transport", transport)
        if self._host.admit(self):
            self._deadline.set(self._loop.time() + self._limits.idle_timeout_s)
            return
        error = RequestError(503, ErrorCode.OVERLOADED, "The gateway has too many open connections. Try again later.")
        self._host.note_refusal(error, "")
        self.refuse(describe_refusal(error), b"retry-after: 1\r\n", closes=True)

    def data_received(self, data: bytes) -> None:
        """Take bytes according to what is awaited."""
        state = self._state
        if state is _HEAD and not self._buffer and not self._is_writing_paused and self._take_whole(data):
            return
        is_free = not self._is_writing_paused and not self._is_turn_due
        if state is _State.BODY or (state is _State.HEAD and is_free):
            self._buffer = self._buffer + data if self._buffer else data
            self._advance()
        elif state is _State.BUSY or state is _State.HEAD:
            self._buffer += data
            if len(self._buffer) > _MAX_PIPELINED_BYTES and self._transport is not None:
                self._is_reading_paused = True
                self._transport.pause_reading()
        elif state is _State.LINGER:
            self._num_lingered += len(data)
            if self._num_lingered > _MAX_LINGER_BYTES:
                self.abort()

    def eof_received(self) -> bool:
        """The client left: end a request under way at once; an answered one may still be flushed."""
        if self._state is _State.BUSY:
            self._leave()
            self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names it
        """The connection is gone."""
        self._leave()
        self._transport = None
        self._deadline.cancel()
        self._host.forget(self)

    def pause_writing(self) -> None:
        """The client reads slowly: stop what feeds it."""
        self._is_writing_paused = True
        if self._flow is not None:
            self._flow.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._is_writing_paused = False
        if self._flow is not None:
            self._flow.resume_reading()
        if self._state is _State.HEAD:
            self._take_turn()

    # Reading.

    def _advance(self) -> None:
        """Read as far as the buffer goes; a whole request is handed to the host."""
        try:
            if self._state is _State.HEAD and not self._read_head():
                return
            if self._read_body() and self._head is not None:
                self._dispatch(self._head, self._take_body())
        except RequestError as error:
            self._refuse_reading(error)

    def _take_whole(self, data: bytes) -> bool:
        """Dispatch a request that came in one read, as most do; False where it must be read step by step."""
        reader = self._reader
        if data.startswith(reader.text):
            head, end = reader.head, len(reader.text)
        else:
            limits = self._limits
            end = data.find(b"\r\n\r\n") + 4
            if end < 5 or end > limits.max_header_bytes or len(data) - end > limits.max_body_bytes:
                return False
            try:
                head = reader.read(data[:end])
            except RequestError:
                return False  # refused step by step
        if head is None or head.content_length != len(data) - end or self._is_timed:
            return False
        # `_dispatch`, without a call and without a deadline to move.
        self._head = head
        self._state = _BUSY
        self._has_begun = self._is_idle = False
        serving = self._host.serve(Request(head, data[end:], _read_clock()), self)
        if self._state is _BUSY:
            self._serving = serving
        return True

    def _read_head(self) -> bool:
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):
            buffer = self._buffer = buffer[2:]  # one empty line before a request is ignored (RFC 9112 §2.2)
        end = buffer.find(b"\r\n\r\n") + 4
        if (len(buffer) if end < 4 else end) > self._limits.max_header_bytes:
            message = f"The request headers are larger than {self._limits.max_header_bytes} bytes."
            raise RequestError(431, ErrorCode.HEADERS_TOO_LARGE, message)
        if end < 4:
            self._await_head(buffer)
            return False
        head = self._reader.read(buffer[:end])
        self._buffer = buffer[end:]
        self._head = head
        self._is_head_timed = False
        self._state = _State.BODY
        if head.content_length is None:
            self._decoder = ChunkedDecoder(self._limits.max_body_bytes)
        else:
            self._num_missing = head.content_length
            if head.content_length > self._limits.max_body_bytes:
                raise too_large(self._limits.max_body_bytes)
        if self._decoder is not None or len(self._buffer) < self._num_missing:
            self._is_timed = True
            self._deadline.set(self._loop.time() + self._limits.body_timeout_s)
            if head.expects_continue and self._transport is not None:
                self._transport.write(_CONTINUE)
        return True

    def _await_head(self, buffer: bytes) -> None:
        """Refuse what can become no request, and start the header time with the request's first byte."""
        if not buffer:
            return
        if not buffer[:1].isalpha() or buffer.count(b"\n") != buffer.count(b"\r\n"):
            raise refuse("this is no HTTP/1.1 request")
        if not self._is_head_timed:
            self._is_head_timed = self._is_timed = True
            self._deadline.set(self._loop.time() + self._limits.header_timeout_s)

    def _read_body(self) -> bool:
        buffer, self._buffer = self._buffer, b""
        if self._decoder is not None:
            self._buffer = self._decoder.feed(buffer)
            return self._decoder.is_complete
        if len(buffer) > self._num_missing:
            buffer, self._buffer = buffer[: self._num_missing], buffer[self._num_missing :]
        self._parts.append(buffer)
        self._num_missing -= len(buffer)
        return self._num_missing == 0

    def _take_body(self) -> bytes:
        parts, self._parts = self._parts, []
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            return decoder.take_body()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _dispatch(self, head: RequestHead, body: bytes) -> None:
        self._state = _BUSY
        self._has_begun = self._is_idle = False
        if self._is_timed:
            self._is_timed = False
            self._deadline.set(self._loop.time() + self._limits.idle_timeout_s)
        serving = self._host.serve(Request(head, body, _read_clock()), self)
        if self._state is _BUSY:
            self._serving = serving

    def _refuse_reading(self, error: RequestError) -> None:
        self._host.note_refusal(error, "" if self._head is None else self._head.path)
        self.refuse(describe_refusal(error), closes=True)

    # Ending.

    def _must_close(self) -> bool:
        return self._host.is_draining or self._head is None or not self._head.keeps_alive

    def _finish(self, *, closes: bool) -> None:
        """The reply is written: close, or read the next request."""
        self._serving = self._head = self._flow = None
        if self._transport is None:
            return
        if closes:
            self._linger()
            return
        self._state = _HEAD
        if (self._buffer or self._is_reading_paused) and not self._is_writing_paused:
            self._take_turn()  # else the next request is read when the client has taken its replies

    def _take_turn(self) -> None:
        """See to what came while a request was served, after what is under way: pipelined requests would nest."""
        if (self._buffer or self._is_reading_paused) and not self._is_turn_due:
            self._is_turn_due = True
            self._loop.call_soon(self._advance_buffered)

    def _advance_buffered(self) -> None:
        """Read a request that came while another was served; read on where little is left of what came ahead."""
        self._is_turn_due = False
        if self._is_writing_paused or self._state is not _State.HEAD:
            return
        if self._buffer:
            self._advance()
        needs_more = self._state in (_State.HEAD, _State.BODY) and not self._is_turn_due
        if self._is_reading_paused and (needs_more or len(self._buffer) <= _MAX_PIPELINED_BYTES):
            self._is_reading_paused = False
            if self._transport is not None:
                self._transport.resume_reading()

    def _linger(self) -> None:
        """Say that no more is written, and read the rest for a while, so that the reply is not lost to a reset."""
        self._state = _State.LINGER
        self._buffer = b""
        self._parts = []
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._is_reading_paused:
            self._is_reading_paused = False
            transport.resume_reading()
        transport.write_eof()
        self._deadline.set(self._loop.time() + LINGER_S)

    def _leave(self) -> None:
        self._state = _State.GONE
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.client_left()

    def _expire(self) -> None:
        if self._transport is None:
            return
        if self._state is _State.BODY or (self._state is _State.HEAD and self._buffer and not self._is_writing_paused):
            what = "body" if self._state is _State.BODY else "headers"
            message = f"The request's {what} did not arrive in time."
            self._refuse_reading(RequestError(408, ErrorCode.REQUEST_TIMEOUT, message))
        elif self._is_idle or self._state is _State.LINGER:
            self._transport.abort()
        else:  # there were requests, or is one: look again after the same time
            self._is_idle = self._state is _HEAD
            self._deadline.set(self._loop.time() + self._limits.idle_timeout_s)
