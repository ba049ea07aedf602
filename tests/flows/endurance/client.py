"""The client process of the endurance test: raw connections that ask at random, and judge every reply.

Takes a `Round` on standard input, one JSON line each, writes its ledger, and answers with a `Report`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from flows.endurance.asks import ASKS, NUM_QUICK, WEIGHTS, Saw
from flows.endurance.replies import Seen, WrongReplyError, find_trace, has_begun, is_whole, judge

NUM_LANES = 32
NUM_WAITING_LANES = 8
"""They ask what mostly waits for a deadline, as long as the others are busy."""
PATIENCE_S = 60.0
"""No request may take longer, whatever goes wrong: this is where a hang becomes a failure."""
_LOOK_S = 2.0
_MAX_WRONG = 20


class Round(msgspec.Struct, frozen=True):
    """So many requests, beside those that wait. The ledger gets a line for each: trace, ask, seen, status, code."""

    num_requests: int
    ledger: str


class Report(msgspec.Struct, frozen=True):
    """What came of a round. `num_seen` counts by `Saw`; `wrong` tells of the first replies that may not be."""

    num_seen: dict[str, int]
    num_wrong: int
    wrong: list[str]
    num_open: int
    """Connections to the gateway that are kept."""
    cpu_s: float
    """CPU time of this process so far."""


class Wire(asyncio.Protocol):
    """One connection to the gateway; one request at a time."""

    def __init__(self) -> None:
        self.began_at = 0.0
        self.is_open = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._is_left_early = False
        self._waiting: asyncio.Future[bytes] | None = None

    def ask(self, payload: bytes, *, leaves: bool = False) -> asyncio.Future[bytes]:
        """Send a request; gives its whole reply, or with `leaves` the first part and goes away."""
        assert self._transport is not None
        if self._received:
            raise WrongReplyError(f"bytes after a reply: {self._received!r}")
        self.began_at = self._loop.time()
        self._is_left_early = leaves
        self._waiting = self._loop.create_future()
        self._transport.write(payload)
        return self._waiting

    def give_up_after(self, patience_s: float) -> None:
        """Go away where the reply has not come for so long."""
        if self._waiting is not None and self._loop.time() - self.began_at > patience_s:
            self._fail(f"no whole reply within {patience_s:g} s, but {self._received!r}")
            self.close()

    def close(self) -> None:
        """Go away."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        waiting = self._waiting
        if waiting is None:
            return
        is_enough = is_whole(received) or (self._is_left_early and has_begun(received))
        if is_enough and not waiting.done():
            self._received = b""
            self._waiting = None
            waiting.set_result(received)
            if self._is_left_early:
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._fail(f"the connection was lost ({exc}) after {self._received!r}")

    def _fail(self, words: str) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(WrongReplyError(words))


class Client:
    """Keeps its connections from round to round.

    Args:
        port: the gateway's.
        seed: of what is asked when.
    """

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._chance = random.Random(seed)
        self._wires: dict[int, Wire] = {}
        self._num_seen: Counter[str] = Counter()
        self._ledger: list[str] = []
        self._wrong: list[str] = []
        self._num_wrong = 0
        self._num_busy = 0

    async def run(self, asked: Round) -> Report:
        """Ask, judge, and note everything."""
        self._num_seen.clear()
        self._ledger.clear()
        self._wrong.clear()
        self._num_wrong = 0
        self._num_busy = NUM_LANES
        quick = iter(self._chance.choices(range(NUM_QUICK), WEIGHTS, k=asked.num_requests))
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            async with asyncio.TaskGroup() as lanes:
                for lane in range(NUM_LANES):
                    lanes.create_task(self._run_lane(lane, quick))
                for lane in range(NUM_LANES, NUM_LANES + NUM_WAITING_LANES):
                    lanes.create_task(self._ask_all(lane, self._draw_waiting()))
            watching.cancel()
        Path(asked.ledger).write_text("".join(self._ledger))
        num_open = sum(wire.is_open for wire in self._wires.values())
        return Report(dict(self._num_seen), self._num_wrong, self._wrong, num_open, time.process_time())

    async def _run_lane(self, lane: int, quick: Iterator[int]) -> None:
        await self._ask_all(lane, quick)
        self._num_busy -= 1

    def _draw_waiting(self) -> Iterator[int]:
        while self._num_busy:
            yield self._chance.randrange(NUM_QUICK, len(ASKS))

    async def _ask_all(self, lane: int, indexes: Iterator[int]) -> None:
        for index in indexes:
            try:
                seen = await self._ask(lane, index)
            except WrongReplyError as error:
                self._num_wrong += 1
                if self._num_wrong <= _MAX_WRONG:
                    self._wrong.append(f"{ASKS[index].route}: {error}")
                self._wires.pop(lane).close()
                continue
            self._num_seen[seen.saw] += 1
            self._ledger.append(f"{seen.trace_id} {index} {seen.saw} {seen.status} {seen.code}\n")

    async def _ask(self, lane: int, index: int) -> Seen:
        ask = ASKS[index]
        wire = self._wires.get(lane)
        if wire is None or not wire.is_open:
            wire = await self._connect(lane)
        reply = await wire.ask(ask.payload, leaves=ask.leaves)
        if ask.closes or ask.leaves:
            wire.close()
            wire.is_open = False
        if ask.leaves and not is_whole(reply):
            return Seen(find_trace(reply), Saw.LEFT)
        return judge(ask, reply)

    async def _connect(self, lane: int) -> Wire:
        _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", self._port)
        self._wires[lane] = wire
        return wire

    async def _watch(self) -> None:
        """A request that hangs is given up."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for wire in self._wires.values():
                wire.give_up_after(PATIENCE_S)


def main() -> int:
    """Take rounds until standard input ends."""
    client = Client(int(sys.argv[1]), int(sys.argv[2]))
    decoder = msgspec.json.Decoder(Round)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin.buffer:
            report = runner.run(client.run(decoder.decode(line)))
            sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
            sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
