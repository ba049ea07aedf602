"""Stream events of Anthropic's Messages API → chat chunks. One writer for each stream."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from inhouse.backends.anthropic_wire import ContentBlock, Delta, Event, MessagesUsage, decode_event
from inhouse.backends.translate.alike import AlikeEvents
from inhouse.backends.translate.chat_to_messages_facts import read_finish_reason, write_chat_usage
from inhouse.backends.translate.chat_to_messages_reply import write_thinking_block
from inhouse.backends.translate.chat_wire import EMPTY, NULL
from inhouse.backends.translate.decoding import decode_reply
from inhouse.backends.translate.events import read_datas
from inhouse.backends.translate.quoting import join_quoted, text_of

_DONE = b"data: [DONE]\n\n"
_KEEP_ALIVE = b": ping\n\n"
_AFTER_TEXT = b'"},"finish_reason":null}]}\n\n'
_encode = msgspec.json.encode


class _OpenBlock:
    """A content block that has begun and not stopped. `number` counts tool calls, or reasoning blocks."""

    __slots__ = ("announced", "has_arguments", "number", "thoughts")

    def __init__(self, announced: ContentBlock, number: int) -> None:
        self.announced = announced
        self.number = number
        self.has_arguments = False
        self.thoughts: list[bytes] = []


class ChatWriter:
    """Writes the chunks of one stream.

    Tool calls are counted from 0 as their blocks begin; which block they came in does not matter to a chat client.

    Args:
        asks_usage: whether the client wants the usage chunk.
        created: Unix seconds; Anthropic says none.
    """

    def __init__(self, created: int, *, asks_usage: bool) -> None:
        self._asks_usage = asks_usage
        self._created = created
        self._head = b""
        self._content_head = b""
        self._alike = AlikeEvents()
        self._plain_text = b""
        self._usage: MessagesUsage | None = None
        self._blocks: dict[int, _OpenBlock] = {}
        self._num_calls = 0
        self._num_thoughts = 0
        self._has_finished = False
        self._has_ended = False

    def write(self, block: bytes) -> bytes:
        """Whole events in, chunks out.

        Raises:
            ValueError: an event is not one of the dialect, or says what chat completions cannot say.
        """
        alike = self._alike.take(block)
        if alike is not None:
            return alike
        self._alike.forget()
        self._plain_text = b""
        told = [self._write(data) for data in read_datas(block) if data is not None]
        if len(told) != 1:
            return b"".join(told)
        if self._plain_text:
            self._alike.learn(block, self._plain_text, self._content_head + b'"', _AFTER_TEXT)
        return told[0]

    def end(self) -> bytes:
        """The usage chunk, where it is wanted and known, and `[DONE]`; once, and only after a finish."""
        if self._has_ended or not self._has_finished:
            return b""
        self._has_ended = True
        usage = write_chat_usage(self._usage) if self._asks_usage else None
        if usage is None:
            return _DONE
        return b'%b"choices":[],"usage":%b}\n\n%b' % (self._head, _encode(usage), _DONE)

    def _write(self, data: bytes) -> bytes:
        event = decode_reply(decode_event, data)
        told = b""  # `error` is the meter's; kinds of events that come later add nothing to the answer
        match event.type:
            case "content_block_delta":
                told = self._write_delta(event)
            case "content_block_start":
                told = self._begin_block(event)
            case "content_block_stop":
                told = self._stop_block(event.index)
            case "message_start":
                told = self._begin(event)
            case "message_delta":
                told = self._write_end(event)
            case "message_stop":
                told = self.end()
            case "ping" if self._head:
                told = _KEEP_ALIVE
            case _:
                pass
        return told

    def _begin(self, event: Event) -> bytes:
        message = event.message
        if message is None or self._head:
            raise ValueError("the endpoint's stream begins without its message, or twice")
        self._usage = message.usage
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,' % (
            _encode(message.id or ""),
            self._created,
            _encode(message.model or ""),
        )
        self._content_head = self._head + b'"choices":[{"index":0,"delta":{"content":'
        return self._chunk(b'{"role":"assistant"}')

    def _chunk(self, delta: bytes, finish_reason: bytes = b"null", more: bytes = b"") -> bytes:
        return b'%b"choices":[{"index":0,"delta":%b,"finish_reason":%b%b}]}\n\n' % (
            self._head,
            delta,
            finish_reason,
            more,
        )

    def _begin_block(self, event: Event) -> bytes:
        announced = event.content_block
        if announced is None or not self._head:
            raise ValueError("the endpoint's stream begins a block without naming it, or before its message")
        opened = _OpenBlock(announced, 0)
        self._blocks[event.index] = opened
        match announced.type:
            case "text":
                return self._write_text(announced.text)
            case "thinking":
                opened.number, self._num_thoughts = self._num_thoughts, self._num_thoughts + 1
                return self._write_thought(opened, announced.thinking)
            case "redacted_thinking":
                opened.number, self._num_thoughts = self._num_thoughts, self._num_thoughts + 1
                return b""
            case "tool_use":
                opened.number, self._num_calls = self._num_calls, self._num_calls + 1
                return self._chunk(
                    b'{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]}'
                    % (opened.number, announced.id, announced.name)
                )
            case unknown:
                raise ValueError(f"the endpoint's stream holds a block of type {unknown!r}")

    def _write_delta(self, event: Event) -> bytes:
        delta, opened = event.delta, self._blocks.get(event.index)
        if delta is None or opened is None:
            raise ValueError("the endpoint's stream adds to a block that has not begun")
        match delta.type:
            case "text_delta":
                self._plain_text = text_of(delta.text, "text")
                return self._write_text(delta.text)
            case "input_json_delta":
                return self._write_arguments(opened, delta.partial_json)
            case "thinking_delta":
                return self._write_thought(opened, delta.thinking)
            case "signature_delta":
                opened.announced.signature = delta.signature
                return b""
            case unknown:
                raise ValueError(f"the endpoint's stream holds a delta of type {unknown!r}")

    def _write_text(self, text: Raw) -> bytes:
        if bytes(text) in EMPTY:
            return b""
        return b"%b%b%b" % (self._content_head, text_of(text, "text"), _AFTER_TEXT[1:])

    def _write_thought(self, opened: _OpenBlock, thinking: Raw) -> bytes:
        if bytes(thinking) in EMPTY:
            return b""
        text = text_of(thinking, "thinking")
        opened.thoughts.append(text)
        return self._chunk(b'{"reasoning_content":%b}' % text)

    def _write_arguments(self, opened: _OpenBlock, partial_json: Raw) -> bytes:
        if bytes(partial_json) in EMPTY:
            return b""
        opened.has_arguments = True
        return self._write_call_part(opened.number, text_of(partial_json, "partial_json"))

    def _write_call_part(self, number: int, arguments: bytes) -> bytes:
        return self._chunk(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (number, arguments))

    def _stop_block(self, index: int) -> bytes:
        opened = self._blocks.pop(index, None)
        if opened is None:
            raise ValueError("the endpoint's stream ends a block that has not begun")
        announced = opened.announced
        if announced.type == "tool_use" and not opened.has_arguments:
            given = b"{}" if announced.input == NULL else bytes(announced.input)
            return self._write_call_part(opened.number, _encode(given.decode()))
        if announced.type in ("thinking", "redacted_thinking"):
            announced.thinking = Raw(join_quoted(opened.thoughts))
            return self._write_thinking_blocks(opened.number, announced)
        return b""

    def _write_thinking_blocks(self, number: int, announced: ContentBlock) -> bytes:
        """The finished block once more as a whole, with its proof: what a client must send back amid tool calls."""
        blocks: list[dict[str, Any]] = [{"index": number, **block} for block in write_thinking_block(announced)]
        return self._chunk(b'{"thinking_blocks":%b}' % _encode(blocks)) if blocks else b""

    def _write_end(self, event: Event) -> bytes:
        if event.usage is not None:
            if self._usage is None:
                self._usage = event.usage
            else:
                self._usage.update(event.usage)
        delta = event.delta
        if delta is None or delta.stop_reason is None or self._has_finished:
            return b""
        self._has_finished = True
        return self._write_finish(delta, delta.stop_reason)

    def _write_finish(self, delta: Delta, stop_reason: str) -> bytes:
        if not self._head:
            raise ValueError("the endpoint's stream ends before its message")
        explanation = None if delta.stop_details is None else delta.stop_details.explanation
        more = b"" if delta.stop_sequence == NULL else b',"stop_reason":%b' % bytes(delta.stop_sequence)
        return self._chunk(
            b"{}" if explanation is None else b'{"refusal":%b}' % _encode(explanation),
            _encode(read_finish_reason(stop_reason)),
            more,
        )
