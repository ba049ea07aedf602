"""A scripted OpenAI-like endpoint on a real socket, and a gateway in the test's loop. Not a test module."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from inhouse.backends import KeyRing
from inhouse.domain import (
    ApiKey,
    CaptureMode,
    DataClass,
    Dialect,
    EgressPolicy,
    Endpoint,
    EndpointKind,
    Modality,
    Network,
    PriceVector,
    Replica,
    Route,
    Rule,
    Snapshot,
    TraceClose,
    TraceOpen,
    Variant,
)
from inhouse.gateway.auth import hash_token
from inhouse.gateway.server import GatewayParts, GatewayServer
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.snapshots import SnapshotWatcher
from inhouse.gateway.stored import ResponseKeeper

PEPPER = bytes(range(32))
APP_KEY, TEAM_KEY, EVAL_KEY = "sk-app", "sk-team", "sk-eval"
PRICE = PriceVector(
    price_id="test-2026",
    input_uncached=2e-6,
    cache_read=1e-6,
    cache_write=2e-6,
    output_visible=4e-6,
    output_reasoning=8e-6,
)
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny-2026-01-01",
    "system_fingerprint": "fp_1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}


@dataclass
class UpstreamRequest:
    """What the endpoint received."""

    head: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        for line in self.head.split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name:
                return value
        return None


Script = Callable[[UpstreamRequest, asyncio.StreamWriter], Awaitable[None]]


class ScriptedUpstream:
    """Answers each request with `script`; keeps what it received and when its connections closed."""

    def __init__(self) -> None:
        self.script: Script = answer_json(ANSWER)
        self.requests: list[UpstreamRequest] = []
        self.num_connections = 0
        self.closed = asyncio.Event()
        self.arrived = asyncio.Event()
        self.events: list[str] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        self._writers.add(writer)
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                request = UpstreamRequest(head.removesuffix("\r\n\r\n"), b"")
                request.body = await reader.readexactly(int(request.header("content-length") or 0))
                self.requests.append(request)
                self.events.append("upstream request")
                self.arrived.set()
                answering = asyncio.get_running_loop().create_task(self._answer(request, writer))
                self._tasks.add(answering)
                watching = asyncio.get_running_loop().create_task(reader.read(1))
                await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    self.closed.set()
                    answering.cancel()
                    watching.cancel()
                    return
                answering.result()
                if watching.done() and not watching.result():
                    return
                if not watching.done():
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer(self, request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        await self.script(request, writer)


def answer_json(payload: Any, status: int = 200, headers: str = "") -> Script:
    """Answer with JSON (or with the given bytes)."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()

    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return script


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(payload: Any) -> bytes:
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


def delta(content: str | None = None, finish: str | None = None) -> bytes:
    """One chat chunk as an event."""
    body = {} if content is None else {"content": content}
    return event(
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "tiny-2026-01-01",
            "choices": [{"index": 0, "delta": body, "finish_reason": finish}],
        }
    )


USAGE_EVENT = event(
    {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny-2026-01-01",
        "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
    }
)
DONE = b"data: [DONE]\n\n"


def answer_stream(*events: bytes, ends: bool = True, cut: bool = False) -> Script:
    """Answer with the given events, one write each; `cut` breaks the connection instead of ending the body."""

    async def script(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for part in events:
            writer.write(http_chunk(part))
            await writer.drain()
            await asyncio.sleep(0)
        if cut:
            writer.close()
        elif ends:
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    return script


class OrderedSink:
    """Keeps records and the order of events."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.records: list[TraceOpen | TraceClose] = []
        self.failure: Exception | None = None

    def write(self, record: TraceOpen | TraceClose) -> None:
        if self.failure is not None:
            raise self.failure
        self.events.append("open" if isinstance(record, TraceOpen) else "close")
        self.records.append(record)

    def write_line(self, line: bytes) -> None:
        self.write(msgspec.json.decode(line, type=TraceOpen | TraceClose))

    @property
    def opens(self) -> list[TraceOpen]:
        return [record for record in self.records if isinstance(record, TraceOpen)]

    @property
    def closes(self) -> list[TraceClose]:
        return [record for record in self.records if isinstance(record, TraceClose)]


def endpoint(name: str, *base_urls: str, **changes: Any) -> Endpoint:
    """An endpoint with a replica for each address."""
    values: dict[str, Any] = {
        "endpoint_id": name,
        "kind": EndpointKind.OWN,
        "dialect": Dialect.OPENAI,
        "model": "tiny",
        "processor": "own",
        "network": Network(is_declared_private=True),
        "replicas": tuple(
            Replica(replica_id=f"{name}-{index}", base_url=base_url) for index, base_url in enumerate(base_urls)
        ),
        "digest": f"sha256:{name}",
        "price": PRICE,
    }
    return Endpoint(**(values | changes))


@dataclass
class World:
    """What the snapshot is built from; change it before `start`, or call `publish` again."""

    endpoints: list[Endpoint]
    fallback: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    capture: CaptureMode = CaptureMode.NONE
    is_open: bool = False
    version: int = 1
    processors: frozenset[str] = frozenset({"own"})
    more_routes: tuple[Route, ...] = ()

    def build(self) -> Snapshot:
        route = Route(
            name="chat",
            data_class="internal",
            variants=tuple(
                Variant(name=f"v-{one.endpoint_id}", endpoint_id=one.endpoint_id, digest=f"sha256:v-{one.endpoint_id}")
                for one in self.endpoints
            ),
            default=f"v-{self.endpoints[0].endpoint_id}",
            rules=self.rules,
            fallback=self.fallback,
            capture=self.capture,
        )
        return Snapshot(
            version=self.version,
            created_at=1_700_000_000.0,
            routes={one.name: one for one in (route, *self.more_routes)},
            endpoints={one.endpoint_id: one for one in self.endpoints},
            keys=(
                ApiKey(key_id="app", key_hash=hash_token(PEPPER, APP_KEY), team="shop"),
                ApiKey(key_id="team", key_hash=hash_token(PEPPER, TEAM_KEY), routes=frozenset({"other"})),
                ApiKey(key_id="eval", key_hash=hash_token(PEPPER, EVAL_KEY), is_eval=True),
            ),
            egress=EgressPolicy((DataClass("internal", self.processors),)),
            is_open=self.is_open,
        )


@dataclass
class RunningGateway:
    """A gateway in the test's own event loop."""

    port: int
    server: GatewayServer
    sink: OrderedSink
    snapshots: SnapshotWatcher
    path: Path
    listener: asyncio.Server
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def publish(self, snapshot: Snapshot) -> None:
        self.path.write_bytes(msgspec.json.encode(snapshot))
        assert self.snapshots.poll()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    async def raw(self, payload: bytes, timeout_s: float = 5.0) -> bytes:
        """Send bytes, read until the gateway closes."""
        reader, writer = await self.connect()
        writer.write(payload)
        return await asyncio.wait_for(reader.read(), timeout_s)


@asynccontextmanager
async def run_gateway_here(
    tmp_path: Path,
    snapshot: Snapshot | None,
    settings: GatewaySettings | None = None,
    keeper: ResponseKeeper | None = None,
    **credentials: str,
) -> AsyncGenerator[RunningGateway]:
    path = tmp_path / "snapshot.json"
    if snapshot is not None:
        path.write_bytes(msgspec.json.encode(snapshot))
    rings = {name: KeyRing([key]) for name, key in credentials.items()}
    settings = settings or GatewaySettings()
    watcher = SnapshotWatcher(path, PEPPER, rings.get, settings)
    watcher.poll()
    sink = OrderedSink([])
    server = GatewayServer(GatewayParts(settings, watcher, sink, "gw0-1-1", keeper=keeper))
    listening = socket.create_server(("127.0.0.1", 0))
    listener = await asyncio.get_running_loop().create_server(server.build_protocol, sock=listening)
    running = RunningGateway(listening.getsockname()[1], server, sink, watcher, path, listener)
    try:
        yield running
    finally:
        listener.close()
        for writer in running.writers:
            writer.transport.abort()
        await server.drain(0.0)


def post(body: Any, *, key: str | None = APP_KEY, headers: str = "", closes: bool = True) -> bytes:
    """The bytes of a chat request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    auth = f"authorization: Bearer {key}\r\n" if key else ""
    closing = "connection: close\r\n" if closes else ""
    more = f"{auth}{closing}{headers}content-length: {len(content)}\r\n\r\n"
    return f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{more}".encode() + content


def split_reply(reply: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body (de-chunked) of one whole reply."""
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = unchunk(body)
    return int(lines[0].split(" ")[1]), headers, body


def unchunk(body: bytes) -> bytes:
    """Decode a complete chunked body; fails where its end is missing."""
    parts: list[bytes] = []
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert rest == b"\r\n"
            return b"".join(parts)
        parts.append(rest[:length])
        assert rest[length : length + 2] == b"\r\n"
        body = rest[length + 2 :]


HELLO = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
IMAGE = {
    "model": "chat",
    "messages": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}
    ],
}
TEXT_AND_IMAGE = frozenset({Modality.TEXT, Modality.IMAGE})
