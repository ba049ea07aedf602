"""A whole chat completion → a reply of Anthropic's Messages API."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Raw

from inhouse.backends.translate.chat_wire import EMPTY, NULL, Answer, ToolCall, decode_chunk
from inhouse.backends.translate.decoding import decode_reply
from inhouse.backends.translate.messages_to_chat_facts import read_stop_reason, write_messages_usage
from inhouse.backends.translate.quoting import text_of

_NO_INPUT = Raw(b"{}")


def write_messages_reply(body: bytes, *, shows_thinking: bool) -> bytes:
    """The reply as Anthropic's clients read it.

    Args:
        body: the endpoint's reply.
        shows_thinking: whether the reasoning text is shown.

    Raises:
        ValueError: it is no chat completion with one answer, or holds what Anthropic's dialect cannot say.
    """
    reply = decode_reply(decode_chunk, body)
    if reply.error != NULL or not reply.choices or len(reply.choices) > 1 or reply.choices[0].message is None:
        raise ValueError("the endpoint's reply is not a chat completion with one answer")
    choice, answer = reply.choices[0], reply.choices[0].message
    if choice.finish_reason is None:
        raise ValueError("the endpoint's reply is not finished")
    content = _write_content(answer, shows_thinking=shows_thinking)
    stop_reason, stop_sequence = read_stop_reason(
        choice.finish_reason,
        choice.stop_sequence,
        has_calls=bool(answer.tool_calls),
        is_refusal=bytes(answer.refusal) not in EMPTY,
    )
    return msgspec.json.encode(
        {
            "id": reply.id or new_message_id(),
            "type": "message",
            "role": "assistant",
            "model": reply.model or "",
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": stop_sequence,
            "usage": write_messages_usage(reply.usage),
        }
    )


def new_message_id() -> str:
    """An id for a reply that came without one."""
    return f"msg_{uuid4().hex}"


def new_call_id() -> str:
    """An id for a tool call that came without one."""
    return f"toolu_{uuid4().hex}"


def _write_content(answer: Answer, *, shows_thinking: bool) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if shows_thinking and bytes(answer.thinking) not in EMPTY:
        thinking = Raw(text_of(answer.thinking, "reasoning"))
        content.append({"type": "thinking", "thinking": thinking, "signature": ""})
    for name, text in (("content", answer.content), ("refusal", answer.refusal)):
        if bytes(text) not in EMPTY:
            content.append({"type": "text", "text": Raw(text_of(text, name))})
    if answer.function_call != NULL:
        raise ValueError("the endpoint called a function in a way that was not asked for (`function_call`)")
    content += [_write_call(call) for call in answer.tool_calls or ()]
    return content


def _write_call(call: ToolCall) -> dict[str, Any]:
    if call.function is None or call.function.name == NULL:
        raise ValueError("the endpoint's tool call names no function")
    return {
        "type": "tool_use",
        "id": call.id or new_call_id(),
        "name": call.function.name,
        "input": _read_input(text_of(call.function.arguments, "arguments")),
    }


def _read_input(arguments: bytes) -> Raw:
    """The arguments' own JSON text; nothing at all stands for no arguments."""
    text = msgspec.json.decode(arguments, type=str).strip()
    if not text:
        return _NO_INPUT
    value = decode_reply(msgspec.json.Decoder(Raw).decode, text.encode())
    if not text.startswith("{"):
        raise ValueError("the arguments of the endpoint's tool call are no JSON object")
    return value
