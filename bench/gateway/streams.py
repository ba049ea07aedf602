"""Upstream of the streamed shape: one raw asyncio protocol that sends 64 chat chunks, one event a write."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

NUM_CHUNKS = 64
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

_PROBE_REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def build_writes() -> list[bytes]:
    """The head, then one HTTP chunk for each event: 64 content chunks, the finish with usage, `[DONE]`, the end."""
    base = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "tiny"}

    def event(choices: list[dict[str, object]], **more: object) -> bytes:
        data = b"data: %b\n\n" % json.dumps(base | {"choices": choices} | more, separators=(",", ":")).encode()
        return b"%x\r\n%b\r\n" % (len(data), data)

    chunks = [
        event([{"index": 0, "delta": {"content": f" word{index}"}, "logprobs": None, "finish_reason": None}])
        for index in range(NUM_CHUNKS - 3)
    ]
    usage = {"prompt_tokens": 75, "completion_tokens": NUM_CHUNKS - 3, "total_tokens": 75 + NUM_CHUNKS - 3}
    finish = event([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}])
    return [_HEAD, *chunks, finish, event([], usage=usage), b"e\r\ndata: [DONE]\n\n\r\n", b"0\r\n\r\n"]


class _Streamer(asyncio.Protocol):
    """Answers any complete request with the stream; a write for each turn of the loop."""

    writes = build_writes()

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        name = b"content-length: "
        if name not in head.lower():  # a router's probe, not a chat request
            self._buffer = b""
            if self._transport is not None:
                self._transport.write(_PROBE_REPLY)
            return
        start = head.lower().find(name) + len(name)
        if len(body) >= int(head[start:].split(b"\r\n", 1)[0]):
            self._buffer = b""
            self._step(0)

    def _step(self, index: int) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(self.writes[index])
        if index + 1 < len(self.writes):
            # A real endpoint makes a token in milliseconds: writes must not run together into one read.
            asyncio.get_running_loop().call_later(0.002, self._step, index + 1)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Streamer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(uvloop.run(_main()))
