"""Two gateway workers on one port: both serve, are shown, take new snapshots, and one may die without the other."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import time
import urllib.request
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.installation import FILE, KEY, Running, is_alive, list_processes, run_up, wait_for_trace, wait_until
from flows.load import assert_all_on_record, under_load, wait_for_more
from inhouse.domain import ReplicaState, TraceStatus

pytestmark = pytest.mark.engine
TWO_WORKERS = FILE.replace("gateway: {port: 0,", "gateway: {port: 0, workers: 2,")
ENVIRONMENT = {"FLOW_KEY": KEY, "FLAKY_URL": "http://127.0.0.1:9/v1"}
MAX_CONNECTIONS = 60


@dataclass
class Caller:
    """One kept-alive connection, which is served by one worker for as long as it lives."""

    connection: http.client.HTTPConnection
    writer: str = ""

    @property
    def worker(self) -> str:
        return self.writer.partition("-")[0]

    @property
    def pid(self) -> int:
        return int(self.writer.rpartition("-")[2])

    def get(self, path: str) -> tuple[int, Any]:
        self.connection.request("GET", path, headers={"authorization": f"Bearer {KEY}"})
        reply = self.connection.getresponse()
        return reply.status, json.loads(reply.read())

    def start(self, **body: object) -> http.client.HTTPResponse:
        """Ask, and leave the body of the reply to be read."""
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        asked = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3} | body
        self.connection.request("POST", "/v1/chat/completions", json.dumps(asked), headers)
        return self.connection.getresponse()

    def ask(self, model: str = "desk") -> tuple[int, str]:
        """Status and trace id of a whole answer."""
        reply = self.start(model=model)
        reply.read()
        return reply.status, reply.headers["x-inhouse-trace"]

    def snapshot_version(self) -> int:
        return int(self.get("/readyz")[1]["snapshot"])


@contextlib.contextmanager
def a_caller_of_each(running: Running) -> Generator[Mapping[str, Caller]]:
    """A connection to each worker; the kernel chooses, so there are attempts, and the trace tells who served."""
    callers: dict[str, Caller] = {}
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            connection = http.client.HTTPConnection("127.0.0.1", running.addresses["gateway_port"], timeout=20)
            stack.callback(connection.close)
            caller = Caller(connection)
            status, trace_id = caller.ask()
            assert status == 200
            caller.writer = wait_for_trace(running.store, trace_id).open.writer
            callers.setdefault(caller.worker, caller)
            if len(callers) == 2:
                break
        yield callers


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_up(tmp_path_factory.mktemp("workers"), TWO_WORKERS, ENVIRONMENT) as running:
        yield running


@pytest.fixture
def callers(started: Running) -> Iterator[Mapping[str, Caller]]:
    with a_caller_of_each(started) as callers:
        yield callers


def shown_workers(running: Running) -> dict[str, int]:
    """The workers that the status page shows, with their process ids."""
    with urllib.request.urlopen(f"{running.admin_url}/api/status", timeout=5) as reply:  # noqa: S310 -- our own
        return {worker["worker"]: worker["pid"] for worker in json.loads(reply.read())["gateway_workers"]}


def test_both_serve_on_the_one_port_and_are_shown(started: Running, callers: Mapping[str, Caller]) -> None:
    gateways = {pid for pid, line in list_processes(started.process.pid).items() if "cli.gateway_process" in line}

    assert set(callers) == {"gw0", "gw1"}
    assert {caller.pid for caller in callers.values()} == gateways
    wait_until(lambda: shown_workers(started) == {name: caller.pid for name, caller in callers.items()}, 5, "workers")


def test_a_trace_is_found_at_once_through_whichever_worker_is_asked(callers: Mapping[str, Caller]) -> None:
    for asked in callers.values():
        for served in callers.values():
            _, trace_id = served.ask()
            status, trace = asked.get(f"/v1/traces/{trace_id}")

            assert (status, trace.get("status"), trace.get("id")) == (200, "complete", trace_id)


def test_an_engine_that_dies_and_comes_back_is_seen_by_both(started: Running, callers: Mapping[str, Caller]) -> None:
    before = {name: caller.snapshot_version() for name, caller in callers.items()}
    (replica,) = started.replicas()
    assert replica.pid is not None

    def is_seen() -> bool:
        """Killed as often as it comes back meanwhile: at first it is back before anybody looks."""
        with contextlib.suppress(StopIteration, ProcessLookupError):
            os.kill(started.find_pid("engine"), signal.SIGKILL)
        return all(caller.snapshot_version() > before[name] for name, caller in callers.items())

    wait_until(is_seen, what="the death seen by both")
    wait_until(
        lambda: any(row.state is ReplicaState.READY and row.pid != replica.pid for row in started.replicas()),
        what="the engine is back",
    )
    for name, caller in callers.items():
        wait_until(lambda c=caller: c.ask("only-clerk")[0] == 200, what=f"the new engine seen by {name}")
    wait_until(
        lambda: len({caller.snapshot_version() for caller in callers.values()}) == 1, what="one snapshot for both"
    )


async def test_one_is_killed_under_load_and_the_other_loses_nothing(
    started: Running, callers: Mapping[str, Caller]
) -> None:
    victim, survivor = callers["gw0"], callers["gw1"]
    began_at = time.time()
    async with under_load(started, num_clients=6) as load:
        await wait_for_more(load, 40)
        # This answer is under way for certain when its gateway dies.
        reply = await asyncio.to_thread(
            lambda: victim.start(model="only-clerk", max_tokens=900, ignore_eos=True, stream=True)
        )
        assert await asyncio.to_thread(reply.read1)
        os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            await asyncio.to_thread(reply.read)
        cut = reply.headers["x-inhouse-trace"]
        await wait_for_more(load, 60)
        assert (await asyncio.to_thread(survivor.ask))[0] == 200  # its kept-alive connection never noticed

    await asyncio.to_thread(assert_all_on_record, started, load)
    aborted = await asyncio.to_thread(wait_for_trace, started.store, cut)
    assert aborted.close is not None
    assert (aborted.status, aborted.close.error_code) == (TraceStatus.ABORTED, "gateway_lost")
    lost = started.store.traces.list(1000, status=TraceStatus.ABORTED, since=began_at)
    assert {trace.open.writer for trace in lost} == {victim.writer}

    def is_back() -> bool:
        workers = shown_workers(started)
        return workers["gw1"] == survivor.pid and workers.get("gw0", victim.pid) != victim.pid

    await asyncio.to_thread(wait_until, is_back, 20, "the killed worker is back")
    with a_caller_of_each(started) as again:
        assert (set(again), again["gw1"].pid) == ({"gw0", "gw1"}, survivor.pid)
        assert again["gw0"].pid != victim.pid


def test_a_stop_lets_both_finish_and_leaves_nothing(tmp_path: Path) -> None:
    text = TWO_WORKERS.replace("drain_s: 3", "drain_s: 20")
    with run_up(tmp_path, text, ENVIRONMENT) as running, a_caller_of_each(running) as callers:
        pids = list_processes(running.process.pid)
        assert len(pids) == 7, pids
        replies = [
            caller.start(model="only-clerk", max_tokens=120, stream=True, ignore_eos=True)
            for caller in callers.values()
        ]
        assert len(replies) == 2
        running.process.send_signal(signal.SIGTERM)
        texts = [reply.read() for reply in replies]
        running.process.wait(20)

    assert all(text.endswith(b"data: [DONE]\n\n") for text in texts)
    assert running.process.returncode == 0
    assert [pid for pid in pids if is_alive(pid)] == []
