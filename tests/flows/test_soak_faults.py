"""Endurance, run by `make soak`: two million requests with random faults to one worker; nothing lost, memory flat.

A process is the clients and judges every reply byte by byte, another is the endpoints; the worker is as it runs
everywhere. What may come of a request stands in flows/faults/table.py. After each round every reply is found on record,
once and as it was seen, and the worker holds nothing for a request. Set INHOUSE_SOAK_REQUESTS lower for a look.
"""

import asyncio
import os
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from flows.endurance.asks import FAULT_SHARE, Addresses, Saw, build_storm
from flows.endurance.books import Books
from flows.endurance.client import Report, Round
from flows.endurance.processes import Process, start
from flows.endurance.worker import Held
from flows.faults.stage import PEPPER
from inhouse.domain import Snapshot

NUM_REQUESTS = int(os.environ.get("INHOUSE_SOAK_REQUESTS", "2000000"))
NUM_ROUNDS = 20
NUM_WARM_UP = 5_000
"""Requests of the first round at least: caches and pools are full after it."""
SEED = 20_261_124
MAX_GROWTH = 1.05
"""Of the worker's memory from the first round to the last."""
MIN_FAULTS = FAULT_SHARE / 2
"""For each request, on average: endpoints that fail are left out for a while, so not each fault is met."""
READ_EVERY_S = 1.0
REST_S = 10.0
BAD_WORDS = ("Traceback", " ERROR ", "never retrieved", "never awaited")
pytestmark = pytest.mark.soak


async def test_two_million_requests_with_random_faults_lose_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    num_each = NUM_REQUESTS // NUM_ROUNDS
    num_seen: Counter[str] = Counter()
    sizes: list[int] = []
    blocks: list[int] = []
    books = Books(tmp_path / "spool")
    async with start("endpoints", tmp_path / "endpoints.log") as endpoints:
        addresses = msgspec.json.decode(await endpoints.read_line(), type=Addresses)
        publish(tmp_path / "run", build_storm(addresses, 0))
        async with start("worker", tmp_path / "worker.log", str(tmp_path), PEPPER.hex()) as worker:
            port = (await worker.read_line()).decode().rpartition(":")[2].strip()
            async with start("client", tmp_path / "client.log", port, str(SEED)) as client:
                for number in range(1, NUM_ROUNDS + 1):
                    began = time.perf_counter()
                    publish(tmp_path / "run", build_storm(addresses, number))
                    asked = Round(max(num_each, NUM_WARM_UP) if number == 1 else num_each, str(tmp_path / "ledger"))
                    report = await play(asked, client, books)
                    held = await wait_rest(worker, report.num_open)
                    books.compare(tmp_path / "ledger")
                    num_seen.update(report.num_seen)
                    sizes.append(worker.read_rss_kib())
                    blocks.append(held.num_blocks)
                    rate = sum(report.num_seen.values()) / (time.perf_counter() - began)
                    with capsys.disabled():
                        words = describe(num_seen, books, sizes[-1], [worker, client, endpoints])
                        sys.stdout.write(f"\nround {number}: {rate:.0f} requests/s; together {words}")
                        sys.stdout.flush()
                    assert not report.num_wrong, report.wrong
                    assert not books.faults, books.faults
                    assert held.is_at_rest, held
                    assert held.num_connections == report.num_open
            assert await worker.end() == 0
        books.compare(Path(os.devnull))

    log = (tmp_path / "worker.log").read_text()
    assert not [line for line in log.splitlines() if any(words in line for words in BAD_WORDS)]
    assert not books.faults, books.faults
    assert books.num_matched == num_seen.total() >= num_each * NUM_ROUNDS
    assert all(num_seen[saw] for saw in Saw)
    assert books.num_failed > MIN_FAULTS * num_seen.total()
    assert sizes[-1] <= sizes[0] * MAX_GROWTH, sizes
    assert blocks[-1] <= blocks[0] * MAX_GROWTH, blocks


def publish(folder: Path, snapshot: Snapshot) -> None:
    """Give the worker a snapshot: each round has one of its own, so that old ones must be let go."""
    folder.mkdir(exist_ok=True)
    (folder / "next").write_bytes(msgspec.json.encode(snapshot))
    (folder / "next").rename(folder / "snapshot.json")


async def play(asked: Round, client: Process, books: Books) -> Report:
    """A round; the records are read and their files removed while they are written."""
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(client.ask(msgspec.json.encode(asked)))
        while not asking.done():
            await asyncio.wait([asking], timeout=READ_EVERY_S)
            books.read()
    return msgspec.json.decode(asking.result(), type=Report)


async def wait_rest(worker: Process, num_open: int) -> Held:
    """What the worker holds when all is answered: soon it must be at rest, with so many clients connected."""
    ends_at = time.monotonic() + REST_S
    while True:
        held = msgspec.json.decode(await worker.signal(), type=Held)
        if (held.is_at_rest and held.num_connections == num_open) or time.monotonic() > ends_at:
            return held
        await asyncio.sleep(0.05)


def describe(num_seen: Counter[str], books: Books, rss_kib: int, processes: list[Process]) -> str:
    """What was seen so far, in one line of progress."""
    seen = ", ".join(f"{saw} {num_seen[saw]}" for saw in Saw)
    cpu = "/".join(f"{process.read_cpu_s() / num_seen.total() * 1e6:.0f}" for process in processes)
    return (
        f"{num_seen.total()} requests ({seen}; {books.num_failed} faults met), worker {rss_kib / 1024:.1f} MiB, "
        f"CPU of worker/client/endpoints {cpu} µs per request"
    )
