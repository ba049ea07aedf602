"""A gateway in the test's own event loop, with a real spool, and small snapshots to serve from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inhouse.backends import KeyRing
from inhouse.domain import (
    ApiKey,
    DataClass,
    Dialect,
    EgressPolicy,
    Endpoint,
    EndpointKind,
    Network,
    PriceVector,
    Replica,
    Route,
    Snapshot,
    TraceClose,
    TraceOpen,
    Variant,
)
from inhouse.gateway.auth import hash_token
from inhouse.gateway.server import GatewayParts, GatewayServer
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.snapshots import SnapshotWatcher
from inhouse.telemetry import SpoolWriter

KEY = "sk-application-0123456789"
PEPPER = bytes(range(32))
_decode = msgspec.json.Decoder(TraceOpen | TraceClose).decode


@dataclass
class Gateway:
    """A running one."""

    port: int
    server: GatewayServer
    spool: SpoolWriter
    snapshots: SnapshotWatcher
    path: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def records(self) -> list[TraceOpen | TraceClose]:
        """What is on disk."""
        return [_decode(line) for line in self.spool.path.read_bytes().splitlines()]

    @property
    def opens(self) -> list[TraceOpen]:
        return [record for record in self.records if isinstance(record, TraceOpen)]

    @property
    def closes(self) -> list[TraceClose]:
        return [record for record in self.records if isinstance(record, TraceClose)]

    async def wait_closes(self, number: int = 1) -> list[TraceClose]:
        """The close records, as soon as there are so many."""
        async with asyncio.timeout(10):
            while len(closes := self.closes) < number:
                await asyncio.sleep(0.01)
        return closes

    def publish(self, snapshot: Snapshot) -> None:
        """Serve from another snapshot."""
        self.path.write_bytes(msgspec.json.encode(snapshot))
        assert self.snapshots.poll()


@asynccontextmanager
async def run_gateway(
    folder: Path, snapshot: Snapshot, settings: GatewaySettings, **credentials: str
) -> AsyncGenerator[Gateway]:
    """Serve from the snapshot until the block ends."""
    path = folder / "snapshot.json"
    path.write_bytes(msgspec.json.encode(snapshot))
    rings = {name: KeyRing([key]) for name, key in credentials.items()}
    watcher = SnapshotWatcher(path, PEPPER, rings.get, settings)
    assert watcher.poll(), "the snapshot was refused"
    with SpoolWriter(folder / "spool", "gw0-1-1") as spool:
        server = GatewayServer(GatewayParts(settings, watcher, spool, "gw0-1-1"))
        listener = await asyncio.get_running_loop().create_server(server.build_protocol, "127.0.0.1", 0)
        try:
            yield Gateway(listener.sockets[0].getsockname()[1], server, spool, watcher, path)
        finally:
            listener.close()
            await server.drain(0.0)


def build_price(name: str, per_token: float) -> PriceVector:
    """Output costs twice as much as input, cached input a tenth."""
    return PriceVector(
        price_id=name,
        input_uncached=per_token,
        cache_read=per_token / 10,
        cache_write=per_token,
        output_visible=2 * per_token,
        output_reasoning=2 * per_token,
    )


def build_endpoint(name: str, *urls: str, **changes: Any) -> Endpoint:
    """An endpoint with a replica at each (declared private) address."""
    values: dict[str, Any] = {
        "endpoint_id": name,
        "kind": EndpointKind.OWN,
        "dialect": Dialect.OPENAI,
        "model": "tiny",
        "processor": "own",
        "replicas": tuple(Replica(replica_id=f"{name}-{at}", base_url=url) for at, url in enumerate(urls)),
        "digest": f"sha256:{name}",
        "network": Network(is_declared_private=True),
    }
    return Endpoint(**(values | changes))


def build_snapshot(*endpoints: Endpoint, **changes: Any) -> Snapshot:
    """A route `chat` on the first endpoint, its fallback the others in order; `changes` are the route's."""
    variants = tuple(Variant(name=one.endpoint_id, endpoint_id=one.endpoint_id) for one in endpoints)
    values: dict[str, Any] = {
        "name": "chat",
        "data_class": "internal",
        "variants": variants,
        "default": variants[0].name,
        "fallback": tuple(one.name for one in variants[1:]),
    }
    return Snapshot(
        version=1,
        created_at=1_700_000_000.0,
        routes={"chat": Route(**(values | changes))},
        endpoints={one.endpoint_id: one for one in endpoints},
        keys=(ApiKey(key_id="app", key_hash=hash_token(PEPPER, KEY)),),
        egress=EgressPolicy((DataClass("internal", frozenset({"own"})),)),
    )


async def ask_raw(gateway: Gateway, body: bytes, more: str = "", path: str = "/v1/chat/completions") -> Reader:
    """Send a request with the application's key, on a connection of its own that closes after the reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n{more}"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return Reader(reader, writer)


@dataclass
class Reader:
    """The client's end of one request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytes = b""

    async def read_until(self, text: bytes) -> None:
        """Wait until it has come."""
        async with asyncio.timeout(10):
            while text not in self.received:
                data = await self.reader.read(65_536)
                assert data, f"the reply ended before {text!r}: {self.received!r}"
                self.received += data

    async def read_reply(self, timeout_s: float = 20.0) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and decoded body of the whole reply; fails where its body has no proper end."""
        try:
            async with asyncio.timeout(timeout_s):
                self.received += await self.reader.read()
        finally:
            self.leave()
        return split_reply(self.received)

    def leave(self) -> None:
        """Close the connection at once."""
        self.writer.transport.abort()


def split_reply(reply: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and decoded body."""
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunk(body)
    else:
        assert len(body) == int(headers["content-length"])
    return int(lines[0].split(" ")[1]), headers, body


def _unchunk(body: bytes) -> bytes:
    parts: list[bytes] = []
    while body != b"0\r\n\r\n":
        size, border, rest = body.partition(b"\r\n")
        assert border, "the body has no proper end"
        length = int(size, 16)
        assert length, "something follows the body's end"
        assert rest[length : length + 2] == b"\r\n"
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)
