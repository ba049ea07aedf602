"""A loop on which the gateway runs whole, without a socket: clients and endpoints are protocols in the same process.

Nothing of the gateway is replaced: it starts as it always does. Only the loop's connections are memory, so that what is
measured is the interpreter's work without the kernel's (but for the trace spool, which is a real file).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import uvloop
from payloads import STREAM_END, find_length

ProtocolFactory = Callable[[], asyncio.BaseProtocol]
Drive = Callable[[ProtocolFactory], Awaitable[None]]
_HEAD_END = b"\r\n\r\n"


class MemoryTransport(asyncio.Transport):
    """One side of a connection; what its protocol writes goes to `take` at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.take: Callable[[bytes], None] = lambda _data: None
        self._loop = loop
        self._protocol = protocol
        self._is_closing = False
        self._is_paused = False
        self._waiting: list[bytes] = []

    def deliver(self, data: bytes) -> None:
        """Hand bytes to the protocol, now; kept while it does not read."""
        if self._is_closing:
            return
        if self._is_paused:
            self._waiting.append(data)
        elif isinstance(self._protocol, asyncio.BufferedProtocol):
            self._protocol.get_buffer(len(data))[: len(data)] = data  # type: ignore[index]
            self._protocol.buffer_updated(len(data))
        else:
            cast("asyncio.Protocol", self._protocol).data_received(data)

    def write(self, data: Any) -> None:
        """To the other side."""
        self.take(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        """To the other side, as one."""
        self.take(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """It can be told."""
        return True

    def write_eof(self) -> None:
        """Nothing more comes; nobody here waits for it."""

    def close(self) -> None:
        """Tell the protocol, on the loop's next turn."""
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """As `close`."""
        self.close()

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        """Nothing is ever buffered."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def is_reading(self) -> bool:
        """Whether the protocol takes bytes."""
        return not self._is_paused

    def pause_reading(self) -> None:
        """Keep what comes."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Deliver what has waited."""
        self._is_paused = False
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self._loop.call_soon(self.deliver, data)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another protocol takes over."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Whom it serves."""
        return self._protocol


class Responder:
    """An endpoint: answers each whole request with `writes`, one for each turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: MemoryTransport, writes: list[bytes]) -> None:
        self._loop = loop
        self._transport = transport
        self._writes = writes
        self._received = b""

    def take(self, data: bytes) -> None:
        """Bytes of a request."""
        self._received += data
        end = self._received.find(_HEAD_END)
        if end >= 0 and len(self._received) >= end + 4 + (find_length(self._received[: end + 2]) or 0):
            self._received = b""
            self._loop.call_soon(self._step, 0)

    def _step(self, index: int) -> None:
        if index + 1 < len(self._writes):
            self._loop.call_soon(self._step, index + 1)
        self._transport.deliver(self._writes[index])


class Caller:
    """A client: sends the same request again and again, and keeps each reply's first bytes to check it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, factory: ProtocolFactory, payload: bytes) -> None:
        self._loop = loop
        self._payload = payload
        self._protocol = factory()
        self._transport = MemoryTransport(loop, self._protocol)
        self._transport.take = self._take
        self._parts: list[bytes] = []
        self._num_left = 0
        self._done: asyncio.Future[None] | None = None
        self.last = b""
        self._protocol.connection_made(self._transport)

    def call(self, num_requests: int) -> asyncio.Future[None]:
        """Make so many requests; resolves after the last reply."""
        self._num_left = num_requests
        self._done = self._loop.create_future()
        self._loop.call_soon(self._transport.deliver, self._payload)
        return self._done

    def close(self) -> None:
        """Hang up."""
        cast("asyncio.Protocol", self._protocol).connection_lost(None)

    def _take(self, data: bytes) -> None:
        self._parts.append(data)
        if data.endswith(STREAM_END) or self._is_whole():
            self.last = b"".join(self._parts)
            self._parts.clear()
            self._num_left -= 1
            if self._num_left > 0:
                self._loop.call_soon(self._transport.deliver, self._payload)
            elif self._done is not None:
                self._done.set_result(None)

    def _is_whole(self) -> bool:
        """Whether the reply has a content-length and that many bytes; a stream has none."""
        first = self._parts[0]
        end = first.find(_HEAD_END)
        length = find_length(first[: end + 2]) if end >= 0 else None
        return length is not None and sum(map(len, self._parts)) >= end + 4 + length


class InProcessLoop(uvloop.Loop):
    """Connections that are opened lead to a `Responder`; what listens is handed to `drive`, and stopped after it."""

    def __init__(self, writes: list[bytes], drive: Drive) -> None:
        super().__init__()
        self._writes = writes
        self._drive = drive
        self._driving: asyncio.Task[None] | None = None

    async def create_connection(self, protocol_factory: ProtocolFactory, *_args: Any, **named: Any) -> Any:
        """A connection in memory, whatever the address."""
        if named.get("sock") is not None:
            named["sock"].close()
        protocol = protocol_factory()
        transport = MemoryTransport(self, protocol)
        transport.take = Responder(self, transport, self._writes).take
        protocol.connection_made(transport)
        return transport, protocol

    async def create_server(self, protocol_factory: ProtocolFactory, *args: Any, **named: Any) -> Any:
        """A real server, which nobody calls, and the drive beside it."""
        server = await super().create_server(protocol_factory, *args, **named)
        self._driving = self.create_task(self._run(protocol_factory))
        return server

    async def _run(self, protocol_factory: ProtocolFactory) -> None:
        self.set_exception_handler(self._stop)
        try:
            await asyncio.sleep(0.2)  # start-up ends, memory is frozen
            await self._drive(protocol_factory)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def _stop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a callback raised ends the drive; the first one is shown, the thousand that may follow are not."""
        if self._driving is not None and not self._driving.done():
            self.default_exception_handler(context)
            self._driving.cancel()


async def measure(callers: list[Caller], num_requests: int) -> float:
    """CPU microseconds of this process per request, over `num_requests` shared by the callers."""
    share = max(1, num_requests // len(callers))
    began_ns = time.process_time_ns()
    await asyncio.gather(*(caller.call(share) for caller in callers))
    return (time.process_time_ns() - began_ns) / 1e3 / (share * len(callers))
