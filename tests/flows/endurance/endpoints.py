"""The endpoints' process of the endurance test: a raw one that is well and cheap, and the fault server.

The one that is well answers prepared bytes, in one write or in several, cut anywhere; now and then it closes its
connection after a reply, announced or not. Prints its `Addresses`; ends when standard input does.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from collections.abc import Iterator
from typing import cast

import msgspec
import uvloop

from flows.endurance.asks import QUESTION, SPARE_ANSWER, Addresses
from flows.faults.fault_server import FaultServer
from flows.faults.wire import OPENAI

ANNOUNCED_CLOSE_EVERY = 97
SILENT_CLOSE_EVERY = 499
_FORGET_S = 1.0
_BAD = b"HTTP/1.1 418 X\r\ncontent-length: 0\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n%b\r\n"
_CLOSING = b"connection: close\r\n"


class Well(asyncio.Protocol):
    """A connection of the endpoint that is well."""

    numbers = itertools.count(1)
    wholes: Iterator[list[bytes]]
    streams: Iterator[list[bytes]]

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names it
        self._transport = None

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n") + 4
        at = received.find(b"content-length: ", 0, end) + 16
        if end < 4 or len(received) < end + int(received[at : received.find(b"\r\n", at)]):
            return
        self._received = b""
        number = next(self.numbers)
        is_announced = number % ANNOUNCED_CLOSE_EVERY == 0
        self._closes = is_announced or number % SILENT_CLOSE_EVERY == 0
        if QUESTION.encode() not in received:
            writes = [_BAD]
        elif b'"stream": true' in received:
            writes = next(self.streams)
        else:
            writes = next(self.wholes)
        self._write([_announce(writes[0]), *writes[1:]] if is_announced else writes, 0)

    def _write(self, writes: list[bytes], index: int) -> None:
        """The next write, each in a turn of the loop of its own."""
        if self._transport is None:
            return
        self._transport.write(writes[index])
        if index + 1 < len(writes):
            self._loop.call_soon(self._write, writes, index + 1)
        elif self._closes:
            self._transport.close()


def list_wholes(chance: random.Random) -> list[list[bytes]]:
    """An unstreamed reply in its writes: mostly one."""
    body = OPENAI.whole(SPARE_ANSWER, True)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return [*([head + body] for _ in range(13)), [head, body], *(_cut(head, body, chance) for _ in range(2))]


def list_streams(chance: random.Random) -> list[list[bytes]]:
    """A stream in its writes: all at once, event by event, or cut anywhere."""
    head = _STREAM_HEAD % b""
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in OPENAI.list_events(SPARE_ANSWER, True)]
    whole = b"".join(chunks) + b"0\r\n\r\n"
    by_event = [head, *chunks, b"0\r\n\r\n"]
    return [*([head + whole] for _ in range(4)), by_event, by_event, *(_cut(head, whole, chance) for _ in range(6))]


def _cut(head: bytes, rest: bytes, chance: random.Random) -> list[bytes]:
    """In three writes; the head is in the first."""
    first, second = sorted(chance.sample(range(1, len(rest)), 2))
    return [head + rest[:first], rest[first:second], rest[second:]]


def _announce(first: bytes) -> bytes:
    return first.replace(b"content-type: ", _CLOSING + b"content-type: ", 1)


async def _forget(faulty: FaultServer) -> None:
    """What the fault server notes of its requests is for other tests."""
    while True:
        await asyncio.sleep(_FORGET_S)
        faulty.asked.clear()


async def _serve() -> None:
    chance = random.Random(20_261_124)
    Well.wholes = itertools.cycle(list_wholes(chance))
    Well.streams = itertools.cycle(list_streams(chance))
    loop = asyncio.get_running_loop()
    well = await loop.create_server(Well, "127.0.0.1", 0, backlog=1024)
    async with FaultServer() as faulty, asyncio.TaskGroup() as group:
        forgetting = group.create_task(_forget(faulty))
        url = f"http://127.0.0.1:{well.sockets[0].getsockname()[1]}/v1"
        addresses = Addresses(url, faulty.base_url, faulty.refusing_url, faulty.deaf_url)
        sys.stdout.buffer.write(msgspec.json.encode(addresses) + b"\n")
        sys.stdout.buffer.flush()
        await asyncio.to_thread(sys.stdin.buffer.read)
        well.close()
        forgetting.cancel()


if __name__ == "__main__":
    sys.exit(uvloop.run(_serve()))
