"""Puts one gateway before one faulty endpoint (and a healthy one), asks once, and keeps everything that was seen."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import openai
from openai.types.chat import ChatCompletionMessageParam

from flows.faults.fault_server import FaultServer
from flows.faults.stage import KEY, ask_raw, build_endpoint, build_price, build_snapshot, run_gateway
from flows.faults.table import Case, Company, Mode
from flows.faults.turn import AFTER, Asked
from flows.faults.wire import OPENAI, Answer
from inhouse.domain import TraceClose, TraceOpen
from inhouse.gateway.settings import EjectionSettings, GatewaySettings, RetrySettings, TimeoutSettings

SPARE_ANSWER = Answer(("From", " the", " spare"), num_input=11)
OWN_PRICE = build_price("own-2026", 1e-6)
SPARE_PRICE = build_price("spare-2026", 5e-6)
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "how are you?"}]
SHORT = TimeoutSettings(connect_s=0.4, first_token_s=0.4, idle_s=0.4, total_s=6.0)
SHORT_TOTAL = TimeoutSettings(connect_s=2.5, first_token_s=2.5, idle_s=2.5, total_s=3.0)
"""For endpoints that keep sending: the whole time must end it. The others would end it before, if what came did not put
them off, and are long enough that a busy machine's pauses do not look like silence."""
LONG = TimeoutSettings(connect_s=15.0, first_token_s=15.0, idle_s=15.0, total_s=15.0)
PATIENCE_S = 20.0
"""No request may take longer, whatever goes wrong: this is where a hang becomes a failure."""


@dataclass(frozen=True)
class Seen:
    """What came of one request. `sdk` is the whole text that the SDK got, or the exception that it raised."""

    status: int
    headers: dict[str, str]
    body: bytes
    num_request_bytes: int
    sdk: str | openai.OpenAIError
    opens: list[TraceOpen]
    closes: list[TraceClose]
    asked: list[Asked]
    num_spare_asked: int


def build_settings(timeouts: TimeoutSettings) -> GatewaySettings:
    """Short waits between retries; ejection and retry budget out of the way, they are tested elsewhere."""
    return GatewaySettings(
        timeouts=timeouts,
        retries=RetrySettings.model_validate({"backoff_ms": 10, "max_backoff_ms": 20, "budget": 1}),
        ejection=EjectionSettings(consecutive_failures=1000),
    )


async def play(case: Case, folder: Path, sdk: openai.AsyncOpenAI | None) -> Seen:
    """The case once, with everything fresh: with OpenAI's SDK, or as a client of raw bytes."""
    folder.mkdir(parents=True)
    row = case.row
    model = f"fault:{row.fault}:{row.when}" + ("" if row.times is None else f":{row.times}")
    timeouts = SHORT_TOTAL if row.has_short_total else SHORT if row.is_silent else LONG
    async with asyncio.timeout(PATIENCE_S), FaultServer() as faulty, FaultServer(SPARE_ANSWER) as spare:
        nowhere = {"refused": faulty.refusing_url, "deaf": faulty.deaf_url, "dns": faulty.unknown_url}
        url = nowhere.get(row.fault, faulty.base_url)
        endpoints = [build_endpoint("faulty", url, model=model, price=OWN_PRICE)]
        if case.company is Company.SPARE:
            endpoints.append(build_endpoint("spare", spare.base_url, price=SPARE_PRICE))
        if case.mode is Mode.STREAMED and row.when == AFTER:
            faulty.may_break.clear()
        snapshot = build_snapshot(*endpoints, is_buffered=case.mode is Mode.BUFFERED)
        is_stream = case.mode is not Mode.UNSTREAMED
        body = json.dumps({"model": "chat", "messages": MESSAGES} | ({"stream": True} if is_stream else {})).encode()
        status, headers, received, said = 0, dict[str, str](), b"", ""
        async with run_gateway(folder, snapshot, build_settings(timeouts)) as gateway:
            if sdk is None:
                client = await ask_raw(gateway, body)
                if not faulty.may_break.is_set():
                    await client.read_until(OPENAI.list_events(faulty.answer, False)[OPENAI.num_first - 1])
                    faulty.may_break.set()
                status, headers, received = await client.read_reply(PATIENCE_S)
            else:
                said = await _ask_sdk(sdk.with_options(base_url=f"{gateway.url}/v1", api_key=KEY), is_stream, faulty)
            opens, closes = gateway.opens, gateway.closes
        return Seen(status, headers, received, len(body), said, opens, closes, faulty.asked, len(spare.asked))


async def _ask_sdk(client: openai.AsyncOpenAI, is_stream: bool, faulty: FaultServer) -> str | openai.OpenAIError:
    try:
        if not is_stream:
            whole = await client.chat.completions.create(model="chat", messages=MESSAGES)
            return whole.choices[0].message.content or ""
        pieces: list[str] = []
        async with await client.chat.completions.create(model="chat", messages=MESSAGES, stream=True) as stream:
            async for chunk in stream:
                pieces.extend(choice.delta.content for choice in chunk.choices if choice.delta.content)
                if len(pieces) == 2:
                    faulty.may_break.set()
    except openai.OpenAIError as error:
        return error
    return "".join(pieces)
