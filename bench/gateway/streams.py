"""Upstream of streamed shapes: one raw asyncio protocol; 64 chat chunks, or as many numbered ones as are asked for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import cast

import uvloop
from numbered import EVENT_GAP_S, Numbered, build_numbered_event, build_numbered_tail, read_numbered_request
from payloads import STREAM_END, STREAM_HEAD, build_stream, find_length, frame
from processes import raise_open_files

WRITE_GAP_S = 0.002
"""A real endpoint makes a token in milliseconds: writes must not run together into one read."""
GATE_S = 45.0
"""Longest wait of numbered streams for one another."""
_BACKLOG = 4096
_PROBE_REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class _Gate:
    """Numbered streams go on past their first event when all have sent it, or when the first has waited long enough."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, numbered: Numbered, go_on: Callable[[], None]) -> None:
        """`go_on` is called then, spread over the gap between two events."""
        self._waiting.append(go_on)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATE_S, self._open)
        if len(self._waiting) >= numbered.num_streams:
            self._open()

    def _open(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        for index, go_on in enumerate(waiting):
            loop.call_later(EVENT_GAP_S * index / len(waiting), go_on)


class _Streamer(asyncio.Protocol):
    """Answers any complete request with a stream; one event a write."""

    writes = build_stream()
    gate = _Gate()

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = find_length(head + b"\r\n")
        if length is None:  # a router's probe, not a chat request
            self._buffer = b""
            self._write(_PROBE_REPLY)
        elif len(body) >= length:
            self._buffer = b""
            numbered = read_numbered_request(body)
            if numbered is None:
                self._step(0)
            else:
                self._write(STREAM_HEAD + frame(build_numbered_event(numbered.number, 0)))
                self.gate.wait(numbered, lambda: self._step_numbered(numbered, 1))

    def _step(self, index: int) -> None:
        if self._write(self.writes[index]) and index + 1 < len(self.writes):
            self._loop.call_later(WRITE_GAP_S, self._step, index + 1)

    def _step_numbered(self, numbered: Numbered, index: int) -> None:
        if index >= numbered.num_events:
            self._write(frame(build_numbered_tail(numbered.num_events)) + STREAM_END)
        elif self._write(frame(build_numbered_event(numbered.number, index))):
            self._loop.call_later(EVENT_GAP_S, self._step_numbered, numbered, index + 1)

    def _write(self, data: bytes) -> bool:
        """Write; False where the client has left."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        return True


async def _main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Streamer, "127.0.0.1", 0, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    raise_open_files()
    sys.exit(uvloop.run(_main()))
