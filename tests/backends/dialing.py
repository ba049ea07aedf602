"""Servers on loopback, and a client that says hello to them, for the tests of connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest
import trustme

from inhouse.backends.dial import Dialer, Resolve
from inhouse.backends.target import parse_target
from inhouse.domain import EndpointError, Network

OWN = Network(is_declared_private=True)


class Talk(asyncio.Protocol):
    """Says hello, and keeps what comes back until the end."""

    def __init__(self) -> None:
        self.received = b""
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.heard = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(b"hello")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.heard.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(exc)

    async def finish(self) -> bytes:
        async with asyncio.timeout(10):
            await self.heard.wait()
            self.transport.close()
            await self.ended
        return self.received


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(1024):
            writer.write(b"echo " + data)
    writer.transport.abort()


@asynccontextmanager
async def listening(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    context: ssl.SSLContext | None = None,
) -> AsyncGenerator[int]:
    """A server on loopback; every connection of it has ended when the block has."""
    gone: list[asyncio.Future[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone.append(done)
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            done.set_result(None)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*gone)


def resolving(*addresses: str) -> Resolve:
    """A resolver to which every name has these addresses."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


async def talk(dialer: Dialer, url: str, network: Network = OWN, connect_s: float = 10.0) -> bytes:
    protocol = await dialer.connect(Talk, parse_target(url), network, connect_s)
    return await protocol.finish()


async def fail(dialer: Dialer, url: str, network: Network = OWN, connect_s: float = 10.0) -> EndpointError:
    with pytest.raises(EndpointError) as caught:
        await dialer.connect(Talk, parse_target(url), network, connect_s)
    return caught.value


def direct(resolve: Resolve | None = None) -> Dialer:
    """A dialer in an environment without proxies."""
    return Dialer(environment={}, resolve=resolve)


def serve_as(issued: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context
