"""What an endpoint without faults answers, in the bytes of each dialect. The fault server spoils it. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DONE = b"data: [DONE]\n\n"
COMMENT = b": keep-alive\n\n"
MODEL = "tiny-2026-01-01"


@dataclass(frozen=True)
class Answer:
    """A text in pieces (a token each), and the tokens that are reported for it."""

    pieces: tuple[str, ...]
    num_input: int

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def num_output(self) -> int:
        return len(self.pieces)


@dataclass(frozen=True)
class Wire:
    """One dialect. `list_events` gives a whole stream; its first `num_first` events bring two pieces of the answer."""

    path: str
    whole: Callable[[Answer, bool], bytes]
    """Answer, whether usage is reported → the unstreamed reply's body."""
    list_events: Callable[[Answer, bool], list[bytes]]
    num_first: int
    error: dict[str, Any]
    """An error object as the dialect has it."""
    error_event: bytes
    malformed_event: bytes
    ping: bytes
    end: bytes
    """The last event of a stream that is complete."""


def _event(payload: Any, name: str = "") -> bytes:
    line = f"event: {name}\n" if name else ""
    return f"{line}data: {json.dumps(payload, separators=(',', ':'))}\n\n".encode()


def _chunk(delta: dict[str, Any] | None, finish: str | None = None, usage: dict[str, Any] | None = None) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": choices}
    return _event(frame if usage is None else frame | {"usage": usage})


def _openai_usage(answer: Answer) -> dict[str, Any]:
    total = answer.num_input + answer.num_output
    return {"prompt_tokens": answer.num_input, "completion_tokens": answer.num_output, "total_tokens": total}


def _openai_whole(answer: Answer, has_usage: bool) -> bytes:
    message = {"role": "assistant", "content": answer.text}
    body: dict[str, Any] = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    return json.dumps(body | ({"usage": _openai_usage(answer)} if has_usage else {})).encode()


def _openai_events(answer: Answer, has_usage: bool) -> list[bytes]:
    pieces = [_chunk({"content": piece}) for piece in answer.pieces]
    usage = [_chunk(None, usage=_openai_usage(answer))] if has_usage else []
    return [_chunk({"role": "assistant", "content": ""}), *pieces, _chunk({}, "stop"), *usage, DONE]


def _anthropic_whole(answer: Answer, has_usage: bool) -> bytes:
    body: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": answer.text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    usage = {"input_tokens": answer.num_input, "output_tokens": answer.num_output}
    return json.dumps(body | ({"usage": usage} if has_usage else {})).encode()


def _anthropic_events(answer: Answer, has_usage: bool) -> list[bytes]:
    started = {"input_tokens": answer.num_input, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    start = {"type": "message_start", "message": message | ({"usage": started} if has_usage else {})}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    ended: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}}
    events: list[dict[str, Any]] = [
        start,
        block,
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in answer.pieces
        ),
        {"type": "content_block_stop", "index": 0},
        ended | ({"usage": {"output_tokens": answer.num_output}} if has_usage else {}),
        {"type": "message_stop"},
    ]
    return [_event(payload, payload["type"]) for payload in events]


_OPENAI_ERROR = {"message": "the server had an error", "type": "server_error", "param": None, "code": "server_error"}
_ANTHROPIC_ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

OPENAI = Wire(
    path="/v1/chat/completions",
    whole=_openai_whole,
    list_events=_openai_events,
    num_first=3,
    error={"error": _OPENAI_ERROR},
    error_event=_event({"error": _OPENAI_ERROR}),
    malformed_event=b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"del\n\n',
    ping=COMMENT,
    end=DONE,
)
ANTHROPIC = Wire(
    path="/v1/messages",
    whole=_anthropic_whole,
    list_events=_anthropic_events,
    num_first=4,
    error=_ANTHROPIC_ERROR,
    error_event=_event(_ANTHROPIC_ERROR, "error"),
    malformed_event=b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n',
    ping=_event({"type": "ping"}, "ping"),
    end=_event({"type": "message_stop"}, "message_stop"),
)
WIRES = {wire.path: wire for wire in (OPENAI, ANTHROPIC)}
