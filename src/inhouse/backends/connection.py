"""One HTTP/1.1 connection to an endpoint, as an asyncio protocol over llhttp. Pools nothing, retries nothing."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools
from msgspec import Struct

from inhouse.backends.deadline import NEVER, Deadline
from inhouse.backends.tlsfiles import explain_tls_failure
from inhouse.domain import EndpointError, ErrorCode

MAX_HEAD_BYTES = 65_536
"""A reply whose status line and headers are longer is refused."""
KEPT_IDLE_S = 60.0
"""A pooled connection without a request is closed after this time, counted from when the deadline of its last one would
have passed."""
_MAX_KNOWN_HEADS = 512
_NO_CONTENT = 204
_NOT_MODIFIED = 304
_FIRST_FINAL_STATUS = _OK = 200
_MAX_SIZE_LINE_BYTES = 6
_CHUNK_SIZES = {form % size: size for size in range(1, 4097) for form in (b"%x", b"%X")}
"""Chunk sizes as plain hexadecimal text: what is not here (extensions, signs, long chunks) goes through the parser."""
_LAST_CHUNK = b"0\r\n\r\n"
_NOTHING = b"\0"
"""Begins no reply."""
_CLOSED_UNANSWERED = "the endpoint closed the connection without a reply"
_CLOSED_EARLY = "the endpoint closed the connection in the middle of its reply"


def find_payload(data: bytes) -> int:
    """Where the payload of a read begins that is one whole HTTP chunk with a plain size; else 0."""
    border = data.find(b"\r\n", 0, _MAX_SIZE_LINE_BYTES)
    is_whole = _CHUNK_SIZES.get(data[:border]) == len(data) - border - 4 and data.endswith(b"\r\n")
    return border + 2 if is_whole else 0


class ReplyHead(Struct):
    """Status and headers of a reply (lower-case names; repeated ones joined with a comma).

    Heads that come again byte for byte are read once, so `headers` is shared: nobody changes it. `memo` is the
    receiver's, for what it derives from the headers alone.
    """

    status: int
    headers: dict[bytes, bytes]
    num_body_bytes: int = -1
    """-1 for a body in chunks."""
    keeps_alive: bool = False
    memo: bytes | None = None
    text: bytes = b""
    """The head as it came; empty for one that is not remembered."""


class Receiver:
    """Takes the reply of one request, each callback in the read that brought it; `on_end` or `on_failure` is last.

    `first_byte_s`, `idle_s` are seconds; `total_at` stands on the loop's clock. `progress_at` is the time of the last
    progress (`time.perf_counter()` seconds, 0 before the first); the receiver itself says what progress is.
    """

    first_byte_s: float = 60.0
    idle_s: float = 60.0
    total_at: float = NEVER
    first_at: float = 0.0
    """When the first byte must be there; 0: `first_byte_s` after sending."""
    progress_at: float = 0.0
    shortcut: Shortcut | None = None
    """Reads in place of the connection while that stands between two chunks of a stream."""

    def find_progress(self) -> float:
        """`progress_at`, brought up to date."""
        return self.progress_at

    def on_head(self, head: ReplyHead) -> None:
        """Status and headers."""

    def on_data(self, data: bytes) -> None:
        """Body bytes, decoded from any chunking; one call for each read."""

    def on_end(self) -> None:
        """The body is complete."""

    def on_whole(self, head: ReplyHead, body: bytes) -> None:
        """A whole reply in one read: the same as the three before, in one call."""
        self.on_head(head)
        if body:
            self.on_data(body)
        self.on_end()

    def on_failure(self, error: EndpointError) -> None:
        """The reply will not be completed."""


class Shortcut(asyncio.Protocol):
    """Stands in for a connection between two chunks of a stream. All but reading goes on to the connection.

    A subclass takes what is read where its bytes alone show that it is one whole chunk that needs no more than to be
    passed on; the rest it gives to the connection.
    """

    connection: Connection

    def eof_received(self) -> bool:
        """As the connection says."""
        return self.connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Of the connection."""
        self.connection.connection_lost(exc)


class Connection(asyncio.Protocol):
    """A connection that serves one request at a time.

    Args:
        loop: the running loop.
        on_free: called when a reply is complete and the connection may serve another.
        on_lost: called once when the connection is gone, for whatever reason.
        known_heads: heads of whole replies by their bytes, shared by the connections of one client; bounded here.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_free: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
        known_heads: dict[bytes, ReplyHead] | None = None,
    ) -> None:
        self.idle: deque[Connection] = deque()
        """The idle ones of its pool, itself among them while it is idle."""
        self._loop = loop
        self._on_free = on_free
        self._on_lost = on_lost
        self._deadline = Deadline(loop, self._expire)
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._on_stale: Callable[[Receiver], None] | None = None
        self._known_heads = {} if known_heads is None else known_heads
        self._last_head = ReplyHead(0, {}, text=_NOTHING)
        self._unparsed: bytes = b""
        """The head of a reply that was known by its bytes and is followed by whole chunks alone so far."""
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._status = 0
        self._num_head_bytes = 0
        self._num_messages = 0
        self._has_bytes = False
        self._has_head = False
        self._is_complete = False
        self._is_until_close = False
        self._is_paused = False
        self._keeps_alive = False
        self._is_between_chunks = False
        self._shortcut: Shortcut | None = None
        self._was_idle = False

    def send(self, payload: bytes, receiver: Receiver, on_stale: Callable[[Receiver], None] | None = None) -> bool:
        """Write one request (head and body) and give its reply to `receiver`. Only on an idle connection.

        Returns:
            False where the connection is gone or going: nothing was written, and nobody will be told anything.

        Args:
            payload: the request's bytes.
            receiver: told everything, never within this call.
            on_stale: called with the receiver, instead of telling it, where a kept-alive connection turns out closed
                before anything of a reply came: a fresh one may be tried.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        self._receiver = receiver
        self._on_stale = on_stale
        self._was_idle = False
        if self._has_bytes:
            self._has_bytes = self._has_head = self._is_complete = False
            self._is_until_close = self._is_between_chunks = False
            self._unparsed = b""
            self._num_head_bytes = self._num_messages = 0
        transport.write(payload)
        at, deadline = receiver.first_at or self._loop.time() + receiver.first_byte_s, self._deadline
        at = min(at, receiver.total_at)
        if at >= deadline.armed_for:  # as nearly always: `set`, without a call
            deadline.at = at
        else:
            deadline.set(at)
        return True

    def begin_idle(self, receiver: Receiver) -> None:
        """The reply has begun: from now on the idle time counts, from each progress that the receiver notes."""
        receiver.progress_at = time.perf_counter()
        self._deadline.set(min(self._loop.time() + receiver.idle_s, receiver.total_at))

    def pause_reading(self) -> None:
        """Let the endpoint wait, because the client reads slowly: the idle time stands still meanwhile."""
        if self._receiver is not None and self._transport is not None and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
            self._deadline.set(self._receiver.total_at)

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        if self._is_paused:
            self._is_paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
                receiver = self._receiver
                if receiver is not None:
                    self.begin_idle(receiver)

    def abort(self) -> None:
        """Close at once, telling the receiver nothing more: the endpoint sees that nobody waits."""
        self._receiver = self._on_stale = None
        self._deadline.cancel()
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # noqa: C901  # its shortcuts stand here: a call costs as much as they do
        """Hand on what came: head, body, end, in this order."""
        receiver = self._receiver
        if receiver is None:
            self.abort()
            return
        head = None
        if not self._has_bytes:
            head = self._last_head
            if not data.startswith(head.text):
                head = self._known_heads.get(data[: data.find(b"\r\n\r\n") + 4])
            if head is not None and len(data) == len(head.text) + head.num_body_bytes:
                self._last_head = head
                self._receiver = None
                self._release(keeps_alive=head.keeps_alive)
                try:
                    receiver.on_whole(head, data[len(head.text) :])
                except Exception as error:  # noqa: BLE001  # a fault of our own must end the request, not hang it
                    self._crash(receiver, error)
                return  # the parser was not needed: it still stands between two replies
        try:
            if self._is_between_chunks and (start := find_payload(data)):
                receiver.on_data(data[start:-2])  # the parser stands before this chunk as it would stand behind it
            elif self._unparsed and data == _LAST_CHUNK:
                self._end_unparsed(receiver)
            elif head is not None and head.num_body_bytes < 0:
                self._begin_unparsed(head, data, receiver)
            else:
                self._parse(data, receiver)
        except Exception as error:  # noqa: BLE001  # same
            self._crash(receiver, error)
        shortcut = receiver.shortcut if self._is_between_chunks and self._receiver is receiver else None
        if shortcut is not self._shortcut:
            self._steer(shortcut)

    def _steer(self, shortcut: Shortcut | None) -> None:
        """From now on the transport hands what it reads to the shortcut, or to this connection again."""
        self._shortcut = shortcut
        if shortcut is not None:
            shortcut.connection = self
        if self._transport is not None:
            self._transport.set_protocol(self if shortcut is None else shortcut)

    def eof_received(self) -> bool:
        """Let the transport close; `connection_lost` judges what it means."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the receiver what the loss means for its reply."""
        self._transport = None
        self._deadline.cancel()
        receiver, self._receiver = self._receiver, None
        on_stale, self._on_stale = self._on_stale, None
        self._on_lost(self)
        if receiver is None:
            return
        if self._is_until_close and exc is None:
            receiver.on_end()
        elif self._has_bytes:
            receiver.on_failure(EndpointError(ErrorCode.UPSTREAM_CUT, _CLOSED_EARLY))
        elif on_stale is not None:
            on_stale(receiver)
        else:
            # A server that speaks TLS 1.3 refuses a client's certificate after the client's half of the handshake.
            is_refused = isinstance(exc, ssl.SSLError)
            words = explain_tls_failure(exc, "the endpoint") if is_refused else _CLOSED_UNANSWERED
            receiver.on_failure(EndpointError(ErrorCode.UPSTREAM_UNREACHABLE, words))

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the head; trailers are dropped."""
        if not self._has_head:
            name = name.lower()
            known = self._headers.get(name)
            self._headers[name] = value if known is None else known + b", " + value

    def on_headers_complete(self) -> None:
        """Note the head, unless it is an interim one (1xx)."""
        if self._has_head:
            return  # known already, or of a second reply, which nobody asked for
        status = self._status = self._parser.get_status_code()
        if status < _FIRST_FINAL_STATUS:
            self._headers = {}
            self._num_messages -= 1
            return
        self._has_head = True
        headers = self._headers
        self._is_until_close = (
            b"content-length" not in headers
            and b"transfer-encoding" not in headers
            and status not in (_NO_CONTENT, _NOT_MODIFIED)
        )

    def on_chunk_header(self) -> None:
        """A chunk of the body begins."""
        self._is_between_chunks = False

    def on_chunk_complete(self) -> None:
        """A chunk of the body is complete; where the read ends here too, the parser stands between chunks."""
        self._is_between_chunks = True

    def on_body(self, body: bytes) -> None:
        """Collect what one read brought."""
        if not self._is_complete:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Note the end of the final message."""
        if self._has_head and not self._is_complete:
            self._is_complete = True
            self._keeps_alive = self._parser.should_keep_alive() and not self._is_until_close

    def on_message_begin(self) -> None:
        """A second message in one reply was not asked for: the connection is not used again."""
        self._num_messages += 1

    # Own steps.

    def _begin_unparsed(self, head: ReplyHead, data: bytes, receiver: Receiver) -> None:
        """A reply in chunks whose head came before: the parser is left out as long as whole chunks follow."""
        self._last_head = head
        self._unparsed = head.text
        self._has_bytes = self._has_head = self._is_between_chunks = True
        receiver.on_head(head)
        rest = data[len(head.text) :]
        if rest:
            self.data_received(rest)

    def _end_unparsed(self, receiver: Receiver) -> None:
        """Its last chunk: the parser still stands between two replies."""
        self._unparsed = b""
        self._is_between_chunks = False
        self._receiver = None
        self._release(keeps_alive=self._last_head.keeps_alive)
        receiver.on_end()

    def _parse(self, data: bytes, receiver: Receiver) -> None:
        """Feed the parser, then hand on what it found."""
        is_first = not self._has_bytes
        self._has_bytes = True
        had_head = self._has_head
        unparsed, self._unparsed = self._unparsed, b""
        try:
            self._parser.feed_data(unparsed + data)
        except httptools.HttpParserUpgrade:
            self._fail(ErrorCode.UPSTREAM_ERROR, "the endpoint switched protocols, which nobody asked for")
            return
        except httptools.HttpParserError as error:
            if not self._is_complete:
                self._fail(ErrorCode.UPSTREAM_ERROR, f"the endpoint answered no valid HTTP ({error})")
                return
            self._keeps_alive = False  # the reply is whole; what stands behind it is nobody's
        if not self._has_head:
            self._num_head_bytes += len(data)
            if self._num_head_bytes > MAX_HEAD_BYTES:
                self._fail(ErrorCode.UPSTREAM_ERROR, "the endpoint's reply headers are too long")
            return
        if had_head and not self._is_complete:
            self._is_between_chunks = self._is_between_chunks and data.endswith(b"\r\n")
            parts, self._parts = self._parts, []
            if parts:
                receiver.on_data(parts[0] if len(parts) == 1 else b"".join(parts))
            return
        self._hand_on(receiver, data if is_first else None, is_new_head=not had_head)

    def _hand_on(self, receiver: Receiver, data: bytes | None, *, is_new_head: bool) -> None:
        parts, self._parts = self._parts, []
        is_complete = self._is_complete
        self._is_between_chunks = False  # known again after a read that brought neither head nor end
        if is_new_head:
            headers, self._headers = self._headers, {}
            head = ReplyHead(self._status, headers)
            if data is not None:
                self._learn(head, data)
            receiver.on_head(head)
        if parts and self._receiver is receiver:
            receiver.on_data(parts[0] if len(parts) == 1 else b"".join(parts))
        if is_complete and self._receiver is receiver:
            # Freed before the receiver is told, so that it finds the pool as it will be.
            self._receiver = None
            self._release(keeps_alive=self._keeps_alive and self._num_messages == 1)
            receiver.on_end()

    def _learn(self, head: ReplyHead, data: bytes) -> None:
        """Remember a head that came whole in a reply's first read, so that its like is not parsed again.

        Of replies with a length, only where the body came with it.
        """
        headers, end = head.headers, data.find(b"\r\n\r\n") + 4
        if self._num_messages != 1 or not data.startswith(b"HTTP/1.1 %d " % head.status):
            return
        length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
        if length is None and coding == b"chunked" and head.status == _OK:
            head.keeps_alive = self._keeps_alive if self._is_complete else self._parser.should_keep_alive()
        elif length is not None and length.isdigit() and coding is None and len(data) == end + int(length):
            head.num_body_bytes = int(length)
            head.keeps_alive = self._keeps_alive
        else:
            return
        head.text = data[:end]
        if len(self._known_heads) >= _MAX_KNOWN_HEADS:
            self._known_heads.clear()
        self._known_heads[head.text] = head

    def _release(self, *, keeps_alive: bool) -> None:
        """Back to the pool, or closed."""
        self._on_stale = None
        if self._is_paused:
            self.resume_reading()
        transport = self._transport
        if transport is None:
            return
        if keeps_alive and transport.get_write_buffer_size() == 0:
            self._on_free(self)  # the deadline stays: when it passes, the time of an idle connection begins
        else:
            transport.close()

    def _expire(self) -> None:
        receiver = self._receiver
        now = self._loop.time()
        if receiver is None:
            if self._was_idle:
                self.abort()
            else:
                self._was_idle = True
                self._deadline.set(now + KEPT_IDLE_S)
            return
        if now >= receiver.total_at:
            words = "the whole request took longer than its deadline (`gateway.timeouts.total_s`)"
        elif receiver.progress_at:
            left_s = receiver.idle_s - (time.perf_counter() - receiver.find_progress())
            if left_s > 0 or self._is_paused:
                self._deadline.set(min(now + max(left_s, 0.001), receiver.total_at))
                return
            words = f"the endpoint sent nothing new for {receiver.idle_s:g} s"
        else:
            words = f"the endpoint sent no first byte within {receiver.first_byte_s:g} s"
        self._fail(ErrorCode.UPSTREAM_TIMEOUT, words)

    def _crash(self, receiver: Receiver, error: Exception) -> None:
        """Taking the reply failed by a fault of the receiver: say so, and end the request with it."""
        self._loop.call_exception_handler({"message": "a reply could not be taken", "exception": error})
        self.abort()
        receiver.on_failure(
            EndpointError(ErrorCode.INTERNAL_ERROR, "the gateway failed on the reply; its log says why")
        )

    def _fail(self, code: ErrorCode, message: str) -> None:
        receiver = self._receiver
        self.abort()
        if receiver is not None:
            receiver.on_failure(EndpointError(code, message))
