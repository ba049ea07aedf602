"""The HTTP client against real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from inhouse.backends import HttpClient, Timeouts
from inhouse.domain import EndpointError, ErrorCode

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


class Endpoint:
    """A server whose connections are handled by one function, given the connection's number."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.num_connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            await self.handler(reader, writer, self.num_connections)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncGenerator[tuple[Endpoint, HttpClient]]:
    endpoint = Endpoint(handler)
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/x"
    client = HttpClient()
    try:
        yield endpoint, client
    finally:
        await client.aclose()
        server.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def replying(*replies: bytes) -> Handler:
    """Each request on a connection gets the next reply; the connection is closed after the last."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        for reply in replies:
            await read_request(reader)
            writer.write(reply)
            await writer.drain()
        await reader.read()

    return handler


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nhi"


async def test_a_connection_is_kept_and_used_again() -> None:
    async with serving(replying(OK, OK)) as (endpoint, client):
        first = await client.request("POST", endpoint.url, headers={"x-b": "c"}, body=b"{}")
        second = await client.request("GET", endpoint.url)
        assert (first.status, first.body, first.headers["x-a"]) == (200, b"hi", "1, 2")
        assert second.body == b"hi"
        assert endpoint.num_connections == 1


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nz", b"z"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_bodies_are_taken_in_every_framing(reply: bytes, body: bytes) -> None:
    async with serving(replying(reply)) as (endpoint, client):
        assert (await client.request("GET", endpoint.url)).body == body


async def test_a_body_without_length_ends_with_the_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        writer.close()
        await writer.wait_closed()

    async with serving(handler) as (endpoint, client):
        assert (await client.request("GET", endpoint.url)).body == b"all of it"


async def test_a_stale_kept_connection_is_replaced_once_but_a_fresh_one_is_never_tried_twice() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await read_request(reader)
        if number == 3:
            return
        writer.write(OK)
        await writer.drain()
        await read_request(reader)  # the next request on this connection finds it closed

    async with serving(handler) as (endpoint, client):
        assert (await client.request("POST", endpoint.url)).status == 200
        assert (await client.request("POST", endpoint.url)).status == 200
        assert endpoint.num_connections == 2
        with pytest.raises(EndpointError) as caught:
            await client.request("POST", endpoint.url)
        assert caught.value.code is ErrorCode.UPSTREAM_UNREACHABLE
        assert endpoint.num_connections == 3


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", ErrorCode.UPSTREAM_CUT),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", ErrorCode.UPSTREAM_CUT),
        (b"", ErrorCode.UPSTREAM_UNREACHABLE),
        (b"SSH-2.0-x\r\n", ErrorCode.UPSTREAM_ERROR),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", ErrorCode.UPSTREAM_ERROR),
        (b"HTTP/1.1 200 OK\r\n" + b"x-long: " + b"a" * 70_000, ErrorCode.UPSTREAM_ERROR),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n" + b"a" * 200, ErrorCode.UPSTREAM_ERROR),
    ],
)
async def test_a_broken_reply_is_an_error_of_its_kind(reply: bytes, code: ErrorCode) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read_request(reader)
        writer.write(reply)
        writer.close()
        await writer.wait_closed()

    async with serving(handler) as (endpoint, client):
        with pytest.raises(EndpointError) as caught:
            await client.request("GET", endpoint.url, max_body_bytes=100)
        assert caught.value.code is code


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"])
async def test_a_silent_endpoint_is_given_up(part: bytes) -> None:
    closed = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read_request(reader)
        writer.write(part)
        await reader.read()
        closed.set()

    async with serving(handler) as (endpoint, client):
        timeouts = Timeouts(first_byte_s=0.05, idle_s=0.05)
        with pytest.raises(EndpointError) as caught:
            await client.request("GET", endpoint.url, timeouts=timeouts)
        assert caught.value.code is ErrorCode.UPSTREAM_TIMEOUT
        await asyncio.wait_for(closed.wait(), 1)


async def test_the_whole_request_has_a_deadline_however_busy_the_endpoint_is() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1\r\na\r\n")
            await writer.drain()
            await asyncio.sleep(0.005)

    async with serving(handler) as (endpoint, client):
        with pytest.raises(EndpointError, match="deadline") as caught:
            await client.request("GET", endpoint.url, timeouts=Timeouts(total_s=0.1, idle_s=1))
        assert caught.value.code is ErrorCode.UPSTREAM_TIMEOUT


async def test_a_refused_connection_says_so_without_the_url() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = HttpClient()
    with pytest.raises(EndpointError, match="refused") as caught:
        await client.request("GET", f"http://127.0.0.1:{port}/secret-path")
    assert caught.value.code is ErrorCode.UPSTREAM_UNREACHABLE
    assert "secret" not in str(caught.value)
    await client.aclose()
    with pytest.raises(EndpointError, match="closed"):
        await client.request("GET", f"http://127.0.0.1:{port}/")


async def test_headers_cannot_smuggle_lines() -> None:
    client = HttpClient()
    with pytest.raises(ValueError, match="line break"):
        await client.request("GET", "http://127.0.0.1:1/", headers={"a": "b\r\nc: d"})


async def test_a_streamed_reply_comes_as_it_is_written_and_leaving_early_closes_it() -> None:
    closed = asyncio.Event()
    go_on = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n")
        await reader.read()
        closed.set()

    async with serving(handler) as (endpoint, client):
        async with client.stream("POST", endpoint.url) as reply:
            assert reply.status == 200
            chunks = aiter(reply)
            assert await anext(chunks) == b"one"
            go_on.set()
            assert await anext(chunks) == b"two"
        await asyncio.wait_for(closed.wait(), 1)


async def test_a_slow_reader_makes_the_endpoint_wait() -> None:
    num_written = 0
    stalled = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        nonlocal num_written
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n")
        for _number in range(500):
            writer.write(b"x" * 100_000)
            drained = asyncio.ensure_future(writer.drain())  # not cancelled: a drain that ends just then would be lost
            if not (await asyncio.wait({drained}, timeout=0.3))[0]:
                stalled.set()
            await drained
            num_written += 100_000

    async with serving(handler) as (endpoint, client), client.stream("GET", endpoint.url) as reply:
        await asyncio.wait_for(stalled.wait(), 5)
        assert num_written < 20_000_000
        assert sum([len(chunk) async for chunk in reply]) == 50_000_000


async def test_a_cut_stream_raises_while_it_is_read() -> None:
    async with serving(replying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")) as (
        endpoint,
        client,
    ):
        async with client.stream("GET", endpoint.url, timeouts=Timeouts(idle_s=0.05)) as reply:
            chunks = aiter(reply)
            assert await anext(chunks) == b"one"
            with pytest.raises(EndpointError) as caught:
                await anext(chunks)
        assert caught.value.code is ErrorCode.UPSTREAM_TIMEOUT
