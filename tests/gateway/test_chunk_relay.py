"""A chunk that is relayed unparsed counts and reads as one that went through the parser, however the bytes are cut."""

import asyncio
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.backends import ChatMeter
from inhouse.backends.connection import Connection, Receiver
from inhouse.domain import EndpointError

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Kept(Receiver):
    """Keeps the payload; takes whole chunks as they come where it may."""

    def __init__(self, *, takes_chunks: bool) -> None:
        self.takes_chunks = takes_chunks
        self.payload = b""
        self.num_taken = 0
        self.is_ended = False
        self.failure: EndpointError | None = None

    def on_data(self, data: bytes) -> None:
        self.payload += data

    def take_chunk(self, framed: bytes, start: int) -> bool:
        if self.takes_chunks:
            self.payload += framed[start:-2]
            self.num_taken += 1
        return self.takes_chunks

    def on_end(self) -> None:
        self.is_ended = True

    def on_failure(self, error: EndpointError) -> None:
        self.failure = error


class Pipe(asyncio.Transport):
    """A transport that takes everything and sends nothing."""

    def write(self, data: object) -> None:
        del data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        """Nothing to close."""

    def close(self) -> None:
        """Nothing to close."""


async def feed(parts: list[bytes], *, takes_chunks: bool) -> Kept:
    kept = Kept(takes_chunks=takes_chunks)
    connection = Connection(asyncio.get_running_loop(), lambda _: None, lambda _: None)
    connection.connection_made(Pipe())
    connection.send(b"GET", kept)
    for part in parts:
        connection.data_received(part)
    connection.connection_lost(None)
    return kept


def frame(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


@settings(max_examples=200)
@given(
    payloads=st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"4\r\nabcd\r\n"]), max_size=8),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    is_aligned=st.booleans(),
)  # fmt: skip
def test_the_payload_is_the_same_however_the_stream_is_cut(
    payloads: list[bytes], cuts: list[int], is_aligned: bool
) -> None:
    chunks = [frame(payload) for payload in payloads] + [b"0\r\n\r\n"]
    text = b"".join(chunks)
    borders = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parts = chunks if is_aligned else [text[a:b] for a, b in itertools.pairwise(borders)]

    taken = asyncio.run(feed([HEAD, *parts], takes_chunks=True))
    parsed = asyncio.run(feed([HEAD, *parts], takes_chunks=False))

    assert taken.payload == parsed.payload == b"".join(payloads)
    assert (taken.is_ended, taken.failure) == (parsed.is_ended, parsed.failure) == (True, None)


async def test_whole_chunks_are_taken_unparsed_once_the_stream_runs() -> None:
    kept = await feed([HEAD, *[frame(b"data: x\n\n")] * 5, b"0\r\n\r\n"], takes_chunks=True)

    assert kept.num_taken == 4


@pytest.mark.parametrize("size", [b"+4", b"0x4", b"4 ", b"4;a=b", b"04", b"0004", b"-4", b"4_", b""])
async def test_a_chunk_size_that_is_not_plain_hexadecimal_never_passes_unparsed(size: bytes) -> None:
    kept = await feed([HEAD, frame(b"abcd"), size + b"\r\nabcd\r\n"], takes_chunks=True)

    assert kept.num_taken == 0


def event(text: str, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    body = {"id": "c", "model": "m", "choices": [{**choice, **more}]}
    return b"data: " + json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def meter_after(*events: bytes) -> ChatMeter:
    meter = ChatMeter(withholds_usage=True)
    for one in events:
        meter.feed(one, 1.0)
    meter.take_plain(event("learned from"), 2.0)
    return meter


@given(st.text(max_size=20))
def test_an_event_that_differs_in_its_text_alone_counts_like_a_parsed_one(text: str) -> None:
    alike, parsed = meter_after(event("a")), meter_after(event("a"))
    framed = frame(event(text))
    start = framed.index(b"\r\n") + 2

    is_taken = alike.take_alike(framed, start, 3.0)
    parsed.feed(event(text), 3.0)

    assert is_taken is ('"' not in text)
    if is_taken:
        assert (alike.num_chunks, alike.last_content_at) == (parsed.num_chunks, parsed.last_content_at)


@pytest.mark.parametrize(
    "other",
    [
        event("x", finish_reason="stop"),
        event("x", logprobs={"content": []}),
        b'data: {"error":{"message":"x"}}\n\n',
        b"data: [DONE]\n\n",
        b": comment\n\n",
        event("x") + event("y"),
        event("x").replace(b"\n\n", b"\n"),
        b'data: {"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n',
    ],
)
def test_anything_else_is_left_to_the_parser(other: bytes) -> None:
    meter = meter_after(event("a"))
    framed = frame(other)

    assert not meter.take_alike(framed, framed.index(b"\r\n") + 2, 3.0)
    assert meter.num_chunks == 2
