"""The data port: accepts connections, sends each request to its handler, drains. Opens no files, reads no settings."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from urllib.parse import unquote

import msgspec

from inhouse.backends import HttpClient
from inhouse.domain import ApiKey, ErrorCode, RequestError, Snapshot
from inhouse.gateway.chat import ChatHandler
from inhouse.gateway.connection import ClientConnection, Request
from inhouse.gateway.record import TraceSink
from inhouse.gateway.replies import JSON_HEADER
from inhouse.gateway.send import Sender
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.snapshots import SnapshotWatcher
from inhouse.gateway.view import ServingView

IDLE_GRACE_S = 1.0
"""While draining, kept-alive connections may send one more request for this long: it may be on its way already."""
_FLUSH_S = 2.0
_CHAT = "/v1/chat/completions"
_MODELS = "/v1/models"
_HEALTH = ("/healthz", "/readyz")
_MAX_LOGGED_PATH_CHARS = 80
_log = logging.getLogger("inhouse.gateway")


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """What a gateway server is made of. `writer` names this life in every trace."""

    settings: GatewaySettings
    snapshots: SnapshotWatcher
    sink: TraceSink
    writer: str


class GatewayServer:
    """Serves the data port on the running event loop. A `Host` of its connections."""

    def __init__(self, parts: GatewayParts) -> None:
        self.limits = parts.settings.limits
        self.is_draining = False
        self.num_refused: Counter[str] = Counter()
        self._settings = parts.settings
        self._snapshots = parts.snapshots
        self._client = HttpClient()
        self.sender = Sender(self._client, parts.settings.timeouts)
        self._chat = ChatHandler(self.sender, parts.sink, parts.writer)
        self._connections: set[ClientConnection] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._quiet = asyncio.Event()
        self._quiet.set()

    def build_protocol(self) -> ClientConnection:
        """A protocol for a connection just accepted."""
        return ClientConnection(self, self._loop)

    async def drain(self, drain_s: float) -> None:
        """Let requests under way finish, then end the rest visibly. The listener must be closed before."""
        self.is_draining = True
        ends_at = asyncio.get_running_loop().time() + drain_s
        await self._wait_quiet(min(IDLE_GRACE_S, drain_s))
        for connection in tuple(self._connections):
            connection.close_if_idle()
        await self._wait_quiet(ends_at - asyncio.get_running_loop().time())
        for connection in tuple(self._connections):
            connection.end_now()
        await self._wait_quiet(_FLUSH_S)
        for connection in tuple(self._connections):
            connection.abort()
        await self._wait_quiet(_FLUSH_S)
        if self._leaving:
            await asyncio.wait(self._leaving)
        await self._client.aclose()

    # Host.

    def admit(self, connection: ClientConnection) -> bool:
        """Count the connection; False where there are too many."""
        self._connections.add(connection)
        self._quiet.clear()
        return len(self._connections) <= self.limits.max_connections

    def forget(self, connection: ClientConnection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._quiet.set()

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold a cancelled handler, whose connection is gone, until it has ended."""
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def serve(self, connection: ClientConnection) -> None:
        """Serve the connection's requests, one after another, until cancelled."""
        while True:
            await self._serve_one(await connection.next_request(), connection)

    async def _serve_one(self, request: Request, connection: ClientConnection) -> None:
        """Serve one request, or refuse it."""
        try:
            if request.path == _CHAT and request.method == "POST":
                await self._chat.serve(request, connection, self._current_view())
            else:
                status, body = self._answer(request)
                connection.reply(status, JSON_HEADER, body)
        except RequestError as error:
            self.note_refusal(error, request.path)
            connection.refuse(error, _refusal_headers(error, request.path))
        finally:
            connection.end_serving(request)

    def note_refusal(self, error: RequestError, path: str) -> None:
        """Count and log a refusal: status, code and path, no content and no key."""
        self.num_refused[error.code.value] += 1
        _log.info("refused %d %s %r", error.status, error.code.value, path[:_MAX_LOGGED_PATH_CHARS])

    # Own steps.

    async def _wait_quiet(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._quiet.wait()
        except TimeoutError:
            return

    def _current_view(self) -> ServingView:
        view = self._snapshots.view
        if view is None:
            message = "The gateway has no snapshot yet. Wait until GET /readyz answers 200."
            raise RequestError(503, ErrorCode.OVERLOADED, message)
        return view

    def _answer(self, request: Request) -> tuple[int, bytes]:
        """Everything but chat: health and the model list."""
        path = request.path
        is_model = path.startswith(_MODELS + "/")
        if path not in (_CHAT, _MODELS, *_HEALTH) and not is_model:
            message = "This path is not served here. See POST /v1/chat/completions and GET /v1/models."
            raise RequestError(404, ErrorCode.UNKNOWN_PATH, message)
        if request.method != "GET" or path == _CHAT:
            allowed = _allowed_method(path)
            raise RequestError(405, ErrorCode.METHOD_NOT_ALLOWED, f"This path takes {allowed} only.")
        if path == "/healthz":
            return 200, b'{"status":"ok"}'
        if path == "/readyz":
            return self._answer_ready()
        view = self._current_view()
        key = view.auth.identify(request.headers.get(b"authorization"))
        if is_model:
            return 200, _describe_model(view.snapshot, key, unquote(path[len(_MODELS) + 1 :]))
        return 200, _list_models(view.snapshot, key)

    def _answer_ready(self) -> tuple[int, bytes]:
        view = self._snapshots.view
        reason = "the gateway has no snapshot" if view is None else view.find_unready()
        if self.is_draining:
            reason = "the gateway is draining"
        if reason is None:
            return 200, b'{"status":"ready"}'
        return 503, msgspec.json.encode({"status": "not ready", "reason": reason})


def _allowed_method(path: str) -> str:
    return "POST" if path == _CHAT else "GET"


def _refusal_headers(error: RequestError, path: str) -> bytes:
    """Headers that HTTP asks for beside a status."""
    if error.status == 401:
        return b"www-authenticate: Bearer\r\n"
    if error.status == 405:
        return b"allow: %b\r\n" % _allowed_method(path).encode()
    return b"retry-after: 1\r\n" if error.status == 503 else b""


def _model_entry(name: str, snapshot: Snapshot) -> dict[str, str | int]:
    return {"id": name, "object": "model", "created": int(snapshot.created_at), "owned_by": "inhouse"}


def _list_models(snapshot: Snapshot, key: ApiKey) -> bytes:
    names = [name for name in snapshot.routes if key.routes is None or name in key.routes]
    return msgspec.json.encode({"object": "list", "data": [_model_entry(name, snapshot) for name in names]})


def _describe_model(snapshot: Snapshot, key: ApiKey, name: str) -> bytes:
    if name not in snapshot.routes or (key.routes is not None and name not in key.routes):
        message = "There is no such route for this key. GET /v1/models lists what it may use."
        raise RequestError(404, ErrorCode.MODEL_NOT_FOUND, message, param="model")
    return msgspec.json.encode(_model_entry(name, snapshot))
