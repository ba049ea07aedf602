"""From the wire to the trace: the golden replies pass the gateway, and cost what they must, streamed or not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from flows.faults.fault_server import FaultServer
from flows.faults.stage import ask_raw, build_endpoint, build_snapshot, run_gateway
from flows.faults.turn import Turn
from inhouse.catalog import load_price_book
from inhouse.control.pricing import price_list_model
from inhouse.domain import Usage
from inhouse.gateway.settings import GatewaySettings

FOLDER = Path(__file__).parents[1] / "backends" / "data" / "usage"
CASES: dict[str, dict[str, Any]] = {
    path.stem: case
    for path in sorted(FOLDER.iterdir())
    if (case := json.loads(path.read_text()))["operation"] == "chat" and "company" in case["price"]
}
BODY = {"model": "chat", "messages": [{"role": "user", "content": "how are you?"}]}
DAY = date(2026, 11, 28)


@pytest.fixture
async def upstream() -> AsyncIterator[FaultServer]:
    async with FaultServer() as running:
        yield running


def answer_as(case: dict[str, Any]) -> Any:
    async def script(turn: Turn) -> None:
        if not turn.asked.is_stream:
            await turn.send_whole(json.dumps(case["whole"]).encode())
            return
        await turn.send_stream_head()
        for event in case["events"]:
            data = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
            await turn.send_event(f"data: {data}\n\n".encode())
        await turn.end_stream()

    return script


@pytest.mark.parametrize("name", CASES)
async def test_a_request_costs_the_same_streamed_or_not(name: str, tmp_path: Path, upstream: FaultServer) -> None:
    case = CASES[name]
    price = price_list_model(case["price"]["company"], case["price"]["model"], load_price_book(), DAY)
    assert price is not None
    upstream.script = answer_as(case)
    endpoint = build_endpoint("clerk", upstream.base_url, price=price)
    async with run_gateway(tmp_path, build_snapshot(endpoint), GatewaySettings()) as gateway:
        for is_stream in (False, True):
            reply = await ask_raw(gateway, json.dumps(BODY | {"stream": is_stream}).encode())
            assert (await reply.read_reply())[0] == 200
        whole, streamed = gateway.closes
    assert whole.usage == streamed.usage == Usage(**case["expected"])
    assert whole.tier == streamed.tier == case["tier"]
    assert (whole.cost_usd, whole.price_id) == (streamed.cost_usd, streamed.price_id)
    expected = case["cost_usd"] and pytest.approx(float(Decimal(case["cost_usd"])), rel=1e-12)
    assert whole.cost_usd == expected
    assert (whole.price_id is None) is (case["cost_usd"] is None)
