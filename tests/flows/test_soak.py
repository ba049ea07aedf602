"""Endurance, run by `make soak`: many requests with kills in between; nothing lost, memory flat."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from flows.installation import KEY, Running, wait_until
from inhouse.backends import HttpClient
from inhouse.cli.traffic import ChatCall, ChatReply, run_all, stream_chat
from inhouse.domain import TraceStatus
from inhouse.evals.tickets import generate_workload

NUM_REQUESTS = 20_000
NUM_ROUNDS = 10
MAX_GROWTH = 1.10
pytestmark = [pytest.mark.soak, pytest.mark.engine]


def read_rss_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


async def test_twenty_thousand_requests_with_killed_engines_lose_nothing(installation: Running) -> None:
    tickets = generate_workload(1000, seed=11)
    gateway = installation.find_pid("gateway")
    sizes: list[int] = []
    completed: list[str] = []
    async with contextlib.aclosing(HttpClient()) as client:
        call = ChatCall(client, installation.base_url, KEY)

        async def ask(number: int) -> ChatReply:
            ticket = tickets[number % len(tickets)]
            body = {"model": "desk", "messages": [{"role": "user", "content": ticket.prompt}], "max_tokens": 160}
            return await stream_chat(call, body, headers={"x-inhouse-task": "topic"})

        for round_number in range(NUM_ROUNDS):
            share = range(round_number * NUM_REQUESTS // NUM_ROUNDS, (round_number + 1) * NUM_REQUESTS // NUM_ROUNDS)
            replies = await run_all(share, ask, num_at_once=16)
            assert all(reply.is_complete or reply.error for reply in replies)
            completed += [reply.headers["trace"] for reply in replies if reply.is_complete]
            sizes.append(read_rss_kib(gateway))
            await asyncio.to_thread(wait_until, installation.has_engine, 20, "an engine to kill")
            os.kill(installation.find_pid("engine"), signal.SIGKILL)

    wait_until(lambda: len(closed(installation, completed)) == len(completed), 30, "every close on record")
    assert len(completed) > 0.95 * NUM_REQUESTS
    assert installation.find_pid("gateway") == gateway
    assert sizes[-1] <= sizes[1] * MAX_GROWTH, sizes


def closed(installation: Running, ids: list[str]) -> list[str]:
    found = installation.store.traces.find(ids)
    return [trace_id for trace_id, trace in found.items() if trace.status is TraceStatus.COMPLETE]
