"""Load generator: kept-alive connections, one request after another on each. Prints requests, errors and seconds."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import cast

import uvloop


class _Driver(asyncio.Protocol):
    """Sends the same request again and again; a reply ends by its content-length or its last chunk."""

    def __init__(self, payload: bytes, num_requests: int, done: asyncio.Future[int]) -> None:
        self._payload = payload
        self._num_left = num_requests
        self._done = done
        self._num_good = 0
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._payload)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if buffer.endswith(b"0\r\n\r\n") and b"chunked" in buffer[:600].lower():
            self._next(is_good=b"[DONE]" in buffer)
            return
        head_end = buffer.find(b"\r\n\r\n")
        name = b"content-length:"
        start = buffer[: max(head_end, 0)].lower().find(name)
        if start >= 0:
            length = int(buffer[start + len(name) :].split(b"\r\n", 1)[0])
            if len(buffer) >= head_end + 4 + length:
                self._next(is_good=buffer.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names it
        if not self._done.done():
            self._done.set_result(self._num_good)

    def _next(self, *, is_good: bool) -> None:
        self._num_good += is_good
        self._num_left -= 1
        self._buffer.clear()
        if self._transport is None or self._num_left <= 0:
            if not self._done.done():
                self._done.set_result(self._num_good)
            if self._transport is not None:
                self._transport.close()
            return
        self._transport.write(self._payload)


def build_payload(port: int, *, is_stream: bool, model: str) -> bytes:
    """A chat request whose prompt has 300 bytes."""
    prompt = ("Order 4711 did not arrive and the customer asks for a refund. " * 5)[:300]
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 64, "temperature": 0.2}
    if is_stream:
        body["stream"] = True
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer sk-bench\r\n"
        "Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: bench\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def _main(options: argparse.Namespace) -> int:
    loop = asyncio.get_running_loop()
    payload = build_payload(options.port, is_stream=options.stream, model=options.model)
    share = max(1, options.requests // options.connections)
    began = time.perf_counter()
    waits: list[asyncio.Future[int]] = []
    for _ in range(options.connections):
        done: asyncio.Future[int] = loop.create_future()
        waits.append(done)
        await loop.create_connection(lambda done=done: _Driver(payload, share, done), "127.0.0.1", options.port)
    num_good = sum(await asyncio.gather(*waits))
    num_asked = share * options.connections
    print(json.dumps({"good": num_good, "bad": num_asked - num_good, "seconds": time.perf_counter() - began}))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--model", default="chat")
    sys.exit(uvloop.run(_main(parser.parse_args())))
