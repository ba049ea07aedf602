"""CPU of the gateway's own Python per request and per chunk, without sockets: clients and endpoint in its process.

The whole gateway runs (`run_gateway`); the cost of the harness, measured with a relay that does nothing, is taken off.
What is left is the interpreter's work and the writes of the trace spool. Many short blocks: on a busy machine the least
of them is the figure to compare. `--profile` says which functions it goes to.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import io
import logging
import pstats
import socket
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent / "gateway"))

from in_process import Caller, InProcessLoop, ProtocolFactory, measure  # after the path is set
from opcodes import OpcodeCount  # same
from payloads import NUM_CHUNKS, Ask, build_payload, build_reply, build_stream  # same
from state import PEPPER, write_state  # same

from inhouse.gateway import GatewayRun, GatewaySettings, run_gateway  # same

NUM_CALLERS = 16
NUM_SHOWN = 30
HARNESS = frozenset({"gateway/in_process.py", "gateway/payloads.py"})
Watch = OpcodeCount | cProfile.Profile


@dataclass
class Look:
    """One shape of load and what it cost: microseconds per request, one figure for each block."""

    name: str
    payload: bytes
    writes: list[bytes]
    num_requests: int
    per: int
    blocks: list[float] = field(default_factory=list[float])
    harness: list[float] = field(default_factory=list[float])
    reply: bytes = b""

    @property
    def is_answered(self) -> bool:
        """Whether the gateway serves it."""
        return self.reply.startswith(b"HTTP/1.1 200")


class Relay(asyncio.Protocol):
    """Hands each side's bytes to the other: what the harness itself costs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._upstream: Relay | None = None
        self._client: Relay | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand on; the first request opens the other side."""
        if self._client is not None:
            self._client.write(data)
        elif self._upstream is not None:
            self._upstream.write(data)
        else:
            self._loop.create_task(self._open(data))  # it ends before the first reply can come

    def write(self, data: bytes) -> None:
        """To this side."""
        if self._transport is not None:
            self._transport.write(data)

    async def _open(self, data: bytes) -> None:
        self._upstream = upstream = Relay(self._loop)
        upstream._client = self
        await self._loop.create_connection(lambda: upstream, "127.0.0.1", 1)
        upstream.write(data)


def look_at(look: Look, settings: GatewaySettings, num_blocks: int, watch: Watch | None) -> None:
    """Run the gateway for one look."""

    async def drive(factory: ProtocolFactory) -> None:
        loop = asyncio.get_running_loop()
        relayed = [Caller(loop, lambda: Relay(loop), look.payload) for _ in range(NUM_CALLERS)]
        callers = [Caller(loop, factory, look.payload) for _ in range(NUM_CALLERS)]
        await asyncio.gather(*(caller.call(1) for caller in callers))
        look.reply = callers[0].last
        if not look.is_answered:
            return
        for either in (relayed, callers):
            await measure(either, look.num_requests)
        for _ in range(num_blocks):
            look.harness.append(await measure(relayed, look.num_requests))
            with watch or contextlib.nullcontext():
                look.blocks.append(await measure(callers, look.num_requests))
        for caller in callers:
            caller.close()

    memory = Path("/dev/shm")  # noqa: S108  # only for speed: the spool's disk must not show
    with (
        tempfile.TemporaryDirectory(prefix="inhouse-profile-", dir=memory if memory.is_dir() else None) as folder,
        socket.create_server(("127.0.0.1", 0)) as door,  # the gateway knocks here, and is let in in memory
    ):
        home = Path(folder) / "state"
        write_state(home, door.getsockname()[1])
        with _loop_of(lambda: InProcessLoop(look.writes, drive)), contextlib.redirect_stdout(io.StringIO()):
            run_gateway(GatewayRun(settings, home, 0, {}, PEPPER))


@contextlib.contextmanager
def _loop_of(make: Callable[[], InProcessLoop]):  # noqa: ANN202  # a context manager of nothing
    """The gateway takes its loop from uvloop; here uvloop gives another."""
    original = uvloop.new_event_loop
    uvloop.new_event_loop = make
    try:
        yield
    finally:
        uvloop.new_event_loop = original


def build_looks(num_requests: int) -> list[Look]:
    num_streams = max(NUM_CALLERS, num_requests // 20)
    stream = build_stream()
    chat, streamed = build_payload(1, is_stream=False), build_payload(1, is_stream=True)
    messages = build_payload(1, is_stream=True, ask=Ask.MESSAGES)
    return [
        Look("unstreamed", chat, [build_reply()], num_requests, 1),
        Look("streamed", streamed, stream, num_streams, NUM_CHUNKS),
        Look("translated", messages, stream, num_streams, NUM_CHUNKS),
    ]


def show(look: Look) -> None:
    """One line; a look whose last reply was no 200 says so instead."""
    if not look.is_answered or not look.blocks:
        why = f"the gateway answers {look.reply[9:12].decode()}" if look.reply else "it ended with the exception above"
        print(f"  {look.name:<12} not measured: {why}", flush=True)
        return
    own = sorted((block - idle) / look.per for block, idle in zip(look.blocks, look.harness, strict=True))
    unit = "request" if look.per == 1 else "chunk"
    harness = min(look.harness) / look.per
    print(
        f"  {look.name:<12} least {own[0]:6.2f}, median {statistics.median(own):6.2f} µs per {unit}"
        f"   ({len(own)} blocks of {look.num_requests}; harness {harness:.2f}, taken off)",
        flush=True,
    )


def show_watched(look: Look, watch: Watch) -> None:
    """Where the work is."""
    print(f"\n{look.name}")
    if isinstance(watch, cProfile.Profile):
        pstats.Stats(watch).strip_dirs().sort_stats("tottime").print_stats(NUM_SHOWN)
        return
    number = len(look.blocks) * look.num_requests // NUM_CALLERS * NUM_CALLERS * look.per
    unit = "request" if look.per == 1 else "chunk"
    own = [row for row in watch.by_function.most_common() if row[0][0] not in HARNESS]
    print(f"  {sum(count for _, count in own) / number:.1f} bytecode instructions per {unit}")
    for (file, function), count in own[:NUM_SHOWN]:
        print(f"  {count / number:9.1f}  {file}:{function}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="unstreamed requests of a block")
    parser.add_argument("--blocks", type=int, default=25)
    parser.add_argument("--only", choices=("unstreamed", "streamed", "translated"), action="append")
    parser.add_argument("--no-signals", action="store_true", help="the gateway's free quality signals off")
    parser.add_argument("--opcodes", action="store_true", help="bytecode instructions by function, exact")
    parser.add_argument("--profile", action="store_true", help="the 30 functions with the most own time")
    options = parser.parse_args()
    logging.getLogger("inhouse.gateway").addHandler(logging.NullHandler())  # in place of the one it would add
    settings = GatewaySettings(port=0, drain_s=0.0, signals=not options.no_signals)
    print(f"CPU of the gateway without sockets, {NUM_CALLERS} connections, signals {not options.no_signals}")
    for look in build_looks(options.requests):
        if options.only and look.name not in options.only:
            continue
        watch = OpcodeCount() if options.opcodes else cProfile.Profile() if options.profile else None
        look_at(look, settings, options.blocks, watch)
        if watch is None or not look.blocks:
            show(look)
        else:
            show_watched(look, watch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
