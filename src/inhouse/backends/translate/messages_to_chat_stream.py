"""Chat chunks → stream events of Anthropic's Messages API. One writer for each stream."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from inhouse.backends.translate.alike import AlikeEvents
from inhouse.backends.translate.chat_wire import (
    EMPTY,
    NULL,
    Answer,
    ChatUsage,
    Choice,
    Chunk,
    ToolCall,
    decode_chunk,
)
from inhouse.backends.translate.decoding import decode_reply
from inhouse.backends.translate.events import read_datas
from inhouse.backends.translate.messages_to_chat_facts import read_stop_reason, write_messages_usage
from inhouse.backends.translate.messages_to_chat_lanes import LaneKind, Lanes
from inhouse.backends.translate.messages_to_chat_reply import new_call_id, new_message_id
from inhouse.backends.translate.quoting import text_of

_DONE = b"[DONE]"
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_START_USAGE = b'{"input_tokens":0,"output_tokens":0}'
"""The counts come at the end; clients must be given some at the start, and replace them."""
_encode = msgspec.json.encode


class MessagesWriter:
    """Writes the events of one stream.

    Args:
        shows_thinking: whether the reasoning text is shown.
    """

    def __init__(self, *, shows_thinking: bool) -> None:
        self._shows_thinking = shows_thinking
        self._lanes = Lanes()
        self._alike = AlikeEvents()
        self._plain_text = b""
        self._call_keys: dict[int, tuple[object, str | None]] = {}
        self._num_calls = 0
        self._has_begun = False
        self._is_refusal = False
        self._finish_reason: str | None = None
        self._stop_sequence = NULL
        self._usage: ChatUsage | None = None
        self._has_told_end = False
        self._has_ended = False

    def write(self, block: bytes) -> bytes:
        """Whole events in, events out.

        Raises:
            ValueError: a chunk is not one of the dialect, or says what Anthropic's dialect cannot say.
        """
        alike = self._alike.take(block)
        if alike is not None:
            return alike
        self._alike.forget()
        self._plain_text = b""
        told = [self._write(data) for data in read_datas(block)]
        if len(told) != 1:
            return b"".join(told)
        self._learn(block)
        return told[0]

    def end(self) -> bytes:
        """What is still missing up to `message_stop`; once, and only of a stream that said that it is finished."""
        return b"" if self._finish_reason is None else self._end()

    def _end(self) -> bytes:
        if self._has_ended or not self._has_begun:
            return b""
        self._has_ended = True
        return self._tell_end() + _STOP

    def _learn(self, event: bytes) -> None:
        """Where the last event was a plain text, the next ones most often differ in it alone."""
        frame = self._lanes.frame(LaneKind.TEXT) if self._plain_text else None
        if frame is not None:
            self._alike.learn(event, self._plain_text, *frame)

    def _write(self, data: bytes | None) -> bytes:
        if data is None:
            return _PING if self._has_begun and not self._has_ended else b""
        if data == _DONE:
            return self._end()
        chunk = decode_reply(decode_chunk, data)
        if chunk.error != NULL:
            return b""  # the meter's
        told = [self._write_choice(chunk, choice) for choice in chunk.choices or ()]
        if len(told) == 1 and chunk.usage is None:
            self._plain_text = _read_plain_text(chunk)
        if chunk.usage is not None:
            self._usage = chunk.usage
            if self._finish_reason is not None:
                told.append(self._tell_end())
        return told[0] if len(told) == 1 else b"".join(told)

    def _write_choice(self, chunk: Chunk, choice: Choice) -> bytes:
        if choice.index != 0:
            raise ValueError("the endpoint's stream holds a second answer")
        told = b"" if self._has_begun else self._begin(chunk)
        if choice.delta is not None:
            told += self._write_delta(choice.delta)
        if choice.finish_reason is not None:
            self._finish_reason = choice.finish_reason
            self._stop_sequence = choice.stop_sequence
        return told

    def _begin(self, chunk: Chunk) -> bytes:
        self._has_begun = True
        return (
            b'event: message_start\ndata: {"type":"message_start","message":{"id":%b,"type":"message",'
            b'"role":"assistant","model":%b,"content":[],"stop_reason":null,"stop_sequence":null,"usage":%b}}\n\n'
            % (_encode(chunk.id or new_message_id()), _encode(chunk.model or ""), _START_USAGE)
        )

    def _write_delta(self, delta: Answer) -> bytes:
        told = b""
        if bytes(delta.thinking) not in EMPTY and self._shows_thinking:
            told += self._say(LaneKind.THINKING, delta.thinking, "reasoning")
        if bytes(delta.content) not in EMPTY:
            told += self._say(LaneKind.TEXT, delta.content, "content")
        if bytes(delta.refusal) not in EMPTY:
            self._is_refusal = True
            told += self._say(LaneKind.TEXT, delta.refusal, "refusal")
        for call in delta.tool_calls or ():
            told += self._write_call(call)
        if delta.function_call != NULL:
            raise ValueError("the endpoint called a function in a way that was not asked for (`function_call`)")
        return told

    def _say(self, kind: LaneKind, text: Raw, field: str) -> bytes:
        self._check_open()
        return self._lanes.say(kind, text_of(text, field))

    def _check_open(self) -> None:
        if self._has_told_end:
            raise ValueError("the endpoint's stream goes on after its end")

    def _write_call(self, call: ToolCall) -> bytes:
        """A part of a tool call. Calls are told apart by index and, where that is always the same, by id."""
        self._check_open()
        index = self._num_calls if call.index is None else call.index
        if call.index is None and call.id is None:
            index = self._num_calls - 1
        key, known_id = self._call_keys.get(index, (None, None))
        name = NULL if call.function is None else call.function.name
        told = b""
        if key is None or (name != NULL and call.id is not None and call.id != known_id):
            key = self._num_calls
            told = self._begin_call(key, call, name)
            self._call_keys[index] = (key, call.id)
        if call.function is not None:
            told += self._lanes.add_arguments(key, text_of(call.function.arguments, "arguments"))
        return told

    def _begin_call(self, key: object, call: ToolCall, name: Raw) -> bytes:
        if bytes(name) in EMPTY:
            raise ValueError("the endpoint's tool call names no function")
        self._num_calls += 1
        opening = b'{"type":"tool_use","id":%b,"name":%b,"input":{}}' % (_encode(call.id or new_call_id()), bytes(name))
        return self._lanes.begin_call(key, opening)

    def _tell_end(self) -> bytes:
        if self._has_told_end:
            return b""
        self._has_told_end = True
        stop_reason, stop_sequence = read_stop_reason(
            self._finish_reason,
            self._stop_sequence,
            has_calls=self._lanes.has_calls,
            is_refusal=self._is_refusal,
        )
        return (
            b'%bevent: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"%b","stop_sequence":%b}'
            b',"usage":%b}\n\n'
            % (
                self._lanes.end(),
                stop_reason.encode(),
                bytes(stop_sequence),
                _encode(write_messages_usage(self._usage)),
            )
        )


def _read_plain_text(chunk: Chunk) -> bytes:
    """The text of a chunk that brings nothing else; empty where it does."""
    choice = chunk.choices[0] if chunk.choices else Choice()
    delta = choice.delta
    if choice.finish_reason is not None or delta is None or delta.tool_calls or delta.refusal != NULL:
        return b""
    return bytes(delta.content) if bytes(delta.thinking) in EMPTY else b""
