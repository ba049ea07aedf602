"""Runs translators as the gateway does, and reads what they write with the official SDKs. No sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from inhouse.backends import EventCutter, read_chat_request
from inhouse.backends.anthropic import read_messages_request
from inhouse.backends.translate import ChatToMessages, MessagesToChat

EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
HELLO = [{"role": "user", "content": "hello"}]


def chat_to_messages(**fields: Any) -> ChatToMessages:
    return ChatToMessages(read_chat_request(json.dumps({"model": "route", "messages": HELLO, **fields}).encode()))


def messages_to_chat(**fields: Any) -> MessagesToChat:
    body = {"model": "route", "max_tokens": 100, "messages": HELLO, **fields}
    return MessagesToChat(read_messages_request(json.dumps(body).encode()))


def built(translator: ChatToMessages | MessagesToChat) -> dict[str, Any]:
    return json.loads(translator.build("their-model"))


def compact(value: object) -> bytes:
    """JSON as servers write it."""
    return json.dumps(value, separators=(",", ":")).encode()


def messages_event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), compact({"type": kind, **fields}))


def message_start(**usage: Any) -> bytes:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage or {"input_tokens": 10, "output_tokens": 1},
    }
    return messages_event("message_start", message=message)


def block(index: int, content_block: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    return b"".join(
        (
            messages_event("content_block_start", index=index, content_block=content_block),
            *(messages_event("content_block_delta", index=index, delta=delta) for delta in deltas),
            messages_event("content_block_stop", index=index),
        )
    )


def message_end(stop_reason: str, **fields: Any) -> bytes:
    delta = {"stop_reason": stop_reason, "stop_sequence": fields.pop("stop_sequence", None), **fields.pop("delta", {})}
    usage = fields.pop("usage", {"output_tokens": 7})
    return messages_event("message_delta", delta=delta, usage=usage) + messages_event("message_stop")


def chunk(delta: dict[str, Any] | None = None, finish_reason: str | None = None, **fields: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-x",
        "choices": choices,
        **fields,
    }
    return b"data: %b\n\n" % compact(body)


def call(index: int | None, arguments: str = "", **opening: str) -> dict[str, Any]:
    """The delta of one tool call; `id` and `name` open it."""
    function: dict[str, Any] = {"arguments": arguments}
    if "name" in opening:
        function["name"] = opening["name"]
    entry: dict[str, Any] = {"function": function, "type": "function"}
    if index is not None:
        entry["index"] = index
    if "id" in opening:
        entry["id"] = opening["id"]
    return {"tool_calls": [entry]}


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}


def translated(translator: ChatToMessages | MessagesToChat, stream: bytes, sizes: Iterable[int] = ()) -> bytes:
    """The client's stream, where the endpoint's comes in pieces of these sizes (then the rest at once)."""
    cutter, told, position = EventCutter(), b"", 0
    for size in (*sizes, len(stream)):
        told += translator.translate_events(cutter.feed(stream[position : position + size]))
        position += size
    return told + translator.finish()


def datas(stream: bytes) -> list[Any]:
    """The JSON of each event."""
    lines = [line for line in stream.splitlines() if line.startswith(b"data: ") and line != b"data: [DONE]"]
    return [json.loads(line[6:]) for line in lines]


def read_messages_stream(stream: bytes) -> tuple[Message, list[Any]]:
    """What Anthropic's SDK makes of a stream: the final message and the events; each must be one of its types."""
    for data in datas(stream):
        if data["type"] not in ("ping", "error"):
            EVENTS.validate_python(data)
    with _client(_anthropic, 200, stream, "text/event-stream").messages.stream(
        model="m", max_tokens=100, messages=[{"role": "user", "content": "hello"}]
    ) as events:
        seen = list(events)
        return events.get_final_message(), seen


def read_messages_reply(body: bytes) -> Message:
    """What Anthropic's SDK makes of a reply."""
    Message.model_validate_json(body)
    return _client(_anthropic, 200, body, "application/json").messages.create(
        model="m", max_tokens=100, messages=[{"role": "user", "content": "hello"}]
    )


def read_messages_error(status: int, body: bytes) -> anthropic.APIStatusError:
    """What Anthropic's SDK raises."""
    try:
        read = _client(_anthropic, status, body, "application/json").messages.create(
            model="m", max_tokens=100, messages=[{"role": "user", "content": "hello"}]
        )
    except anthropic.APIStatusError as error:
        return error
    raise AssertionError(read)


def read_chat_stream(stream: bytes) -> tuple[ChatCompletion, list[Any]]:
    """What OpenAI's SDK makes of a stream: the final completion and the events; each chunk must be one of its types."""
    for data in datas(stream):
        ChatCompletionChunk.model_validate(data)
    with _client(_openai, 200, stream, "text/event-stream").chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "hello"}]
    ) as events:
        seen = list(events)
        return [event.snapshot for event in seen if event.type == "chunk"][-1], seen


def read_chat_reply(body: bytes) -> ChatCompletion:
    """What OpenAI's SDK makes of a reply."""
    ChatCompletion.model_validate_json(body)
    return _client(_openai, 200, body, "application/json").chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hello"}]
    )


def read_chat_error(status: int, body: bytes) -> openai.APIStatusError:
    """What OpenAI's SDK raises."""
    try:
        read = _client(_openai, status, body, "application/json").chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hello"}]
        )
    except openai.APIStatusError as error:
        return error
    raise AssertionError(read)


def _anthropic(http: httpx2.Client) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="k", max_retries=0, http_client=http)


def _openai(http: httpx2.Client) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", max_retries=0, http_client=http)


def _client(make: Callable[[httpx2.Client], Any], status: int, body: bytes, content_type: str) -> Any:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, headers={"content-type": content_type}, request=request)

    return make(httpx2.Client(transport=httpx2.MockTransport(answer)))
