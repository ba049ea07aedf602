"""Kill -9 of each process under load: what was completed is on record, nothing is orphaned, service comes back."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from flows.installation import FILE, KEY, Running, answers, is_alive, list_processes, run_up, wait_for_trace, wait_until
from flows.load import assert_all_on_record, under_load, wait_for_more
from inhouse.backends import HttpClient
from inhouse.cli.traffic import ChatCall, stream_chat
from inhouse.domain import ReplicaState, TraceStatus

pytestmark = pytest.mark.engine


async def test_no_completed_request_is_lost_when_the_gateway_is_killed(installation: Running) -> None:
    began_at = time.time()
    gateway = installation.find_pid("gateway")

    async def kill_at_once(_num_events: int) -> None:
        if is_alive(gateway):
            os.kill(gateway, signal.SIGKILL)

    async with under_load(installation) as load, contextlib.aclosing(HttpClient()) as client:
        await wait_for_more(load, 40)
        # This answer is under way for certain when its gateway dies.
        body = {"model": "desk", "messages": [{"role": "user", "content": "go on"}], "max_tokens": 900}
        call = ChatCall(client, installation.base_url, KEY)
        cut = await stream_chat(call, {**body, "ignore_eos": True}, on_event=kill_at_once)
        await wait_for_more(load, 40)

    assert_all_on_record(installation, load)
    assert not cut.is_complete
    assert all(reply.error for reply in [cut, *load.cut])

    def list_aborted() -> dict[str, str | None]:
        traces = installation.store.traces.list(1000, status=TraceStatus.ABORTED, since=began_at)
        return {trace.open.trace_id: trace.close.error_code for trace in traces if trace.close}

    wait_until(lambda: cut.headers["trace"] in list_aborted(), 5, "the abort on record")
    assert set(list_aborted().values()) <= {"gateway_lost", "client_closed"}
    assert list_aborted()[cut.headers["trace"]] == "gateway_lost"
    wait_until(lambda: not installation.store.traces.list(10, status=TraceStatus.OPEN), 5, "an end of every trace")


async def test_nothing_stops_serving_when_control_is_killed(installation: Running) -> None:
    async with under_load(installation) as load:
        await wait_for_more(load, 20)
        os.kill(installation.find_pid("control"), signal.SIGKILL)
        await wait_for_more(load, 80)

    assert (load.cut, load.refused) == ([], [])
    assert_all_on_record(installation, load)
    wait_until(lambda: answers(f"{installation.admin_url}/api/healthz"), what="control is back")


async def test_engines_die_with_the_agent_and_come_back_at_the_same_address(installation: Running) -> None:
    (before,) = installation.replicas()
    async with under_load(installation) as load:
        await wait_for_more(load, 20)
        os.kill(installation.find_pid("agent"), signal.SIGKILL)
        assert before.pid is not None
        await asyncio.to_thread(wait_until, lambda: not is_alive(before.pid or 0), 5, "the engine's end")
        await wait_for_more(load, 40)
        await asyncio.to_thread(
            wait_until,
            lambda: any(row.state is ReplicaState.READY and row.pid != before.pid for row in installation.replicas()),
            20,
            "a new engine",
        )
        await wait_for_more(load, 20)

    (after,) = installation.replicas()
    assert after.base_url == before.base_url
    assert all(reply.error for reply in load.cut)
    assert load.refused == []  # before the commit point the route falls back
    assert_all_on_record(installation, load)


async def test_a_killed_engine_is_a_visible_error_then_a_fallback_then_back(installation: Running) -> None:
    pid = installation.find_pid("engine")

    killed: list[int] = []

    async def kill_at_three(num_events: int) -> None:
        if num_events >= 3 and not killed:
            os.kill(pid, signal.SIGKILL)
            killed.append(num_events)

    async with contextlib.aclosing(HttpClient()) as client:
        call = ChatCall(client, installation.base_url, KEY)
        body = {"model": "desk", "messages": [{"role": "user", "content": "go on"}], "max_tokens": 900}
        cut = await stream_chat(call, {**body, "ignore_eos": True}, on_event=kill_at_three)
        after = await stream_chat(call, body)

    assert not cut.is_complete
    assert cut.error is not None
    assert "upstream_cut" in cut.error
    assert after.is_complete
    trace = wait_for_trace(installation.store, cut.headers["trace"])
    assert trace.status is TraceStatus.ABORTED
    wait_until(
        lambda: any(row.state is ReplicaState.READY and row.pid != pid for row in installation.replicas()),
        what="the engine is back",
    )


def test_nothing_is_left_when_up_itself_is_killed(tmp_path: Path) -> None:
    environment = {"FLOW_KEY": KEY, "FLAKY_URL": "http://127.0.0.1:9/v1"}
    with run_up(tmp_path, FILE, environment) as running:
        pids = list_processes(running.process.pid)
        assert len(pids) == 6, pids
        running.process.kill()
        running.process.wait()

        wait_until(lambda: not any(is_alive(pid) for pid in pids), 15, "the end of every process")


def test_stopping_leaves_nothing_running_and_a_second_start_works(tmp_path: Path) -> None:
    environment = {"FLOW_KEY": KEY, "FLAKY_URL": "http://127.0.0.1:9/v1"}
    addresses: list[object] = []
    for _ in range(2):
        started_at = time.monotonic()
        with run_up(tmp_path, FILE, environment) as running:
            pids = list_processes(running.process.pid)
            addresses.append(running.addresses)
        assert running.process.returncode == 0
        assert not any(is_alive(pid) for pid in pids)
        assert time.monotonic() - started_at < 60
    assert addresses[0] == addresses[1]
