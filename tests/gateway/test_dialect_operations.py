"""Completions, embeddings and token counts through the official SDKs; what addresses and keys endpoints see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from dialect_answers import ANSWERS, BUCKETS, CHAT_USAGE, COST_USD, MODEL, Wire, write_chat
from dialect_scripts import last_close, script_answer, serve, stream_answer, wire_of
from openai.types import Completion, CreateEmbeddingResponse
from scripted_endpoint import DONE, ScriptedUpstream, answer_json, answer_stream, event

from inhouse.domain import TraceStatus, Usage, UsageBasis

# Where requests go, and with which key.

ADDRESSES = [
    (Wire.CHAT, "openai", "/v1/chat/completions", ("authorization", "Bearer sk-upstream")),
    (
        Wire.CHAT,
        "azure",
        "/openai/deployments/tiny/chat/completions?api-version=2024-10-21",
        ("api-key", "sk-upstream"),
    ),
    (Wire.CHAT, "azure v1", "/openai/v1/chat/completions", ("api-key", "sk-upstream")),
    (Wire.CHAT, "azure entra", "/openai/v1/chat/completions", ("authorization", "Bearer sk-upstream")),
    (Wire.CHAT, "anthropic", "/v1/messages", ("x-api-key", "sk-upstream")),
    (Wire.RESPONSES, "responses", "/v1/responses", ("authorization", "Bearer sk-upstream")),
    (Wire.RESPONSES, "openai", "/v1/chat/completions", ("authorization", "Bearer sk-upstream")),
    (Wire.RESPONSES, "anthropic", "/v1/messages", ("x-api-key", "sk-upstream")),
    (Wire.MESSAGES, "anthropic", "/v1/messages", ("x-api-key", "sk-upstream")),
    (
        Wire.MESSAGES,
        "azure",
        "/openai/deployments/tiny/chat/completions?api-version=2024-10-21",
        ("api-key", "sk-upstream"),
    ),
    (Wire.MESSAGES, "vllm", "/v1/messages", ("authorization", "Bearer sk-upstream")),
]


@pytest.mark.parametrize(("client", "name", "path", "shown"), ADDRESSES)
async def test_an_endpoint_is_asked_at_its_dialects_address_with_its_own_key_alone(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, name: str, path: str, shown: tuple[str, str]
) -> None:
    upstream.script = script_answer(wire_of(name), "text")
    async with serve(tmp_path, (name, upstream)) as (_, caller):
        await caller.ask(client, is_stream=False)
    (request,) = upstream.requests
    assert request.head.startswith(f"POST {path} HTTP/1.1\r\n")
    keys = {header: request.header(header) for header in ("authorization", "api-key", "x-api-key")}
    assert {header: value for header, value in keys.items() if value is not None} == dict([shown])
    assert request.header("anthropic-version") == ("2023-06-01" if path == "/v1/messages" else None)


# Azure's filter.

PROMPT_VERDICT = event(
    {
        "id": "",
        "object": "",
        "created": 0,
        "model": "",
        "choices": [],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}],
    }
)


@pytest.mark.parametrize("client", Wire)
async def test_azures_verdict_on_the_prompt_is_neither_an_answer_nor_its_model(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire
) -> None:
    upstream.script = answer_stream(PROMPT_VERDICT, *stream_answer(Wire.CHAT, "text"))
    async with serve(tmp_path, ("azure", upstream)) as (gateway, caller):
        if client is Wire.CHAT:  # passed as it came, which the SDK reads with an empty id
            chunks = await caller.openai.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            text = "".join([choice.delta.content or "" async for chunk in chunks for choice in chunk.choices])
        else:
            seen = await caller.ask(client, is_stream=True)
            assert seen.model == MODEL
            text = seen.text
        assert text == 'Hello wörld "quoted"\n'
        close = last_close(gateway)
        assert (close.status, close.usage, close.reported_model) == (TraceStatus.COMPLETE, BUCKETS, MODEL)


@pytest.mark.parametrize("client", Wire)
async def test_azures_verdict_alone_still_lets_another_endpoint_answer(
    tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream, client: Wire
) -> None:
    upstream.script = answer_stream(PROMPT_VERDICT, cut=True)
    second.script = script_answer(Wire.CHAT, "text")
    async with serve(tmp_path, ("azure", upstream), ("openai", second)) as (gateway, caller):
        seen = await caller.ask(client, is_stream=True)
        assert seen.text == 'Hello wörld "quoted"\n'
        assert [one.code for one in last_close(gateway).attempts] == ["upstream_cut", None]


# A refusal in words, which only OpenAI's dialect has a field for.


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", Wire)
async def test_a_refusal_in_words_is_one_for_every_client(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, is_stream: bool
) -> None:
    reply = write_chat(ANSWERS["text"])
    reply["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "I cannot."}
    begun, *_ = stream_answer(Wire.CHAT, "text")
    parts = [begun.replace(b'"content":""', b'"refusal":"%b"' % word) for word in (b"I ", b"cannot.")]
    end = stream_answer(Wire.CHAT, "text")[-3:]
    upstream.script = answer_stream(*parts, *end) if is_stream else answer_json(reply)
    async with serve(tmp_path, ("openai", upstream)) as (gateway, caller):
        asked: dict[str, Any] = {"model": "chat", "stream": is_stream}
        if client is Wire.MESSAGES:
            seen = await caller.ask(client, is_stream=is_stream)
            assert (seen.text, seen.stop) == ("I cannot.", "refusal")
        elif client is Wire.RESPONSES:
            assert await _read_response_refusal(caller.openai, asked) == "I cannot."
        else:
            assert await _read_chat_refusal(caller.openai, asked) == "I cannot."
        assert last_close(gateway).usage == BUCKETS


async def _read_chat_refusal(client: openai.AsyncOpenAI, asked: dict[str, Any]) -> str:
    found: Any = await client.chat.completions.create(messages=[{"role": "user", "content": "hi"}], **asked)
    if not asked["stream"]:
        return found.choices[0].message.refusal
    return "".join([choice.delta.refusal or "" async for chunk in found for choice in chunk.choices])


async def _read_response_refusal(client: openai.AsyncOpenAI, asked: dict[str, Any]) -> str:
    found: Any = await client.responses.create(input="hi", **asked)
    if asked["stream"]:
        found = [one async for one in found][-1].response
    (item,) = found.output
    (part,) = item.content
    assert part.type == "refusal"
    return part.refusal


# Completions.

COMPLETION = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": MODEL, "system_fingerprint": "fp_1"}


def _completion(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {**COMPLETION, "choices": [{"index": 0, "text": text, "finish_reason": finish_reason, "logprobs": None}]}


@pytest.mark.parametrize(
    ("name", "path"),
    [("openai", "/v1/completions"), ("azure", "/openai/deployments/tiny/completions?api-version=2024-10-21")],
)
async def test_completions_pass_whole_and_streamed(
    tmp_path: Path, upstream: ScriptedUpstream, name: str, path: str
) -> None:
    async with serve(tmp_path, (name, upstream)) as (gateway, caller):
        upstream.script = answer_json(_completion("Hello", "length") | {"usage": CHAT_USAGE})
        whole = await caller.openai.completions.create(model="chat", prompt="Say", max_tokens=5, seed=1)
        Completion.model_validate(whole.to_dict())
        assert (whole.choices[0].text, whole.choices[0].finish_reason, whole.model) == ("Hello", "length", MODEL)
        assert whole.usage is not None
        assert whole.usage.to_dict() == CHAT_USAGE
        events = [event(_completion(text)) for text in ("Hel", "lo")]
        usage = event({**COMPLETION, "choices": [], "usage": CHAT_USAGE})
        upstream.script = answer_stream(*events, event(_completion("", "stop")), usage, DONE)
        stream = await caller.openai.completions.create(model="chat", prompt="Say", stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].text for chunk in chunks) == "Hello"  # the usage chunk was not asked for
        assert [one.json for one in upstream.requests] == [
            {"model": "tiny", "prompt": "Say", "max_tokens": 5, "seed": 1},
            {"model": "tiny", "prompt": "Say", "stream": True, "stream_options": {"include_usage": True}},
        ]
        assert {one.head.split(" ")[1] for one in upstream.requests} == {path}
        for close, finish in zip(gateway.sink.closes, ("length", "stop"), strict=True):
            assert (close.usage, close.usage_basis, close.finish_reason) == (BUCKETS, UsageBasis.MEASURED, finish)
            assert close.cost_usd == pytest.approx(COST_USD)


async def test_a_cut_stream_of_completions_raises(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script = answer_stream(event(_completion("Hel")), cut=True)
    async with serve(tmp_path, ("openai", upstream)) as (gateway, caller):
        stream = await caller.openai.completions.create(model="chat", prompt="Say", stream=True)
        assert (await anext(stream)).choices[0].text == "Hel"
        with pytest.raises(openai.APIError, match="broke off") as raised:
            await anext(stream)
        assert raised.value.code == "upstream_cut"
        assert (last_close(gateway).status, last_close(gateway).num_chunks) == (TraceStatus.ABORTED, 1)


async def test_an_operation_that_no_endpoint_offers_is_a_clear_refusal(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async with serve(tmp_path, ("anthropic", upstream)) as (gateway, caller):
        with pytest.raises(openai.BadRequestError, match="does not offer completions") as raised:
            await caller.openai.completions.create(model="chat", prompt="Say")
        assert (raised.value.code, raised.value.param) == ("no_candidate", "model")
        with pytest.raises(openai.BadRequestError, match="does not offer embeddings"):
            await caller.openai.embeddings.create(model="chat", input="Say")
        assert gateway.sink.records == []
    assert upstream.requests == []


# Embeddings.


@pytest.mark.parametrize(
    ("name", "path"),
    [("openai", "/v1/embeddings"), ("azure", "/openai/deployments/tiny/embeddings?api-version=2024-10-21")],
)
async def test_embeddings_pass_with_their_usage(
    tmp_path: Path, upstream: ScriptedUpstream, name: str, path: str
) -> None:
    vectors = [{"object": "embedding", "index": index, "embedding": [0.5, -1.25]} for index in range(2)]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    upstream.script = answer_json({"object": "list", "data": vectors, "model": MODEL, "usage": usage})
    async with serve(tmp_path, (name, upstream)) as (gateway, caller):
        found = await caller.openai.embeddings.create(
            model="chat", input=["a", "b"], dimensions=2, encoding_format="float"
        )
        CreateEmbeddingResponse.model_validate(found.to_dict())
        assert [one.embedding for one in found.data] == [[0.5, -1.25], [0.5, -1.25]]
        assert (found.model, found.usage.prompt_tokens) == (MODEL, 8)
        (request,) = upstream.requests
        assert request.json == {"model": "tiny", "input": ["a", "b"], "dimensions": 2, "encoding_format": "float"}
        assert request.head.startswith(f"POST {path} HTTP/1.1\r\n")
        close = last_close(gateway)
        assert (close.usage, close.usage_basis) == (Usage(input_uncached=8), UsageBasis.MEASURED)
        assert close.cost_usd == pytest.approx(16e-6)


# Token counts.


async def test_tokens_are_counted_where_the_endpoint_can(
    tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    second.script = answer_json({"input_tokens": 42})
    async with serve(tmp_path, ("openai", upstream), ("anthropic", second)) as (gateway, caller):
        found = await caller.anthropic.messages.count_tokens(
            model="chat", messages=[{"role": "user", "content": "hi"}], system="Be brief."
        )
        assert found.input_tokens == 42
        (request,) = second.requests
        assert request.head.startswith("POST /v1/messages/count_tokens HTTP/1.1\r\n")
        assert request.json["model"] == "tiny"
        assert request.json["system"] == "Be brief."
        close = last_close(gateway)
        assert (close.status, close.usage, close.usage_basis) == (TraceStatus.COMPLETE, None, UsageBasis.UNKNOWN)
        assert (close.endpoint_id, close.cost_usd) == ("anthropic", None)
    assert upstream.requests == []


@pytest.mark.parametrize("name", ["openai", "vllm"])
async def test_where_nobody_counts_tokens_that_is_said_in_anthropics_shape(
    tmp_path: Path, upstream: ScriptedUpstream, name: str
) -> None:
    async with serve(tmp_path, (name, upstream)) as (_, caller):
        with pytest.raises(anthropic.BadRequestError) as raised:
            await caller.anthropic.messages.count_tokens(model="chat", messages=[{"role": "user", "content": "hi"}])
        body: Any = raised.value.body
        assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
        assert (raised.value.error_code, body["error"]["param"]) == ("no_candidate", "model")
        assert f"endpoint {name} does not offer count_tokens" in body["error"]["message"]
    assert upstream.requests == []
