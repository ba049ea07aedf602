"""One HTTP/1.1 connection to an endpoint, as an asyncio protocol over llhttp. Pools nothing, retries nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from inhouse.backends.deadline import NEVER, Deadline
from inhouse.domain import EndpointError, ErrorCode

MAX_HEAD_BYTES = 65_536
"""A reply whose status line and headers are longer is refused."""
KEPT_IDLE_S = 60.0
"""A pooled connection without a request is closed after this time."""
_NO_CONTENT = 204
_NOT_MODIFIED = 304
_FIRST_FINAL_STATUS = 200
_MAX_SIZE_LINE_BYTES = 6
_CHUNK_SIZES = {form % size: size for size in range(1, 4097) for form in (b"%x", b"%X")}
"""Chunk sizes as plain hexadecimal text: what is not here (extensions, signs, long chunks) goes through the parser."""
_CLOSED_EARLY = "the endpoint closed the connection in the middle of its reply"


class StaleConnectionError(EndpointError):
    """A kept-alive connection turned out closed before anything of a reply came: a fresh one may be tried."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.UPSTREAM_UNREACHABLE, "the kept-alive connection was closed before a reply")


class Receiver:
    """Takes the reply of one request, each callback in the read that brought it; `on_end` or `on_failure` is last.

    `first_byte_s`, `idle_s` are seconds; `total_at` stands on the loop's clock.
    """

    first_byte_s: float = 60.0
    idle_s: float = 60.0
    total_at: float = NEVER

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """Status and headers (lower-case names; repeated ones joined with a comma)."""

    def on_data(self, data: bytes) -> None:
        """Body bytes, decoded from any chunking; one call for each read."""

    def take_chunk(self, framed: bytes, start: int) -> bool:  # noqa: ARG002  # for subclasses that can
        """Take one whole HTTP chunk as it came, its payload from `start` up to the last two bytes.

        False where it must come decoded by `on_data`; then nothing was taken.
        """
        return False

    def on_end(self) -> None:
        """The body is complete."""

    def on_failure(self, error: EndpointError) -> None:
        """The reply will not be completed."""


class Connection(asyncio.Protocol):
    """A connection that serves one request at a time.

    Args:
        loop: the running loop.
        on_free: called when a reply is complete and the connection may serve another.
        on_lost: called once when the connection is gone, for whatever reason.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_free: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self.is_reused = False
        self.origin: tuple[str, int, bool] = ("", 0, False)
        self._loop = loop
        self._on_free = on_free
        self._on_lost = on_lost
        self._deadline = Deadline(loop, self._expire)
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._num_head_bytes = 0
        self._num_messages = 0
        self._has_bytes = False
        self._has_head = False
        self._is_complete = False
        self._is_until_close = False
        self._is_paused = False
        self._keeps_alive = False
        self._is_between_chunks = False

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone or going."""
        return self._transport is None or self._transport.is_closing()

    def send(self, payload: bytes, receiver: Receiver) -> None:
        """Write one request (head and body) and give its reply to `receiver`. Only on an idle connection."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise StaleConnectionError
        self._receiver = receiver
        self._has_bytes = self._has_head = self._is_complete = self._is_until_close = self._is_between_chunks = False
        self._num_head_bytes = self._num_messages = 0
        transport.write(payload)
        self._deadline.set(min(self._loop.time() + receiver.first_byte_s, receiver.total_at))

    def note_progress(self, receiver: Receiver) -> None:
        """Start the idle time anew. Called for every chunk, so a deadline that only moves later is just moved."""
        if not self._is_paused:
            at = self._loop.time() + receiver.idle_s
            at = min(at, receiver.total_at)
            deadline = self._deadline
            if at >= deadline.at:
                deadline.at = at
            else:
                deadline.set(at)

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
                if self._receiver is not None:
                    self.note_progress(self._receiver)

    def abort(self) -> None:
        """Close at once, telling the receiver nothing more: the endpoint sees that nobody waits."""
        self._receiver = None
        self._deadline.cancel()
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then hand on what came: head, body, end, in this order."""
        receiver = self._receiver
        if receiver is None:
            self.abort()
            return
        if self._is_between_chunks:
            border = data.find(b"\r\n", 0, _MAX_SIZE_LINE_BYTES)
            size = _CHUNK_SIZES.get(data[:border])
            is_whole = size is not None and len(data) == border + size + 4 and data.endswith(b"\r\n")
            if is_whole and receiver.take_chunk(data, border + 2):
                return  # the parser stands before this chunk as it would stand behind it
        self._has_bytes = True
        had_head = self._has_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(ErrorCode.UPSTREAM_ERROR, "the endpoint switched protocols, which nobody asked for")
            return
        except httptools.HttpParserError as error:
            self._fail(ErrorCode.UPSTREAM_ERROR, f"the endpoint answered no valid HTTP ({error})")
            return
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
        self._hand_on(receiver, is_new_head=not had_head)

    def eof_received(self) -> bool:
        """Let the transport close; `connection_lost` judges what it means."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the receiver what the loss means for its reply."""
        self._transport = None
        self._deadline.cancel()
        receiver, self._receiver = self._receiver, None
        self._on_lost(self)
        if receiver is None:
            return
        if self._is_until_close and exc is None:
            receiver.on_end()
        elif self._has_bytes:
            receiver.on_failure(EndpointError(ErrorCode.UPSTREAM_CUT, _CLOSED_EARLY))
        elif self.is_reused:
            receiver.on_failure(StaleConnectionError())
        else:
            receiver.on_failure(
                EndpointError(ErrorCode.UPSTREAM_UNREACHABLE, "the endpoint closed the connection without a reply")
            )

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the head; trailers are dropped."""
        if not self._has_head:
            name = name.lower()
            known = self._headers.get(name)
            self._headers[name] = value if known is None else known + b", " + value

    def on_headers_complete(self) -> None:
        """Note the head, unless it is an interim one (1xx)."""
        status = self._parser.get_status_code()
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
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """Note the end of the final message."""
        if self._has_head:
            self._is_complete = True
            self._keeps_alive = self._parser.should_keep_alive() and not self._is_until_close

    def on_message_begin(self) -> None:
        """A second message in one reply was not asked for: the connection is not used again."""
        self._num_messages += 1

    # Own steps.

    def _hand_on(self, receiver: Receiver, *, is_new_head: bool) -> None:
        parts, self._parts = self._parts, []
        is_complete = self._is_complete
        self._is_between_chunks = False  # known again after a read that brought neither head nor end
        if is_new_head:
            headers, self._headers = self._headers, {}
            receiver.on_head(self._parser.get_status_code(), headers)
        if parts and self._receiver is receiver:
            receiver.on_data(parts[0] if len(parts) == 1 else b"".join(parts))
        if is_complete and self._receiver is receiver:
            self._finish(receiver)

    def _finish(self, receiver: Receiver) -> None:
        """Free the connection before the receiver is told, so that it finds the pool as it will be."""
        self._receiver = None
        self.resume_reading()
        transport = self._transport
        if transport is not None:
            is_clean = self._num_messages == 1 and transport.get_write_buffer_size() == 0
            if self._keeps_alive and is_clean and not transport.is_closing():
                self.is_reused = True
                self._deadline.set(self._loop.time() + KEPT_IDLE_S)
                self._on_free(self)
            else:
                transport.close()
        receiver.on_end()

    def _expire(self) -> None:
        receiver = self._receiver
        if receiver is None:
            self.abort()
            return
        if self._loop.time() >= receiver.total_at:
            words = "the whole request took longer than its deadline"
        elif self._has_head:
            words = f"the endpoint sent nothing new for {receiver.idle_s:g} s"
        else:
            words = f"the endpoint sent no first byte within {receiver.first_byte_s:g} s"
        self._fail(ErrorCode.UPSTREAM_TIMEOUT, words)

    def _fail(self, code: ErrorCode, message: str) -> None:
        receiver = self._receiver
        self.abort()
        if receiver is not None:
            receiver.on_failure(EndpointError(code, message))
