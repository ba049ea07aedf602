"""Observe mode: everything passes as it came, both ways, with the caller's own key, and becomes a trace with a cost."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_endpoint import (
    ANSWER,
    DONE,
    PEPPER,
    PRICE,
    STREAM_HEAD,
    USAGE_EVENT,
    RunningGateway,
    Script,
    ScriptedUpstream,
    UpstreamRequest,
    answer_json,
    answer_stream,
    delta,
    event,
    http_chunk,
    run_gateway_here,
    split_reply,
    unchunk,
)

from inhouse.backends import EventCutter, EventTooLongError, meter_operation, read_operation_facts
from inhouse.domain import (
    EgressPolicy,
    ErrorCode,
    Network,
    Observed,
    Operation,
    Snapshot,
    StateError,
    TraceClose,
    TraceStatus,
    UsageBasis,
)
from inhouse.gateway.auth import Authenticator
from inhouse.gateway.observe import MAX_ROUTES, OTHER_ROUTE, name_observed_caller
from inhouse.gateway.observed import MAX_COLLECTED_BYTES
from inhouse.gateway.settings import GatewaySettings, LimitSettings, TimeoutSettings

KEY, OTHER_KEY = "sk-callers-own-key-1234567890", "sk-somebody-elses-key-0987654321"
MODEL = "tiny"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "a secret question"}]}
MESSAGES = CHAT | {"max_tokens": 16}
MESSAGES_ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "tiny-2026-01-01",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0},
}
WIDE = GatewaySettings(signals=False, limits=LimitSettings(max_body_bytes=200_000_000))


@asynccontextmanager
async def observe(
    tmp_path: Path, root_url: str, settings: GatewaySettings = WIDE, **changes: Any
) -> AsyncGenerator[RunningGateway]:
    """A gateway in observe mode; only the model `tiny` has a price."""
    values: dict[str, Any] = {"network": Network(is_declared_private=True), "prices": {MODEL: PRICE}}
    observed = Observed(endpoint_id="api.test", root_url=root_url, **(values | changes))
    snapshot = Snapshot(
        version=1,
        created_at=1_700_000_000.0,
        routes={},
        endpoints={},
        keys=(),
        egress=EgressPolicy(()),
        is_open=True,
        observed=observed,
    )
    async with run_gateway_here(tmp_path, snapshot, settings) as gateway:
        yield gateway


def root_of(upstream: ScriptedUpstream) -> str:
    return upstream.base_url.removesuffix("/v1")


def ask(
    path: str, body: Any = b"", *, method: str = "POST", headers: str = "", key: str | None = KEY, closes: bool = True
) -> bytes:
    """The bytes of a request that shows the caller's own key."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    auth = f"authorization: Bearer {key}\r\n" if key else ""
    length = f"content-length: {len(content)}\r\n" if content else ""
    closing = "connection: close\r\n" if closes else ""
    return f"{method} {path} HTTP/1.1\r\nhost: gateway\r\n{auth}{headers}{length}{closing}\r\n".encode() + content


def answer_raw(*parts: bytes) -> Script:
    """Answer with these bytes, one write each."""

    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)

    return script


def chat_stream(*, asks_usage: bool = False) -> dict[str, Any]:
    return CHAT | {"stream": True} | ({"stream_options": {"include_usage": True}} if asks_usage else {})


def messages_events() -> list[bytes]:
    def named(payload: dict[str, Any]) -> bytes:
        return b"event: " + payload["type"].encode() + b"\n" + event(payload)

    start = {key: value for key, value in MESSAGES_ANSWER.items() if key not in ("content", "stop_reason")}
    usage = {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0}
    text = {"type": "text", "text": ""}
    return [
        named({"type": "message_start", "message": start | {"content": [], "stop_reason": None, "usage": usage}}),
        named({"type": "content_block_start", "index": 0, "content_block": text}),
        named({"type": "ping"}),
        named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}}),
        named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}}),
        named({"type": "content_block_stop", "index": 0}),
        named({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
        named({"type": "message_stop"}),
    ]


async def close_of(gateway: RunningGateway) -> TraceClose:
    """The only close record, as soon as it is there."""
    async with asyncio.timeout(5):
        while not gateway.sink.closes:
            await asyncio.sleep(0.005)
    (closed,) = gateway.sink.closes
    return closed


# The way there.

BODIES = {
    "JSON": (b'{ "model" : "tiny",\n "unknown": [1.0e5, "\\u00e4"] }  ', "application/json"),
    "no JSON": (b"\x00\xff{not json\r\n\r\n", "application/octet-stream"),
    "multipart": (
        b'--x\r\ncontent-disposition: form-data; name="file"\r\n\r\n\x00\x01\r\n--x--\r\n',
        "multipart/form-data",
    ),
    "compressed": (b"\x1f\x8b\x08\x00gzip", "application/json"),
    "half a JSON document": (b'{"model": "tiny", "messages": [', "application/json"),
    "a model that is no text": (b'{"model": 5}', "application/json"),
    "deep": (b'{"model": "tiny", "x": ' + b"[" * 20_000, "application/json"),
    "no body": (b"", "application/json"),
}
PLACES = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/chat/completions?api-version=1&a=%2F&b[]=c&empty="),
    ("POST", "/v1/files"),
    ("POST", "/v1/images/edits?"),
    ("DELETE", "/v1/files/file-1"),
    ("PUT", "/made/up//twice/../%2e%2e/path;x=1?q=a%20b"),
    ("PATCH", "/"),
    ("GET", "/v1/batches?limit=2&after=x"),
]


@pytest.mark.parametrize(("method", "target"), PLACES)
@pytest.mark.parametrize("body", BODIES)
async def test_a_request_reaches_the_upstream_byte_for_byte(
    method: str, target: str, body: str, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Method, path, query, headers and body are the caller's; only what belongs to the connection is not passed."""
    content, kind = BODIES[body]
    passed = [
        f"authorization: Bearer {KEY}",
        "openai-organization: org-1",
        "x-stainless-retry-count: 0",
        "x-inhouse-task: mine",
        "accept: */*",
        "cookie: a=b; c=d",
        f"content-type: {kind}",
        *(["content-encoding: gzip"] if body == "compressed" else []),
        "user-agent: caf\xe9  two  spaces",
    ]
    dropped = ["Connection: close, x-hop", "X-Hop: 1", "te: trailers", "proxy-authorization: Basic x", "keep-alive: 5"]
    length = [f"content-length: {len(content)}"] if content else []
    head = [f"{method} {target} HTTP/1.1", "host: gateway", *passed, *dropped, *length]
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reply = await gateway.raw("\r\n".join((*head, "", "")).encode("latin-1") + content)
    assert split_reply(reply)[0] == 200
    (request,) = upstream.requests
    first, *lines = request.head.split("\r\n")
    assert first == f"{method} {target} HTTP/1.1"
    assert request.body == content
    has_length = content or method not in ("GET", "DELETE")
    expected = [f"host: 127.0.0.1:{upstream.port}", *passed]
    assert sorted(lines) == sorted([*expected, f"content-length: {len(content)}"] if has_length else expected)


async def test_only_what_is_metered_comes_uncompressed(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async with observe(tmp_path, root_of(upstream)) as gateway:
        await gateway.raw(ask("/v1/chat/completions", CHAT, headers="accept-encoding: gzip\r\n"))
        await gateway.raw(ask("/v1/files/f/content", method="GET", headers="accept-encoding: gzip\r\n"))
    assert [request.header("accept-encoding") for request in upstream.requests] == [None, "gzip"]


async def test_repeated_headers_pass_joined_and_a_chunked_body_whole(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    request = (
        b"POST /v1/files HTTP/1.1\r\nhost: x\r\nx-a: 1\r\nX-A: 2\r\nexpect: 100-continue\r\nconnection: close\r\n"
        b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nx-trailer: t\r\n\r\n"
    )
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reply = await gateway.raw(request)
    assert reply.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    (received,) = upstream.requests
    assert received.body == b"abcde"
    assert [received.header(name) for name in ("x-a", "content-length", "expect", "transfer-encoding")] == [
        "1, 2", "5", None, None,
    ]  # fmt: skip


async def test_the_upstreams_own_path_stands_before_the_callers(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async with observe(tmp_path, f"{root_of(upstream)}/api/v1beta/openai") as gateway:
        await gateway.raw(ask("/chat/completions?x=1", CHAT))
        assert upstream.requests[0].head.startswith("POST /api/v1beta/openai/chat/completions?x=1 HTTP/1.1\r\n")
        closed = await close_of(gateway)
    assert closed.usage is not None  # metered, although the path is not the usual one


async def test_a_body_of_50_mb_passes(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    body = b'{"model": "tiny", "input": "' + b"x" * 50_000_000 + b'"}'
    async with observe(tmp_path, root_of(upstream)) as gateway:
        assert split_reply(await gateway.raw(ask("/v1/chat/completions", body), 20))[0] == 200
    assert upstream.requests[0].body == body


# The way back.

REPLIES = {
    "JSON": b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{ "a": 1}',
    "JSON in chunks": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    b'4\r\n{ "a\r\n5\r\n": 1}\r\n0\r\n\r\n',
    "bytes": b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 9\r\n\r\n\x00\xff\r\n\r\n12\x01",
    "no content type": b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{ "a": 1}',
    "until the connection closes": b'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\n{ "a": 1}',
    "after interim replies": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n" + b'{ "a": 1}',
    "an upper-case kind": b'HTTP/1.1 200 OK\r\nContent-Type: APPLICATION/JSON\r\nContent-Length: 9\r\n\r\n{ "a": 1}',
}


@pytest.mark.parametrize("kind", REPLIES)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
async def test_a_body_comes_back_byte_for_byte(
    kind: str, path: str, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(REPLIES[kind])
        await writer.drain()
        if b"connection: close" in REPLIES[kind]:
            writer.close()

    upstream.script = script
    body = b"\x00\xff\r\n\r\n12\x01" if kind == "bytes" else b'{ "a": 1}'
    async with observe(tmp_path, root_of(upstream)) as gateway:
        for closes in (False, True):  # the first leaves the connection fit for the second
            reader, writer = await gateway.connect()
            writer.write(ask(path, CHAT, closes=False) if not closes else b"")
            writer.write(ask(path, CHAT))
            reply = await asyncio.wait_for(reader.read(), 5)
            assert reply.count(b"HTTP/1.1 ") == (1 if closes else 2)
        status, headers, received = split_reply(reply)
    assert (status, received[: len(body)]) == (200, body)
    assert len(received) == len(body)
    assert headers["x-inhouse-trace"]


async def test_headers_of_a_reply_pass_but_those_of_the_connection_and_the_host(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    more = (
        "x-request-id: req_1\r\nx-ratelimit-remaining-tokens: 7\r\nX-Twice: a\r\nx-twice: b\r\ncontent-type: text/a\r\n"
        'set-cookie: a=b\r\nset-cookie: c=d\r\nalt-svc: h3=":443"\r\nkeep-alive: timeout=5\r\nx-hop: 1\r\n'
        "connection: x-hop\r\nx-inhouse-trace: another\r\n"
    )
    upstream.script = answer_raw(f"HTTP/1.1 203 X\r\n{more}content-length: 2\r\n\r\nok".encode())
    async with observe(tmp_path, root_of(upstream)) as gateway:
        status, headers, body = split_reply(await gateway.raw(ask("/v1/files", method="GET")))
        trace_id = gateway.sink.opens[0].trace_id
    assert (status, body) == (203, b"ok")
    assert headers == {
        "x-request-id": "req_1",
        "x-ratelimit-remaining-tokens": "7",
        "x-twice": "a, b",
        "content-type": "text/a",
        "content-length": "2",
        "connection": "close",
        "x-inhouse-trace": trace_id,
    }


@pytest.mark.parametrize(
    ("method", "reply", "status", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1234\r\n\r\n", 200, "1234"),
        ("HEAD", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 200, None),
        ("HEAD", b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n", 200, None),
        ("HEAD", b"HTTP/1.1 404 X\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n", 404, "0"),
        ("DELETE", b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", 204, None),
        ("DELETE", b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 204, None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", 304, None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\n\r\n", 304, "1234"),
        ("POST", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, "0"),
        ("POST", b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n", 200, "0"),
    ],
)
async def test_a_reply_without_a_body_ends_at_once_and_leaves_the_connection_usable(
    method: str, reply: bytes, status: int, length: str | None, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script = answer_raw(reply)
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(ask("/v1/files/f", method=method, closes=False))
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
        assert head.startswith(f"HTTP/1.1 {status} ")
        assert "transfer-encoding" not in head
        assert [line for line in head.split("\r\n") if line.startswith("content-length")] == (
            [] if length is None else [f"content-length: {length}"]
        )
        upstream.script = answer_json({"next": True})
        writer.write(ask("/v1/files/f", method="GET"))
        assert split_reply(await asyncio.wait_for(reader.read(), 5))[2] == b'{"next": true}'
    assert [closed.status for closed in gateway.sink.closes] == [
        TraceStatus.COMPLETE if status < 400 else TraceStatus.FAILED,
        TraceStatus.COMPLETE,
    ]


async def test_a_client_of_http_10_gets_an_unframed_body(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.script = answer_stream(delta("a", "stop"), DONE)
    body = json.dumps(chat_stream()).encode()
    async with observe(tmp_path, root_of(upstream)) as gateway:
        head = f"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        received = (await gateway.raw(head + body)).partition(b"\r\n\r\n")[2]
    assert received == delta("a", "stop") + DONE


STATUSES = [
    (400, ErrorCode.UPSTREAM_REJECTED),
    (401, ErrorCode.UPSTREAM_REJECTED),
    (404, ErrorCode.UPSTREAM_REJECTED),
    (429, ErrorCode.UPSTREAM_RATE_LIMITED),
    (500, ErrorCode.UPSTREAM_ERROR),
    (529, ErrorCode.UPSTREAM_ERROR),
]


@pytest.mark.parametrize(("status", "code"), STATUSES)
async def test_an_error_of_the_upstream_passes_as_it_is_and_is_not_tried_again(
    status: int, code: ErrorCode, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script = answer_json({"error": {"message": "their own words", "odd": 1}}, status, "retry-after: 9\r\n")
    async with observe(tmp_path, root_of(upstream)) as gateway:
        got, headers, body = split_reply(await gateway.raw(ask("/v1/chat/completions", chat_stream())))
        closed = await close_of(gateway)
    assert (got, headers["retry-after"]) == (status, "9")
    assert json.loads(body) == {"error": {"message": "their own words", "odd": 1}}
    assert len(upstream.requests) == 1
    assert (closed.status, closed.http_status, closed.error_code) == (TraceStatus.FAILED, status, code)
    assert (closed.usage, closed.cost_usd) == (None, None)


# Metering.


async def test_a_chat_completion_becomes_a_trace_with_its_cost_and_no_content(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with observe(tmp_path, root_of(upstream)) as gateway:
        status, headers, body = split_reply(await gateway.raw(ask("/v1/chat/completions", CHAT)))
        closed = await close_of(gateway)
        (opened,) = gateway.sink.opens
    assert (status, json.loads(body)) == (200, ANSWER)
    assert headers["x-inhouse-trace"] == opened.trace_id == closed.trace_id
    assert gateway.sink.events == ["open", "close"]
    assert (opened.route, opened.variant, opened.endpoint_id) == (MODEL, "observed", "api.test/tiny")
    assert (opened.tags, opened.is_stream, opened.is_eval, opened.team) == ({}, False, False, None)
    assert (closed.status, closed.http_status, closed.error_code) == (TraceStatus.COMPLETE, 200, None)
    assert (closed.finish_reason, closed.reported_model) == ("stop", "tiny-2026-01-01")
    assert closed.usage is not None
    assert (closed.usage.input_total, closed.usage.output_total) == (10, 5)
    assert closed.usage_basis is UsageBasis.MEASURED
    assert closed.cost_usd == pytest.approx(10 * 2e-6 + 5 * 4e-6)
    assert closed.price_id == "test-2026"
    assert closed.content is None
    assert [attempt.status for attempt in closed.attempts] == [200]


@pytest.mark.parametrize("asks_usage", [False, True])
async def test_a_streams_usage_is_measured_where_the_client_asks_for_it_and_else_estimated(
    asks_usage: bool, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """Nothing is added to a request, so a stream that reports no usage is counted, and marked as an estimate."""
    events = [delta("a"), delta("b"), delta("c"), delta(finish="stop"), *([USAGE_EVENT] if asks_usage else []), DONE]
    upstream.script = answer_stream(*events)
    body = json.dumps(chat_stream(asks_usage=asks_usage)).encode()
    async with observe(tmp_path, root_of(upstream)) as gateway:
        _, headers, received = split_reply(await gateway.raw(ask("/v1/chat/completions", body)))
        closed = await close_of(gateway)
    assert upstream.requests[0].body == body
    assert (received, headers["content-type"]) == (b"".join(events), "text/event-stream")
    assert gateway.sink.opens[0].is_stream
    assert closed.status is TraceStatus.COMPLETE
    assert closed.usage is not None
    assert closed.usage_basis is (UsageBasis.MEASURED if asks_usage else UsageBasis.ESTIMATED)
    assert closed.usage.output_total == 3
    assert closed.usage.input_total == (10 if asks_usage else -(-len(body) // 4))
    assert closed.cost_usd is not None
    assert closed.num_chunks == 3
    assert closed.ttft_ms is not None


async def test_a_messages_call_of_anthropics_dialect_is_metered(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.script = answer_json(MESSAGES_ANSWER)
    show = f"x-api-key: {KEY}\r\nanthropic-version: 2023-06-01\r\nanthropic-beta: odd\r\n"
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reply = await gateway.raw(ask("/v1/messages?beta=true", MESSAGES, key=None, headers=show))
        closed = await close_of(gateway)
    assert json.loads(split_reply(reply)[2]) == MESSAGES_ANSWER
    (request,) = upstream.requests
    names = ("x-api-key", "anthropic-version", "anthropic-beta", "authorization")
    assert [request.header(name) for name in names] == [KEY, "2023-06-01", "odd", None]
    assert closed.usage is not None
    assert (closed.usage.input_uncached, closed.usage.cache_read, closed.usage.output_total) == (10, 4, 5)
    assert closed.cost_usd == pytest.approx(10 * 2e-6 + 4 * 1e-6 + 5 * 4e-6)
    assert closed.finish_reason == "end_turn"


async def test_a_messages_stream_of_anthropics_dialect_is_metered(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    events = messages_events()
    upstream.script = answer_stream(*events)
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reply = await gateway.raw(ask("/v1/messages", MESSAGES | {"stream": True}))
        closed = await close_of(gateway)
    assert split_reply(reply)[2] == b"".join(events)
    assert closed.usage is not None
    assert (closed.status, closed.usage_basis) == (TraceStatus.COMPLETE, UsageBasis.MEASURED)
    assert (closed.usage.input_uncached, closed.usage.cache_read, closed.usage.output_total) == (10, 4, 5)
    assert closed.cost_usd == pytest.approx(10 * 2e-6 + 4 * 1e-6 + 5 * 4e-6)


async def test_embeddings_are_metered(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    answer = {
        "object": "list",
        "model": MODEL,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    upstream.script = answer_json(answer)
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reply = await gateway.raw(ask("/v1/embeddings", {"model": MODEL, "input": "x"}))
        closed = await close_of(gateway)
    assert json.loads(split_reply(reply)[2]) == answer
    assert closed.usage is not None
    assert (closed.usage.input_total, closed.usage.output_total) == (8, 0)
    assert closed.cost_usd == pytest.approx(8 * 2e-6)


async def test_a_model_without_a_price_stays_unpriced(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async with observe(tmp_path, root_of(upstream)) as gateway:
        await gateway.raw(ask("/v1/chat/completions", CHAT | {"model": "nobody-knows"}))
        closed = await close_of(gateway)
    assert closed.usage is not None
    assert (closed.cost_usd, closed.price_id) == (None, None)
    assert gateway.sink.opens[0].endpoint_id == "api.test/nobody-knows"


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/v1/models", "/v1/models"),
        ("GET", "/v1/models/tiny", "/v1/models"),
        ("GET", "/v1/files/file-1/content", "/v1/files"),
        ("GET", "/v1/chat/completions", "/v1/chat"),  # stored completions: their usage was counted when they were made
        ("POST", "/v1/threads/t/messages", "/v1/threads"),
        ("POST", "/v1/moderations", "/v1/moderations"),
    ],
)
async def test_what_is_no_model_call_passes_unmetered_and_is_named_by_its_path(
    method: str, path: str, route: str, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reply = await gateway.raw(ask(f"{path}?secret=1", b"" if method == "GET" else b"{}", method=method))
        closed = await close_of(gateway)
    assert json.loads(split_reply(reply)[2]) == ANSWER
    assert (gateway.sink.opens[0].route, gateway.sink.opens[0].tags) == (route, {"path": path})
    assert (closed.status, closed.usage, closed.cost_usd) == (TraceStatus.COMPLETE, None, None)


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (answer_json({"error": {"message": "no"}}), TraceStatus.FAILED, ErrorCode.UPSTREAM_ERROR),
        (answer_stream(delta("a"), event({"error": {"message": "no"}})), TraceStatus.ABORTED, ErrorCode.UPSTREAM_ERROR),
        (answer_stream(delta("a")), TraceStatus.ABORTED, ErrorCode.UPSTREAM_CUT),
        (answer_stream(b": ping\n\n"), TraceStatus.ABORTED, ErrorCode.UPSTREAM_CUT),
        (answer_stream(delta("a", "stop"), b"data: [DONE]"), TraceStatus.COMPLETE, None),
        (answer_stream(delta("a"), b"data: [DONE]\n"), TraceStatus.COMPLETE, None),
        (answer_json(b"<html>"), TraceStatus.COMPLETE, None),
    ],
)
async def test_a_trace_tells_a_whole_answer_from_one_that_is_not(
    reply: Script, status: TraceStatus, code: ErrorCode | None, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    """The client sees what it would have seen without us; the trace says what it was."""
    upstream.script = reply
    async with observe(tmp_path, root_of(upstream)) as gateway:
        assert split_reply(await gateway.raw(ask("/v1/chat/completions", chat_stream())))[0] == 200
        closed = await close_of(gateway)
    assert (closed.status, closed.error_code) == (status, code)


async def test_a_compressed_reply_passes_and_is_not_taken_for_a_cut(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    coded = "content-type: text/event-stream\r\ncontent-encoding: br\r\ncontent-length: 5\r\n\r\n\x01\x02\x03\x04\x05"
    upstream.script = answer_raw(f"HTTP/1.1 200 OK\r\n{coded}".encode("latin-1"))
    async with observe(tmp_path, root_of(upstream)) as gateway:
        _, headers, body = split_reply(await gateway.raw(ask("/v1/chat/completions", chat_stream())))
        closed = await close_of(gateway)
    assert (body, headers["content-encoding"]) == (b"\x01\x02\x03\x04\x05", "br")
    assert (closed.status, closed.usage) == (TraceStatus.COMPLETE, None)


async def test_an_event_too_long_to_hold_passes_and_ends_the_metering(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    long = event({"type": "image", "data": "x" * 3_000_000})
    events = [delta("a"), delta("b"), long, delta("c", "stop"), DONE]
    upstream.script = answer_stream(*events)
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reply = await gateway.raw(ask("/v1/chat/completions", chat_stream()))
        closed = await close_of(gateway)
    assert split_reply(reply)[2] == b"".join(events)
    assert (closed.status, closed.usage_basis, closed.num_chunks) == (TraceStatus.COMPLETE, UsageBasis.ESTIMATED, 2)


async def test_a_json_reply_too_long_to_hold_is_relayed(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    answer = json.dumps(ANSWER | {"padding": "x" * (MAX_COLLECTED_BYTES + 1000)}).encode()
    upstream.script = answer_json(answer)
    async with observe(tmp_path, root_of(upstream)) as gateway:
        _, headers, body = split_reply(await gateway.raw(ask("/v1/chat/completions", CHAT), 20))
        closed = await close_of(gateway)
    assert (body, headers["content-length"]) == (answer, str(len(answer)))
    assert (closed.status, closed.usage, closed.usage_basis) == (TraceStatus.COMPLETE, None, UsageBasis.UNKNOWN)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(
        ["usage", "choices", "delta", "error", "model", "type", "message", "content", "response", "prompt_tokens", "id"]
    ), inner),
    max_leaves=12,
)  # fmt: skip
GARBAGE = (
    st.binary(max_size=200)
    | JSON_VALUES.map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"[" * 5000, b'{"a":' * 5000, b'"\\ud800"', b"[DONE]", b""])
)


@given(
    operation=st.sampled_from(Operation), blocks=st.lists(GARBAGE, max_size=5), joint=st.sampled_from([b"\n\n", b"\n"])
)
@settings(max_examples=100, deadline=None)
def test_no_reply_whatever_it_is_breaks_the_meter(operation: Operation, blocks: list[bytes], joint: bytes) -> None:
    """What meters a stream or reads a body beside the relay never raises, so that it can never stop the relay."""
    for block in blocks:
        read_operation_facts(operation, block)
    meter, cutter = meter_operation(operation), EventCutter()
    for block in [*(b"data: " + block + joint for block in blocks), *blocks, b"\n\n"]:
        try:
            whole = cutter.feed(block)
        except EventTooLongError:
            return
        if whole:
            meter.feed(whole, 1.0)
    assert isinstance(meter.is_complete, bool)
    assert meter.facts().usage_basis in UsageBasis


# Keys.


async def test_the_callers_key_reaches_the_upstream_and_stands_nowhere_else(
    upstream: ScriptedUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in a trace, a log or an error; the trace holds a keyed hash, the same for the same key."""
    caplog.set_level(logging.DEBUG)
    replies: list[bytes] = []
    async with observe(tmp_path, root_of(upstream)) as gateway:
        for script in (
            answer_json(ANSWER),
            answer_json({"error": {"message": "no"}}, 401),
            answer_raw(b"no HTTP\r\n\r\n"),
        ):
            upstream.script = script
            replies.append(await gateway.raw(ask("/v1/chat/completions", CHAT)))
            replies.append(await gateway.raw(ask("/v1/messages", MESSAGES, key=None, headers=f"x-api-key: {KEY}\r\n")))
        upstream.script = answer_json(ANSWER)
        await gateway.raw(ask("/v1/chat/completions", CHAT, key=OTHER_KEY))
        await gateway.raw(ask("/v1/chat/completions", CHAT, key=None))
        *mine, other, nobody = [opened.key_id for opened in gateway.sink.opens]
    assert upstream.requests[0].header("authorization") == f"Bearer {KEY}"
    assert upstream.requests[1].header("x-api-key") == KEY
    assert len(set(mine)) == 1
    assert mine[0].startswith("caller-")
    assert len({mine[0], other, nobody}) == 3
    assert nobody == "caller-none"
    for text in (caplog.text, repr(gateway.sink.records), *map(repr, replies)):
        assert KEY not in text
        assert "a secret question" not in text


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"])
def test_a_key_has_one_name_however_it_is_shown(name: bytes) -> None:
    auth = Authenticator((), PEPPER, is_open=True)
    shown = name_observed_caller({name: KEY.encode()}, auth)
    assert shown == name_observed_caller({b"authorization": b"bearer  " + KEY.encode()}, auth)
    assert shown != name_observed_caller({}, auth)
    assert KEY not in shown


async def test_a_trace_is_answered_to_the_key_that_sent_the_request_alone(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with observe(tmp_path, root_of(upstream)) as gateway:
        _, headers, _ = split_reply(await gateway.raw(ask("/v1/chat/completions", CHAT)))
        path = f"/v1/traces/{headers['x-inhouse-trace']}"
        mine = split_reply(await gateway.raw(ask(path, method="GET")))
        as_anthropic = split_reply(
            await gateway.raw(ask(path, method="GET", key=None, headers=f"x-api-key: {KEY}\r\n"))
        )
        other = split_reply(await gateway.raw(ask(path, method="GET", key=OTHER_KEY)))
        nobody = split_reply(await gateway.raw(ask(path, method="GET", key=None)))
    assert [reply[0] for reply in (mine, as_anthropic, other, nobody)] == [200, 200, 404, 404]
    shown = json.loads(mine[2])
    assert (shown["route"], shown["cost_usd"]) == (MODEL, pytest.approx(40e-6))
    assert shown["why"][:2] == [
        "The request was answered in full.",
        "Choice: observe mode: passed to api.test as it came.",
    ]
    assert len(upstream.requests) == 1  # these questions are the gateway's own, as are its health paths


async def test_health_is_the_gateways_own(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async with observe(tmp_path, root_of(upstream)) as gateway:
        assert split_reply(await gateway.raw(ask("/healthz", method="GET")))[2] == b'{"status":"ok"}'
        assert split_reply(await gateway.raw(ask("/readyz", method="GET")))[0] == 200
    assert upstream.requests == []


# Faults.


async def test_an_upstream_that_refuses_is_a_502_in_the_clients_own_shape(tmp_path: Path) -> None:
    async with observe(tmp_path, "http://127.0.0.1:1") as gateway:
        chat = split_reply(await gateway.raw(ask("/v1/chat/completions", CHAT)))
        messages = split_reply(await gateway.raw(ask("/v1/messages", MESSAGES)))
        other = split_reply(await gateway.raw(ask("/v1/files", method="GET")))
        traces = [opened.trace_id for opened in gateway.sink.opens]
    assert [reply[0] for reply in (chat, messages, other)] == [502, 502, 502]
    words = "The observed API did not answer: no connection to 127.0.0.1:1: Connection refused."
    error = {"message": words, "type": "upstream_error", "param": None, "code": "upstream_unreachable"}
    assert json.loads(chat[2]) == {"error": error, "inhouse": {"trace_id": traces[0]}}
    assert json.loads(messages[2])["type"] == "error"
    assert words in json.loads(messages[2])["error"]["message"]
    assert [reply[1]["x-inhouse-trace"] for reply in (chat, messages, other)] == traces
    assert {closed.error_code for closed in gateway.sink.closes} == {ErrorCode.UPSTREAM_UNREACHABLE}
    assert {closed.status for closed in gateway.sink.closes} == {TraceStatus.FAILED}


async def test_an_upstream_that_hangs_is_a_504_once_the_deadline_passes(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async def hang(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    upstream.script = hang
    short = GatewaySettings(timeouts=TimeoutSettings(first_token_s=0.1))
    async with observe(tmp_path, root_of(upstream), short) as gateway:
        status, _, body = split_reply(await gateway.raw(ask("/v1/chat/completions", CHAT)))
        closed = await close_of(gateway)
    assert (status, json.loads(body)["error"]["code"]) == (504, "upstream_timeout")
    assert closed.status is TraceStatus.FAILED
    assert len(upstream.requests) == 1


async def test_a_json_reply_that_breaks_off_is_a_visible_error(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"a": 1')
        writer.close()

    upstream.script = script
    async with observe(tmp_path, root_of(upstream)) as gateway:
        status, _, body = split_reply(await gateway.raw(ask("/v1/chat/completions", CHAT)))
        closed = await close_of(gateway)
    assert status == 502
    assert json.loads(body)["error"]["message"].startswith("The observed answer broke off: ")
    assert (closed.status, closed.error_code) == (TraceStatus.FAILED, ErrorCode.UPSTREAM_CUT)


async def test_a_stream_that_breaks_off_reaches_the_client_up_to_there_and_is_cut(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    events = [delta("a"), delta("b"), b"data: half an ev"]
    upstream.script = answer_stream(*events, cut=True)
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reply = await gateway.raw(ask("/v1/chat/completions", chat_stream()))
        closed = await close_of(gateway)
    body = reply.partition(b"\r\n\r\n")[2]
    assert not body.endswith(b"0\r\n\r\n")  # the last chunk is missing: no client takes it for the end
    assert unchunk(body + b"0\r\n\r\n") == b"".join(events)
    assert (closed.status, closed.error_code) == (TraceStatus.ABORTED, ErrorCode.UPSTREAM_CUT)
    assert (closed.usage_basis, closed.num_chunks) == (UsageBasis.ESTIMATED, 2)


async def test_a_file_that_breaks_off_is_shorter_than_announced(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: 99\r\n\r\nabc")
        writer.close()

    upstream.script = script
    async with observe(tmp_path, root_of(upstream)) as gateway:
        _, headers, body = split_reply(await gateway.raw(ask("/v1/audio/speech", CHAT)))
        closed = await close_of(gateway)
    assert (headers["content-length"], body) == ("99", b"abc")
    assert closed.status is TraceStatus.ABORTED


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_client_that_leaves_closes_the_upstream(
    has_begun: bool, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        if has_begun:
            writer.write(STREAM_HEAD + http_chunk(delta("a")) + http_chunk(delta("b")))
            await writer.drain()
        await asyncio.sleep(60)

    upstream.script = script
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(ask("/v1/chat/completions", chat_stream()))
        await upstream.arrived.wait()
        if has_begun:
            await reader.readuntil(b'"b"')
        writer.close()
        await asyncio.wait_for(upstream.closed.wait(), 5)
        closed = await close_of(gateway)
    assert (closed.status, closed.http_status) == (TraceStatus.CLIENT_CLOSED, 200 if has_begun else 499)
    assert (closed.num_chunks, closed.usage_basis) == (
        (2, UsageBasis.ESTIMATED) if has_begun else (None, UsageBasis.UNKNOWN)
    )


async def test_a_client_that_leaves_after_the_last_event_has_its_whole_answer(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script = answer_stream(delta("a", "stop"), USAGE_EVENT, DONE, ends=False)
    stay = upstream.script

    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        await stay(request, writer)
        await asyncio.sleep(60)

    upstream.script = script
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(ask("/v1/chat/completions", chat_stream(asks_usage=True)))
        await reader.readuntil(b"[DONE]")
        writer.close()
        closed = await close_of(gateway)
    assert (closed.status, closed.usage_basis) == (TraceStatus.COMPLETE, UsageBasis.MEASURED)


async def test_a_slow_client_holds_the_upstream_back(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """What a client does not read is not taken from the upstream: it is not piled up in memory."""
    part, num_parts, num_written = b"x" * 100_000, 300, 0

    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        nonlocal num_written
        length = len(part) * num_parts
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: {length}\r\n\r\n".encode())
        for _ in range(num_parts):
            writer.write(part)
            await writer.drain()
            num_written += 1

    upstream.script = script
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(ask("/v1/audio/speech", CHAT))
        num_before = -1
        async with asyncio.timeout(20):
            while num_written == 0 or num_written != num_before:  # until the upstream stands still
                num_before = num_written
                await asyncio.sleep(0.05)
        assert num_written < num_parts
        body = (await reader.read()).partition(b"\r\n\r\n")[2]
    assert body == part * num_parts


async def test_a_request_passes_where_its_trace_cannot_be_written(
    upstream: ScriptedUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It fails open; a reply whose trace is nowhere names none."""
    events = [delta("a", "stop"), DONE]
    async with observe(tmp_path, root_of(upstream)) as gateway:
        gateway.sink.failure = StateError("the disk is full.", fix="Free some space.")
        whole = split_reply(await gateway.raw(ask("/v1/chat/completions", CHAT)))
        upstream.script = answer_stream(*events)
        streamed = split_reply(await gateway.raw(ask("/v1/chat/completions", chat_stream())))
    assert json.loads(whole[2]) == ANSWER
    assert (streamed[0], streamed[2]) == (200, b"".join(events))
    assert "x-inhouse-trace" not in whole[1] | streamed[1]
    assert "an observed request passes without a trace: the disk is full." in caplog.text


async def test_a_request_passes_where_only_the_end_of_its_trace_cannot_be_written(
    upstream: ScriptedUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with observe(tmp_path, root_of(upstream)) as gateway:

        async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
            gateway.sink.failure = StateError("the disk is full.", fix="Free some space.")
            await answer_json(ANSWER)(request, writer)

        upstream.script = script
        status, headers, body = split_reply(await gateway.raw(ask("/v1/chat/completions", CHAT)))
    assert (status, json.loads(body)) == (200, ANSWER)
    assert f"the end of trace {headers['x-inhouse-trace']} is not recorded" in caplog.text


async def test_requests_under_way_end_visibly_when_the_gateway_does(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async def hang(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    upstream.script = hang
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reader, writer = await gateway.connect()
        writer.write(ask("/v1/chat/completions", CHAT, closes=False))
        await upstream.arrived.wait()
        gateway.listener.close()
        draining = asyncio.ensure_future(gateway.server.drain(0.0))
        status, _, body = split_reply(await reader.read())
        writer.close()
        await draining
    assert (status, json.loads(body)["error"]["code"]) == (503, "shutting_down")
    assert json.loads(body)["error"]["message"] == "The gateway is shutting down. Try again."
    assert gateway.sink.closes[0].error_code == ErrorCode.SHUTTING_DOWN


# What callers make up.


async def test_made_up_model_names_fill_no_memory_and_break_no_record(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with observe(tmp_path, root_of(upstream)) as gateway:
        reader, writer = await gateway.connect()
        for name in ("a\x00b\n\x1b[31m", "x" * 5000, "\ud800", *(f"m{index}" for index in range(MAX_ROUTES)), MODEL):
            writer.write(ask("/v1/chat/completions", {"model": name}, closes=False))
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        routes = [opened.route for opened in gateway.sink.opens]
        costs = [closed.cost_usd for closed in gateway.sink.closes]
    assert routes[:3] == ["a?b??[31m", "x" * 200, "/v1/chat"]
    assert len(set(routes)) == MAX_ROUTES + 1
    assert (routes[-1], gateway.sink.opens[-1].endpoint_id) == (OTHER_ROUTE, f"api.test/{OTHER_ROUTE}")
    assert costs[-1] is not None  # what it costs is known all the same
