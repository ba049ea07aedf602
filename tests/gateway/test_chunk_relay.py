"""A chunk that is relayed unparsed counts and reads as one that went through the parser, however the bytes are cut."""

import asyncio
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.backends import ChatMeter
from inhouse.backends.connection import Connection, Receiver
from inhouse.domain import EndpointError, Operation
from inhouse.gateway.chunk_relay import ChunkRelay
from inhouse.telemetry import StreamAnswer

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


class Client:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, framed: bytes) -> None:
        self.written.append(framed)


def relay_after(text: str, answer: StreamAnswer | None = None) -> tuple[ChunkRelay, Client]:
    """A relay that has learned from one metered event, and its client."""
    meter = ChatMeter(withholds_usage=True)
    meter.feed(event("a"), 1.0)
    assert meter.take_plain(event(text), 2.0)
    assert meter.alike_start is not None
    client = Client()
    relay = ChunkRelay(client.write, answer)
    relay.learn(meter.alike_start, meter.alike_end)
    return relay, client


class Behind(Connection):
    """Stands behind a relay: offers it what is given on as a new chunk, as a connection does; keeps the rest."""

    def __init__(self, relay: ChunkRelay, *, offers: bool = True) -> None:
        super().__init__(asyncio.new_event_loop(), lambda _: None, lambda _: None)
        self._loop.close()
        self.relay, self.offers = relay, offers
        self.left: list[bytes] = []
        relay.connection = self

    def data_received(self, data: bytes) -> None:
        if not (self.offers and self.relay.take_new(data, data.index(b"\r\n") + 2)):
            self.left.append(data)


def offer(relay: ChunkRelay, framed: bytes, *, is_new: bool = True) -> bool:
    """Hand it to the relay as the transport does; whether it was taken. Not `is_new`: it must be known already."""
    behind = Behind(relay, offers=is_new)
    relay.data_received(framed)
    return not behind.left


@given(st.lists(st.text(max_size=20), max_size=150))
def test_events_that_differ_in_their_text_alone_are_passed_counted_and_read(texts: list[str]) -> None:
    relayed, metered = StreamAnswer(Operation.CHAT), StreamAnswer(Operation.CHAT)
    relay, client = relay_after("learned from", relayed)
    taken = [text for text in texts if offer(relay, frame(event(text)))]
    relay.settle()
    for text in taken:
        metered.add_event(event(text)[6:].strip())

    assert taken == [text for text in texts if '"' not in text]
    assert client.written == [frame(event(text)) for text in taken]
    assert relay.num_taken == len(taken)
    assert relayed.finish() == metered.finish()


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
    relay, client = relay_after("a")

    assert not offer(relay, frame(other))
    relay.settle()
    assert (relay.num_taken, client.written) == (0, [])


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_changed_byte_passes_only_in_the_text(at: int, byte: int) -> None:
    """Every other byte, the chunk's size among them, must be what it was in the chunk that was taken before."""
    relay, _ = relay_after("a")
    known = frame(event("some words"))
    assert offer(relay, known)
    place = at % len(known)
    changed = known[:place] + bytes([byte]) + known[place + 1 :]
    text_at = known.index(b"some words")
    is_in_text = text_at <= place < text_at + len(b"some words") and byte != ord('"')

    assert offer(relay, changed, is_new=False) is (changed == known or is_in_text)


def test_what_is_learned_anew_replaces_what_was_known() -> None:
    relay, client = relay_after("a")
    known = frame(event("words"))
    assert offer(relay, known)
    relay.learn(b"data: other", b"}\n\n\r\n")

    assert not offer(relay, known, is_new=False)
    assert relay.num_taken == 1
    assert client.written == [known]
