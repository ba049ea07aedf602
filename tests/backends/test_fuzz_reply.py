"""What endpoints send and clients ask, under changed bytes: only the declared errors, and no byte lost by a cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st

from gateway.mutation import CUTS, cut, fuzz, mutants, read_corpus
from inhouse.backends import (
    EventCutter,
    EventTooLongError,
    Receiver,
    ReplyHead,
    meter_operation,
    read_chat_request,
    read_completions_request,
    read_count_tokens_request,
    read_data,
    read_embeddings_request,
    read_messages_request,
    read_operation_facts,
    read_responses_request,
    split_events,
)
from inhouse.backends.connection import Connection
from inhouse.backends.splice import JsonError, read_object
from inhouse.domain import EndpointError, ErrorCode, Operation, RequestError

BODIES = read_corpus("json")
STREAMS = read_corpus("events")
REPLIES = read_corpus("reply")
JSON_TOKENS = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"null", b"true", b"1e999", b"-", b'"model":"x",'),
    *(
        b'"mod\\u0065l"',
        b"\\ud800",
        b"\\u0000",
        b'"messages":',
        b'"stream":true,',
        b"[[[[[[[[",
        b'{"a":',
        b'"metadata":{}',
    ),
    *(b'"stream_options":null,', b'"content":[{"type":"image_url"}]', b'"input":', b"[]", b"{}", b"\xef\xbb\xbf", b"0"),
]
EVENT_TOKENS = [
    *(b"\n", b"\r", b"\n\n", b"\r\n", b"\r\n\r\n", b"data: ", b"data:", b"event: ", b": ping\n\n", b"data: [DONE]\n\n"),
    *(b"id: 1\n", b"retry: 1\n", b'"usage":null', b'"choices":[]', b"null", b"{}", b"[", b'"', b"\\", b"data: {}\n\n"),
    *(b'data: {"error":{}}\n\n', b"data\n", b"\xef\xbb\xbf", b"\x00", b'"type":"error"', b'"finish_reason":"stop"'),
]
REPLY_TOKENS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"0\r\n\r\n",
        b"content-length: 2\r\n",
        b"content-length: 99999999999999999999\r\n",
    ),
    *(b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip\r\n", b"connection: close\r\n", b"upgrade: x\r\n"),
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 \r\n\r\n",
        b"HTTP/1.1 101 \r\n\r\n",
        b"HTTP/1.0 ",
        b"HTTP/2 ",
        b"2\r\n{}\r\n",
    ),
    *(b" ", b"\t", b":", b"ffffffff", b"-1", b"\x00", b"204", b"304", b"999", b"000", b"x" * 300, b";a=b"),
]
AMOUNTS = [300, pytest.param(10_000, marks=pytest.mark.soak)]
GENERATING = [Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.MESSAGES]
READERS: list[Callable[[bytes], Any]] = [
    read_chat_request,
    read_completions_request,
    read_embeddings_request,
    read_messages_request,
    read_count_tokens_request,
    read_responses_request,
]


# Bodies.


def check_object(text: bytes) -> bool:
    """`read_object` refuses with its own error only, and finds what another parser finds."""
    try:
        found = read_object(text)
    except JsonError:
        return False
    expected = json.loads(text, parse_int=str, parse_float=str)
    assert list(found.members) == list(expected)
    assert {
        name: json.loads(bytes(raw), parse_int=str, parse_float=str) for name, raw in found.members.items()
    } == expected
    assert found.replace({}) == text
    edited = json.loads(found.replace({"model": b'"new"', "added": b"[1]"}), parse_int=str, parse_float=str)
    assert edited == expected | {"model": "new", "added": ["1"]}
    return True


@pytest.mark.parametrize("name", BODIES)
def test_each_body_of_the_corpus_is_taken_or_refused_as_its_name_says(name: str) -> None:
    assert check_object(BODIES[name]) == name.startswith("taken_")


@pytest.mark.parametrize("amount", AMOUNTS)
def test_any_body_is_an_object_that_can_be_edited_or_a_json_error(amount: int) -> None:
    def check(text: bytes) -> None:
        check_object(text)

    fuzz(amount, check, mutants(list(BODIES.values()), JSON_TOKENS))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("amount", [100, pytest.param(4_000, marks=pytest.mark.soak)])
def test_any_body_is_a_request_or_a_refusal(amount: int, read: Callable[[bytes], Any]) -> None:
    """A request that is read can also be edited, and stays JSON."""

    def check(body: bytes) -> None:
        try:
            request = read(body)
        except RequestError as error:
            if error.status != 400:
                raise
            return
        edited = json.loads(request.edit("other"), parse_int=str, parse_float=str)
        assert edited["model"] == "other"

    fuzz(amount, check, mutants(list(BODIES.values()), JSON_TOKENS))


@pytest.mark.parametrize("amount", AMOUNTS)
def test_the_facts_of_any_reply_are_read_or_there_are_none(amount: int) -> None:
    def check(body: bytes, operation: Operation) -> None:
        read_operation_facts(operation, body)

    events = [data for stream in STREAMS.values() for event in split_events(stream) if (data := read_data(event))]
    fuzz(amount, check, mutants([*events, *BODIES.values()], JSON_TOKENS), st.sampled_from(list(Operation)))


@pytest.mark.parametrize("operation", GENERATING)
def test_a_reply_that_is_no_utf_8_has_no_facts(operation: Operation) -> None:
    """Invalid bytes stand in every text that is read; they are the endpoint's fault, and no fault of the gateway."""
    texts = b'"id":"\x80","model":"\x80","object":"\x80","type":"\x80","status":"\x80","stop_reason":"\x80"'
    choices = b'"choices":[{"index":0,"message":{"content":"\x80"},"text":"\x80","finish_reason":"\x80"}]'
    lists = b'"content":[{"type":"\x80"}],"output":[{"type":"\x80"}],"data":[],"usage":{"input_tokens":1}'
    assert read_operation_facts(operation, b"{%b,%b,%b}" % (texts, choices, lists)) is None


# Streams.


def cut_events(parts: list[bytes]) -> tuple[list[bytes], bytes]:
    cutter = EventCutter()
    return [cutter.feed(part) for part in parts], cutter.tail


def check_events(stream: bytes, shares: list[float]) -> None:
    """No byte is lost, only whole events come out, and they are the same however the stream is cut."""
    blocks, tail = cut_events(cut(stream, shares))
    assert b"".join(blocks) + tail == stream
    for block in blocks:
        assert not block or block.endswith((b"\n\n", b"\n\r\n"))
        assert b"".join(split_events(block)) == block
    whole, rest = cut_events([stream])
    found = [read_data(event) for block in blocks for event in split_events(block)]
    expected = [read_data(event) for event in split_events(b"".join(whole) + rest[: max(0, len(rest) - len(tail))])]
    assert [data for data in found if data is not None] == [data for data in expected if data is not None]


@pytest.mark.parametrize("name", STREAMS)
def test_each_stream_of_the_corpus_comes_out_whole(name: str) -> None:
    stream = STREAMS[name]
    blocks, tail = cut_events([bytes((byte,)) for byte in stream])
    assert b"".join(blocks) + tail == stream
    assert (tail == b"") == (name != "unfinished")


@pytest.mark.parametrize("amount", AMOUNTS)
def test_events_are_the_same_however_their_stream_is_cut(amount: int) -> None:
    fuzz(amount, check_events, mutants(list(STREAMS.values()), EVENT_TOKENS), CUTS)


@pytest.mark.parametrize("operation", GENERATING)
@pytest.mark.parametrize("amount", [100, pytest.param(4_000, marks=pytest.mark.soak)])
def test_any_stream_is_metered_without_an_error_and_passes_as_it_came(amount: int, operation: Operation) -> None:
    def check(stream: bytes, shares: list[float]) -> None:
        meter, cutter = meter_operation(operation), EventCutter()
        for part in cut(stream, shares):
            try:
                block = cutter.feed(part)
            except EventTooLongError:
                return
            if block:
                passed, _ = meter.feed(block, 1.0)
                is_broken = getattr(meter, "is_malformed", False)  # then what comes after is held back
                assert block.startswith(passed) if is_broken else passed == block
        usage, _ = meter.settle()
        assert meter.facts().usage == usage
        assert isinstance(meter.is_complete, bool)

    fuzz(amount, check, mutants(list(STREAMS.values()), EVENT_TOKENS), CUTS)


# Replies.


@dataclass
class Reply(Receiver):
    """Keeps what it is told, and insists on the order."""

    head: ReplyHead | None = None
    body: bytes = b""
    num_ends: int = 0
    failures: list[EndpointError] = field(default_factory=list)

    def on_head(self, head: ReplyHead) -> None:
        assert self.head is None
        assert self.body == b""
        assert not self.is_over
        self.head = head

    def on_data(self, data: bytes) -> None:
        assert self.head is not None
        assert not self.is_over
        assert data
        self.body += data

    def on_end(self) -> None:
        assert self.head is not None
        self.num_ends += 1

    def on_failure(self, error: EndpointError) -> None:
        self.failures.append(error)

    @property
    def is_over(self) -> bool:
        return self.num_ends + len(self.failures) > 0

    @property
    def outcome(self) -> tuple[object, ...]:
        """What came; of a failed reply only how it failed."""
        assert self.num_ends + len(self.failures) == 1
        if self.failures:
            return (self.failures[0].code,)
        assert self.head is not None
        return (self.head.status, tuple(sorted(self.head.headers.items())), self.body)


class Pipe(asyncio.Transport):
    """A transport that takes everything and sends nothing."""

    is_closed = False

    def write(self, data: object) -> None:
        del data

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.is_closed = True

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Wire:
    """Connections on a loop that does not run, with the heads that they have learned."""

    loop: asyncio.AbstractEventLoop
    known_heads: dict[bytes, ReplyHead]
    faults: list[dict[str, Any]] = field(default_factory=list)

    def receive(self, parts: list[bytes], *, knows_heads: bool = False) -> tuple[Reply, bool]:
        """Feed one reply; it and whether its connection was kept for another."""
        freed: list[Connection] = []
        connection = Connection(self.loop, freed.append, lambda _: None, self.known_heads if knows_heads else None)
        pipe, reply = Pipe(), Reply()
        connection.connection_made(pipe)
        connection.send(b"GET", reply)
        for part in parts:
            if part and not pipe.is_closed:
                connection.data_received(part)
        is_kept = bool(freed) and not pipe.is_closed
        connection.connection_lost(None)
        assert self.faults == []
        return reply, is_kept


@pytest.fixture
def wire() -> Iterator[Wire]:
    loop = asyncio.new_event_loop()
    found = Wire(loop, {})
    loop.set_exception_handler(lambda _, context: found.faults.append(context))
    yield found
    loop.close()


DECLARED = {ErrorCode.UPSTREAM_ERROR, ErrorCode.UPSTREAM_CUT, ErrorCode.UPSTREAM_UNREACHABLE}
EXPECTED: dict[str, tuple[object, ...]] = {
    "whole": (200, b"{}", True),
    "chunked": (200, b"data: a\n\ndata: [DONE]\n\n", True),
    "chunked_trailer": (200, b"{}", True),
    "until_close": (200, b"{}", False),
    "http_10": (200, b"{}", False),
    "keeps_not": (200, b"{}", False),
    "interim": (200, b"{}", True),
    "no_content": (204, b"", True),
    "two_replies": (200, b"{}", False),
    "bytes_behind": (200, b"{}", False),
    "rate_limited": (429, b"", True),
    "length_and_coding": (ErrorCode.UPSTREAM_ERROR,),
    "two_lengths": (ErrorCode.UPSTREAM_ERROR,),
    "switched": (ErrorCode.UPSTREAM_ERROR,),
    "bare_lf": (ErrorCode.UPSTREAM_ERROR,),
    "no_http": (ErrorCode.UPSTREAM_ERROR,),
    "cut": (ErrorCode.UPSTREAM_CUT,),
}


@pytest.mark.parametrize("name", REPLIES)
def test_each_reply_of_the_corpus_ends_as_it_must(name: str, wire: Wire) -> None:
    """Status, body and whether the connection may serve another request; or how it failed."""
    for parts in ([REPLIES[name]], [bytes((byte,)) for byte in REPLIES[name]]):
        reply, is_kept = wire.receive(parts)
        if reply.failures:
            assert (reply.failures[0].code,) == EXPECTED[name]
            continue
        assert reply.head is not None
        may_differ = name in ("two_replies", "bytes_behind") and len(parts) > 1  # then they come behind an idle line
        assert (reply.head.status, reply.body, is_kept and not may_differ) == EXPECTED[name]


@pytest.mark.parametrize("amount", AMOUNTS)
def test_any_reply_ends_once_with_a_declared_error_or_the_same_however_it_is_cut(amount: int, wire: Wire) -> None:
    """Also where the head was learned from an earlier reply and is not parsed again."""

    def check(text: bytes, shares: list[float]) -> None:
        whole, _ = wire.receive([text])
        assert not whole.failures or whole.failures[0].code in DECLARED
        assert wire.receive(cut(text, shares))[0].outcome == whole.outcome
        for parts in ([text], [text], cut(text, shares)):
            assert wire.receive(parts, knows_heads=True)[0].outcome == whole.outcome

    fuzz(amount, check, mutants(list(REPLIES.values()), REPLY_TOKENS), CUTS)
