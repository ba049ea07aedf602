"""A whole reply of Anthropic's Messages API → a chat completion."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from inhouse.backends.anthropic_wire import ContentBlock, Message, decode_message
from inhouse.backends.translate.chat_to_messages_facts import read_finish_reason, write_chat_usage
from inhouse.backends.translate.decoding import decode_reply
from inhouse.backends.translate.quoting import join_quoted, text_of

_NULL = Raw(b"null")


def write_chat_reply(body: bytes, created: int) -> bytes:
    """The reply as a chat client reads it.

    Args:
        body: the endpoint's reply.
        created: Unix seconds; Anthropic says none.

    Raises:
        ValueError: it is no message, or holds what chat completions cannot say.
    """
    message = decode_reply(decode_message, body)
    if message.type != "message" or message.stop_reason is None:
        raise ValueError("the endpoint's reply is not a finished message")
    finish_reason = read_finish_reason(message.stop_reason)
    choice: dict[str, Any] = {"index": 0, "message": _write_answer(message), "finish_reason": finish_reason}
    if message.stop_sequence != _NULL:
        choice["stop_reason"] = message.stop_sequence
    written: dict[str, Any] = {
        "id": message.id or "",
        "object": "chat.completion",
        "created": created,
        "model": message.model or "",
        "choices": [choice],
    }
    usage = write_chat_usage(message.usage)
    if usage is not None:
        written["usage"] = usage
    return msgspec.json.encode(written)


def _write_answer(message: Message) -> dict[str, Any]:
    texts: list[bytes] = []
    thoughts: list[bytes] = []
    thinking_blocks: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in message.content or ():
        match block.type:
            case "text":
                texts.append(text_of(block.text, "text"))
            case "thinking" | "redacted_thinking":
                thoughts.append(text_of(block.thinking, "thinking"))
                thinking_blocks += write_thinking_block(block)
            case "tool_use":
                calls.append(_write_call(block))
            case unknown:
                raise ValueError(f"the endpoint's reply holds a block of type {unknown!r}")
    answer: dict[str, Any] = {"role": "assistant", "content": Raw(join_quoted(texts)) if texts else None}
    if any(len(thought) > 2 for thought in thoughts):
        answer["reasoning_content"] = Raw(join_quoted(thoughts))
    if thinking_blocks:
        answer["thinking_blocks"] = thinking_blocks
    if calls:
        answer["tool_calls"] = calls
    answer["refusal"] = None if message.stop_details is None else message.stop_details.explanation
    return answer


def write_thinking_block(block: ContentBlock) -> list[dict[str, Any]]:
    """A reasoning block as it must come back to Anthropic; none where it carries no proof to give back."""
    if block.type == "redacted_thinking":
        return [{"type": "redacted_thinking", "data": block.data}]
    if len(bytes(block.signature)) <= 2:
        return []
    return [{"type": "thinking", "thinking": block.thinking, "signature": block.signature}]


def _write_call(block: ContentBlock) -> dict[str, Any]:
    arguments = bytes(block.input)
    if not arguments.startswith(b"{"):
        raise ValueError("the endpoint's tool call has no object as its input")
    function = {"name": block.name, "arguments": arguments.decode()}
    return {"id": block.id, "type": "function", "function": function}
