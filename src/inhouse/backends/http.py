"""The HTTP/1.1 client: pooled kept-alive connections, deadlines, whole or streamed replies. Never follows redirects."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from msgspec import Struct

from inhouse.backends.connection import Connection, Receiver, ReplyHead
from inhouse.backends.dial import Dialer
from inhouse.backends.target import Target, parse_target
from inhouse.domain import EndpointError, ErrorCode, Network

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
_PRIVATE = Network(is_declared_private=True)
"""Addresses that inhouse itself calls by name (its own agent, gateway, engines) are the user's own."""


class Way(Struct, frozen=True):
    """Where requests go: how connections are made, and how long making one may take (seconds)."""

    target: Target
    network: Network
    connect_s: float
    pool: str
    """Connections are shared among requests with the same: it names the origin and how it is reached."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole reply. `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Call(Receiver):
    """A receiver with the connection that serves it. `HttpClient.start` sets `connection`, `abandon` closes it.

    `is_sent`: a connection was there, and the request went out. `way` and `payload` are what `start` was given.
    """

    connection: Connection | None = None
    dialing: asyncio.Task[None] | None = None
    is_sent: bool = False
    way: Way
    payload: bytes

    def abandon(self) -> None:
        """Close the connection, or give up making one: nobody waits for the reply any more."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()
        dialing, self.dialing = self.dialing, None
        if dialing is not None:
            dialing.cancel()


class Exchange(Call):
    """A call that a coroutine waits for: `started` resolves, or raises EndpointError, when the subclass says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.started: asyncio.Future[None] = loop.create_future()

    def begin(self) -> None:
        """Resolve `started`."""
        if not self.started.done():
            self.started.set_result(None)

    def on_failure(self, error: EndpointError) -> None:
        """Fail `started`; a subclass whose reply has begun overrides this."""
        if not self.started.done():
            self.started.set_exception(error)


class HttpClient:
    """Makes requests over pooled connections, one pool for each (host, port, TLS).

    Belongs to the event loop that runs when it is first used. `aclose` closes every connection.

    Args:
        dialer: makes the connections.
        network: how they are made for `request` and `stream`.
        max_idle_per_origin: idle connections kept for each origin; more are closed when they become idle.
    """

    def __init__(
        self, dialer: Dialer | None = None, *, network: Network = _PRIVATE, max_idle_per_origin: int = 256
    ) -> None:
        self._network = network
        self._dialer = dialer or Dialer()
        self._max_idle = max_idle_per_origin
        self._idle: defaultdict[str, deque[Connection]] = defaultdict(deque)
        self._open: set[Connection] = set()
        self._dialing: set[asyncio.Task[None]] = set()
        self._known_heads: dict[bytes, ReplyHead] = {}
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

        Raises:
            EndpointError: what the exchange failed with.
        """
        self.start(Way(target, self._network, connect_s, name_pool(target, self._network)), payload, exchange)
        await exchange.started

    def start(self, way: Way, payload: bytes, call: Call) -> None:
        """Send a request over a kept-alive connection, or make one; `call` is told everything, never within this call.

        A kept-alive connection that turns out closed, with nothing of a reply received, is replaced by a fresh one,
        once. A fresh one is never tried twice.
        """
        call.way = way
        call.payload = payload
        idle = self._idle.get(way.pool)
        while idle:
            connection = idle.pop()  # the one used last, so that the pool shrinks to what the load needs
            call.connection = connection
            call.is_sent = True
            if connection.send(payload, call, self._redial):
                return
        self._dial(call)

    def _redial(self, receiver: Receiver) -> None:
        """The kept-alive connection was closed already."""
        self._dial(cast("Call", receiver))

    def _dial(self, call: Call) -> None:
        call.connection = None
        call.is_sent = False
        task = asyncio.get_running_loop().create_task(self._connect_and_send(call.way, call))
        call.dialing = task
        self._dialing.add(task)
        task.add_done_callback(self._dialing.discard)

    async def _connect_and_send(self, way: Way, call: Call) -> None:
        left_s = call.total_at - asyncio.get_running_loop().time()
        try:
            connection = await self._connect(way, min(way.connect_s, left_s))
        except EndpointError as error:
            call.dialing = None
            call.on_failure(error)
            return
        call.dialing = None
        call.connection = connection
        call.is_sent = True
        call.first_at = 0.0  # what connecting took is not the endpoint's time
        if not connection.send(call.payload, call):
            call.on_failure(EndpointError(ErrorCode.UPSTREAM_UNREACHABLE, "the endpoint closed the connection at once"))

    async def aclose(self) -> None:
        """Close every connection, idle or not, and wait until the transports are gone."""
        self._is_closed = True
        for task in tuple(self._dialing):
            task.cancel()
        if self._dialing:
            await asyncio.wait(self._dialing)
        for connection in tuple(self._open):
            connection.abort()
        if self._open:
            self._all_gone = asyncio.get_running_loop().create_future()
            await self._all_gone

    async def _connect(self, way: Way, connect_s: float) -> Connection:
        if self._is_closed:
            raise EndpointError(ErrorCode.UPSTREAM_UNREACHABLE, "the HTTP client is closed", is_retryable=False)
        loop = asyncio.get_running_loop()
        connection = await self._dialer.connect(
            lambda: Connection(loop, self._free, self._forget, self._known_heads),
            way.target,
            way.network,
            connect_s,
        )
        connection.idle = self._idle[way.pool]
        self._open.add(connection)
        return connection

    def _free(self, connection: Connection) -> None:
        idle = connection.idle
        if len(idle) < self._max_idle and not self._is_closed:
            idle.append(connection)
        else:
            connection.abort()

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in connection.idle:
            connection.idle.remove(connection)
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

    def on_head(self, head: ReplyHead) -> None:
        """The reply has begun."""
        self.status = head.status
        self.headers = _name_headers(head.headers)
        self.begin()

    def on_data(self, data: bytes) -> None:
        """Queue what came; a reader who lags pauses the endpoint."""
        self._chunks.append(data)
        self._num_waiting_bytes += len(data)
        if self.connection is not None:
            if self._num_waiting_bytes > _PAUSE_BYTES:
                self.connection.pause_reading()
            self.connection.begin_idle(self)
        self._wake_reader()

    def on_end(self) -> None:
        """No more will come."""
        self.connection = None
        self._is_ended = True
        self._wake_reader()

    def on_failure(self, error: EndpointError) -> None:
        """Before the head: fail the start. After it: fail the iteration."""
        if not self.started.done():
            self.started.set_exception(error)
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

    def on_head(self, head: ReplyHead) -> None:
        self.status = head.status
        self.headers = head.headers

    def on_data(self, data: bytes) -> None:
        self._parts.append(data)
        self._num_bytes += len(data)
        if self._num_bytes > self._max_body_bytes:
            self.abandon()
            message = f"the endpoint's reply is longer than {self._max_body_bytes} bytes"
            self.on_failure(EndpointError(ErrorCode.UPSTREAM_ERROR, message))
        elif self.connection is not None:
            self.connection.begin_idle(self)

    def on_end(self) -> None:
        self.connection = None
        self.body = b"".join(self._parts)
        self.begin()


def name_pool(target: Target, network: Network) -> str:
    """Name of the pool of connections to a target over a network."""
    return f"{target.host}|{target.port}|{target.is_tls}|{network}"


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
