"""A whole chat reply → the response's output items. Sends nothing."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from inhouse.backends.translate_responses.chat_wire import NULL, Call, ChatReply, Choice, has_text
from inhouse.backends.translate_responses.shape import (
    Item,
    ResponseShape,
    build_call,
    build_message,
    build_reasoning,
    build_refusal_part,
    build_text_part,
    build_thought_part,
    judge_end,
    read_logprobs,
)

_decode = msgspec.json.Decoder(ChatReply).decode
_EMPTY = Raw(b'""')


def read_chat(data: bytes) -> ChatReply:
    """Read a whole reply or one chunk.

    Raises:
        ValueError: it is not one.
    """
    try:
        return _decode(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(str(error)) from None


def build_output(choice: Choice, shape: ResponseShape) -> list[Item]:
    """Reasoning, answer and calls of the reply's choice, in this order.

    Raises:
        ValueError: the choice is not one of chat.
    """
    words = choice.message
    if words is None:
        raise ValueError("a choice without a message")
    last_status = "completed" if judge_end(choice.finish_reason) == "completed" else "incomplete"
    calls = words.tool_calls or []
    output: list[Item] = []
    if has_text(words.thought):
        output.append(build_reasoning(shape.make_id("rs"), [build_thought_part(words.thought)], "completed"))
    parts = [build_text_part(words.content, read_logprobs(choice.logprobs))] if has_text(words.content) else []
    if has_text(words.refusal):
        parts.append(build_refusal_part(words.refusal))
    if parts or not (output or calls):
        output.append(build_message(shape.make_id("msg"), parts or [build_text_part(_EMPTY)], "completed"))
    output += [_build_call(call, shape) for call in calls]
    output[-1]["status"] = last_status
    return output


def as_text(arguments: Raw) -> Raw:
    """A call's arguments as a JSON string, also where the server gives an object (TGI)."""
    if arguments == NULL:
        return _EMPTY
    if bytes(memoryview(arguments)[:1]) == b'"':
        return arguments
    return Raw(msgspec.json.encode(bytes(arguments).decode()))


def _build_call(call: Call, shape: ResponseShape) -> Item:
    if call.function is None or call.function.name is None:
        raise ValueError("a tool call without a function")
    call_id = call.id or shape.make_id("call")
    return build_call(shape.make_id("fc"), call_id, call.function.name, as_text(call.function.arguments), "completed")
