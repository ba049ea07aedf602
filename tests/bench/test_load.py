"""The load of the bench: when requests are due, from when latency counts, and that a wrong byte is seen."""

from __future__ import annotations

import asyncio
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
from commands import Closed, ClosedReply, Held, Open  # pyright: ignore[reportMissingImports]
from held_streams import AtOnce, hold, remove_framing  # pyright: ignore[reportMissingImports]
from hypothesis import given
from hypothesis import strategies as st
from load import Load  # pyright: ignore[reportMissingImports]
from numbered import Numbered, build_numbered_body, build_numbered_request, read_numbered_request  # pyright: ignore[reportMissingImports]
from open_loop import run_open  # pyright: ignore[reportMissingImports]
from payloads import NUM_CHUNKS, STREAM_HEAD, build_payload, build_reply, build_stream, frame  # pyright: ignore[reportMissingImports]
from processes import undisturbed  # pyright: ignore[reportMissingImports]
from schedule import plan_times_ns  # pyright: ignore[reportMissingImports]

Answer = Callable[[asyncio.Transport, bytes], None]
_END = b"0\r\n\r\n"


class _Server(asyncio.Protocol):
    """Hands each whole request's body to `answer`."""

    def __init__(self, answer: Answer, transports: list[asyncio.Transport]) -> None:
        self._answer = answer
        self._transports = transports
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._transports.append(transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if separator and len(body) >= int(head.lower().rpartition(b"content-length: ")[2].split(b"\r\n")[0]):
            self._buffer = b""
            self._answer(self._transport, body)


@contextmanager
def _serving(answer: Answer) -> Generator[int]:
    """A server on a loop of its own thread; yields its port."""
    ports: queue.Queue[tuple[int, Callable[[], None]]] = queue.Queue()

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        transports: list[asyncio.Transport] = []
        async with await loop.create_server(lambda: _Server(answer, transports), "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            ports.put((port, lambda: loop.call_soon_threadsafe(stop.set) and None))
            await stop.wait()
            for transport in transports:
                transport.abort()
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    port, stop = ports.get(timeout=10)
    try:
        yield port
    finally:
        stop()
        thread.join()


def _run_closed(command: Closed) -> ClosedReply:
    async def run() -> ClosedReply:
        load = Load()
        try:
            return await load.run_closed(command)
        finally:
            load.close()
            await asyncio.sleep(0.01)

    return asyncio.run(run())


def test_the_shape_is_the_one_that_the_goals_name() -> None:
    head, _, body = build_payload(8080, is_stream=False).partition(b"\r\n\r\n")
    assert body.count(b"Order 4711 did not arrive") == 5
    assert len(body.partition(b'"content": "')[2].partition(b'"')[0]) == 300
    assert head.endswith(b"Content-Length: %d" % len(body))
    assert len(build_reply().partition(b"\r\n\r\n")[2]) == 385
    assert sum(write.count(b"data: {") for write in build_stream()) == NUM_CHUNKS - 1 == 63
    assert len(build_stream()) == NUM_CHUNKS + 2


def test_even_arrivals_have_even_gaps() -> None:
    assert plan_times_ns(4, 1000.0, None) == [0, 1_000_000, 2_000_000, 3_000_000]


@given(st.integers(0, 2**32), st.floats(10, 20_000))
def test_poisson_arrivals_ascend_repeat_for_a_seed_and_keep_the_rate(seed: int, rate: float) -> None:
    times = plan_times_ns(2000, rate, seed)
    assert times == sorted(times) == plan_times_ns(2000, rate, seed)
    assert 0.8 < times[-1] / 1e9 * rate / 2000 < 1.2


def test_latency_counts_from_the_planned_time_while_the_server_stalls() -> None:
    """The server answers nothing before it has the last request: the first one's wait is at least the whole plan."""
    held: list[asyncio.Transport] = []

    def answer(transport: asyncio.Transport, _body: bytes) -> None:
        held.append(transport)
        if len(held) == 20:
            for one in held:
                one.write(build_reply())

    with _serving(answer) as port:
        reply = run_open(Open(port=port, rate=200.0, num_requests=20, is_poisson=False, seed=0))
    assert reply.num_bad == 0
    assert len(reply.latencies_us) == len(reply.late_us) == 20
    assert max(reply.latencies_us) >= 19 * 5000
    assert min(reply.late_us) >= 0


def test_a_request_that_finds_no_free_connection_still_counts_from_its_time() -> None:
    """64 connections, 70 requests, no answer before 64 have come: the last six wait, none is lost."""
    held: list[asyncio.Transport] = []

    def answer(transport: asyncio.Transport, _body: bytes) -> None:
        held.append(transport)
        if len(held) == 64:
            for one in held:
                one.write(build_reply())
        elif len(held) > 64:
            transport.write(build_reply())

    with _serving(answer) as port:
        reply = run_open(Open(port=port, rate=1000.0, num_requests=70, is_poisson=False, seed=0))
    assert (len(reply.latencies_us), reply.num_bad) == (70, 0)


def test_requests_that_warm_up_are_sent_and_judged_but_not_timed() -> None:
    seen: list[bytes] = []

    def answer(transport: asyncio.Transport, body: bytes) -> None:
        seen.append(body)
        transport.write(build_reply() if len(seen) != 3 else b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}")

    with _serving(answer) as port:
        command = Open(port=port, rate=1000.0, num_requests=20, is_poisson=False, seed=0, num_warm=10)
        reply = run_open(command)
    assert len(seen) == 30
    assert (len(reply.latencies_us), len(reply.late_us), reply.num_bad) == (20, 20, 1)


def test_processes_are_left_alone_and_put_back() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with undisturbed([child.pid]) as is_alone:
            assert os.sched_getscheduler(child.pid) == (os.SCHED_FIFO if is_alone else os.SCHED_OTHER)
        assert os.sched_getscheduler(child.pid) == os.SCHED_OTHER
    finally:
        child.kill()
        child.wait()


def test_the_closed_loop_counts_good_and_bad_replies_by_status() -> None:
    count = iter(range(1000))

    def answer(transport: asyncio.Transport, _body: bytes) -> None:
        bad = b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\n{}"
        transport.write(bad if next(count) % 5 == 0 else build_reply())

    with _serving(answer) as port:
        reply = _run_closed(Closed(port=port, num_requests=50, num_connections=4))
    assert (reply.num_good, reply.num_bad, reply.statuses) == (40, 10, {200: 40, 500: 10})


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_stream_ends_at_its_last_chunk_however_long_its_head_is_and_wherever_reads_end(cut: int) -> None:
    """A head of 2,000 bytes (LiteLLM's has as many) once hid the framing, and with it the end, from the load."""
    head = STREAM_HEAD[:-2] + b"x-long: %b\r\n\r\n" % (b"y" * 2000)
    head = head.replace(b"transfer-encoding: chunked\r\n", b"")[:-2] + b"transfer-encoding: chunked\r\n\r\n"
    whole = head + b"".join(build_stream()[1:])

    def answer(transport: asyncio.Transport, _body: bytes) -> None:
        transport.write(whole[:-cut])
        asyncio.get_running_loop().call_later(0.01, transport.write, whole[-cut:])

    with _serving(answer) as port:
        command = Closed(port=port, num_requests=2, num_connections=1, is_stream=True)
        reply = _run_closed(command)
    assert (reply.num_good, reply.num_bad, reply.statuses) == (2, 0, {200: 2})


def test_a_stream_without_its_last_event_is_bad() -> None:
    def answer(transport: asyncio.Transport, _body: bytes) -> None:
        transport.write(b"".join(build_stream()).replace(frame(b"data: [DONE]\n\n"), b""))

    with _serving(answer) as port:
        command = Closed(port=port, num_requests=3, num_connections=1, is_stream=True)
        reply = _run_closed(command)
    assert (reply.num_good, reply.num_bad) == (0, 3)


def test_a_numbered_request_says_what_it_asks_for() -> None:
    body = build_numbered_request(1, Numbered(17, 64, 5000)).partition(b"\r\n\r\n")[2]
    assert read_numbered_request(body) == Numbered(number=17, num_events=64, num_streams=5000)
    assert read_numbered_request(b'{"messages":[{"role":"user","content":"Order 4711"}]}') is None


def test_no_two_numbered_streams_have_the_same_bytes_nor_two_events_of_one() -> None:
    bodies = {build_numbered_body(Numbered(number, 8, 1)) for number in range(500)}
    assert len(bodies) == 500
    events = build_numbered_body(Numbered(3, 64, 1)).split(b"\n\n")[:64]
    assert len(set(events)) == 64


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20))
def test_framing_is_removed_and_nothing_else(parts: list[bytes]) -> None:
    assert remove_framing(b"".join(map(frame, parts)) + _END) == b"".join(parts)


@pytest.mark.parametrize("framed", [b"", b"3\r\nab\r\n0\r\n\r\n", b"3\r\nabc\r\n", b"x\r\n\r\n"])
def test_broken_framing_is_refused(framed: bytes) -> None:
    with pytest.raises(ValueError):
        remove_framing(framed)


def test_streams_at_once_are_those_begun_and_not_ended() -> None:
    count = AtOnce()
    count.begin()
    count.begin()
    count.end()
    count.begin()
    count.end()
    count.end()
    assert (count.num_open, count.num_at_once) == (0, 2)


def test_held_streams_are_compared_byte_for_byte() -> None:
    """Stream 2 loses a byte, stream 4 has two events the wrong way round, stream 6 is cut; the rest is whole."""
    waiting: list[tuple[asyncio.Transport, bytes]] = []

    def answer(transport: asyncio.Transport, body: bytes) -> None:
        numbered = read_numbered_request(body)
        assert numbered is not None
        events = [event + b"\n\n" for event in build_numbered_body(numbered).split(b"\n\n")[:-1]]
        if numbered.number == 2:
            events[1] = events[1].replace(b"a", b"", 1)
        if numbered.number == 4:
            events[1], events[2] = events[2], events[1]
        transport.write(STREAM_HEAD + frame(events[0]))
        waiting.append((transport, b"".join(map(frame, events[1:])) + (b"" if numbered.number == 6 else _END)))
        if len(waiting) == 10:
            for one, rest in waiting:
                one.write(rest)
                if not rest.endswith(_END):
                    one.close()

    with _serving(answer) as port:
        reply = asyncio.run(hold(Held(port=port, num_streams=10, num_events=4)))
    assert (reply.num_whole, len(reply.faults)) == (7, 3)
    assert sorted(fault.partition(":")[0] for fault in reply.faults if fault.startswith("stream")) == [
        "stream 2",
        "stream 4",
    ]
