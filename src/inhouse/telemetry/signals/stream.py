"""Gathers the answer of a stream cheaply while it passes: bytes are kept, and decoded in batches. Relays nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct

from inhouse.domain import Operation
from inhouse.telemetry.signals.answer import Answer, AnswerDraft
from inhouse.telemetry.signals.replies import (
    WireBlock,
    WireItem,
    WireReply,
    WireResponse,
    add_block,
    add_message,
    begin_item,
    end_message,
    end_response,
)

_MAX_PENDING_BYTES = 16_384
_DONE = b"[DONE]"

_Take: TypeAlias = Callable[[AnswerDraft, bytes], bool]
"""Puts lines, one event or JSON string each, into a draft; False where one of them cannot be read."""


class StreamAnswer:
    """The answer of one stream. Events are given as they come, whole.

    What is pending is decoded whenever 16 KiB have gathered, so a stream holds that and the text so far (see
    `AnswerDraft`), however long it gets. Nothing given here raises.

    Args:
        operation: whose dialect the events speak.
    """

    __slots__ = ("_draft", "_is_in_text", "_pending", "_take")

    def __init__(self, operation: Operation) -> None:
        self._take = _TAKERS.get(operation)
        self._draft = AnswerDraft()
        self._pending = bytearray()
        self._is_in_text = False

    def add_text(self, escaped: bytes) -> None:
        """Take more visible text of the first choice, as it stands between the quotes of a JSON string."""
        if not self._is_in_text:
            self._is_in_text = True
            self._pending += b'"'
        self._pending += escaped
        if len(self._pending) > _MAX_PENDING_BYTES:
            self._decode()

    def add_event(self, data: bytes) -> None:
        """Take an event's data."""
        if data == _DONE:
            return
        if self._is_in_text:
            self._is_in_text = False
            self._pending += b'"\n'
        self._pending += data if b"\n" not in data else data.replace(b"\n", b" ")
        self._pending += b"\n"
        if len(self._pending) > _MAX_PENDING_BYTES:
            self._decode()

    def finish(self) -> Answer | None:
        """The answer so far; None where the operation has no answer in words."""
        if self._take is None:
            return None
        self._decode()
        return self._draft.build()

    def _decode(self) -> None:
        if self._is_in_text:
            self._is_in_text = False
            self._pending += b'"\n'
        lines = bytes(self._pending)
        self._pending.clear()
        take, draft = self._take, self._draft
        if take is None:
            return
        if not take(draft, lines):
            # One of them is at fault; the others count.
            for line in lines.split(b"\n"):
                if not take(draft, line):
                    draft.is_partial = True
        draft.compact()


_Event = TypeVar("_Event", bound=Struct)


def _make_taker(
    decode_lines: Callable[[bytes], Iterable[_Event | str]], add: Callable[[AnswerDraft, _Event], None]
) -> _Take:
    def take(draft: AnswerDraft, lines: bytes) -> bool:
        try:
            events = decode_lines(lines)
        except (ValueError, RecursionError):
            return False
        for event in events:
            if isinstance(event, str):
                draft.add_text(event)
            else:
                add(draft, event)
        return True

    return take


def _add_chunk(draft: AnswerDraft, chunk: WireReply) -> None:
    """Chat completions and completions."""
    for choice in chunk.choices or ():
        if choice.index != 0:
            continue
        if choice.delta is not None:
            add_message(draft, choice.delta)
        elif choice.text is not None:
            draft.add_text(choice.text)
        if choice.logprobs != _NULL:
            draft.logprobs.add(choice.logprobs)
        if choice.finish_reason is not None:
            draft.finish_reason = choice.finish_reason


_NULL = Raw(b"null")


class _BlockDelta(Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _MessageEvent(Struct, gc=False):
    """Anthropic."""

    type: str
    index: int = 0
    content_block: WireBlock | None = None
    delta: _BlockDelta | None = None


def _add_message_event(draft: AnswerDraft, event: _MessageEvent) -> None:
    delta = event.delta
    if event.type == "content_block_delta" and delta is not None:
        if delta.text is not None:
            draft.add_text(delta.text)
        elif delta.partial_json is not None:
            draft.add_arguments(event.index, delta.partial_json)
        else:
            draft.add_reasoning(delta.thinking)
    elif event.type == "content_block_start" and event.content_block is not None:
        add_block(draft, event.index, event.content_block, is_whole=False)
    elif event.type == "message_delta" and delta is not None and delta.stop_reason is not None:
        end_message(draft, delta.stop_reason)


class _ResponseEvent(Struct, gc=False):
    """OpenAI responses."""

    type: str
    output_index: int = 0
    delta: object = None
    item: WireItem | None = None
    response: WireResponse | None = None
    logprobs: Raw = _NULL


def _add_response_event(draft: AnswerDraft, event: _ResponseEvent) -> None:
    match event.type:
        case "response.output_text.delta":
            if isinstance(event.delta, str):
                draft.add_text(event.delta)
            draft.logprobs.add(event.logprobs)
        case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
            draft.add_reasoning(event.delta)
        case "response.function_call_arguments.delta":
            draft.add_arguments(event.output_index, event.delta)
        case "response.refusal.delta":
            draft.is_refusal = True
        case "response.output_item.added" if event.item is not None:
            begin_item(draft, event.output_index, event.item)
        case "response.completed" | "response.incomplete" if event.response is not None:
            end_response(draft, event.response)
        case _:
            pass


_take_chunks = _make_taker(msgspec.json.Decoder(WireReply | str).decode_lines, _add_chunk)
_TAKERS: Mapping[Operation, _Take] = MappingProxyType(
    {
        Operation.CHAT: _take_chunks,
        Operation.COMPLETIONS: _take_chunks,
        Operation.MESSAGES: _make_taker(msgspec.json.Decoder(_MessageEvent | str).decode_lines, _add_message_event),
        Operation.RESPONSES: _make_taker(msgspec.json.Decoder(_ResponseEvent | str).decode_lines, _add_response_event),
    }
)
