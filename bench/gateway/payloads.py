"""The fixed shape of every measurement: a 300-byte prompt, a 385-byte reply, a stream of 64 events."""

from __future__ import annotations

import json
from enum import StrEnum

from state import TOKEN

NUM_CHUNKS = 64
"""Events of a stream beside its `[DONE]`: contents, the finish, the usage."""
NUM_REPLY_BYTES = 385
STREAM_END = b"0\r\n\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_PROMPT = ("Order 4711 did not arrive and the customer asks for a refund. " * 5)[:300]
_ANSWER = (
    b'{"id":"chatcmpl-7","object":"chat.completion","created":1700000000,"model":"tiny","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"The order was handed to the carrier on Monday. Please offer a refund or '
    b'a second parcel, whichever the customer likes better."},"logprobs":null,"finish_reason":"stop"}],"usage":'
    b'{"prompt_tokens":75,"completion_tokens":28,"total_tokens":103}}'
)
ANSWER = _ANSWER + b" " * (NUM_REPLY_BYTES - len(_ANSWER))


class Ask(StrEnum):
    """The path that a client asks."""

    CHAT = "/v1/chat/completions"
    MESSAGES = "/v1/messages"


def build_payload(port: int, *, is_stream: bool, ask: Ask = Ask.CHAT) -> bytes:
    """A whole request to the route `chat`, head and body."""
    body = {"model": "chat", "messages": [{"role": "user", "content": _PROMPT}], "max_tokens": 64, "temperature": 0.2}
    if is_stream:
        body["stream"] = True
    content = json.dumps(body).encode()
    key = (
        f"x-api-key: {TOKEN}\r\nanthropic-version: 2023-06-01"
        if ask is Ask.MESSAGES
        else f"Authorization: Bearer {TOKEN}"
    )
    head = (
        f"POST {ask} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{key}\r\n"
        "Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: bench\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def build_reply() -> bytes:
    """The whole unstreamed reply of an endpoint."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(ANSWER)}\r\n\r\n"
    return head.encode() + ANSWER


def build_stream() -> list[bytes]:
    """The writes of a streamed reply: the head, one HTTP chunk for each event, `[DONE]`, the end."""
    contents = [
        frame(
            build_event([{"index": 0, "delta": {"content": f" word{index}"}, "logprobs": None, "finish_reason": None}])
        )
        for index in range(NUM_CHUNKS - 3)
    ]
    usage = {"prompt_tokens": 75, "completion_tokens": NUM_CHUNKS - 3, "total_tokens": 75 + NUM_CHUNKS - 3}
    finish = frame(build_event([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]))
    return [STREAM_HEAD, *contents, finish, frame(build_event([], usage=usage)), frame(b"data: [DONE]\n\n"), STREAM_END]


def build_event(choices: list[dict[str, object]], **more: object) -> bytes:
    """One chat completion chunk as a server-sent event."""
    base = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "tiny"}
    return b"data: %b\n\n" % json.dumps(base | {"choices": choices} | more, separators=(",", ":")).encode()


def frame(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def find_length(head: bytes | bytearray) -> int | None:
    """The content-length of a message's head; None where it has none."""
    start = head.lower().find(b"content-length:")
    return None if start < 0 else int(head[start + 15 :].split(b"\r\n", 1)[0])
