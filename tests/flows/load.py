"""Clients that keep asking while something happens, and what they saw of it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from flows.installation import KEY, Running, wait_until
from inhouse.backends import HttpClient
from inhouse.cli.traffic import ChatCall, ChatReply, stream_chat
from inhouse.domain import TraceStatus
from inhouse.evals.tickets import generate_workload

TICKETS = generate_workload(200, seed=5)


@dataclass
class Load:
    """What the clients saw."""

    completed: list[ChatReply] = field(default_factory=list[ChatReply])
    cut: list[ChatReply] = field(default_factory=list[ChatReply])
    refused: list[ChatReply] = field(default_factory=list[ChatReply])
    is_on: bool = True


@contextlib.asynccontextmanager
async def under_load(running: Running, *, num_clients: int = 4, route: str = "desk") -> AsyncGenerator[Load]:
    """Keep asking from several clients for as long as the block runs."""
    load = Load()
    async with contextlib.aclosing(HttpClient()) as client, asyncio.TaskGroup() as group:
        call = ChatCall(client, running.base_url, KEY)

        async def ask(offset: int) -> None:
            position = offset
            while load.is_on:
                ticket = TICKETS[position % len(TICKETS)]
                position += num_clients
                body = {"model": route, "messages": [{"role": "user", "content": ticket.prompt}], "max_tokens": 160}
                reply = await stream_chat(call, body, headers={"x-inhouse-task": ticket.task})
                kind = load.completed if reply.is_complete else load.cut if reply.status == 200 else load.refused
                kind.append(reply)
                if kind is load.refused:
                    await asyncio.sleep(0.02)

        for offset in range(num_clients):
            group.create_task(ask(offset))
        try:
            yield load
        finally:
            load.is_on = False


async def wait_for_more(load: Load, count: int, timeout_s: float = 20.0) -> None:
    """Wait until `count` further requests are completed."""
    target = len(load.completed) + count
    async with asyncio.timeout(timeout_s):
        while len(load.completed) < target:
            await asyncio.sleep(0.02)


def assert_all_on_record(running: Running, load: Load) -> None:
    """Every completed request has a whole trace; the last of them may still be on their way to the store."""
    ids = [reply.headers["trace"] for reply in load.completed]
    assert len(ids) == len(set(ids))

    def list_missing() -> list[str]:
        traces = running.store.traces.find(ids)
        return [trace_id for trace_id in ids if trace_id not in traces or traces[trace_id].close is None]

    wait_until(lambda: not list_missing(), 10, "a whole trace of every completed request")
    traces = running.store.traces.find(ids)
    assert {trace.status for trace in traces.values()} == {TraceStatus.COMPLETE}
