"""Finds a trace for `GET /v1/traces/{id}`: among the worker's own, else by asking control. Writes nothing."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Struct

from inhouse.backends import HttpClient, Timeouts
from inhouse.domain import ApiKey, EndpointError, ErrorCode, RequestError, Trace, TraceClose, TraceOpen
from inhouse.gateway.connection import ClientConnection
from inhouse.gateway.replies import JSON_HEADER, describe_refusal
from inhouse.gateway.why import RecentTraces, explain_trace

TRACES_PATH = "/v1/traces/"
_TIMEOUTS = Timeouts(connect_s=1.0, first_byte_s=3.0, idle_s=3.0, total_s=5.0)
_MAX_ID_CHARS = 64
_OK = 200


class _Shown(Struct):
    """A trace as the admin API shows it."""

    open: TraceOpen
    close: TraceClose | None = None


class TraceLookup:
    """One question to control under way. A `Serving` of its connection.

    Args:
        client: the HTTP client.
        connection: whom to answer.
    """

    def __init__(self, client: HttpClient, connection: ClientConnection) -> None:
        self._client = client
        self._connection = connection
        self._task: asyncio.Task[None] | None = None

    def start(self, url: str, trace_id: str, key: ApiKey) -> None:
        """Ask the admin port at `url`, and answer."""
        self._task = asyncio.get_running_loop().create_task(self._ask(f"{url}/api/traces/{trace_id}", key))

    def client_left(self) -> None:
        """Nobody waits any more."""
        if self._task is not None:
            self._task.cancel()

    def shut_down(self) -> None:
        """The gateway ends."""
        self.client_left()
        error = RequestError(503, ErrorCode.SHUTTING_DOWN, "The gateway is shutting down. Try again.")
        self._connection.refuse(describe_refusal(error), closes=True)

    async def _ask(self, url: str, key: ApiKey) -> None:
        trace = None
        try:
            response = await self._client.request("GET", url, timeouts=_TIMEOUTS)
            if response.status == _OK:
                shown = msgspec.json.decode(response.body, type=_Shown)
                trace = Trace(open=shown.open, close=shown.close)
        except (EndpointError, msgspec.DecodeError):
            pass  # control does not answer: what this worker remembers is all there is
        if trace is None or trace.open.key_id != key.key_id:
            self._connection.refuse(describe_refusal(refuse_unknown()))
        else:
            self._connection.reply(_OK, JSON_HEADER, msgspec.json.encode(explain_trace(trace)))


def find_trace(recent: RecentTraces, trace_id: str, key: ApiKey) -> bytes | None:
    """The answer from this worker's own memory; None where it must be asked for.

    Raises:
        RequestError: 404, it is no id, or another key's trace.
    """
    if not trace_id.isalnum() or len(trace_id) > _MAX_ID_CHARS:
        raise refuse_unknown()
    trace = recent.find(trace_id)
    if trace is None:
        return None
    if trace.open.key_id != key.key_id:
        raise refuse_unknown()
    return msgspec.json.encode(explain_trace(trace))


def refuse_unknown() -> RequestError:
    """The same words whether there is none, or it is another key's."""
    message = (
        "There is no trace of this id for this key. Ask with the key that sent the request; "
        "the id stands in its reply's x-inhouse-trace header."
    )
    return RequestError(404, ErrorCode.TRACE_NOT_FOUND, message)
