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


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("asked", ["sampling", "image", "tools", "schema"])
@pytest.mark.parametrize(("client", "name"), PAIRS, ids=[f"{client}-{name}" for client, name in PAIRS])
async def test_what_is_asked_reaches_the_endpoint_in_its_own_dialect(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, name: str, asked: str, is_stream: bool
) -> None:
    wire = wire_of(name)
    upstream.script = script_answer(wire, "json")
    async with serve(tmp_path, (name, upstream)) as (_, caller):
        seen = await caller.ask(client, is_stream=is_stream, **ASKED[client][asked])
        assert seen.text == '{"city":"Rome"}'
        expected = {"model": "tiny", **SENT[client, wire][asked]}
        if is_stream:
            expected["stream"] = True
            if wire is Wire.CHAT:
                expected["stream_options"] = {"include_usage": True}
        assert upstream.requests[0].json == expected
