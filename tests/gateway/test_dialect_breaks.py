"""A stream that breaks off is an exception of the client's own SDK and an aborted trace, in every pair of dialects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from dialect_answers import BUCKETS, Wire
from dialect_scripts import Caller, last_close, script_answer, serve, stream_answer, wire_of
from scripted_endpoint import APP_KEY, ScriptedUpstream, answer_stream, event
from test_dialects import PAIRS

from inhouse.domain import TraceStatus, UsageBasis

IDS = [f"{client}-{name}" for client, name in PAIRS]
CUT_AFTER = {
    ("text", Wire.CHAT): 3,
    ("text", Wire.MESSAGES): 5,
    ("text", Wire.RESPONSES): 6,
    ("calls", Wire.CHAT): 5,
    ("calls", Wire.MESSAGES): 7,
    ("calls", Wire.RESPONSES): 11,
}
"""Events that come: of the text two pieces; of the calls the text and at least the beginning of the first."""


async def read_broken(caller: Caller, client: Wire) -> tuple[str, Any]:
    """The text before the break, and the error's body as the SDK shows it."""
    texts: list[str] = []
    read = {Wire.CHAT: _read_chat, Wire.MESSAGES: _read_messages, Wire.RESPONSES: _read_responses}[client]
    with pytest.raises((openai.APIError, anthropic.APIStatusError)) as raised:
        await read(caller, texts)
    body: Any = raised.value.body
    if client is not Wire.MESSAGES:
        return "".join(texts), body
    assert body["type"] == "error"
    return "".join(texts), body["error"]


async def _read_chat(caller: Caller, texts: list[str]) -> None:
    stream = await caller.openai.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    async for chunk in stream:
        texts += [choice.delta.content or "" for choice in chunk.choices]


async def _read_messages(caller: Caller, texts: list[str]) -> None:
    async with caller.anthropic.messages.stream(
        model="chat", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        async for text in stream.text_stream:
            texts += [text]


async def _read_responses(caller: Caller, texts: list[str]) -> None:
    """No end but an error's may come. OpenAI's own error event is handed out by its SDK like any other."""
    async for found in await caller.openai.responses.create(model="chat", input="hi", stream=True):
        assert found.type not in ("response.completed", "response.incomplete")
        if found.type == "response.output_text.delta":
            texts.append(found.delta)
        elif found.type == "error":
            assert found.code is not None
            request = httpx2.Request("POST", caller.openai.base_url)
            raise openai.APIError(found.message, request, body=found.to_dict())


@pytest.mark.parametrize("is_ended", [False, True], ids=["cut", "ended early"])
@pytest.mark.parametrize("answer", ["text", "calls"])
@pytest.mark.parametrize(("client", "name"), PAIRS, ids=IDS)
async def test_a_cut_stream_raises_and_is_recorded_as_aborted(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, name: str, answer: str, is_ended: bool
) -> None:
    events = stream_answer(wire_of(name), answer)[: CUT_AFTER[answer, wire_of(name)]]
    upstream.script = answer_stream(*events, cut=not is_ended)
    async with serve(tmp_path, (name, upstream)) as (gateway, caller):
        text, error = await read_broken(caller, client)
        assert text == ("Hello " if answer == "text" else "I look.")
        assert error["code"] == "upstream_cut"
        assert error["message"].startswith("The stream broke off: ")
        close = last_close(gateway)
        assert (close.status, close.http_status, close.error_code) == (TraceStatus.ABORTED, 200, "upstream_cut")
        assert close.usage_basis is UsageBasis.ESTIMATED
        assert close.usage is not None
        assert close.cost_usd is not None
        assert close.num_chunks == close.usage.output_total
        assert [one.status for one in close.attempts] == [200]


@pytest.mark.parametrize("name", ["responses", "openai", "anthropic"])
async def test_the_error_that_ends_a_responses_stream_has_the_next_number(
    tmp_path: Path, upstream: ScriptedUpstream, name: str
) -> None:
    events = stream_answer(wire_of(name), "text")[: CUT_AFTER["text", wire_of(name)]]
    upstream.script = answer_stream(*events, cut=True)
    async with serve(tmp_path, (name, upstream)) as (gateway, caller):
        reply = await caller.http.post(
            f"{gateway.url}/v1/responses",
            headers={"authorization": f"Bearer {APP_KEY}"},
            json={"model": "chat", "input": "hi", "stream": True},
        )
        told = [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line.startswith("data")]
        assert [one["sequence_number"] for one in told] == list(range(len(told)))
        assert (told[-1]["type"], told[-1]["code"]) == ("error", "upstream_cut")


ERRORS = {
    Wire.CHAT: event({"error": {"message": "out of memory", "type": "server_error", "param": None, "code": 500}}),
    Wire.MESSAGES: b"event: error\n"
    + event({"type": "error", "error": {"type": "overloaded_error", "message": "out of memory"}}),
    Wire.RESPONSES: b"event: error\n"
    + event({"type": "error", "sequence_number": 6, "code": "server_error", "message": "out of memory", "param": None}),
}


@pytest.mark.parametrize(("client", "name"), PAIRS, ids=IDS)
async def test_an_error_inside_a_stream_raises_and_is_recorded_as_aborted(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, name: str
) -> None:
    wire = wire_of(name)
    events = stream_answer(wire, "text")[: CUT_AFTER["text", wire]]
    upstream.script = answer_stream(*events, ERRORS[wire])
    async with serve(tmp_path, (name, upstream)) as (gateway, caller):
        text, error = await read_broken(caller, client)
        assert text == "Hello "
        assert client is not wire or error["message"] == "out of memory"
        close = last_close(gateway)
        assert (close.status, close.error_code) == (TraceStatus.ABORTED, "upstream_error")
        assert close.usage_basis is UsageBasis.ESTIMATED


@pytest.mark.parametrize(("client", "name"), PAIRS, ids=IDS)
async def test_an_error_or_a_cut_before_the_answer_moves_on_to_the_next_endpoint(
    tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream, client: Wire, name: str
) -> None:
    other = "openai" if wire_of(name) is Wire.MESSAGES else "anthropic"
    second.script = script_answer(wire_of(other), "calls")
    for broken in (answer_stream(ERRORS[wire_of(name)]), answer_stream(b": waiting\n\n", cut=True)):
        upstream.script = broken
        async with serve(tmp_path, (name, upstream), (other, second)) as (gateway, caller):
            seen = await caller.ask(client, is_stream=True)
            assert (seen.text, len(seen.calls)) == ("I look.", 2)
            close = last_close(gateway)
            assert (close.status, close.usage, len(close.attempts)) == (TraceStatus.COMPLETE, BUCKETS, 2)
