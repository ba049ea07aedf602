"""`GET /v1/traces/{id}` of another worker's request: control is asked, and again while it is on its way."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scripted_endpoint import (
    APP_KEY,
    EVAL_KEY,
    RunningGateway,
    ScriptedUpstream,
    UpstreamRequest,
    World,
    answer_json,
    endpoint,
    run_gateway_here,
    split_reply,
)

from inhouse.domain import Trace, TraceClose, TraceOpen, TraceStatus, make_trace_id
from inhouse.gateway.lookup import is_on_its_way

NOW = 1_800_000_000.0
OPEN = TraceOpen(
    trace_id="1",
    writer="gw1-1-1",
    started_at=1.0,
    route="chat",
    variant="v",
    endpoint_id="e",
    replica_id="e",
    key_id="app",
)
CLOSE = TraceClose(
    trace_id="1", writer="gw1-1-1", ended_at=2.0, status=TraceStatus.COMPLETE, http_status=200, variant="v",
    endpoint_id="e", replica_id="e", e2e_ms=1.0,
)  # fmt: skip


def new_id(age_s: float = 0.0, now: float | None = None) -> str:
    return make_trace_id(int(((time.time() if now is None else now) - age_s) * 1000), bytes(10))


def shown(*, is_closed: bool) -> dict[str, Any]:
    return msgspec.to_builtins({"open": OPEN, "close": CLOSE if is_closed else None})


class Control:
    """Answers with each of the given answers in turn, the last one for ever; None is its 404."""

    def __init__(self, upstream: ScriptedUpstream, *answers: dict[str, Any] | None) -> None:
        self.url = upstream.base_url.removesuffix("/v1")
        self.num_asked = 0
        self._answers = answers
        upstream.script = self._script

    async def _script(self, request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        answer = self._answers[min(self.num_asked, len(self._answers) - 1)]
        self.num_asked += 1
        await answer_json(answer or {"error": "unknown"}, 404 if answer is None else 200)(request, writer)


async def ask(gateway: RunningGateway, control: Control, trace_id: str, key: str = APP_KEY) -> tuple[int, Any]:
    gateway.server._admin_url = control.url
    head = f"GET /v1/traces/{trace_id} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    status, _, body = split_reply(await gateway.raw(head.encode()))
    return status, json.loads(body)


@pytest.mark.parametrize("before", [None, shown(is_closed=False)])
async def test_what_another_worker_has_just_written_is_waited_for(
    tmp_path: Path, upstream: ScriptedUpstream, before: dict[str, Any] | None
) -> None:
    control = Control(upstream, before, before, shown(is_closed=True))
    async with run_gateway_here(tmp_path, World([endpoint("clerk")]).build()) as gateway:
        status, body = await ask(gateway, control, new_id())

    assert (status, body["status"], control.num_asked) == (200, "complete", 3)


async def test_a_request_under_way_is_shown_as_such_after_a_moment(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    control = Control(upstream, shown(is_closed=False))
    async with run_gateway_here(tmp_path, World([endpoint("clerk")]).build()) as gateway:
        status, body = await ask(gateway, control, new_id(age_s=60))

    assert (status, body["status"]) == (200, "open")


async def test_an_old_id_that_nobody_knows_is_asked_for_once(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    control = Control(upstream, None)
    async with run_gateway_here(tmp_path, World([endpoint("clerk")]).build()) as gateway:
        status, body = await ask(gateway, control, new_id(age_s=60))

    assert (status, body["error"]["code"], control.num_asked) == (404, "trace_not_found", 1)


async def test_another_keys_trace_is_unknown(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    control = Control(upstream, shown(is_closed=True))
    async with run_gateway_here(tmp_path, World([endpoint("clerk")]).build()) as gateway:
        status, body = await ask(gateway, control, new_id(age_s=60), EVAL_KEY)

    assert (status, body["error"]["code"]) == (404, "trace_not_found")


@pytest.mark.parametrize(
    ("trace", "trace_id", "expected"),
    [
        (None, new_id(now=NOW), True),
        (None, new_id(1.4, NOW), True),
        (None, new_id(1.6, NOW), False),
        (None, new_id(-60, NOW), False),  # from the future: made up
        (None, "nothinglikeatraceid", False),
        (None, "", False),
        (Trace(open=OPEN, close=None), new_id(600, NOW), True),
        (Trace(open=OPEN, close=CLOSE), new_id(now=NOW), False),
    ],
)
def test_only_what_may_still_come_is_waited_for(trace: Trace | None, trace_id: str, expected: bool) -> None:
    assert is_on_its_way(trace, trace_id, NOW) is expected
