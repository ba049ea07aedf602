"""The faults by name: each spoils one answer in one way. Keeps nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from flows.faults.turn import AFTER, BEFORE, JSON, Turn

Fault = Callable[[Turn], Coroutine[Any, Any, None]]
SLOW_S = 0.05
"""Slow, but within every deadline."""
LATE_S = 1.5
"""Longer than the first-token deadline of whoever tests it."""
RETRY_AFTER_S = 1
LONG_RETRY_AFTER_S = 60
OVERSIZED_BYTES = 2 * 1_048_576
"""More than one event may have, and than a whole reply where the test has lowered that bound."""
_DRIP_S = 0.05
_REASONS = {
    "400": ("invalid_request_error", "bad_top_k", "top_k must not be odd"),
    "context": ("invalid_request_error", "context_length_exceeded", "maximum context length is 128 tokens"),
    "401": ("authentication_error", "invalid_api_key", "Incorrect API key provided: sk-secret-of-the-platform"),
    "429": ("rate_limit_error", "rate_limit_exceeded", "slow down"),
    "500": ("server_error", "server_error", "boom"),
    "503": ("server_error", "overloaded", "come back later"),
}


async def _answer(turn: Turn, events: list[bytes] | None = None, pause_s: float = 0.0) -> None:
    """A stream or whole reply, properly ended."""
    if not turn.asked.is_stream:
        await turn.send_whole(turn.whole)
        return
    await turn.send_stream_head()
    for event in turn.events if events is None else events:
        await asyncio.sleep(pause_s)
        await turn.send_event(event)
    await turn.end_stream()


async def _reset(turn: Turn) -> None:
    await turn.begin()
    turn.reset()


async def _close(turn: Turn) -> None:
    turn.close()


async def _hang(turn: Turn) -> None:
    await turn.begin()
    await asyncio.Event().wait()


async def _ping(turn: Turn) -> None:
    """Nothing but keep-alives, for ever."""
    await turn.begin_body()
    while True:
        await turn.send_event(turn.wire.ping)
        await asyncio.sleep(_DRIP_S)


async def _drip(turn: Turn) -> None:
    """A little more all the time, and never an end."""
    await turn.begin()
    piece = turn.events[turn.wire.num_first - 1]
    while True:
        await (turn.send_event(piece) if turn.asked.is_stream else turn.send(b" "))
        await asyncio.sleep(_DRIP_S)


async def _slow(turn: Turn) -> None:
    """Late with the first token, or with every one; never too late."""
    if turn.when == BEFORE or not turn.asked.is_stream:
        await asyncio.sleep(SLOW_S)
        await _answer(turn)
    else:
        await _answer(turn, pause_s=SLOW_S)


async def _late(turn: Turn) -> None:
    await asyncio.sleep(LATE_S)
    await _answer(turn)


def _refuse(status: str, retry_after_s: int | None = None) -> Fault:
    """An HTTP error with a proper body."""
    kind, code, message = _REASONS[status]
    body = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
    number = int(status) if status.isdigit() else 400
    more = "" if retry_after_s is None else f"\r\nretry-after: {retry_after_s}"

    async def refuse(turn: Turn) -> None:
        await turn.send_whole(body, number, more=more)

    return refuse


async def _cut_between_events(turn: Turn) -> None:
    """The connection ends without the end of the body; for a whole reply, before its announced length."""
    await turn.begin_body()
    turn.close()


async def _cut_in_event(turn: Turn) -> None:
    await turn.begin_body()
    event = turn.events[turn.wire.num_first]
    await turn.send_event(event[: len(event) // 2])
    turn.close()


async def _end_between_events(turn: Turn) -> None:
    """The body ends as HTTP wants, but the answer does not."""
    if not turn.asked.is_stream:
        await turn.send_whole(turn.whole[: len(turn.whole) // 2])
        return
    await turn.begin_body()
    await turn.end_stream()


async def _end_in_event(turn: Turn) -> None:
    await turn.begin_body()
    event = turn.events[turn.wire.num_first]
    await turn.send_event(event[: len(event) // 2])
    await turn.end_stream()


async def _html(turn: Turn) -> None:
    await turn.send_whole(b"<html><body>Welcome to the proxy</body></html>", content_type="text/html; charset=utf-8")


async def _empty(turn: Turn) -> None:
    if turn.asked.is_stream:
        await _answer(turn, [])
    else:
        await turn.send_whole(b"")


async def _done_only(turn: Turn) -> None:
    await _answer(turn, [turn.wire.end])


async def _other_mode(turn: Turn) -> None:
    """A whole reply where a stream was asked for, and the other way round."""
    if turn.asked.is_stream:
        await turn.send_whole(turn.whole)
        return
    await turn.send_stream_head()
    for event in turn.events:
        await turn.send_event(event)
    await turn.end_stream()


async def _malformed(turn: Turn) -> None:
    """An event whose data is half a JSON document; then the stream goes on as if nothing were."""
    events = turn.events
    at = turn.wire.num_first if turn.when == AFTER else 0
    await turn.begin_body()
    for event in (turn.wire.malformed_event, *events[at:]):
        await turn.send_event(event)
    await turn.end_stream()


async def _garbage(turn: Turn) -> None:
    """Lines that are no events at all."""
    await _answer(turn, [b"Bad gateway\n\n", b"<hr>nginx\n\n"])


async def _error(turn: Turn) -> None:
    """An error inside a 200."""
    if not turn.asked.is_stream:
        await turn.send_whole(json.dumps(turn.wire.error).encode())
        return
    await turn.begin_body()
    await turn.send_event(turn.wire.error_event)
    await turn.end_stream()


async def _error_done(turn: Turn) -> None:
    """An error inside a 200 stream that then ends as if it were complete."""
    await turn.begin_body()
    await turn.send_event(turn.wire.error_event)
    await turn.send_event(turn.wire.end)
    await turn.end_stream()


async def _no_usage(turn: Turn) -> None:
    if turn.asked.is_stream:
        await _answer(turn, turn.wire.list_events(turn.answer, False))
    else:
        await turn.send_whole(turn.wire.whole(turn.answer, False))


async def _oversized(turn: Turn) -> None:
    """One event without end, or a body without end."""
    part = b"x" * 65_536
    if turn.asked.is_stream:
        await turn.begin_body()
        await turn.send_event(b"data: ")
    else:
        await turn.send_head(JSON, "transfer-encoding: chunked")
        await turn.send_event(b'{"choices":"')
    for _ in range(OVERSIZED_BYTES // len(part) + 1):
        await turn.send_event(part)
    await asyncio.Event().wait()


async def _long_head(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %b\r\n" % (at, b"y" * 1000) for at in range(100)))
    await asyncio.Event().wait()


async def _not_http(turn: Turn) -> None:
    await turn.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    await asyncio.Event().wait()


async def _bad_framing(turn: Turn) -> None:
    """A chunk whose size is no number."""
    if turn.asked.is_stream:
        await turn.begin()
    else:
        await turn.send_head(JSON, "transfer-encoding: chunked")
        await turn.send_event(turn.whole[:50])
    await turn.send(b"zz\r\nwhat\r\n")
    await asyncio.Event().wait()


FAULTS: dict[str, Fault] = {
    "none": _answer,
    "reset": _reset,
    "close": _close,
    "hang": _hang,
    "ping": _ping,
    "drip": _drip,
    "slow": _slow,
    "late": _late,
    "429": _refuse("429", RETRY_AFTER_S),
    "429-long": _refuse("429", LONG_RETRY_AFTER_S),
    "429-bare": _refuse("429"),
    "500": _refuse("500"),
    "503": _refuse("503"),
    "400": _refuse("400"),
    "401": _refuse("401"),
    "context": _refuse("context"),
    "cut-between": _cut_between_events,
    "cut-inside": _cut_in_event,
    "end-between": _end_between_events,
    "end-inside": _end_in_event,
    "html": _html,
    "empty": _empty,
    "done-only": _done_only,
    "other-mode": _other_mode,
    "malformed": _malformed,
    "garbage": _garbage,
    "error": _error,
    "error-done": _error_done,
    "no-usage": _no_usage,
    "oversized": _oversized,
    "long-head": _long_head,
    "not-http": _not_http,
    "bad-framing": _bad_framing,
}
"""By name. `refused`, `deaf` and `dns` are no answers: `FaultServer` has an address for each."""
