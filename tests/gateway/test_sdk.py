"""OpenAI's own SDK works unchanged but for its base URL, and sees typed errors."""

from __future__ import annotations

import asyncio
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from scripted_endpoint import (
    ANSWER,
    APP_KEY,
    DONE,
    TEAM_KEY,
    USAGE_EVENT,
    RunningGateway,
    ScriptedUpstream,
    World,
    answer_json,
    answer_stream,
    delta,
    endpoint,
    run_gateway_here,
)

from inhouse.gateway.settings import GatewaySettings, LimitSettings, TimeoutSettings

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
SETTINGS = GatewaySettings(limits=LimitSettings(max_body_bytes=100_000), timeouts=TimeoutSettings(first_token_s=0.2))


def sdk(gateway: RunningGateway, key: str = APP_KEY) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)


async def test_chat_streaming_chat_and_the_model_list(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        async with sdk(gateway) as client:
            whole = await client.chat.completions.with_raw_response.create(model="chat", messages=MESSAGES)
            assert whole.headers["x-inhouse-route"] == "chat"
            assert whole.headers["x-inhouse-endpoint"] == "clerk"
            answer = whole.parse()
            assert answer.choices[0].message.content == "Hello"
            assert answer.usage is not None
            assert answer.usage.completion_tokens == 5
            upstream.script = answer_stream(
                delta(""), delta("Hel"), delta("lo"), delta(finish="stop"), USAGE_EVENT, DONE
            )
            stream = await client.chat.completions.create(model="chat", messages=MESSAGES, stream=True)
            chunks = [chunk async for chunk in stream]
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"
            assert all(chunk.usage is None for chunk in chunks)
            asked = await client.chat.completions.create(
                model="chat", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
            last = [chunk async for chunk in asked][-1]
            assert last.usage is not None
            assert last.usage.total_tokens == 13
            assert [model.id async for model in client.models.list()] == ["chat"]
            assert (await client.models.retrieve("chat")).owned_by == "inhouse"
        assert upstream.num_connections == 1


async def test_the_synchronous_sdk_works_too(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:

        def call() -> str | None:
            with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=APP_KEY, max_retries=0) as client:
                return client.chat.completions.create(model="chat", messages=MESSAGES).choices[0].message.content

        assert await asyncio.to_thread(call) == "Hello"


async def test_refusals_are_typed_errors(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build(), SETTINGS) as gateway:
        async with sdk(gateway, "sk-wrong") as client:
            with pytest.raises(openai.AuthenticationError) as unknown_key:
                await client.chat.completions.create(model="chat", messages=MESSAGES)
            assert unknown_key.value.code == "invalid_api_key"
            assert "sk-wrong" not in str(unknown_key.value)
        async with sdk(gateway, TEAM_KEY) as client:
            with pytest.raises(openai.PermissionDeniedError) as no_route:
                await client.chat.completions.create(model="chat", messages=MESSAGES)
            assert no_route.value.code == "route_not_allowed"
            assert [model.id async for model in client.models.list()] == []
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("chat")
        async with sdk(gateway) as client:
            with pytest.raises(openai.NotFoundError) as no_model:
                await client.chat.completions.create(model="none", messages=MESSAGES)
            assert (no_model.value.code, no_model.value.param) == ("model_not_found", "model")
            with pytest.raises(openai.APIStatusError) as too_large:
                await client.chat.completions.create(
                    model="chat", messages=[{"role": "user", "content": "x" * 200_000}]
                )
            assert (too_large.value.status_code, too_large.value.code) == (413, "request_too_large")
            with pytest.raises(openai.BadRequestError) as no_images:
                await client.chat.completions.create(
                    model="chat",
                    messages=[
                        {
                            "role": "user",
                            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}}],
                        }
                    ],
                )
            assert no_images.value.code == "no_candidate"
            assert "does not accept image input" in str(no_images.value)
        assert upstream.requests == []
        assert gateway.sink.records == []
        assert gateway.server.num_refused["model_not_found"] == 2


async def test_failures_of_endpoints_are_typed_errors(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with (
        run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build(), SETTINGS) as gateway,
        sdk(gateway) as client,
    ):
        secret = {"error": {"message": "your key sk-upstream is bad", "code": "x"}}
        upstream.script = answer_json(secret, 401)
        with pytest.raises(openai.InternalServerError) as refused:
            await client.chat.completions.create(model="chat", messages=MESSAGES)
        assert (refused.value.status_code, refused.value.code) == (502, "upstream_auth_failed")
        assert "sk-upstream" not in str(refused.value)
        upstream.script = answer_json({}, 429, "retry-after: 7\r\n")
        with pytest.raises(openai.RateLimitError) as limited:
            await client.chat.completions.create(model="chat", messages=MESSAGES)
        assert limited.value.code == "upstream_rate_limited"
        assert limited.value.response.headers["retry-after"] == "7"
        assert limited.value.response.headers["x-inhouse-trace"] == gateway.sink.closes[-1].trace_id
        upstream.script = answer_json(b"<html>not json</html>")
        with pytest.raises(openai.InternalServerError) as no_json:
            await client.chat.completions.create(model="chat", messages=MESSAGES)
        assert no_json.value.code == "upstream_error"
        upstream.script = answer_json({"error": {"message": "max_tokens is too large", "code": "too_many"}}, 400)
        with pytest.raises(openai.BadRequestError) as passed:
            await client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=10**9)
        assert passed.value.code == "too_many"
        assert (gateway.sink.closes[-1].status, gateway.sink.closes[-1].error_code) == ("failed", "upstream_rejected")

        async def silent(*_: object) -> None:
            await asyncio.Event().wait()

        upstream.script = silent
        with pytest.raises(openai.InternalServerError) as late:
            await client.chat.completions.create(model="chat", messages=MESSAGES)
        assert (late.value.status_code, late.value.code) == (504, "upstream_timeout")
        assert [close.error_code for close in gateway.sink.closes] == [
            "upstream_auth_failed",
            "upstream_rate_limited",
            "upstream_error",
            "upstream_rejected",
            "upstream_timeout",
        ]


async def test_an_open_gateway_needs_no_key_and_ignores_one(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script = answer_json(ANSWER)
    async with (
        run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)], is_open=True).build()) as gateway,
        sdk(gateway, "whatever") as client,
    ):
        await client.chat.completions.create(model="chat", messages=MESSAGES)
        assert gateway.sink.opens[0].key_id == "anonymous"
