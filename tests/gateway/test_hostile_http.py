"""What the data port refuses before a handler sees it: raw bytes on real sockets."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_endpoint import HELLO, ScriptedUpstream, World, endpoint, post, run_gateway_here, split_reply

from inhouse.domain import RequestError
from inhouse.gateway.chunked import ChunkedDecoder
from inhouse.gateway.head import read_head
from inhouse.gateway.settings import GatewaySettings, LimitSettings

HOST = b"host: x\r\n"


def code_of(reply: bytes) -> tuple[int, str]:
    status, headers, body = split_reply(reply)
    assert headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return status, error["code"]


@pytest.mark.parametrize(
    "payload",
    [
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2, 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0x2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /healthz HTTP/1.1\nhost: x\n\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\na: b\rc\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\na: \x00\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\na: \x7f\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n: b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nna me: b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nauthorization: a\r\nauthorization: b\r\n\r\n",
        b"GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n",
        b"GET /healthz HTTP/1.2\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET  /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"a" * 2000,
    ],
)
async def test_hostile_http_is_answered_400_and_the_connection_closed(payload: bytes, tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", "http://127.0.0.1:1/v1")]).build()) as gateway:
        # A smuggled second request must never be answered.
        reply = await gateway.raw(payload + b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert code_of(reply) == (400, "unsupported_http")
        assert len(re.findall(rb"HTTP/1.1 \d", reply)) == 1
        assert b"connection: close" in reply
        assert gateway.server.num_refused["unsupported_http"] == 1


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"HEAD /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
        (b"BREW / HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 400),
        (b"GET /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
        (b"POST /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
        (b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET http://other/healthz?x=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 200),
        (b"\r\nGET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade, close\r\n\r\n", 200),
    ],
)
async def test_unusual_but_plain_http_gets_its_status(payload: bytes, expected: int, tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", "http://127.0.0.1:1/v1")]).build()) as gateway:
        reply = await gateway.raw(payload)
        status, headers, body = split_reply(reply)
        assert status == expected
        if payload.startswith(b"HEAD"):
            assert body == b""
            assert headers["allow"] == "GET"


LIMITS = GatewaySettings(
    limits=LimitSettings(
        max_header_bytes=1024,
        max_body_bytes=2048,
        header_timeout_s=0.1,
        body_timeout_s=0.1,
        idle_timeout_s=0.15,
        max_connections=2,
    )
)


@pytest.mark.parametrize(
    ("payload", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300, 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 1100 + b"\r\n\r\n", 431, "headers_too_large"),
        (
            b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 2049\r\nexpect: 100-continue\r\n\r\n",
            413,
            "request_too_large",
        ),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n801\r\n", 413, "request_too_large"),
        (b"GET / HTTP/1.1\r\nhost:", 408, "request_timeout"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 9\r\n\r\n{", 408, "request_timeout"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"transfer-encoding: chunked\r\n\r\n5\r\n{", 408, "request_timeout"),
    ],
)
async def test_sizes_and_times_are_bounded(payload: bytes, status: int, code: str, tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("c", "http://127.0.0.1:1/v1")]).build(), LIMITS) as gateway:
        assert code_of(await gateway.raw(payload)) == (status, code)


async def test_a_refused_large_upload_still_gets_its_answer(tmp_path: Path) -> None:
    """The rest of the upload is read and dropped: a reset would destroy the answer on its way."""
    async with run_gateway_here(tmp_path, World([endpoint("c", "http://127.0.0.1:1/v1")]).build(), LIMITS) as gateway:
        payload = b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 9000000\r\n\r\n" + b"x" * 9_000_000
        assert code_of(await gateway.raw(payload)) == (413, "request_too_large")


async def test_an_idle_connection_is_closed_and_too_many_are_refused(tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("c", "http://127.0.0.1:1/v1")]).build(), LIMITS) as gateway:
        first, _ = await gateway.connect()
        second, _ = await gateway.connect()
        assert code_of(await gateway.raw(b"")) == (503, "overloaded")
        assert await asyncio.wait_for(first.read(), 2) == b""
        assert await asyncio.wait_for(second.read(), 2) == b""


async def test_expect_continue_is_answered_before_the_body_is_sent(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        head, _, body = post(HELLO, headers="expect: 100-continue\r\n").partition(b"\r\n\r\n")
        reader, writer = await gateway.connect()
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert split_reply(await reader.read())[0] == 200


async def test_chunked_bodies_are_taken_at_any_cut(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    body = json.dumps(HELLO).encode()
    chunked = b"%x;ext=1\r\n%b\r\n%x\r\n%b\r\n0\r\ntrailer: x\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])
    head = post(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        reader, writer = await gateway.connect()
        for byte in head + chunked:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert split_reply(await reader.read())[0] == 200
        assert upstream.requests[0].json == HELLO | {"model": "tiny"}


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        chat = post(HELLO, closes=False)
        health = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
        last = b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        reply = await gateway.raw(chat + health + chat + last)
        assert [reply[at + 9 : at + 12] for at in range(len(reply)) if reply.startswith(b"HTTP/1.1 ", at)] == [
            b"200",
            b"200",
            b"200",
            b"404",
        ]
        assert reply.find(b'{"status":"ok"}') < reply.rfind(b"chatcmpl-1")
        assert len(upstream.requests) == 2


@given(head=st.binary(max_size=200))
def test_any_bytes_are_a_head_or_a_refusal(head: bytes) -> None:
    for text in (head, b"GET / HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n"):
        status, read = 200, None
        try:
            read = read_head(text + b"\r\n\r\n")
        except RequestError as error:
            status = error.status
        assert status in (200, 400, 405)
        assert read is None or b"host" in read.headers or read.is_http_10


@given(body=st.binary(max_size=300), sizes=st.lists(st.integers(1, 40), min_size=1), cut=st.integers(1, 30))
def test_a_chunked_body_decodes_to_itself_however_it_is_cut(body: bytes, sizes: list[int], cut: int) -> None:
    wire, position, turn = b"", 0, 0
    while position < len(body):
        part = body[position : position + sizes[turn % len(sizes)]]
        wire += b"%X\r\n%b\r\n" % (len(part), part)
        position, turn = position + len(part), turn + 1
    wire += b"0\r\n\r\nNEXT"
    decoder = ChunkedDecoder(1000)
    rest = b""
    for start in range(0, len(wire), cut):
        part = wire[start : start + cut]
        rest += part if decoder.is_complete else decoder.feed(part)
    assert decoder.take_body() == body
    assert rest == b"NEXT"


@given(wire=st.binary(max_size=100))
def test_any_bytes_are_a_chunked_body_or_a_refusal(wire: bytes) -> None:
    decoder = ChunkedDecoder(100)
    status = 200
    try:
        decoder.feed(wire)
    except RequestError as error:
        status = error.status
    assert status in (200, 400, 413)
    assert status != 200 or len(decoder.take_body()) <= 100
