"""Streams whose every event says which stream and which event it is, so that a lost or moved byte shows. Pure."""

from __future__ import annotations

import json
from typing import NamedTuple

from payloads import build_event
from state import TOKEN

EVENT_GAP_S = 0.5
"""Between two events of one stream."""


class Numbered(NamedTuple):
    """Which stream is asked for, of how many events, and how many such streams shall be open at once."""

    number: int
    num_events: int
    num_streams: int


def build_numbered_request(port: int, numbered: Numbered) -> bytes:
    """A request for one stream; usage is asked for, so that a proxy need take nothing out."""
    body = {
        "model": "chat",
        "messages": [{"role": "user", "content": " ".join(map(str, ("numbered", *numbered)))}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def read_numbered_request(body: bytes) -> Numbered | None:
    """What a request asks for that asks for a numbered stream; else None."""
    start = body.find(b'"numbered ')
    if start < 0:
        return None
    words = body[start + 1 : body.index(b'"', start + 1)].split()
    return Numbered(int(words[1]), int(words[2]), int(words[3]))


def build_numbered_event(number: int, index: int) -> bytes:
    """Event `index` of stream `number`."""
    delta = {"content": f"{number}.{index} " + "abcdefghij"[index % 10] * (1 + (number + index) % 23)}
    return build_event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])


def build_numbered_tail(num_events: int) -> bytes:
    """What ends every numbered stream: the finish, the usage, `[DONE]`."""
    usage = {"prompt_tokens": 4, "completion_tokens": num_events, "total_tokens": 4 + num_events}
    finish = build_event([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}])
    return finish + build_event([], usage=usage) + b"data: [DONE]\n\n"


def build_numbered_body(numbered: Numbered) -> bytes:
    """Every byte of the stream's body."""
    events = (build_numbered_event(numbered.number, index) for index in range(numbered.num_events))
    return b"".join(events) + build_numbered_tail(numbered.num_events)
