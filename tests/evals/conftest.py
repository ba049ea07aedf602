"""A stand-in for the gateway's data port on loopback, a store on SQLite, and small suites."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from inhouse.backends import HttpClient
from inhouse.domain import TraceClose, TraceOpen, TraceStatus
from inhouse.evals import Suite, load_suite
from inhouse.store import SpoolCursor, Store, open_store

TOKEN = "eval-secret-token"
"""The key that the stand-in asks for."""

Answer = Callable[[str], object]


class FakeGateway:
    """Answers chat requests in the OpenAI dialect as `answer(prompt)` says, and ships a trace for each.

    `answer` gives a text; or `(status, code)` for an error; or "CUT" to break the stream off; or a bytes body sent as
    it stands with status 200. `gate` holds answers back while it is not set. `requests` keeps (headers, body).
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answer: Answer = lambda prompt: prompt.upper()
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Condition()
        self.num_in_flight = 0
        self.max_in_flight = 0
        self.is_shipping = True
        self.is_simulated = False
        self.digest = "sha256:one"
        self.cost_usd: float | None = 0.002
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.gate.set()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._tasks)
        if self._server is not None:
            await self._server.wait_closed()

    async def wait_for_requests(self, count: int) -> None:
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._serve_one(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        parts = [line.partition(": ") for line in head[1:] if line]
        headers = {name.lower(): value for name, _, value in parts}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        async with self.arrived:
            self.requests.append((headers, body))
            self.arrived.notify_all()
        trace_id = f"trace-{len(self.requests):04d}"
        self.num_in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.num_in_flight)
        try:
            await self.gate.wait()
        finally:
            self.num_in_flight -= 1
        is_authorized = headers["authorization"] == f"Bearer {TOKEN}"
        answer = self.answer(body["messages"][-1]["content"]) if is_authorized else (401, "invalid_api_key")
        if self.is_shipping:
            await asyncio.to_thread(self._ship, trace_id, headers, answer)
        return await self._reply(writer, trace_id, answer)

    async def _reply(self, writer: asyncio.StreamWriter, trace_id: str, answer: object) -> bool:
        own = f"x-inhouse-trace: {trace_id}\r\n" + "x-inhouse-simulated: true\r\n" * self.is_simulated
        if isinstance(answer, tuple):
            status, code = answer
            body = json.dumps({"error": {"message": "no", "type": "t", "code": code}}).encode() if code else b"oops"
            head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{own}\r\n"
            writer.write(head.encode() + body)
        elif isinstance(answer, bytes):
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n{own}\r\n"
            writer.write(head.encode() + answer)
        else:
            head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n{own}\r\n"
            writer.write(head.encode())
            for event in _events(str(answer)):
                writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            if answer == "CUT":
                await writer.drain()
                return False
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _ship(self, trace_id: str, headers: dict[str, str], answer: object) -> None:
        is_fine = isinstance(answer, str) and answer != "CUT"
        shared: dict[str, Any] = {
            "trace_id": trace_id,
            "writer": "w",
            "variant": "",
            "endpoint_id": headers["x-inhouse-endpoint"],
            "replica_id": "r",
            "endpoint_digest": self.digest,
            "is_simulated": self.is_simulated,
        }
        opened = TraceOpen(started_at=1.0, route="", key_id="eval", is_eval=True, **shared)
        closed = TraceClose(
            ended_at=2.0,
            status=TraceStatus.COMPLETE if is_fine else TraceStatus.FAILED,
            http_status=200,
            ttft_ms=10.0 if is_fine else None,
            e2e_ms=50.0,
            cost_usd=self.cost_usd if is_fine else None,
            finish_reason="length" if answer == "LONG" else "stop",
            **shared,
        )
        self.store.traces.ship([opened, closed], cursor=SpoolCursor("w-1.spool", int(trace_id[6:])))


def _events(text: str) -> list[bytes]:
    halves = [text[: len(text) // 2], text[len(text) // 2 :]]
    chunks: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}]
    chunks += [{"choices": [{"index": 0, "delta": {"content": half}}]} for half in halves if half]
    if text != "CUT":
        chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
        chunks += [{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}]
    events = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    if text == "MIDWAY ERROR":
        events = [*events[:2], b'data: {"error": {"code": "upstream_cut", "message": "x"}}\n\n']
    return [b": hello\n\n", *events, *([b"data: [DONE]\n\n"] if text not in {"CUT", "MIDWAY ERROR"} else [])]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/inhouse.db") as opened:
        yield opened


@pytest.fixture
async def gateway(store: Store) -> AsyncIterator[FakeGateway]:
    server = FakeGateway(store)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.aclose()


@pytest.fixture
def make_suite(tmp_path: Path) -> Callable[..., Suite]:
    """`make_suite(n)`: n samples of task `echo` whose right answer is the prompt in capitals; more samples by YAML."""

    def make(num_samples: int, *, extra: str = "", scorers: str = "[exact, token_f1]") -> Suite:
        lines = ["name: echo", f"tasks: {{echo: {{scorers: {scorers}}}, other: {{scorers: [label]}}}}", "samples:"]
        lines += [f"  - {{id: s{n}, task: echo, prompt: say {n}, target: SAY {n}}}" for n in range(num_samples)]
        path = tmp_path / "suite.yaml"
        path.write_text("\n".join(lines) + "\n" + extra, encoding="utf-8")
        return load_suite(path)

    return make
