"""Many streams at once through one proxy, each checked byte for byte."""

from __future__ import annotations

import asyncio
import time
from typing import cast

from commands import Held, HeldReply
from numbered import EVENT_GAP_S, Numbered, build_numbered_body, build_numbered_request

_CONNECTS_AT_ONCE = 100
_MAX_FAULTS_SHOWN = 5
_PATIENCE_S = 60.0


class AtOnce:
    """How many streams are open at once: begun and not ended."""

    def __init__(self) -> None:
        self.num_open = 0
        self.num_at_once = 0

    def begin(self) -> None:
        """One more has begun."""
        self.num_open += 1
        self.num_at_once = max(self.num_at_once, self.num_open)

    def end(self) -> None:
        """One has ended."""
        self.num_open -= 1


class _Stream(asyncio.Protocol):
    """One stream: its bytes are kept and compared when it has ended."""

    def __init__(self, number: int, command: Held, counter: AtOnce) -> None:
        self._number = number
        self._command = command
        self._numbered = Numbered(number, command.num_events, command.num_streams)
        self._counter = counter
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.num_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(build_numbered_request(self._command.port, self._numbered))

    def data_received(self, data: bytes) -> None:
        if not self._received:
            self._counter.begin()
        self._received += data
        if self._received.endswith(b"\r\n0\r\n\r\n"):
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the connection was closed after {len(self._received)} bytes ({exc})")

    def _end(self, fault: str | None) -> None:
        if self.done.done():
            return
        if self._received:
            self._counter.end()
        self.done.set_result(fault or self._compare())
        self._received.clear()
        if self._transport is not None:
            self._transport.close()

    def _compare(self) -> str | None:
        """What differs from the bytes that the endpoint sent; None where nothing does."""
        head, _, framed = bytes(self._received).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return f"stream {self._number}: {head[:60]!r}"
        body = remove_framing(framed)
        expected = build_numbered_body(self._numbered)
        self.num_bytes = len(body)
        if body == expected:
            return None
        at = next((i for i, (one, two) in enumerate(zip(body, expected, strict=False)) if one != two), len(body))
        found = f"{len(body)} bytes for {len(expected)}, different from byte {at}: {body[at : at + 60]!r}"
        return f"stream {self._number}: {found}"


def remove_framing(framed: bytes) -> bytes:
    """The body of a chunked message.

    Raises:
        ValueError: the framing is broken.
    """
    parts: list[bytes] = []
    at = 0
    while True:
        end = framed.index(b"\r\n", at)
        length = int(framed[at:end], 16)
        at = end + 2 + length
        if framed[at : at + 2] != b"\r\n":
            raise ValueError(f"the chunk before byte {at} does not end where its size says")
        if length == 0:
            return b"".join(parts)
        parts.append(framed[end + 2 : at])
        at += 2


async def hold(command: Held) -> HeldReply:
    """Open all streams, a few connections at a time, and read each to its end."""
    loop = asyncio.get_running_loop()
    counter = AtOnce()
    began = time.perf_counter()
    streams: list[_Stream] = []
    for first in range(0, command.num_streams, _CONNECTS_AT_ONCE):
        some = [
            _Stream(number, command, counter)
            for number in range(first, min(first + _CONNECTS_AT_ONCE, command.num_streams))
        ]
        await asyncio.gather(*(loop.create_connection(lambda one=one: one, "127.0.0.1", command.port) for one in some))
        streams += some
    waits = [stream.done for stream in streams]
    await asyncio.wait(waits, timeout=_PATIENCE_S + command.num_events * EVENT_GAP_S)
    faults = [fault for wait in waits if wait.done() and (fault := wait.result()) is not None]
    num_late = sum(not wait.done() for wait in waits)
    if num_late:
        faults.append(f"{num_late} streams did not end")
    return HeldReply(
        num_at_once=counter.num_at_once,
        num_whole=sum(wait.done() and wait.result() is None for wait in waits),
        num_bytes=sum(stream.num_bytes for stream in streams),
        faults=faults[:_MAX_FAULTS_SHOWN],
        seconds=time.perf_counter() - began,
    )
