"""The HTTP/1.1 client: pooled kept-alive connections, deadlines, whole or streamed replies. Never follows redirects."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from inhouse.backends.connection import Connection, Receiver, StaleConnectionError
from inhouse.backends.target import Target, parse_target
from inhouse.domain import EndpointError, ErrorCode

_PAUSE_BYTES = 262_144
_FORBIDDEN_IN_HEADERS = frozenset("\r\n\0")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of one request, in seconds: to connect, to the first body byte, between reads, over all."""

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Response:
    """A whole reply. `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange(Receiver):
    """A receiver that a coroutine waits for: `started` resolves, or raises EndpointError, when the subclass says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.connection: Connection | None = None
        self.started: asyncio.Future[None] = loop.create_future()

    def begin(self) -> None:
        """Resolve `started`."""
        if not self.started.done():
            self.started.set_result(None)

    def on_failure(self, error: EndpointError) -> None:
        """Fail `started`; a subclass whose reply has begun overrides this."""
        if not self.started.done():
            self.started.set_exception(error)

    def abandon(self) -> None:
        """Close the connection: nobody waits for the reply any more."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()


class HttpClient:
    """Makes requests over pooled connections, one pool for each (host, port, TLS).

    Belongs to the event loop that runs when it is first used. `aclose` closes every connection.

    Args:
        max_idle_per_origin: idle connections kept for each origin; more are closed when they become idle.
    """

    def __init__(self, *, max_idle_per_origin: int = 256) -> None:
        self._max_idle = max_idle_per_origin
        self._idle: defaultdict[tuple[str, int, bool], deque[Connection]] = defaultdict(deque)
        self._open: set[Connection] = set()
        self._is_closed = False
        self._all_gone: asyncio.Future[None] | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        max_body_bytes: int = 67_108_864,
    ) -> Response:
        """Make one request and return its whole reply, whatever its status.

        Raises:
            ValueError: the URL or a header is malformed.
            EndpointError: no complete reply came: `upstream_unreachable`, `upstream_timeout`, `upstream_cut`, or
                `upstream_error` (no valid HTTP, or more than `max_body_bytes`).
        """
        collected = _Collected(asyncio.get_running_loop(), timeouts, max_body_bytes)
        target = parse_target(url)
        try:
            await self.perform(target, _build_request(method, target, headers, body), collected, timeouts.connect_s)
        except BaseException:
            collected.abandon()
            raise
        return Response(collected.status, _name_headers(collected.headers), collected.body)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> AsyncGenerator[StreamedResponse]:
        """Make one request; iterate over the reply's body as it comes. Leaving early closes the connection.

        Raises:
            ValueError, EndpointError: as `request`; while iterating, EndpointError for a cut or a timeout.
        """
        reply = StreamedResponse(asyncio.get_running_loop(), timeouts)
        target = parse_target(url)
        try:
            await self.perform(target, _build_request(method, target, headers, body), reply, timeouts.connect_s)
            yield reply
        finally:
            reply.abandon()

    async def perform(self, target: Target, payload: bytes, exchange: Exchange, connect_s: float) -> None:
        """Send `payload` and wait until `exchange` has started.

        A kept-alive connection that turns out closed, with nothing of a reply received, is replaced by a fresh one,
        once. A fresh one is never tried twice.

        Raises:
            EndpointError: what the exchange failed with.
        """
        connection = self._take_idle(target)
        if connection is not None:
            exchange.connection = connection
            try:
                connection.send(payload, exchange)
                await exchange.started
            except StaleConnectionError:
                exchange.started = asyncio.get_running_loop().create_future()
            else:
                return
        left_s = exchange.total_at - asyncio.get_running_loop().time()
        connection = await self._connect(target, min(connect_s, left_s))
        exchange.connection = connection
        connection.send(payload, exchange)
        await exchange.started

    async def aclose(self) -> None:
        """Close every connection, idle or not, and wait until the transports are gone."""
        self._is_closed = True
        for connection in tuple(self._open):
            connection.abort()
        if self._open:
            self._all_gone = asyncio.get_running_loop().create_future()
            await self._all_gone

    def _take_idle(self, target: Target) -> Connection | None:
        """The connection used last, so that the pool shrinks to what the load needs."""
        idle = self._idle.get(target.origin)
        while idle:
            connection = idle.pop()
            if not connection.is_closed:
                return connection
        return None

    async def _connect(self, target: Target, connect_s: float) -> Connection:
        if self._is_closed:
            raise EndpointError(ErrorCode.UPSTREAM_UNREACHABLE, "the HTTP client is closed", is_retryable=False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(connect_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._free, self._forget),
                    target.host,
                    target.port,
                    ssl=_tls_context() if target.is_tls else None,
                )
        except TimeoutError:
            message = f"no connection to {target.host_header} within {connect_s:g} s"
            raise EndpointError(ErrorCode.UPSTREAM_TIMEOUT, message) from None
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            message = f"no connection to {target.host_header}: {reason}"
            raise EndpointError(ErrorCode.UPSTREAM_UNREACHABLE, message) from None
        connection.origin = target.origin
        self._open.add(connection)
        return connection

    def _free(self, connection: Connection) -> None:
        idle = self._idle[connection.origin]
        if self._is_closed or len(idle) >= self._max_idle:
            connection.abort()
        else:
            idle.append(connection)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle and connection in idle:
            idle.remove(connection)
        if not self._open and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)


class StreamedResponse(Exchange):
    """A reply under way: `status` and `headers` are known, the body comes by `async for`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeouts: Timeouts) -> None:
        super().__init__(loop)
        self.first_byte_s = timeouts.first_byte_s
        self.idle_s = timeouts.idle_s
        self.total_at = loop.time() + timeouts.total_s
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._chunks: deque[bytes] = deque()
        self._num_waiting_bytes = 0
        self._is_ended = False
        self._failure: EndpointError | None = None
        self._loop = loop
        self._wake: asyncio.Future[None] | None = None

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """The reply has begun."""
        self.status = status
        self.headers = _name_headers(headers)
        self.begin()

    def on_data(self, data: bytes) -> None:
        """Queue what came; a reader who lags pauses the endpoint."""
        self._chunks.append(data)
        self._num_waiting_bytes += len(data)
        if self.connection is not None:
            if self._num_waiting_bytes > _PAUSE_BYTES:
                self.connection.pause_reading()
            else:
                self.connection.note_progress(self)
        self._wake_reader()

    def on_end(self) -> None:
        """No more will come."""
        self.connection = None
        self._is_ended = True
        self._wake_reader()

    def on_failure(self, error: EndpointError) -> None:
        """Before the head: fail the start. After it: fail the iteration."""
        if not self.started.done():
            self.started.set_exception(error)  # not kept: a stale connection is replaced, and the exchange goes on
            return
        self._failure = error
        self._wake_reader()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._num_waiting_bytes -= len(chunk)
                if self.connection is not None and self._num_waiting_bytes <= _PAUSE_BYTES:
                    self.connection.resume_reading()
                yield chunk
            if self._failure is not None:
                raise self._failure
            if self._is_ended:
                return
            self._wake = self._loop.create_future()
            await self._wake

    def _wake_reader(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class _Collected(Exchange):
    """Keeps the whole reply; starts when it is complete."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeouts: Timeouts, max_body_bytes: int) -> None:
        super().__init__(loop)
        self.first_byte_s = timeouts.first_byte_s
        self.idle_s = timeouts.idle_s
        self.total_at = loop.time() + timeouts.total_s
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self._max_body_bytes = max_body_bytes
        self._parts: list[bytes] = []
        self._num_bytes = 0

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self.status = status
        self.headers = headers

    def on_data(self, data: bytes) -> None:
        self._parts.append(data)
        self._num_bytes += len(data)
        if self._num_bytes > self._max_body_bytes:
            self.abandon()
            message = f"the endpoint's reply is longer than {self._max_body_bytes} bytes"
            self.on_failure(EndpointError(ErrorCode.UPSTREAM_ERROR, message))
        elif self.connection is not None:
            self.connection.note_progress(self)

    def on_end(self) -> None:
        self.connection = None
        self.body = b"".join(self._parts)
        self.begin()


@functools.cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _build_request(method: str, target: Target, headers: Mapping[str, str] | None, body: bytes) -> bytes:
    """Request line, headers and body. `host` and `content-length` are ours."""
    lines = [f"{method} {target.path} HTTP/1.1", f"host: {target.host_header}"]
    for name, value in (headers or {}).items():
        if _FORBIDDEN_IN_HEADERS & set(name + value):
            raise ValueError(f"header {name!r} holds a line break or NUL")
        if name.lower() not in ("host", "content-length", "transfer-encoding"):
            lines.append(f"{name}: {value}")
    if body or method not in ("GET", "DELETE"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join((*lines, "\r\n")).encode("latin-1") + body


def _name_headers(headers: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
