"""The data port: accepts connections, sends each request to its handler, drains. Opens no files, reads no settings."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from urllib.parse import unquote

import msgspec

from inhouse.backends import Dialer, HttpClient
from inhouse.domain import ApiKey, ErrorCode, Operation, RequestError, Snapshot
from inhouse.gateway.connection import ClientConnection, Request, Serving
from inhouse.gateway.dialects import CLIENT_DIALECTS
from inhouse.gateway.fetch import RESPONSES_PREFIX, answer_fetch, read_path
from inhouse.gateway.head import refuse
from inhouse.gateway.health import ReplicaHealth
from inhouse.gateway.lookup import TRACES_PATH, TraceLookup, find_trace, refuse_unknown
from inhouse.gateway.machine import MachineParts
from inhouse.gateway.observe import Observer, name_observed_caller
from inhouse.gateway.openapi import OPENAPI_PATH, openapi_document
from inhouse.gateway.record import TraceSink
from inhouse.gateway.replies import JSON_HEADER, describe_refusal, error_body
from inhouse.gateway.responses import ResponsesStarter
from inhouse.gateway.retries import RetryBudget
from inhouse.gateway.serve import RequestStarter
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.snapshots import SnapshotWatcher
from inhouse.gateway.stored import ResponseKeeper, ResponseShelf
from inhouse.gateway.view import ServingView
from inhouse.gateway.waiting import WaitingRequest

IDLE_GRACE_S = 1.0
"""While draining, kept-alive connections may send one more request for this long: it may be on its way already."""
_FLUSH_S = 2.0
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
    dialer: Dialer | None = None
    admin_url: str | None = None
    """Where control is asked for traces that this worker does not remember."""
    keeper: ResponseKeeper | None = None
    """Keeps Responses; None where none are kept."""


class GatewayServer:
    """Serves the data port on the running event loop. A `Host` of its connections."""

    def __init__(self, parts: GatewayParts) -> None:
        self.limits = parts.settings.limits
        self.is_draining = False
        self.num_refused: Counter[str] = Counter()
        self._settings = parts.settings
        self._snapshots = parts.snapshots
        self._admin_url = parts.admin_url
        self._client = HttpClient(parts.dialer)
        self._loop = asyncio.get_running_loop()
        self.machines = MachineParts(
            loop=self._loop,
            client=self._client,
            settings=parts.settings,
            health=ReplicaHealth(parts.settings.ejection),
            budget=RetryBudget(float(parts.settings.retries.budget)),
            in_flight=Counter(),
        )
        self._starter = RequestStarter(self.machines, parts.sink, parts.writer)
        self._observer = Observer(self.machines, parts.sink, self._starter.recent, parts.writer)
        keeper, max_chars = parts.keeper, parts.settings.limits.max_body_bytes
        self.shelf = None if keeper is None else ResponseShelf(keeper, max_chars)
        self._responses = ResponsesStarter(self._starter, self.machines, self.shelf, self._refuse)
        self._connections: set[ClientConnection] = set()
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
        if self.shelf is not None:
            await self.shelf.aclose(_FLUSH_S)
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

    def serve(self, request: Request, connection: ClientConnection) -> Serving | None:
        """Serve one request, or refuse it. None where the reply is written already."""
        view, head = self._snapshots.view, request.head
        try:
            dialect = CLIENT_DIALECTS.get(head.path)
            if view is not None and head.memo.owner is view and head.memo.ways and dialect is not None:
                # The starter took this head before, under this very snapshot.
                return self._starter.start(dialect, request, connection, view)
            if view is not None and view.snapshot.observed is not None and not _is_own(request.path):
                return self._observer.start(request, connection, view, view.snapshot.observed)
            _check_coding(request)
            if dialect is not None and request.method == "POST":
                starter = self._responses if dialect.operation is Operation.RESPONSES else self._starter
                return starter.start(dialect, request, connection, self._current_view())
            if request.path.startswith(TRACES_PATH) and request.method == "GET":
                return self._serve_trace(request, connection)
            if request.path.startswith(RESPONSES_PREFIX):
                return self._fetch_response(request, connection)
            status, body = self._answer(request)
            connection.reply(status, JSON_HEADER, body)
        except RequestError as error:
            self._refuse(error, request, connection)
        except Exception:  # noqa: BLE001  # a fault of our own is answered and logged, and ends no other request
            _log.exception("a request to %r failed", request.path[:_MAX_LOGGED_PATH_CHARS])
            failed = RequestError(
                500, ErrorCode.INTERNAL_ERROR, "The gateway failed on this request. Its log says why."
            )
            connection.refuse(describe_refusal(failed), closes=True)
        return None

    def note_refusal(self, error: RequestError, path: str) -> None:
        """Count and log a refusal: status, code and path, no content and no key."""
        self.num_refused[error.code.value] += 1
        _log.info("refused %d %s %r", error.status, error.code.value, path[:_MAX_LOGGED_PATH_CHARS])

    # Own steps.

    def _refuse(self, error: RequestError, request: Request, connection: ClientConnection) -> None:
        dialect = CLIENT_DIALECTS.get(request.path)
        self.note_refusal(error, request.path)
        encode = error_body if dialect is None else dialect.error_body
        closes = error.code is ErrorCode.UNSUPPORTED_HTTP
        connection.refuse(describe_refusal(error), _refusal_headers(error, request.path), encode, closes=closes)

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

    def _serve_trace(self, request: Request, connection: ClientConnection) -> Serving | None:
        view = self._current_view()
        if view.snapshot.observed is None:
            key = view.auth.identify_caller(request.headers)
        else:
            key = ApiKey(key_id=name_observed_caller(request.headers, view.auth), key_hash="")
        trace_id = request.path[len(TRACES_PATH) :]
        found = find_trace(self._starter.recent, trace_id, key)
        if found is not None:
            connection.reply(200, JSON_HEADER, found)
            return None
        if self._admin_url is None:
            raise refuse_unknown()
        lookup = TraceLookup(self._client, connection)
        lookup.start(self._admin_url, trace_id, key)
        return lookup

    def _fetch_response(self, request: Request, connection: ClientConnection) -> Serving:
        asked = read_path(request.path)
        if asked is None:
            message = "Here are only GET and DELETE /v1/responses/ID, and GET /v1/responses/ID/input_items."
            raise RequestError(404, ErrorCode.UNKNOWN_PATH, message)
        if request.method not in asked.methods:
            raise _refuse_method(request.path)
        key = self._current_view().auth.identify_caller(request.headers)
        waiting = WaitingRequest(request, connection, self._refuse)
        waiting.start(answer_fetch(self.shelf, asked, request, key, connection))
        return waiting

    def _answer(self, request: Request) -> tuple[int, bytes]:
        """Everything but chat: health and the model list."""
        path = request.path
        is_model = path.startswith(_MODELS + "/")
        is_known = path in (*CLIENT_DIALECTS, _MODELS, OPENAPI_PATH, *_HEALTH) or path.startswith(TRACES_PATH)
        if not is_known and not is_model:
            message = f"This path is not served here. GET {OPENAPI_PATH} describes those that are."
            raise RequestError(404, ErrorCode.UNKNOWN_PATH, message)
        if request.method != "GET" or path in CLIENT_DIALECTS:
            raise _refuse_method(path)
        if path == "/healthz":
            return 200, b'{"status":"ok"}'
        if path == "/readyz":
            return self._answer_ready()
        if path == OPENAPI_PATH:
            return 200, openapi_document()
        view = self._current_view()
        key = view.auth.identify_caller(request.headers)
        if is_model:
            return 200, _describe_model(view.snapshot, key, unquote(path[len(_MODELS) + 1 :]))
        return 200, _list_models(view.snapshot, key)

    def _answer_ready(self) -> tuple[int, bytes]:
        view = self._snapshots.view
        reason = "the gateway has no snapshot" if view is None else view.find_unready()
        if self.is_draining:
            reason = "the gateway is draining"
        answer = {"status": "ready"} if reason is None else {"status": "not ready", "reason": reason}
        if view is not None:
            answer["snapshot"] = str(view.snapshot.version)
        if self._snapshots.refusal is not None:
            answer["refused_snapshot"] = self._snapshots.refusal
        return 200 if reason is None else 503, msgspec.json.encode(answer)


def _check_coding(request: Request) -> None:
    if request.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise refuse("compressed request bodies are not taken")


def _is_own(path: str) -> bool:
    """Paths that are the gateway's own in observe mode too."""
    return path in _HEALTH or path.startswith(TRACES_PATH)


def _allowed_methods(path: str) -> str:
    """As the `allow` header names them."""
    fetched = read_path(path)
    return "POST" if path in CLIENT_DIALECTS else "GET" if fetched is None else ", ".join(fetched.methods)


def _refuse_method(path: str) -> RequestError:
    return RequestError(405, ErrorCode.METHOD_NOT_ALLOWED, f"This path takes {_allowed_methods(path)} only.")


def _refusal_headers(error: RequestError, path: str) -> bytes:
    """Headers that HTTP asks for beside a status."""
    if error.status == 401:
        return b"www-authenticate: Bearer\r\n"
    if error.status == 405:
        return b"allow: %b\r\n" % _allowed_methods(path).encode()
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
