"""Endpoints of every dialect, scripted, and the official SDKs as their clients. Not a test module."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.types import Message
from dialect_answers import (
    ANSWERS,
    Said,
    Wire,
    stream_chat,
    stream_messages,
    stream_responses,
    write_chat,
    write_messages,
    write_responses,
)
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response
from scripted_endpoint import (
    APP_KEY,
    RunningGateway,
    Script,
    ScriptedUpstream,
    UpstreamRequest,
    World,
    answer_json,
    answer_stream,
    endpoint,
    run_gateway_here,
)

from inhouse.domain import AuthScheme, Dialect, Endpoint, EngineKind, Modality, Operation, TraceClose
from inhouse.gateway.settings import GatewaySettings, RetrySettings

_WRITERS: dict[Wire, tuple[Callable[[Said], dict[str, Any]], Callable[[Said], list[bytes]]]] = {
    Wire.CHAT: (write_chat, stream_chat),
    Wire.MESSAGES: (write_messages, stream_messages),
    Wire.RESPONSES: (write_responses, stream_responses),
}


def stream_answer(wire: Wire, answer: str) -> list[bytes]:
    """The events of an answer."""
    return _WRITERS[wire][1](ANSWERS[answer])


def script_answer(wire: Wire, answer: str) -> Script:
    """Answer streamed or whole, as it was asked for; only streams that ask for it get their usage."""
    whole, streamed = _WRITERS[wire]

    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        if not request.json.get("stream"):
            await answer_json(whole(ANSWERS[answer]))(request, writer)
            return
        asks_usage = wire is not Wire.CHAT or request.json.get("stream_options") == {"include_usage": True}
        events = [one for one in streamed(ANSWERS[answer]) if asks_usage or b'"choices":[]' not in one]
        await answer_stream(*events)(request, writer)

    return script


_OPENAI = frozenset({Operation.CHAT, Operation.COMPLETIONS, Operation.EMBEDDINGS})
_SPOKEN: dict[str, tuple[Wire, dict[str, Any]]] = {
    "openai": (Wire.CHAT, {}),
    "blind": (Wire.CHAT, {"modalities": frozenset({Modality.TEXT})}),
    "openai itself": (Wire.CHAT, {"engine": EngineKind.OPENAI}),
    "engine": (Wire.CHAT, {"engine": EngineKind.VLLM}),
    "azure": (
        Wire.CHAT,
        {"dialect": Dialect.AZURE_OPENAI, "auth": AuthScheme.API_KEY, "api_version": "2024-10-21"},
    ),
    "azure old": (
        Wire.CHAT,
        {"dialect": Dialect.AZURE_OPENAI, "auth": AuthScheme.API_KEY, "api_version": "2024-08-01-preview"},
    ),
    "azure v1": (Wire.CHAT, {"dialect": Dialect.AZURE_OPENAI, "auth": AuthScheme.API_KEY}),
    "azure entra": (Wire.CHAT, {"dialect": Dialect.AZURE_OPENAI, "auth": AuthScheme.BEARER}),
    "anthropic": (
        Wire.MESSAGES,
        {
            "dialect": Dialect.ANTHROPIC,
            "auth": AuthScheme.X_API_KEY,
            "operations": frozenset({Operation.MESSAGES, Operation.COUNT_TOKENS}),
        },
    ),
    "responses": (Wire.RESPONSES, {"operations": _OPENAI | {Operation.RESPONSES}}),
    "vllm": (Wire.MESSAGES, {"engine": EngineKind.VLLM, "operations": _OPENAI | {Operation.MESSAGES}}),
}
"""By name: how each of them answers, and what is said of it in a snapshot.

`vllm` is an engine that offers messages, `engine` one of the same kind that does not; `blind` sees no images.
"""


def wire_of(name: str) -> Wire:
    return _SPOKEN[name][0]


def build_endpoint(name: str, base_url: str) -> Endpoint:
    """The endpoint, with images and a key (held as `held`)."""
    base_url = base_url.removesuffix("/v1") if name.startswith("azure") else base_url
    modalities = frozenset({Modality.TEXT, Modality.IMAGE})
    values = {"credential": "held", "modalities": modalities, **_SPOKEN[name][1]}
    return endpoint(name.replace(" ", "-"), base_url, **values)


_UNTYPED = ("temperature", "top_p", "top_k", "seed")
"""Fields that Anthropic's API has, or might be sent, and its SDK has no arguments for."""
SETTINGS = GatewaySettings(retries=RetrySettings(backoff_ms=0, max_attempts=2))


@asynccontextmanager
async def serve(
    tmp_path: Path, *endpoints: tuple[str, ScriptedUpstream], settings: GatewaySettings = SETTINGS
) -> AsyncGenerator[tuple[RunningGateway, Caller]]:
    """A gateway in front of these endpoints, the later ones as fallbacks, and the SDKs that call it."""
    built = [build_endpoint(name, upstream.base_url) for name, upstream in endpoints]
    world = World(built, fallback=tuple(f"v-{one.endpoint_id}" for one in built[1:]))
    async with run_gateway_here(tmp_path, world.build(), settings, held="sk-upstream") as gateway:
        caller = Caller(gateway.url)
        async with caller.http:
            yield gateway, caller


@dataclass(frozen=True)
class Seen:
    """An answer as a client's SDK shows it. `usage` is in the client's own shape."""

    text: str
    thought: str
    calls: tuple[tuple[str, str, Any], ...]
    stop: str
    model: str
    usage: dict[str, Any]


class Caller:
    """The official SDKs against one gateway, over one connection pool.

    Args:
        url: the gateway's, without a path.
        key: shown as `authorization` by OpenAI's SDK, as `x-api-key` by Anthropic's.
    """

    def __init__(self, url: str, key: str = APP_KEY) -> None:
        self.headers: dict[str, str] = {}
        """Of the last reply."""
        self.http = httpx2.AsyncClient(verify=False, event_hooks={"response": [self._note]})  # nothing here is TLS
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, http_client=self.http)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0, http_client=self.http)

    async def _note(self, response: httpx2.Response) -> None:
        self.headers = dict(response.headers)

    async def ask(self, client: Wire, *, is_stream: bool, **fields: Any) -> Seen:
        """Ask in one dialect; without fields, a greeting."""
        asks = {Wire.CHAT: self.chat, Wire.MESSAGES: self.messages, Wire.RESPONSES: self.responses}
        return await asks[client](is_stream=is_stream, **fields)

    async def chat(self, *, is_stream: bool, **fields: Any) -> Seen:
        asked: Any = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], **fields}
        if not is_stream:
            found = await self.openai.chat.completions.create(**asked)
            return _see_chat(ChatCompletion.model_validate(found.to_dict()))
        state = ChatCompletionStreamState()
        asked = {"stream_options": {"include_usage": True}, **asked}
        async for chunk in await self.openai.chat.completions.create(stream=True, **asked):
            state.handle_chunk(ChatCompletionChunk.model_validate(chunk.to_dict()))
        return _see_chat(state.current_completion_snapshot)

    async def messages(self, *, is_stream: bool, **fields: Any) -> Seen:
        asked: Any = {"model": "chat", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **fields}
        asked["extra_body"] = {name: asked.pop(name) for name in _UNTYPED if name in asked}
        if not is_stream:
            found = await self.anthropic.messages.create(**asked)
        else:
            async with self.anthropic.messages.stream(**asked) as stream:
                found = await stream.get_final_message()
        return _see_message(Message.model_validate(found.to_dict()))

    async def responses(self, *, is_stream: bool, **fields: Any) -> Seen:
        asked: Any = {"model": "chat", "input": "hi", **fields}
        if not is_stream:
            return _see_response(Response.model_validate((await self.openai.responses.create(**asked)).to_dict()))
        last: Any = None
        async with self.openai.responses.stream(**asked) as stream:  # it raises where events contradict each other
            async for found in stream:
                last = found
        assert last.type in ("response.completed", "response.incomplete")
        return _see_response(Response.model_validate(last.response.to_dict()))


def _see_chat(found: ChatCompletion) -> Seen:
    (choice,) = found.choices
    assert found.usage is not None
    return Seen(
        text=choice.message.content or "",
        thought=getattr(choice.message, "reasoning_content", None) or "",
        calls=tuple(
            (call.id, call.function.name, json.loads(call.function.arguments))
            for call in choice.message.tool_calls or ()
            if call.type == "function"
        ),
        stop=choice.finish_reason,
        model=found.model,
        usage=found.usage.to_dict(),
    )


def _see_message(found: Message) -> Seen:
    assert found.stop_reason is not None
    return Seen(
        text="".join(block.text for block in found.content if block.type == "text"),
        thought="".join(block.thinking for block in found.content if block.type == "thinking"),
        calls=tuple((block.id, block.name, block.input) for block in found.content if block.type == "tool_use"),
        stop=f"{found.stop_reason} {found.stop_sequence or ''}".strip(),
        model=found.model,
        usage=found.usage.to_dict(),
    )


def _see_response(found: Response) -> Seen:
    assert found.usage is not None
    thoughts = [part.text for item in found.output if item.type == "reasoning" for part in item.content or ()]
    return Seen(
        text=found.output_text,
        thought="".join(thoughts),
        calls=tuple(
            (item.call_id, item.name, json.loads(item.arguments))
            for item in found.output
            if item.type == "function_call"
        ),
        stop=str((found.incomplete_details and found.incomplete_details.reason) or found.status),
        model=found.model,
        usage=found.usage.to_dict(),
    )


def last_close(gateway: RunningGateway) -> TraceClose:
    """The only request's close record; every open record has one."""
    (close,) = gateway.sink.closes
    (opened,) = gateway.sink.opens
    assert opened.trace_id == close.trace_id
    return close
