"""Reads a whole reply's answer in each dialect's shape. Judges nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
from msgspec import Raw, Struct

from inhouse.domain import Operation
from inhouse.telemetry.signals.answer import Answer, AnswerDraft

_NULL = b"null"
_ABSENT = Raw(_NULL)


def read_answer(operation: Operation, body: bytes) -> Answer | None:
    """The answer of a whole successful reply in the operation's dialect.

    None where it is not one (an error, another shape) or the operation has no answer in words.
    """
    read = _READERS.get(operation)
    if read is None:
        return None
    try:
        return read(body)
    except (ValueError, RecursionError):
        return None


# Chat completions and completions, whole (`message`, `text`) and in chunks (`delta`, `text`).


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: object = None


class WireCall(Struct, gc=False):
    """A tool call or a part of one."""

    index: int | None = None
    function: _Function | None = None
    custom: _Function | None = None


class _Part(Struct, gc=False):
    text: str = ""


class WireMessage(Struct, gc=False):
    """A message or a delta. Reasoning goes by two names, and is not text everywhere."""

    content: str | list[_Part] | None = None
    reasoning_content: object = None
    reasoning: object = None
    refusal: str | None = None
    tool_calls: list[WireCall] | None = None
    function_call: _Function | None = None
    audio: Raw = _ABSENT
    images: Raw = _ABSENT


class WireChoice(Struct, gc=False):
    """A choice of a reply or a chunk."""

    index: int = 0
    finish_reason: str | None = None
    message: WireMessage | None = None
    delta: WireMessage | None = None
    text: str | None = None
    logprobs: Raw = _ABSENT


class WireReply(Struct, gc=False):
    """A chat or completion reply, or one chunk of it."""

    choices: list[WireChoice] | None = None


_decode_reply = msgspec.json.Decoder(WireReply).decode


def _read_completion(body: bytes) -> Answer | None:
    choices = _decode_reply(body).choices
    if not choices:
        return None
    choice = choices[0] if choices[0].index == 0 else min(choices, key=lambda choice: choice.index)
    message = choice.message
    if message is None:
        if choice.text is None:
            return None
        message = WireMessage(content=choice.text)
    content = message.content
    if isinstance(content, str) and _is_text_alone(choice, message):
        return Answer(text=content, finish_reason=choice.finish_reason)
    draft = AnswerDraft()
    add_message(draft, message)
    draft.finish_reason = choice.finish_reason
    draft.logprobs.add(choice.logprobs)
    return draft.build()


def _is_text_alone(choice: WireChoice, message: WireMessage) -> bool:
    """Nothing besides the content."""
    return (
        not message.tool_calls
        and message.refusal is None
        and message.reasoning_content is None
        and message.reasoning is None
        and message.function_call is None
        and choice.logprobs == _ABSENT
        and message.audio == _ABSENT
        and message.images == _ABSENT
    )


def add_message(draft: AnswerDraft, message: WireMessage) -> None:
    """Put a message or a delta into the draft."""
    if isinstance(message.content, str):
        draft.add_text(message.content)
    else:
        for part in message.content or ():
            draft.add_text(part.text)
    draft.add_reasoning(message.reasoning_content if message.reasoning_content is not None else message.reasoning)
    if message.refusal:
        draft.is_refusal = True
    if message.audio not in _NOTHING or message.images not in _NOTHING:
        draft.has_other = True
    _add_calls(draft, message)


def _add_calls(draft: AnswerDraft, message: WireMessage) -> None:
    for position, call in enumerate(message.tool_calls or ()):
        key = position if call.index is None else call.index
        if call.function is not None:
            draft.add_call(key, call.function.name, call.function.arguments)
        elif call.custom is not None:
            draft.add_call(key, call.custom.name, None, is_free_text=True)
    if message.function_call is not None:
        draft.add_call(_LEGACY_CALL, message.function_call.name, message.function_call.arguments)


_NOTHING = (_ABSENT, Raw(b"[]"), Raw(b"{}"))
_LEGACY_CALL = -1


# Anthropic messages.


class WireBlock(Struct, gc=False):
    """A content block, or the beginning of one."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    name: str | None = None
    input: Raw = _ABSENT


class _MessagesReply(Struct, gc=False):
    content: list[WireBlock]
    stop_reason: str | None = None


_decode_messages_reply = msgspec.json.Decoder(_MessagesReply).decode


def _read_message(body: bytes) -> Answer:
    reply = _decode_messages_reply(body)
    if len(reply.content) == 1 and (block := reply.content[0]).type == "text":
        return Answer(text=block.text or "", finish_reason=reply.stop_reason, is_refusal=reply.stop_reason == "refusal")
    draft = AnswerDraft()
    for index, block in enumerate(reply.content):
        add_block(draft, index, block, is_whole=True)
    end_message(draft, reply.stop_reason)
    return draft.build()


def add_block(draft: AnswerDraft, index: int, block: WireBlock, *, is_whole: bool) -> None:
    """Put a content block into the draft. Where it is not whole, its input comes with the deltas."""
    if block.type == "text":
        if block.text:
            draft.add_text(block.text)
    elif block.type == "thinking":
        draft.add_reasoning(block.thinking)
    elif block.type == "tool_use":
        draft.add_call(index, block.name, bytes(block.input).decode() if is_whole else None)
    elif block.type != "redacted_thinking":
        draft.has_other = True


def end_message(draft: AnswerDraft, stop_reason: str | None) -> None:
    """Note why a message ended."""
    draft.finish_reason = stop_reason
    if stop_reason == "refusal":
        draft.is_refusal = True


# OpenAI responses.


class _Content(Struct, gc=False):
    type: str = ""
    text: str | None = None
    logprobs: Raw = _ABSENT


class WireItem(Struct, gc=False):
    """An output item."""

    type: str = ""
    content: list[_Content] | None = None
    summary: list[_Content] | None = None
    name: str | None = None
    arguments: object = None


class _Incomplete(Struct, gc=False):
    reason: str | None = None


class WireResponse(Struct, gc=False):
    """A response, whole or under way."""

    status: str | None = None
    incomplete_details: _Incomplete | None = None
    output: list[WireItem] | None = None


_decode_response = msgspec.json.Decoder(WireResponse).decode


def _read_response(body: bytes) -> Answer | None:
    response = _decode_response(body)
    if response.output is None:
        return None
    draft = AnswerDraft()
    for index, item in enumerate(response.output):
        _add_item(draft, index, item)
    end_response(draft, response)
    return draft.build()


def _add_item(draft: AnswerDraft, index: int, item: WireItem) -> None:
    if item.type == "message":
        for part in item.content or ():
            if part.type == "refusal":
                draft.is_refusal = True
            elif part.text is not None:
                draft.add_text(part.text)
                draft.logprobs.add(part.logprobs)
    elif item.type == "reasoning":
        for part in item.content or item.summary or ():
            draft.add_reasoning(part.text)
    else:
        begin_item(draft, index, item)
        if item.type == "function_call":
            draft.add_arguments(index, item.arguments)


def begin_item(draft: AnswerDraft, index: int, item: WireItem) -> None:
    """Put the kind and the name of an output item into the draft."""
    if item.type in {"function_call", "custom_tool_call"}:
        draft.add_call(index, item.name, None, is_free_text=item.type == "custom_tool_call")
    elif item.type not in {"message", "reasoning"}:
        draft.has_other = True


def end_response(draft: AnswerDraft, response: WireResponse) -> None:
    """Note how a response ended: the reason where it is incomplete, else its status; None while it is under way."""
    if response.status in {"completed", "incomplete"}:
        details = response.incomplete_details
        draft.finish_reason = (details.reason if details is not None else None) or response.status


_READERS: Mapping[Operation, Callable[[bytes], Answer | None]] = MappingProxyType(
    {
        Operation.CHAT: _read_completion,
        Operation.COMPLETIONS: _read_completion,
        Operation.MESSAGES: _read_message,
        Operation.RESPONSES: _read_response,
    }
)
