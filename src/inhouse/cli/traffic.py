"""Chat requests of the demonstration: one streamed call, and a bounded number of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from inhouse.backends import HttpClient, Timeouts
from inhouse.domain import EndpointError

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ChatCall:
    """Where and as whom to call."""

    client: HttpClient
    base_url: str
    key: str
    timeouts: Timeouts = field(default_factory=lambda: Timeouts(connect_s=5.0, first_byte_s=30.0, idle_s=30.0))


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What a client saw.

    `is_complete` is True only where the stream's `[DONE]` arrived. `error` holds the error event or the reason why
    nothing came. `headers` are the `x-inhouse-…` ones without the prefix.
    """

    status: int
    text: str
    headers: Mapping[str, str]
    is_complete: bool
    error: str | None = None
    num_events: int = 0


async def stream_chat(
    call: ChatCall,
    body: Mapping[str, Any],
    *,
    headers: Mapping[str, str] | None = None,
    on_event: Callable[[int], Awaitable[None]] | None = None,
) -> ChatReply:
    """Make one streamed request and read it to its end, whatever the end is.

    Args:
        call: where and as whom.
        body: the request; `stream` is set here.
        headers: further headers, such as `x-inhouse-task`.
        on_event: awaited after each event with the number of events so far.
    """
    collected = _Collected()
    try:
        async with call.client.stream(
            "POST",
            f"{call.base_url}/chat/completions",
            headers={"authorization": f"Bearer {call.key}", "content-type": "application/json", **(headers or {})},
            body=msgspec.json.encode({**body, "stream": True}),
            timeouts=call.timeouts,
        ) as reply:
            collected.start(reply.status, reply.headers)
            async for data in reply:
                num_before = collected.num_events
                collected.feed(data)
                if on_event is not None and collected.num_events > num_before:
                    await on_event(collected.num_events)
    except EndpointError as error:
        collected.error = collected.error or str(error)
    return collected.finish()


async def run_all(items: Sequence[T], worker: Callable[[T], Awaitable[R]], *, num_at_once: int) -> list[R]:
    """Apply `worker` to every item, at most `num_at_once` at a time; results in the order of the items."""
    gate = asyncio.Semaphore(num_at_once)

    async def guarded(item: T) -> R:
        async with gate:
            return await worker(item)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(guarded(item)) for item in items]
    return [task.result() for task in tasks]


class _Collected:
    """Reads server-sent events as they arrive."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.error: str | None = None
        self.num_events = 0
        self._is_done = False
        self._rest = b""
        self._texts: list[str] = []

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        prefix = "x-inhouse-"
        self.headers = {name.removeprefix(prefix): text for name, text in headers.items() if name.startswith(prefix)}

    def feed(self, data: bytes) -> None:
        self._rest += data
        if self.status != 200:
            return
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                self._take(line[6:].strip())

    def finish(self) -> ChatReply:
        if self.status not in {0, 200}:
            self.error = self._rest.decode(errors="replace")
        return ChatReply(self.status, "".join(self._texts), self.headers, self._is_done, self.error, self.num_events)

    def _take(self, payload: bytes) -> None:
        if payload == b"[DONE]":
            self._is_done = True
            return
        event = msgspec.json.decode(payload)
        if "error" in event:
            self.error = msgspec.json.encode(event["error"]).decode()
            return
        for choice in event.get("choices", ()):
            text = choice.get("delta", {}).get("content")
            if text:
                self.num_events += 1
                self._texts.append(text)
