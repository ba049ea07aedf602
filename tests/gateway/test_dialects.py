"""OpenAI's and Anthropic's own SDKs get the same answer over every pair of client dialect and endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dialect_answers import (
    ANSWERS,
    BUCKETS,
    CHAT_USAGE,
    COST_USD,
    MESSAGES_USAGE,
    MODEL,
    RESPONSES_USAGE,
    Stop,
    Wire,
    name_finish,
)
from dialect_requests import ASKED, SENT
from dialect_scripts import Seen, last_close, script_answer, serve, wire_of
from scripted_endpoint import ScriptedUpstream

from inhouse.domain import TraceStatus, UsageBasis

PAIRS = [
    (Wire.CHAT, "openai"),
    (Wire.CHAT, "azure"),
    (Wire.CHAT, "anthropic"),
    (Wire.RESPONSES, "responses"),
    (Wire.RESPONSES, "openai"),
    (Wire.RESPONSES, "anthropic"),
    (Wire.MESSAGES, "anthropic"),
    (Wire.MESSAGES, "openai"),
    (Wire.MESSAGES, "vllm"),
]
USAGES: dict[Wire, dict[str, Any]] = {
    Wire.CHAT: CHAT_USAGE,
    Wire.MESSAGES: MESSAGES_USAGE,
    Wire.RESPONSES: RESPONSES_USAGE,
}
STOPS = {
    Wire.CHAT: {
        Stop.END: "stop",
        Stop.CALLS: "tool_calls",
        Stop.LENGTH: "length",
        Stop.SEQUENCE: "stop",
        Stop.FILTER: "content_filter",
    },
    Wire.MESSAGES: {
        Stop.END: "end_turn",
        Stop.CALLS: "tool_use",
        Stop.LENGTH: "max_tokens",
        Stop.SEQUENCE: "stop_sequence END",
        Stop.FILTER: "refusal",
    },
    Wire.RESPONSES: {
        Stop.END: "completed",
        Stop.CALLS: "completed",
        Stop.LENGTH: "max_output_tokens",
        Stop.SEQUENCE: "completed",
        Stop.FILTER: "content_filter",
    },
}
"""What the client reads, whichever endpoint answered."""
TEXTS = {
    "text": ('Hello wörld "quoted"\n', ""),
    "thought": ("Rome.", "Let me see"),
    "calls": ("I look.", ""),
    "calls alone": ("", ""),
    "json": ('{"city":"Rome"}', ""),
    "length": ("Hello", ""),
    "sequence": ("Hello", ""),
    "filter": ("Hello", ""),
}
CALLS = (("call_1", "weather", {"city": "Rome"}), ("call_2", "clock", {"zone": "UTC"}))


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("client", "name"), PAIRS, ids=[f"{client}-{name}" for client, name in PAIRS])
async def test_an_answer_is_the_same_for_the_sdk_and_exact_in_the_trace(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, name: str, answer: str, is_stream: bool
) -> None:
    upstream.script = script_answer(wire_of(name), answer)
    said = ANSWERS[answer]
    async with serve(tmp_path, (name, upstream)) as (gateway, caller):
        seen = await caller.ask(client, is_stream=is_stream)
        text, thought = TEXTS[answer]
        calls = CALLS if said.calls else ()
        assert seen == Seen(text, thought, calls, STOPS[client][said.stop], MODEL, USAGES[client])
        close = last_close(gateway)
        assert (close.status, close.http_status, close.error_code) == (TraceStatus.COMPLETE, 200, None)
        assert (close.usage, close.usage_basis, close.price_id) == (BUCKETS, UsageBasis.MEASURED, "test-2026")
        assert close.cost_usd == pytest.approx(COST_USD)
        assert close.finish_reason == name_finish(wire_of(name), said.stop)
        assert close.reported_model == MODEL
        assert [(one.endpoint_id, one.status, one.code) for one in close.attempts] == [(name, 200, None)]
        assert (close.num_chunks is not None) is (close.ttft_ms is not None) is is_stream
        assert gateway.sink.opens[0].is_stream is is_stream
        shown = {key: value for key, value in caller.headers.items() if key.startswith("x-inhouse-")}
        assert shown == {
            "x-inhouse-route": "chat",
            "x-inhouse-variant": f"v-{name}",
            "x-inhouse-endpoint": name,
            "x-inhouse-trace": close.trace_id,
        }


@pytest.mark.parametrize("name", ["openai", "azure", "anthropic"])
async def test_a_chat_stream_brings_its_usage_to_the_trace_and_not_to_a_client_that_did_not_ask(
    tmp_path: Path, upstream: ScriptedUpstream, name: str
) -> None:
    upstream.script = script_answer(wire_of(name), "thought")
    async with serve(tmp_path, (name, upstream)) as (gateway, caller):
        stream = await caller.openai.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
        assert [chunk.usage for chunk in chunks if chunk.usage is not None or not chunk.choices] == []
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert last_close(gateway).usage == BUCKETS


@pytest.mark.parametrize("asked", ["sampling", "image", "tools", "schema"])
@pytest.mark.parametrize(("client", "name"), PAIRS, ids=[f"{client}-{name}" for client, name in PAIRS])
async def test_what_is_asked_reaches_the_endpoint_in_its_own_dialect(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, name: str, asked: str
) -> None:
    wire = wire_of(name)
    upstream.script = script_answer(wire, "json")
    expected = {"model": "tiny", **SENT[client, wire][asked]}
    streaming = {"stream": True, **({"stream_options": {"include_usage": True}} if wire is Wire.CHAT else {})}
    async with serve(tmp_path, (name, upstream)) as (_, caller):
        for is_stream in (False, True):
            seen = await caller.ask(client, is_stream=is_stream, **ASKED[client][asked])
            assert seen.text == '{"city":"Rome"}'
        assert [request.json for request in upstream.requests] == [expected, expected | streaming]


@pytest.mark.parametrize("client", [Wire.MESSAGES, Wire.RESPONSES])
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("openai", "max_tokens"),
        ("openai itself", "max_completion_tokens"),
        ("azure old", "max_tokens"),
        ("azure", "max_completion_tokens"),
        ("azure v1", "max_completion_tokens"),
    ],
)
async def test_a_translated_cap_has_the_name_that_the_endpoint_takes(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, name: str, field: str
) -> None:
    upstream.script = script_answer(wire_of(name), "text")
    async with serve(tmp_path, (name, upstream)) as (_, caller):
        await caller.ask(client, is_stream=False, **ASKED[client]["sampling"])
    asked = upstream.requests[0].json
    caps = {name: value for name, value in asked.items() if name in {"max_tokens", "max_completion_tokens"}}
    assert caps == {field: 50}


async def test_earlier_reasoning_goes_where_the_engine_reads_it(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script = script_answer(Wire.CHAT, "text")
    thinking = {"type": "thinking", "thinking": "Let me see", "signature": ""}
    call = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"}
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [thinking, call]},
        {"role": "user", "content": [result]},
    ]
    async with serve(tmp_path, ("engine", upstream)) as (_, caller):
        await caller.messages(is_stream=False, messages=messages)
    asked = upstream.requests[0].json
    assert asked["messages"][1]["reasoning"] == "Let me see"
    assert "reasoning_content" not in asked["messages"][1]
    assert asked["max_completion_tokens"] == 100
