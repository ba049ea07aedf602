"""The request parser and the chunk decoder under changed bytes, with llhttp as the judge of what they accept."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import httptools
import pytest
from hypothesis import assume
from hypothesis import strategies as st

from gateway.mutation import CUTS, cut, fuzz, mutants, read_corpus
from inhouse.domain import RequestError
from inhouse.gateway.chunked import ChunkedDecoder
from inhouse.gateway.head import HeadReader, RequestHead, read_head

HEADS = read_corpus("head")
BODIES = read_corpus("chunked")
HEAD_TOKENS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"\r\n ",
        b"/",
        b"//",
        b"?",
        b"#",
        b"%2e",
        b"%",
    ),
    *(b"content-length: 2\r\n", b"Content-Length: 3\r\n", b"transfer-encoding: chunked\r\n", b"transfer-encoding: "),
    *(
        b"chunked",
        b"identity",
        b"host: y\r\n",
        b"connection: close\r\n",
        b"connection: keep-alive\r\n",
        b"upgrade: x\r\n",
    ),
    *(
        b"expect: 100-continue\r\n",
        b"HTTP/1.0",
        b"HTTP/1.1",
        b"HTTP/2.0",
        b"POST ",
        b"CONNECT ",
        b"http://",
        b"\x0b",
        b"*",
    ),
]
CHUNK_TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"0\r\n\r\n", b"0", b"f", b"+", b"-", b"0x", b" ", b";", b'"', b"=", b";a=b", b"\\", b":"),
    *(b"content-length: 2\r\n", b"a: b\r\n", b"ffffffff", b"1\r\nx\r\n"),
]
AMOUNTS = [400, pytest.param(15_000, marks=pytest.mark.soak)]


@dataclass
class Judged:
    """What llhttp makes of a request."""

    url: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    num_complete: int = 0
    num_begun: int = 0

    def on_message_begin(self) -> None:
        self.num_begun += 1

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.strip(b" ")
        known = self.headers.get(name)
        self.headers[name] = value if known is None else known + b", " + value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.num_complete += 1


def judge(text: bytes) -> tuple[Judged, httptools.HttpRequestParser]:
    """Feed llhttp; fails where it refuses."""
    judged = Judged()
    parser = httptools.HttpRequestParser(judged)
    with suppress(httptools.HttpParserUpgrade):  # it would take an offered upgrade up
        parser.feed_data(text)
    return judged, parser


def read_or_none(text: bytes) -> RequestHead | None:
    try:
        return read_head(text)
    except RequestError as error:
        if error.status not in (400, 405, 431):
            raise
        return None


def check_against_llhttp(text: bytes) -> bool:
    """What is accepted here means the same to llhttp: method, target, headers, version, and where the body ends.

    True where it was accepted.
    """
    head = read_or_none(text)
    if head is None:
        return False
    judged, parser = judge(text)
    assert parser.get_method().decode() == head.method
    assert parser.get_http_version() == ("1.0" if head.is_http_10 else "1.1")
    url = httptools.parse_url(judged.url)
    assert (url.path or b"/").decode() == head.path
    query = b"?" + url.query if url.query else b""
    assert head.target.rstrip("?") == (head.path + query.decode()).rstrip("?")
    assert not head.keeps_alive or parser.should_keep_alive()
    length = judged.headers.pop(b"content-length", None)
    assert judged.headers == head.headers
    assert head.content_length == (None if b"transfer-encoding" in judged.headers else int(length or 0))
    assert judged.num_begun == 1
    if not parser.should_upgrade():
        check_framing(head, judged, parser)
    return True


def check_framing(head: RequestHead, judged: Judged, parser: httptools.HttpRequestParser) -> None:
    if head.content_length is None:
        assert judged.num_complete == 0
        parser.feed_data(b"1\r\nx\r\n0\r\n\r\n")
        assert (judged.num_complete, judged.body) == (1, b"x")
    elif head.content_length <= 2000:
        assert judged.num_complete == (head.content_length == 0)
        if head.content_length:
            parser.feed_data(b"x" * (head.content_length - 1))
            assert judged.num_complete == 0
            parser.feed_data(b"x")
            assert (judged.num_complete, len(judged.body)) == (1, head.content_length)


def cut_head(text: bytes) -> bytes:
    """As the connection does: a head ends with its first empty line."""
    end = text.find(b"\r\n\r\n")
    return text + b"\r\n\r\n" if end < 0 else text[: end + 4]


NAMES = st.sampled_from(
    [b"Host", b"host", b"Content-Length", b"transfer-encoding", b"Connection", b"Accept", b"x-a", b"X-Inhouse-Task"]
) | st.from_regex(rb"\A[!#$%&'*+.^_`|~0-9A-Za-z-]{1,6}\Z")
VALUES = st.sampled_from(
    [b"x", b"chunked", b"Chunked", b"0", b"5", b"007", b"close", b"keep-alive", b"100-continue", b"a, close , b", b""]
) | st.from_regex(rb"\A[\x20-\x7e\x80-\xff]{0,12}\Z")
HEADERS = st.lists(st.tuples(NAMES, st.sampled_from([b": ", b":", b":  "]), VALUES), max_size=6)
TARGETS = st.sampled_from(
    [b"/", b"/v1/models", b"http://h/x?y", b"https://[::1]:1?z", b"/?", b"/a%2Fb"]
) | st.from_regex(rb"\A/[!-~]{0,10}\Z")
WRITTEN = st.builds(
    lambda method, target, version, headers: (
        b"%b %b HTTP/1.%b\r\nhost: x\r\n" % (method, target, version)
        + b"".join(name + colon + value + b"\r\n" for name, colon, value in headers)
        + b"\r\n"
    ),
    st.sampled_from([b"GET", b"POST", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"PUT", b"TRACE"]),
    TARGETS,
    st.sampled_from([b"1", b"1", b"1", b"0"]),
    HEADERS,
)
ANY_HEAD = st.one_of(mutants(list(HEADS.values()), HEAD_TOKENS).map(cut_head), WRITTEN)


@pytest.mark.parametrize("name", HEADS)
def test_each_head_of_the_corpus_is_taken_or_refused_as_its_name_says(name: str) -> None:
    text = cut_head(HEADS[name])
    assert (read_or_none(text) is not None) == name.startswith("taken_")
    check_against_llhttp(text)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_what_is_accepted_means_the_same_to_llhttp(amount: int) -> None:
    num_accepted = 0

    def check(text: bytes) -> None:
        nonlocal num_accepted
        num_accepted += check_against_llhttp(text)

    fuzz(amount, check, ANY_HEAD)
    assert num_accepted > amount / 10  # else little would be proved


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_reader_that_remembers_reads_like_one_that_does_not(amount: int) -> None:
    """For any row of heads on one connection, most of them alike but for the digits of their length."""

    def check(start: bytes, digits: list[bytes], others: list[bytes]) -> None:
        reader = HeadReader()
        alike = [start.replace(b"412", digit) for digit in digits]
        for text in [start, *alike, *others, start, *reversed(alike)]:
            expected = read_or_none(text)
            try:
                found = reader.read(text)
            except RequestError:
                found = None
            assert found == expected

    bases = [HEADS["taken_bench"], HEADS["taken_bench"].replace(b"Content-Length: ", b"content-length: ")]
    bases += [base.replace(b"412\r\n\r\n", b"412\r\nx-content-length: 412\r\n\r\n") for base in bases]
    bases += [base.replace(b"ength: 412", b"ength:412 ") for base in bases]
    digits = st.from_regex(rb"\A[0-9]{1,19}\Z") | st.sampled_from(
        [b"", b" 7", b"7 ", b"+7", b"-7", b"7_0", b"0x7", b"7, 7", b"7\r\ncontent-length: 8", b"7\r\n\r\n7", b"\xb2"]
    )
    fuzz(
        amount,
        check,
        st.sampled_from(bases),
        st.lists(digits, max_size=4),
        st.lists(ANY_HEAD, max_size=3),
    )


def decode(parts: list[bytes]) -> tuple[int, bytes, bytes]:
    """Status (200 complete, 0 unfinished), body and what is behind it."""
    decoder, rest = ChunkedDecoder(200), b""
    try:
        for part in parts:
            rest += part if decoder.is_complete else decoder.feed(part)
    except RequestError as error:
        return error.status, b"", b""
    return (200, decoder.take_body(), rest) if decoder.is_complete else (0, b"", b"")


def check_chunks(wire: bytes, shares: list[float]) -> None:
    """However the bytes are cut, the same comes out; and what is accepted ends for llhttp at the same byte."""
    whole = decode([wire])
    status, body, rest = whole
    assert decode(cut(wire, shares)) == whole
    assert status in (0, 200, 400, 413)
    if status != 200:
        return
    assert len(body) <= 200
    assert wire.endswith(rest)
    judged, parser = judge(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    end = len(wire) - len(rest)
    parser.feed_data(wire[: end - 1])
    assert judged.num_complete == 0
    parser.feed_data(wire[end - 1 : end])
    assert (judged.num_complete, judged.body) == (1, body)


@pytest.mark.parametrize("name", BODIES)
def test_each_chunked_body_of_the_corpus_is_taken_or_refused_as_its_name_says(name: str) -> None:
    expected = {"taken": 200, "refused": 400, "unfinished": 0}[name.partition("_")[0]]
    assert decode([BODIES[name]])[0] == expected
    assert decode([bytes((byte,)) for byte in BODIES[name]])[0] == expected


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_chunked_body_reads_the_same_however_it_is_cut_and_to_llhttp(amount: int) -> None:
    fuzz(amount, check_chunks, mutants(list(BODIES.values()), CHUNK_TOKENS), CUTS)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_any_framing_of_a_body_decodes_to_the_body(amount: int) -> None:
    def check(parts: list[bytes], extension: bytes, shares: list[float]) -> None:
        assume(sum(map(len, parts)) <= 200)
        wire = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts) + b"0\r\n\r\n"
        assert decode(cut(wire + b"NEXT", shares)) == (200, b"".join(parts), b"NEXT")

    extensions = st.sampled_from([b"", b";a", b";a=b", b';a="\\"x"', b";a;b=1"])
    fuzz(amount, check, st.lists(st.binary(min_size=1, max_size=30), max_size=8), extensions, CUTS)
