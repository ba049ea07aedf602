"""Endurance, run by `make soak`: two million requests to a worker whose endpoint fails at random."""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from flows.faults.fault_server import FaultServer
from flows.faults.stage import KEY, PEPPER, build_endpoint, build_snapshot
from flows.test_soak import read_rss_kib
from inhouse.backends import HttpClient, Timeouts
from inhouse.domain import EndpointError, Route, Snapshot, TraceClose, TraceOpen, Variant
from inhouse.telemetry import list_spools, read_batch

NUM_REQUESTS = int(os.environ.get("INHOUSE_SOAK_REQUESTS", "2000000"))
"""Set it lower for a look."""
NUM_ROUNDS = 20
NUM_AT_ONCE = 32
MAX_GROWTH = 1.05
FAULT_SHARE = 0.05
FAULTS = (
    *("reset", "close", "429-bare", "500", "503", "400", "context", "cut-between", "cut-inside", "end-inside"),
    *("html", "empty", "done-only", "other-mode", "malformed", "error", "error-done", "no-usage", "bad-framing"),
)
WORKER = """
import sys
from pathlib import Path
from inhouse.gateway import GatewayRun, GatewaySettings, run_gateway
settings = GatewaySettings(port=0, drain_s=5)
sys.exit(run_gateway(GatewayRun(settings, Path(sys.argv[1]), 0, {}, bytes.fromhex(sys.argv[2]))))
"""
pytestmark = pytest.mark.soak


def build_storm(faulty: FaultServer, spare: FaultServer) -> Snapshot:
    """A route for each fault, with a healthy fallback, and one route without any fault."""
    plain = build_snapshot(build_endpoint("spare", spare.base_url))
    endpoints, routes = dict(plain.endpoints), dict(plain.routes)
    for name in FAULTS:
        endpoint = build_endpoint(name, faulty.base_url, model=f"fault:{name}:after")
        endpoints[name] = endpoint
        variants = (Variant(name="own", endpoint_id=name), Variant(name="spare", endpoint_id="spare"))
        routes[name] = Route(name=name, data_class="internal", variants=variants, default="own", fallback=("spare",))
    return msgspec.structs.replace(plain, endpoints=endpoints, routes=routes)


@contextlib.asynccontextmanager
async def run_worker(folder: Path) -> AsyncGenerator[tuple[int, str]]:
    """A gateway worker as a process: its pid and address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(folder), PEPPER.hex(), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield process.pid, line.removeprefix("LISTENING ").strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


class Books:
    """Reads the worker's spool as the shipper does, and takes away files that are finished."""

    def __init__(self, folder: Path) -> None:
        self.opened: set[str] = set()
        self.num_pairs = 0
        self._folder = folder
        self._offsets: Counter[Path] = Counter()

    def read(self) -> None:
        paths = list_spools(self._folder)
        for path in paths:
            while True:
                batch = read_batch(path, self._offsets[path], 10_000)
                self._offsets[path] = batch.next_offset
                assert batch.num_skipped == 0
                for record in batch.records:
                    self._take(record)
                if not batch.records:
                    break
        for path in paths[:-1]:
            path.unlink()

    def _take(self, record: TraceOpen | TraceClose) -> None:
        if isinstance(record, TraceOpen):
            self.opened.add(record.trace_id)
        else:
            self.opened.remove(record.trace_id)
            self.num_pairs += 1


async def test_two_million_requests_with_random_faults_lose_nothing(tmp_path: Path) -> None:
    chance = random.Random(20_261_124)
    outcomes: Counter[str] = Counter()
    sizes: list[int] = []
    async with FaultServer() as faulty, FaultServer() as spare, contextlib.aclosing(HttpClient()) as client:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "snapshot.json").write_bytes(msgspec.json.encode(build_storm(faulty, spare)))
        books = Books(tmp_path / "spool")
        async with run_worker(tmp_path) as (pid, url):
            for _ in range(NUM_ROUNDS):
                left = NUM_REQUESTS // NUM_ROUNDS

                async def ask_many() -> None:
                    nonlocal left
                    while left > 0:
                        left -= 1
                        outcomes[await ask_one(client, url, chance)] += 1

                async with asyncio.TaskGroup() as group:
                    for _ in range(NUM_AT_ONCE):
                        group.create_task(ask_many())
                faulty.asked.clear()
                spare.asked.clear()
                await asyncio.to_thread(books.read)
                sizes.append(read_rss_kib(pid))
        await asyncio.to_thread(books.read)

    num_asked = NUM_REQUESTS // NUM_ROUNDS * NUM_ROUNDS
    assert outcomes.total() == num_asked
    assert set(outcomes) <= {"full", "error", "broken"}
    assert outcomes["full"] > (1 - FAULT_SHARE) * num_asked
    assert not books.opened
    assert books.num_pairs == num_asked
    assert sizes[-1] <= sizes[2] * MAX_GROWTH, sizes


async def ask_one(client: HttpClient, url: str, chance: random.Random) -> str:
    """`full`, `error` (a status with words), `broken` (an error event), or what else it was."""
    route = chance.choice(FAULTS) if chance.random() < FAULT_SHARE else "chat"
    is_stream = chance.random() < 0.5
    body = json.dumps({"model": route, "messages": [{"role": "user", "content": "hi"}], "stream": is_stream}).encode()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    try:
        reply = await client.request(
            "POST", f"{url}/v1/chat/completions", headers=headers, body=body, timeouts=Timeouts(total_s=60.0)
        )
    except EndpointError as error:
        return f"lost: {error}"
    if reply.status != 200:
        return "error" if b'"error"' in reply.body else f"status {reply.status} without words"
    if not is_stream:
        return "full" if b'"finish_reason"' in reply.body else "a whole reply that is none"
    if reply.body.endswith(b"data: [DONE]\n\n"):
        return "full" if b'"finish_reason":"stop"' in reply.body.replace(b": ", b":") else "an end without a finish"
    return "broken" if b'"error"' in reply.body.rsplit(b"\n\n", 2)[-2] else "a cut that nobody sees"
