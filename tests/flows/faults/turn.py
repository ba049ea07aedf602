"""One request that the fault server answers, and the ways to put bytes on its wire. Decides nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from dataclasses import dataclass

from flows.faults.wire import WIRES, Answer

BEFORE, AFTER = "before", "after"
_RESET = struct.pack("ii", 1, 0)
JSON = "application/json"


@dataclass(frozen=True)
class Asked:
    """A request that arrived. `at` stands on the monotonic clock, in seconds."""

    at: float
    path: str
    model: str
    is_stream: bool
    has_usage: bool
    body: bytes
    headers: dict[str, str]


class Turn:
    """One request being answered."""

    def __init__(
        self, asked: Asked, when: str, answer: Answer, may_break: asyncio.Event, writer: asyncio.StreamWriter
    ) -> None:
        self.asked = asked
        self.wire = WIRES[asked.path]
        self.when = when
        self.answer = answer
        self.may_break = may_break
        self._writer = writer

    @property
    def whole(self) -> bytes:
        """The unstreamed reply's body."""
        return self.wire.whole(self.answer, True)

    @property
    def events(self) -> list[bytes]:
        """The whole stream."""
        return self.wire.list_events(self.answer, self.asked.has_usage)

    async def send(self, data: bytes) -> None:
        """Put bytes on the wire."""
        self._writer.write(data)
        await self._writer.drain()

    async def send_head(self, content_type: str, framing: str, status: int = 200) -> None:
        await self.send(f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\n{framing}\r\n\r\n".encode())

    async def send_stream_head(self) -> None:
        await self.send_head("text/event-stream", "transfer-encoding: chunked")

    async def send_event(self, data: bytes) -> None:
        """One event (or any bytes) as one HTTP chunk."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def send_whole(self, body: bytes, status: int = 200, content_type: str = JSON, more: str = "") -> None:
        """A reply with a length, properly ended."""
        framing = f"content-length: {len(body)}{more}".encode()
        await self.send(
            b"HTTP/1.1 %d X\r\ncontent-type: %b\r\n%b\r\n\r\n%b" % (status, content_type.encode(), framing, body)
        )

    async def end_stream(self) -> None:
        """The proper end of a chunked body."""
        await self.send(b"0\r\n\r\n")

    async def begin(self) -> None:
        """All that is right: nothing `before`; the head and the first part of the answer `after`."""
        if self.when == BEFORE:
            return
        if self.asked.is_stream:
            await self.send_stream_head()
            for event in self.events[: self.wire.num_first]:
                await self.send_event(event)
        else:
            await self.send_head(JSON, f"content-length: {len(self.whole)}")
            await self.send(self.whole[: len(self.whole) // 2])
        await self.may_break.wait()

    async def begin_body(self) -> None:
        """The same, but the head comes in any case."""
        if self.when == AFTER:
            await self.begin()
        elif self.asked.is_stream:
            await self.send_stream_head()
        else:
            await self.send_head(JSON, f"content-length: {len(self.whole)}")

    def close(self) -> None:
        """FIN: what was written goes out, then the connection ends."""
        self._writer.close()

    def reset(self) -> None:
        """RST."""
        with socket.socket(fileno=os.dup(self._writer.get_extra_info("socket").fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._writer.transport.abort()
