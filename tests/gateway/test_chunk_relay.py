"""A chunk that is relayed unparsed counts and reads as one that went through the parser, however the bytes are cut."""

import asyncio
import itertools
import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.backends import ChatMeter, find_payload
from inhouse.backends.connection import Connection, Receiver, ReplyHead
from inhouse.domain import EndpointError, ErrorCode, Operation
from inhouse.gateway.chunk_relay import ChunkRelay
from inhouse.telemetry import StreamAnswer

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Kept(Receiver):
    """Keeps the payload."""

    def __init__(self) -> None:
        self.head: ReplyHead | None = None
        self.payload = b""
        self.is_ended = False
        self.failure: EndpointError | None = None

    def on_head(self, head: ReplyHead) -> None:
        self.head = head

    def on_data(self, data: bytes) -> None:
        self.payload += data

    def on_end(self) -> None:
        self.is_ended = True

    def on_failure(self, error: EndpointError) -> None:
        self.failure = error


class Watched(Connection):
    """Keeps what its parser is fed."""

    def __init__(self, known_heads: dict[bytes, ReplyHead]) -> None:
        self.fed: list[bytes] = []
        self.num_free = 0
        super().__init__(asyncio.get_running_loop(), self.count_free, lambda _: None, known_heads)
        inner, fed = self._parser, self.fed

        class Parser:
            def feed_data(self, data: bytes) -> None:
                fed.append(data)
                inner.feed_data(data)

            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

        self._parser = cast("Any", Parser())

    def count_free(self, _: Connection) -> None:
        self.num_free += 1


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


async def feed(
    parts: list[bytes], known_heads: dict[bytes, ReplyHead] | None = None, *, num_replies: int = 1
) -> tuple[Kept, Watched]:
    """The same reply again and again on one connection: the last one."""
    connection = Watched({} if known_heads is None else known_heads)
    connection.connection_made(Pipe())
    kept = Kept()
    for _ in range(num_replies):
        kept = Kept()
        connection.fed.clear()
        connection.send(b"GET", kept)
        for part in parts:
            connection.data_received(part)
    connection.connection_lost(None)
    return kept, connection


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

    heads: dict[bytes, ReplyHead] = {}
    for knows_head in (False, True):
        for with_head in (False, True):  # the first part may come in one read with the head
            reads = [HEAD + parts[0], *parts[1:]] if with_head else [HEAD, *parts]
            kept, connection = asyncio.run(feed(reads, heads if knows_head else None, num_replies=1 + knows_head))
            assert kept.payload == b"".join(payloads)
            assert (kept.is_ended, kept.failure) == (True, None)
            assert connection.num_free == 1 + knows_head
            assert kept.head is not None
            assert kept.head.headers == {b"content-type": b"text/event-stream", b"transfer-encoding": b"chunked"}


async def test_whole_chunks_are_taken_unparsed_once_the_stream_runs() -> None:
    first = frame(b"data: x\n\n")
    kept, connection = await feed([HEAD, *[first] * 5, b"0\r\n\r\n"])

    assert connection.fed == [HEAD, first, b"0\r\n\r\n"]
    assert kept.payload == b"data: x\n\n" * 5


async def test_of_a_stream_with_a_known_head_nothing_is_parsed() -> None:
    kept, connection = await feed([HEAD, *[frame(b"data: x\n\n")] * 5, b"0\r\n\r\n"], num_replies=3)

    assert connection.fed == []
    assert kept.payload == b"data: x\n\n" * 5
    assert connection.num_free == 3


@pytest.mark.parametrize("rest", [b"3\r\nab", b"0\r\nx: y\r\n\r\n", b"0\r\n", b"2;a\r\nab\r\n"])
async def test_the_parser_catches_up_where_less_or_more_than_a_chunk_comes(rest: bytes) -> None:
    _, connection = await feed([HEAD, frame(b"ab"), b"0\r\n\r\n"])
    known_heads = connection._known_heads

    _, connection = await feed([HEAD, frame(b"ab"), rest], known_heads)

    assert connection.fed == [HEAD + rest]


async def test_a_stream_with_a_known_head_that_is_cut_fails() -> None:
    known_heads: dict[bytes, ReplyHead] = {}
    await feed([HEAD, frame(b"ab"), b"0\r\n\r\n"], known_heads)

    kept, connection = await feed([HEAD, frame(b"ab")], known_heads)

    assert connection.fed == []
    assert not kept.is_ended
    assert kept.failure is not None
    assert kept.failure.code is ErrorCode.UPSTREAM_CUT


@pytest.mark.parametrize("line", [b"connection: close\r\n", b"Connection: Close\r\n"])
async def test_a_known_head_that_says_so_ends_its_connection(line: bytes) -> None:
    known_heads: dict[bytes, ReplyHead] = {}
    parts = [HEAD[:-2] + line + b"\r\n", frame(b"ab"), b"0\r\n\r\n"]
    for is_known in (False, True):
        kept, connection = await feed(parts, known_heads)
        assert (not connection.fed) is is_known
        assert kept.is_ended
        assert connection.num_free == 0


@pytest.mark.parametrize("size", [b"+4", b"0x4", b"4 ", b"4;a=b", b"04", b"0004", b"-4", b"4_", b""])
async def test_a_chunk_size_that_is_not_plain_hexadecimal_never_passes_unparsed(size: bytes) -> None:
    odd = size + b"\r\nabcd\r\n"
    _, connection = await feed([HEAD, frame(b"abcd"), odd])

    assert find_payload(odd) == 0
    assert connection.fed[-1] == odd


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
    meter.feed(event(text), 2.0)
    alike = meter.find_alike()
    assert alike is not None
    client = Client()
    relay = ChunkRelay(client.write, answer)
    relay.learn(alike[0], alike[1] + b"\r\n")
    return relay, client


class Behind(Connection):
    """Stands behind a relay, and keeps what that leaves to it."""

    def __init__(self, relay: ChunkRelay) -> None:
        super().__init__(asyncio.new_event_loop(), lambda _: None, lambda _: None)
        self._loop.close()
        self.left: list[bytes] = []
        relay.connection = self

    def data_received(self, data: bytes) -> None:
        self.left.append(data)


def offer(relay: ChunkRelay, framed: bytes) -> bool:
    """Hand it to the relay as the transport does; whether it was taken."""
    behind = Behind(relay)
    relay.data_received(framed)
    assert behind.left in ([], [framed])
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

    assert offer(relay, changed) is (changed == known or is_in_text)


def test_a_size_in_capitals_passes_too() -> None:
    relay, client = relay_after("a")
    known = next(framed for size in range(40) if (framed := frame(event("x" * size)))[:4].upper() != framed[:4])
    capital = known[:4].upper() + known[4:]

    assert offer(relay, capital)
    assert client.written == [capital]


def test_what_is_learned_anew_replaces_what_was_known() -> None:
    relay, client = relay_after("a")
    known = frame(event("words"))
    assert offer(relay, known)
    relay.learn(b"data: other", b"}\n\n\r\n")

    assert not offer(relay, known)
    assert relay.num_taken == 1
    assert client.written == [known]
