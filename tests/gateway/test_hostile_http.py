"""What the data port refuses before a handler sees it: raw bytes on real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_endpoint import (
    ANSWER,
    DONE,
    HELLO,
    STREAM_HEAD,
    RunningGateway,
    ScriptedUpstream,
    UpstreamRequest,
    World,
    answer_json,
    delta,
    endpoint,
    http_chunk,
    post,
    run_gateway_here,
    split_reply,
    unchunk,
)

from inhouse.domain import RequestError, Route, Variant
from inhouse.gateway.chunked import ChunkedDecoder
from inhouse.gateway.head import read_head
from inhouse.gateway.settings import GatewaySettings, LimitSettings

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
NOWHERE = "http://127.0.0.1:1/v1"


def code_of(reply: bytes) -> tuple[int, str]:
    status, headers, body = split_reply(reply)
    assert headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return status, error["code"]


def head(*lines: bytes, start: bytes = b"POST / HTTP/1.1", host: bytes = b"host: x") -> bytes:
    """A head of these header lines."""
    return b"".join(line + b"\r\n" for line in (start, host, *lines)) + b"\r\n"


def get(*lines: bytes, target: bytes = b"/healthz") -> bytes:
    return head(*lines, start=b"GET %b HTTP/1.1" % target)


LENGTHS = {
    "length before coding": head(b"content-length: 2", b"transfer-encoding: chunked") + b"{}",
    "coding before length": head(b"transfer-encoding: chunked", b"content-length: 2") + b"0\r\n\r\n",
    "length 0 and coding": head(b"content-length: 0", b"transfer-encoding: chunked") + b"0\r\n\r\n",
    "the same length twice": head(b"content-length: 2", b"content-length: 2") + b"{}",
    "two lengths": head(b"content-length: 2", b"Content-Length: 40") + b"{}",
    "a list of lengths": head(b"content-length: 2, 2") + b"{}",
    "a list of other lengths": head(b"content-length: 2, 40") + b"{}",
    "a length with plus": head(b"content-length: +2") + b"{}",
    "a length in hex": head(b"content-length: 0x2") + b"{}",
    "a negative length": head(b"content-length: -1"),
    "a length with a fraction": head(b"content-length: 2.0") + b"{}",
    "a length with an underscore": head(b"content-length: 1_0") + b"{}",
    "a length with a space inside": head(b"content-length: 1 0") + b"{}",
    "an empty length": head(b"content-length: ") + b"{}",
    "a length beyond 64 bit": head(b"content-length: 99999999999999999999"),
    "a length of many digits": head(b"content-length: " + b"9" * 5000),
    "a tab before the length": head(b"content-length:\t2") + b"{}",
    "a space before the colon of the length": head(b"content-length : 2") + b"{}",
}
CODINGS = {
    "gzip, chunked": head(b"transfer-encoding: gzip, chunked") + b"0\r\n\r\n",
    "chunked, identity": head(b"transfer-encoding: chunked, identity") + b"0\r\n\r\n",
    "chunked, chunked": head(b"transfer-encoding: chunked, chunked") + b"0\r\n\r\n",
    "chunked twice": head(b"transfer-encoding: chunked", b"transfer-encoding: chunked") + b"0\r\n\r\n",
    "chunked, then another line": head(b"transfer-encoding: chunked", b"transfer-encoding: x") + b"0\r\n\r\n",
    "identity": head(b"transfer-encoding: identity"),
    "identity and a length": head(b"transfer-encoding: identity", b"content-length: 2") + b"{}",
    "xchunked": head(b"transfer-encoding: xchunked") + b"0\r\n\r\n",
    "chunkedx": head(b"transfer-encoding: chunkedx") + b"0\r\n\r\n",
    "quoted": head(b'transfer-encoding: "chunked"') + b"0\r\n\r\n",
    "a parameter": head(b"transfer-encoding: chunked;q=1") + b"0\r\n\r\n",
    "a leading comma": head(b"transfer-encoding: ,chunked") + b"0\r\n\r\n",
    "empty": head(b"transfer-encoding: "),
    "a tab before": head(b"transfer-encoding:\tchunked") + b"0\r\n\r\n",
    "a vertical tab before": head(b"transfer-encoding: \x0bchunked") + b"0\r\n\r\n",
    "two spaces before": head(b"transfer-encoding:  chunked") + b"0\r\n\r\n",
    "a space behind": head(b"transfer-encoding: chunked ") + b"0\r\n\r\n",
    "a no-break space": head(b"transfer-encoding: \xa0chunked") + b"0\r\n\r\n",
    "a space before the colon": head(b"transfer-encoding : chunked") + b"0\r\n\r\n",
    "a tab before the colon": head(b"transfer-encoding\t: chunked") + b"0\r\n\r\n",
    "folded": head(b"transfer-encoding:", b" chunked") + b"0\r\n\r\n",
    "folded name": head(b"x: y", b" transfer-encoding: chunked") + b"0\r\n\r\n",
    "in HTTP/1.0": head(b"transfer-encoding: chunked", start=b"POST / HTTP/1.0") + b"0\r\n\r\n",
    "compressed body": head(b"content-encoding: gzip", b"content-length: 1") + b"x",
    "twice compressed body": head(b"content-encoding: identity", b"content-encoding: br", b"content-length: 1") + b"x",
}
LINES = {
    "bare LF everywhere": b"GET /healthz HTTP/1.1\nhost: x\n\n",
    "bare LF after a header": b"GET /healthz HTTP/1.1\r\nhost: x\n\r\n",
    "bare LF at the end": b"GET /healthz HTTP/1.1\r\nhost: x\r\n\n",
    "bare LF in a value": get(b"a: b\nc: d"),
    "bare CR in a value": get(b"a: b\rc"),
    "bare CR before the end": get(b"a: b\r"),
    "bare CR instead of CRLF": b"GET /healthz HTTP/1.1\rhost: x\r\r\n\r\n",
    "NUL in a value": get(b"a: \x00"),
    "NUL in a name": get(b"a\x00: b"),
    "NUL in the target": get(target=b"/healthz\x00"),
    "DEL in a value": get(b"a: \x7f"),
    "escape in a value": get(b"a: \x1b[0m"),
    "folded header": get(b"a: b", b" c"),
    "folded with a tab": get(b"a: b", b"\tc"),
    "folded first header": b"GET /healthz HTTP/1.1\r\n host: x\r\n\r\n",
    "empty header name": get(b": b"),
    "a space in a name": get(b"na me: b"),
    "a bracket in a name": get(b"na(me: b"),
    "a letter outside ASCII in a name": get(b"n\xe4me: b"),
    "no colon": get(b"name"),
    "two empty lines first": b"\r\n\r\n" + HEALTH,
    "a space first": b" " + HEALTH,
    "a tab first": b"\t" + HEALTH,
    "a bare LF first": b"\n" + HEALTH,
    "two spaces in the request line": b"GET  /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    "a tab in the request line": b"GET\t/healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    "a space behind the version": b"GET /healthz HTTP/1.1 \r\nhost: x\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nhost: x\r\n\r\n",
    "no version (HTTP/0.9)": b"GET /healthz\r\nhost: x\r\n\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n",
    "HTTP/1.2": b"GET /healthz HTTP/1.2\r\nhost: x\r\n\r\n",
    "HTTP/01.1": b"GET /healthz HTTP/01.1\r\nhost: x\r\n\r\n",
    "http/1.1": b"GET /healthz http/1.1\r\nhost: x\r\n\r\n",
    "another protocol": b"GET /healthz ICE/1.1\r\nhost: x\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "a proxy's preface": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + HEALTH,
}
HOSTS = {
    "missing": b"GET /healthz HTTP/1.1\r\n\r\n",
    "twice": get(b"host: y"),
    "twice the same": get(b"Host: x"),
    "with a path": head(start=b"GET /v1/models HTTP/1.1", host=b"host: x/healthz?"),
    "with a query": head(start=b"GET /v1/models HTTP/1.1", host=b"host: x?/healthz"),
    "with a fragment": head(start=b"GET /v1/models HTTP/1.1", host=b"host: x#/healthz"),
    "with user information": head(host=b"host: a@b"),
    "with a space": head(host=b"host: a b"),
    "a list": head(host=b"host: a, b"),
    "with a port that is none": head(host=b"host: x:http"),
    "a bracket too many": head(host=b"host: [::1"),
    "a backslash": head(host=b"host: x\\y"),
    "outside ASCII": head(host=b"host: \xe4"),
}
TARGETS = {
    "a fragment": get(target=b"/healthz#x"),
    "no slash": get(target=b"healthz"),
    "asterisk": head(start=b"OPTIONS * HTTP/1.1"),
    "authority": head(start=b"CONNECT a:1 HTTP/1.1"),
    "another scheme": get(target=b"ftp://x/healthz"),
    "file scheme": get(target=b"file:///healthz"),
    "absolute with user information": get(target=b"http://a@x/healthz"),
    "absolute without authority": get(target=b"http:///healthz"),
    "absolute with a bracket too many": get(target=b"http://[/healthz"),
    "absolute with a port that is none": get(target=b"http://x:/healthz"),
    "a backslash": get(target=b"/\\healthz"),
    "a letter outside ASCII": get(target=b"/healthz\xe4"),
    "a percent sign alone": get(target=b"/healthz%"),
    "half an escape": get(target=b"/healthz%2"),
    "no hex": get(target=b"/healthz%zz"),
    "an escaped NUL": get(target=b"/v1/models/chat%00"),
    "an escaped line end": get(target=b"/v1/models/chat%0d%0a"),
    "quotes": get(target=b'/v1/models/"chat"'),
    "a quote in the query": get(target=b'/healthz?"'),
}
REPEATED = {
    "authorization": get(b"authorization: Bearer a", b"authorization: Bearer b"),
    "x-api-key": get(b"x-api-key: a", b"x-api-key: b"),
    "content type": get(b"content-type: a", b"content-type: b"),
    "pin": get(b"x-inhouse-endpoint: a", b"x-inhouse-endpoint: b"),
    "user": get(b"x-inhouse-user: a", b"X-Inhouse-User: b"),
    "expect": get(b"expect: 100-continue", b"expect: 100-continue"),
}
CHUNKS = {
    "longer than its size": CHUNKED + b"2\r\n{}x\r\n0\r\n\r\n",
    "no CRLF behind": CHUNKED + b"2\r\n{}0\r\n\r\n",
    "LF behind": CHUNKED + b"2\r\n{}\n0\r\n\r\n",
    "LF behind the size": CHUNKED + b"2\n{}\r\n0\r\n\r\n",
    "CR behind the size": CHUNKED + b"2\r{}\r\n0\r\n\r\n",
    "plus": CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
    "negative": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "0x": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "underscore": CHUNKED + b"0_2\r\n{}\r\n0\r\n\r\n",
    "no size": CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
    "a space before the size": CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n",
    "a space behind the size": CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n",
    "a tab before the extension": CHUNKED + b"2\t;a\r\n{}\r\n0\r\n\r\n",
    "a size of nine digits": CHUNKED + b"000000002\r\n{}\r\n0\r\n\r\n",
    "a size that wraps at 64 bit": CHUNKED + b"10000000000000002\r\n{}\r\n0\r\n\r\n",
    "a size of many digits": CHUNKED + b"f" * 900 + b"\r\n",
    "an endless size": CHUNKED + b"0" * 5000,
    "an endless extension": CHUNKED + b"1;" + b"a" * 2000,
    "LF in an extension": CHUNKED + b"1;a\nb\r\nx\r\n0\r\n\r\n",
    "CR in an extension": CHUNKED + b"1;a\rb\r\nx\r\n0\r\n\r\n",
    "a flood of extensions": CHUNKED + (b"1;" + b"a" * 900 + b"\r\nx\r\n") * 10 + b"0\r\n\r\n",
    "a trailer without colon": CHUNKED + b"0\r\nbad trailer\r\n\r\n",
    "a folded trailer": CHUNKED + b"0\r\na: b\r\n c\r\n\r\n",
    "a trailer with a length": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "a trailer with a coding": CHUNKED + b"0\r\ntransfer-encoding: chunked\r\n\r\n",
    "a trailer with a host": CHUNKED + b"0\r\nhost: y\r\n\r\n",
    "a trailer with a key": CHUNKED + b"0\r\nauthorization: Bearer sk-app\r\n\r\n",
    "endless trailers": CHUNKED + b"0\r\n" + b"a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n" * 300,
    "an endless trailer": CHUNKED + b"0\r\na: " + b"b" * 2000,
}
FAMILIES = {
    "length": LENGTHS,
    "coding": CODINGS,
    "line": LINES,
    "host": HOSTS,
    "target": TARGETS,
    "repeated": REPEATED,
    "chunk": CHUNKS,
}


@pytest.mark.parametrize(
    "payload",
    [pytest.param(row, id=f"{family}: {name}") for family, rows in FAMILIES.items() for name, row in rows.items()],
)
async def test_hostile_http_is_answered_400_once_and_the_connection_closed(payload: bytes, tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", NOWHERE)]).build()) as gateway:
        # A smuggled second request must never be answered.
        reply = await gateway.raw(payload + HEALTH)
        assert code_of(reply) == (400, "unsupported_http")
        assert len(re.findall(rb"HTTP/1.1 \d", reply)) == 1
        assert b"connection: close" in reply
        assert gateway.server.num_refused == {"unsupported_http": 1}


CLOSING = b"connection: close"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (head(CLOSING, start=b"HEAD /healthz HTTP/1.1"), 405),
        (head(start=b"BREW / HTTP/1.1"), 405),
        (head(start=b"get /healthz HTTP/1.1"), 405),
        (head(CLOSING, start=b"TRACE /healthz HTTP/1.1"), 405),
        (head(CLOSING, start=b"OPTIONS /v1/models HTTP/1.1"), 405),
        (get(CLOSING, target=b"/v1/chat/completions"), 405),
        (head(CLOSING, start=b"POST /v1/models HTTP/1.1"), 405),
        (get(CLOSING, target=b"/v1/nothing"), 404),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"\r\n" + get(CLOSING), 200),
        (head(CLOSING, start=b"GET /healthz HTTP/1.1", host=b"host:"), 200),
        (head(CLOSING, start=b"GET /healthz HTTP/1.1", host=b"Host: [::1]:8080"), 200),
        (get(b"Connection: Keep-Alive, Close"), 200),
        (get(b"connection: keep-alive", b"connection: close"), 200),
        (get(b"a: \xe4\xf6", CLOSING), 200),
        (get(b"a:", b"b:    c    ", CLOSING), 200),
        (get(b"expect: something-else", CLOSING), 200),
        # Offered upgrades are not taken up.
        (get(b"upgrade: h2c", b"http2-settings: AAMAAABkAAQAAP__", b"connection: upgrade, http2-settings, close"), 200),
        (get(b"upgrade: websocket", b"sec-websocket-key: x", b"connection: upgrade, close"), 200),
        (get(b"upgrade: TLS/1.2", b"connection: upgrade, close"), 200),
        # A body belongs to its request, also where nobody wants it.
        (get(b"content-length: %d" % len(HEALTH), CLOSING) + HEALTH, 200),
        (get(b"transfer-encoding: Chunked", CLOSING) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(HEALTH), HEALTH), 200),
    ],
)
async def test_unusual_but_plain_http_gets_one_answer(payload: bytes, expected: int, tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", NOWHERE)]).build()) as gateway:
        reply = await gateway.raw(payload)
        status, headers, body = split_reply(reply)
        assert status == expected
        assert len(re.findall(rb"HTTP/1.1 \d", reply)) == 1
        assert "upgrade" not in headers
        if payload.startswith(b"HEAD"):
            assert body == b""
            assert headers["allow"] == "GET"


ELSEWHERE = [
    *(b"//healthz", b"/healthz/", b"/./healthz", b"/x/../healthz", b"/healthz/.", b"/healthz/../healthz", b"/Healthz"),
    *(b"/%68ealthz", b"/%2fhealthz", b"/healthz%2f", b"/%2e/healthz", b"/x/%2e%2e/healthz", b"/healthz;x=1"),
    *(b"/;/healthz", b"/healthz%3f", b"/healthz%20", b"/healthz%23", b"/healthz&x", b"/v1//models", b"/v1/./models"),
    *(b"/v1%2fmodels", b"/v1/models;x", b"/v1/x/../models", b"/v1/%6dodels", b"/V1/models", b"//x/v1/models", b"/"),
    *(b"http://x", b"http://x?/healthz", b"http://x//healthz", b"http://x/healthz/../v1/models", b"/?/healthz"),
    *(b"/v1/chat/completions/", b"/v1/chat//completions", b"/v1/chat/completions%3f", b"/v1/chat/../chat/completions"),
]


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_a_path_is_compared_as_it_came(target: bytes, tmp_path: Path) -> None:
    """No spelling of a path reaches a handler but its own, so nothing that is checked by path can be walked around."""
    async with run_gateway_here(tmp_path, World([endpoint("clerk", NOWHERE)]).build()) as gateway:
        assert code_of(await gateway.raw(get(CLOSING, target=target))) == (404, "unknown_path")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (get(CLOSING, target=b"/v1/models"), (401, "missing_api_key")),
        (get(CLOSING, target=b"/v1/models?/healthz"), (401, "missing_api_key")),
        (get(CLOSING, target=b"/v1/models/healthz"), (401, "missing_api_key")),
        (get(CLOSING, target=b"/v1/models/..%2f..%2fhealthz"), (401, "missing_api_key")),
        (get(CLOSING, target=b"http://x/v1/models"), (401, "missing_api_key")),
        (get(CLOSING, target=b"http://healthz/v1/models?x=/healthz"), (401, "missing_api_key")),
        (get(CLOSING, b"x-original-url: /healthz", target=b"/v1/models"), (401, "missing_api_key")),
        (get(CLOSING, b"x-rewrite-url: /healthz", target=b"/v1/models"), (401, "missing_api_key")),
        (get(CLOSING, b"x-forwarded-prefix: /healthz", target=b"/v1/models"), (401, "missing_api_key")),
        (get(CLOSING, b"x-forwarded-host: x/healthz?", target=b"/v1/models"), (401, "missing_api_key")),
        (get(CLOSING, b"x-http-method-override: POST", target=b"/v1/chat/completions"), (405, "method_not_allowed")),
        (get(CLOSING, b"authorization: Bearer sk-app, Bearer x", target=b"/v1/models"), (401, "invalid_api_key")),
        (get(CLOSING, b"authorization: Bearer  sk-app x", target=b"/v1/models"), (401, "invalid_api_key")),
    ],
)
async def test_the_key_is_asked_for_by_the_raw_path_alone(
    payload: bytes, expected: tuple[int, str], tmp_path: Path
) -> None:
    """No host, address in the request line or rewriting header makes a guarded path look like an open one."""
    async with run_gateway_here(tmp_path, World([endpoint("clerk", NOWHERE)]).build()) as gateway:
        assert code_of(await gateway.raw(payload)) == expected


SAY_HI = b'"messages":[{"role":"user","content":"hi"}]'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"model":"chat","messages":' + b"[" * 100_000, id="open brackets"),
        pytest.param(b'{"model":"chat","x":' + b"[" * 5000 + b"]" * 5000 + b"," + SAY_HI + b"}", id="deep lists"),
        pytest.param(b'{"a":' * 5000 + b"1" + b"}" * 5000, id="deep objects"),
        pytest.param(b"[" * 200_000 + b"]" * 200_000, id="very deep"),
        pytest.param(b'{"model":"chat","x":"' + b"[{" * 50_000, id="brackets in an open string"),
        pytest.param(b'{"model":"chat","x":"\xff",' + SAY_HI + b"}", id="invalid UTF-8"),
        pytest.param(b'{"model":"chat","x":"\xed\xa0\x80",' + SAY_HI + b"}", id="a surrogate in UTF-8"),
        pytest.param(b'{"model":"chat","x":"\xc0\xaf",' + SAY_HI + b"}", id="overlong UTF-8"),
        pytest.param(b'\xef\xbb\xbf{"model":"chat",' + SAY_HI + b"}", id="byte order mark"),
        pytest.param('{"model":"chat"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"model":"chat","model":"other",' + SAY_HI + b"}", id="model twice"),
        pytest.param(b'{"model":"chat","mod\\u0065l":"other",' + SAY_HI + b"}", id="model twice, escaped"),
        pytest.param(b'{"model":"chat","messages":[],' + SAY_HI + b"}", id="messages twice"),
        pytest.param(b'{"model":"chat","stream":false,"stream":true,' + SAY_HI + b"}", id="stream twice"),
        pytest.param(b'{"model":"chat","x":NaN,' + SAY_HI + b"}", id="NaN"),
        pytest.param(b'{"model":"chat","x":01,' + SAY_HI + b"}", id="a leading zero"),
        pytest.param(b'{"model":"chat",' + SAY_HI + b"} {}", id="two documents"),
        pytest.param(b'{"model":"chat",' + SAY_HI + b",}", id="a trailing comma"),
        pytest.param(b'{"model":"chat","x":"a\nb",' + SAY_HI + b"}", id="a raw line end in a string"),
        pytest.param(b'{"model":"chat",/**/' + SAY_HI + b"}", id="a comment"),
        pytest.param(b'{"model":"chat","x":"\\ud800",' + SAY_HI + b"}", id="half a surrogate pair"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_hostile_json_is_refused_before_anything_is_sent_and_the_connection_goes_on(
    body: bytes, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        reply = await gateway.raw(post(body, closes=False) + get(CLOSING))
        first, second = reply[: reply.rindex(b"HTTP/1.1")], reply[reply.rindex(b"HTTP/1.1") :]
        assert code_of(first) == (400, "invalid_json")
        assert split_reply(second)[0] == 200
        assert upstream.requests == []


async def test_large_but_sound_json_passes_as_it_is(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """Long numbers, many members and wide lists cost the endpoint what they cost; the gateway relays them."""
    wide = b",".join(b'"k%d":[{}]' % index for index in range(5000))
    body = b'{"model":"chat","x":' + b"9" * 6000 + b',"y":1e999,' + wide + b"," + SAY_HI + b"}"
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        assert split_reply(await gateway.raw(post(body)))[0] == 200
        assert upstream.requests[0].body == body.replace(b'"chat"', b'"tiny"')


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
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n", 431, "headers_too_large"),
        (b"GET /" + b"a" * 1100, 431, "headers_too_large"),
        (get(b"a: " + b"b" * 1100), 431, "headers_too_large"),
        (get(*[b"a:b"] * 100), 431, "headers_too_large"),
        (get(*[b"a%d:b" % index for index in range(100)]), 431, "headers_too_large"),
        (head(b"content-length: 2049", b"expect: 100-continue"), 413, "request_too_large"),
        (head(b"content-length: 999999999999999999"), 413, "request_too_large"),
        (CHUNKED + b"801\r\n", 413, "request_too_large"),
        (CHUNKED + b"7fffffff\r\n", 413, "request_too_large"),
        (CHUNKED + b"ffffffff\r\n", 413, "request_too_large"),
        (CHUNKED + b"400\r\n" + b"x" * 1024 + b"\r\n401\r\n", 413, "request_too_large"),
        (CHUNKED + b"1\r\nx\r\n" * 2049, 413, "request_too_large"),
        (b"GET / HTTP/1.1\r\nhost:", 408, "request_timeout"),
        (b"G", 408, "request_timeout"),
        (head(b"content-length: 9") + b"{", 408, "request_timeout"),
        (CHUNKED, 408, "request_timeout"),
        (CHUNKED + b"5\r\n{", 408, "request_timeout"),
        (CHUNKED + b"1\r\nx\r\n0\r\n", 408, "request_timeout"),
    ],
)
async def test_sizes_and_times_are_bounded(payload: bytes, status: int, code: str, tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("c", NOWHERE)]).build(), LIMITS) as gateway:
        reply = await gateway.raw(payload)
        assert code_of(reply) == (status, code)
        assert len(re.findall(rb"HTTP/1.1 \d", reply)) == 1
        assert b"connection: close" in reply


async def test_as_many_headers_as_the_limit_says_are_taken(tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("c", NOWHERE)]).build(), LIMITS) as gateway:
        assert split_reply(await gateway.raw(get(CLOSING, *[b"a:b"] * 98)))[0] == 200


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n", b"a", id="headers"),
        pytest.param(head(b"content-length: 2000"), b"a", id="body"),
        pytest.param(CHUNKED, b"1\r\na\r\n", id="chunks"),
        pytest.param(CHUNKED + b"0\r\n", b"a: b\r\n", id="trailers"),
    ],
)
async def test_bytes_that_trickle_in_do_not_move_the_deadline(start: bytes, drop: bytes, tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("c", NOWHERE)]).build(), LIMITS) as gateway:
        reader, writer = await gateway.connect()
        writer.write(start)
        reply = asyncio.get_running_loop().create_task(reader.read())
        while not reply.done():
            writer.write(drop)
            await asyncio.wait([reply], timeout=0.01)
        assert code_of(await reply) == (408, "request_timeout")


async def test_empty_lines_are_no_request_and_do_not_keep_a_connection_open(tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("c", NOWHERE)]).build(), LIMITS) as gateway:
        reader, writer = await gateway.connect()
        ended = asyncio.get_running_loop().create_task(reader.read())
        while not ended.done():
            writer.write(b"\r\n")
            await asyncio.wait([ended], timeout=0.01)
        with suppress(ConnectionResetError):  # a line was on its way when it was closed
            assert await ended == b""


async def connect_narrowly(gateway: RunningGateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client whose kernel takes little on its behalf: where it does not read, the gateway soon notices."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", gateway.port))
    reader, writer = await asyncio.open_connection(sock=client)
    gateway.writers.append(writer)
    return reader, writer


async def test_a_client_that_does_not_read_holds_little_memory_and_may_go_on(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The endpoint is made to wait, nothing is lost, and the same connection serves the next request."""
    num_events, num_written = 4000, 0
    big = delta("x" * 4000)

    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        nonlocal num_written
        writer.write(STREAM_HEAD)
        for _ in range(num_events):
            writer.write(http_chunk(big))
            await writer.drain()
            num_written += 1
        writer.write(http_chunk(delta(finish="stop")) + http_chunk(DONE) + b"0\r\n\r\n")

    upstream.script = script
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        reader, writer = await connect_narrowly(gateway)
        writer.write(post(HELLO | {"stream": True}, closes=False))
        await reader.readuntil(b"\r\n\r\n")
        num_before = -1
        async with asyncio.timeout(30):
            while num_written == 0 or num_written != num_before:  # until the endpoint stands still
                num_before = num_written
                await asyncio.sleep(0.2)
        assert 0 < num_written < num_events
        body = bytearray()
        while not body.endswith(b"\r\n0\r\n\r\n"):
            body += await reader.read(1_000_000)
        assert unchunk(bytes(body)).count(big) == num_events
        writer.write(get(CLOSING))
        assert split_reply(await reader.read())[0] == 200


async def test_many_pipelined_requests_are_answered_without_holding_many_replies(tmp_path: Path) -> None:
    """A client that sends ahead and does not read waits for its own replies; once it reads, it gets every one."""
    variant = Variant(name="v-clerk", endpoint_id="clerk", digest="sha256:v-clerk")
    routes = tuple(
        Route(name=f"route-{index}", data_class="internal", variants=(variant,), default="v-clerk")
        for index in range(400)
    )
    world = World([endpoint("clerk", NOWHERE)], more_routes=routes)
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        reader, writer = await connect_narrowly(gateway)
        num_requests = 1500
        listing = head(b"authorization: Bearer sk-app", start=b"GET /v1/models HTTP/1.1")
        writer.write(listing * num_requests + get(CLOSING))
        (served,) = gateway.server._connections
        transport = served._transport
        assert transport is not None
        sizes = [-1]
        async with asyncio.timeout(30):
            while sizes[-1] <= 0 or sizes[-1] != transport.get_write_buffer_size():  # until the gateway stands still
                sizes.append(transport.get_write_buffer_size())
                await asyncio.sleep(0.1)
        assert max(sizes) < 200_000
        reply = bytearray()
        while part := await reader.read(1_000_000):
            reply += part
        assert len(reply) > 20_000_000
        assert reply.count(b"HTTP/1.1 200 OK\r\n") == num_requests + 1
        assert reply.endswith(b'{"status":"ok"}')


async def test_what_is_sent_ahead_of_a_reply_is_held_up_to_a_bound(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    may_answer = asyncio.Event()

    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        await answer_json(ANSWER)(request, writer)

    upstream.script = script
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        reader, writer = await gateway.connect()
        writer.write(post(HELLO, closes=False))
        await upstream.arrived.wait()
        num_ahead = 20_000
        writer.write(HEALTH * num_ahead + get(CLOSING))
        (served,) = gateway.server._connections
        async with asyncio.timeout(30):
            while not served._is_reading_paused:
                await asyncio.sleep(0.01)
        may_answer.set()
        num_held = [len(served._buffer)]
        reading = asyncio.get_running_loop().create_task(reader.read())
        while not reading.done():
            num_held.append(len(served._buffer))
            await asyncio.sleep(0.001)
        reply = await reading
        assert max(num_held) < 500_000
        assert reply.count(b"HTTP/1.1 200 ") == 1 + num_ahead + 1
        assert reply.index(b"chatcmpl-1") < reply.index(b'{"status":"ok"}')


async def test_a_refused_large_upload_still_gets_its_answer(tmp_path: Path) -> None:
    """The rest of the upload is read and dropped: a reset would destroy the answer on its way."""
    async with run_gateway_here(tmp_path, World([endpoint("c", NOWHERE)]).build(), LIMITS) as gateway:
        payload = b"POST / HTTP/1.1\r\n" + b"host: x\r\ncontent-length: 9000000\r\n\r\n" + b"x" * 9_000_000
        assert code_of(await gateway.raw(payload)) == (413, "request_too_large")


async def test_an_idle_connection_is_closed_and_too_many_are_refused(tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("c", NOWHERE)]).build(), LIMITS) as gateway:
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
    chunked = b"%x;ext=1\r\n%b\r\n%x\r\n%b\r\n0\r\nchecksum: x\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])
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
