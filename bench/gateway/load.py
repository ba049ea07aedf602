"""The load process: takes commands on standard input, one JSON line each, and answers each with one line."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import Counter
from typing import cast

import msgspec
import uvloop
from commands import Closed, ClosedReply, Command, Held, Open
from held_streams import hold
from open_loop import run_open
from payloads import STREAM_END, Ask, build_payload, find_length
from processes import raise_open_files

_HEAD_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200"


class _Driver(asyncio.Protocol):
    """Sends the same request again and again; a reply ends by its content-length or its last chunk."""

    def __init__(self, payload: bytes, last_event: bytes) -> None:
        self._payload = payload
        self._last_event = last_event
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[None] | None = None
        self._parts: list[bytes] = []
        self._tail = b""
        self._num_whole_bytes = 0
        self._num_left = 0
        self.num_good = 0
        self.statuses: Counter[int] = Counter()
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names it
        self.is_open = False
        self._finish()

    def start(self, num_requests: int) -> asyncio.Future[None]:
        """Make so many requests; resolves after the last reply, or when the connection is lost."""
        self.num_good = 0
        self.statuses.clear()
        self._num_left = num_requests
        self._done = asyncio.get_running_loop().create_future()
        self._send()
        return self._done

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if not self._parts and len(data) == self._num_whole_bytes and data.startswith(_OK):
            self._next(200, is_good=True)
            return
        self._parts.append(data)
        self._tail = (self._tail + data)[-len(STREAM_END) :]
        if self._tail == STREAM_END or len(self._parts) == 1 or self._num_whole_bytes:
            self._read_whole()

    def _read_whole(self) -> None:
        """A reply that is complete is counted; an unstreamed one's length is remembered."""
        whole = b"".join(self._parts)
        end = whole.find(_HEAD_END)
        head = whole[: end + 2].lower()
        length = find_length(head) if end >= 0 else None
        if length is not None:
            self._num_whole_bytes = end + 4 + length
            if len(whole) >= self._num_whole_bytes:
                self._next(int(head[9:12]), is_good=head.startswith(_OK.lower()))
        elif end >= 0 and self._tail == STREAM_END and b"\r\ntransfer-encoding: chunked" in head:
            self._next(int(head[9:12]), is_good=head.startswith(_OK.lower()) and self._last_event in whole[-400:])

    def _next(self, status: int, *, is_good: bool) -> None:
        self.num_good += is_good
        self.statuses[status] += 1
        self._num_left -= 1
        self._parts.clear()
        self._tail = b""
        if self._num_left > 0:
            self._send()
        else:
            self._finish()

    def _send(self) -> None:
        if self._transport is None or not self.is_open:
            self._finish()
        else:
            self._transport.write(self._payload)

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


class Load:
    """Keeps the connections of each target between commands, so that opening them is not measured."""

    def __init__(self) -> None:
        self._drivers: dict[tuple[int, int, bool, Ask], list[_Driver]] = {}

    async def run_closed(self, command: Closed) -> ClosedReply:
        """Run one closed loop."""
        await asyncio.sleep(0.001)  # connections that were closed meanwhile say so
        drivers = await self._open(command)
        shares = [command.num_requests // len(drivers)] * len(drivers)
        for index in range(command.num_requests % len(drivers)):
            shares[index] += 1
        began = time.perf_counter()
        busy = [driver.start(share) for driver, share in zip(drivers, shares, strict=True) if share]
        await asyncio.gather(*busy)
        seconds = time.perf_counter() - began
        num_good = sum(driver.num_good for driver in drivers)
        statuses: Counter[int] = Counter()
        for driver in drivers:
            statuses.update(driver.statuses)
        return ClosedReply(
            num_good=num_good, num_bad=command.num_requests - num_good, seconds=seconds, statuses=dict(statuses)
        )

    def close(self) -> None:
        """Close every connection."""
        for drivers in self._drivers.values():
            for driver in drivers:
                driver.close()

    async def _open(self, command: Closed) -> list[_Driver]:
        key = (command.port, command.num_connections, command.is_stream, command.ask)
        kept = [driver for driver in self._drivers.get(key, []) if driver.is_open]
        payload = build_payload(command.port, is_stream=command.is_stream, ask=command.ask)
        last_event = b"message_stop" if command.ask is Ask.MESSAGES else b"data: [DONE]"
        loop = asyncio.get_running_loop()
        while len(kept) < command.num_connections:
            _, driver = await loop.create_connection(lambda: _Driver(payload, last_event), "127.0.0.1", command.port)
            kept.append(driver)
        self._drivers[key] = kept
        return kept


def main() -> int:
    """Answer commands until standard input ends."""
    raise_open_files()
    gc.disable()  # nothing here makes cycles that matter; a collection would stand in somebody's latency
    decoder: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)  # type: ignore[arg-type]
    load = Load()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin.buffer:
            command = decoder.decode(line)
            match command:
                case Closed():
                    reply: object = runner.run(load.run_closed(command))
                case Open():
                    reply = run_open(command)
                case Held():
                    reply = runner.run(hold(command))
            sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
            sys.stdout.buffer.flush()
            gc.collect()
    return 0


if __name__ == "__main__":
    sys.exit(main())
