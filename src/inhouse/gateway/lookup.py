"""Finds a trace for `GET /v1/traces/{id}`: among the worker's own, else by asking control. Writes nothing.

A trace of another worker is in the store a moment after its reply has ended. A client may ask at once, on a connection
that came to this worker, so what can be on its way is asked for again.
"""

from __future__ import annotations

import asyncio
import time

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
_ON_ITS_WAY_S = 1.5
"""How long a record may take from another worker's disk to the store; a second is promised."""
_POLL_S = 0.1
_MS_DIGITS = 12
"""Hexadecimal digits at the beginning of a trace id that are its milliseconds."""


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
        self._task = asyncio.get_running_loop().create_task(self._answer(f"{url}/api/traces/{trace_id}", trace_id, key))

    def client_left(self) -> None:
        """Nobody waits any more."""
        if self._task is not None:
            self._task.cancel()

    def shut_down(self) -> None:
        """The gateway ends."""
        self.client_left()
        error = RequestError(503, ErrorCode.SHUTTING_DOWN, "The gateway is shutting down. Try again.")
        self._connection.refuse(describe_refusal(error), closes=True)

    async def _answer(self, url: str, trace_id: str, key: ApiKey) -> None:
        clock = asyncio.get_running_loop().time
        ends_at = clock() + _ON_ITS_WAY_S
        trace = await self._ask(url, key)
        while is_on_its_way(trace, trace_id, time.time()) and clock() < ends_at:
            await asyncio.sleep(_POLL_S)
            trace = await self._ask(url, key)
        if trace is None:
            self._connection.refuse(describe_refusal(refuse_unknown()))
        else:
            self._connection.reply(_OK, JSON_HEADER, msgspec.json.encode(explain_trace(trace)))

    async def _ask(self, url: str, key: ApiKey) -> Trace | None:
        """The key's trace as control has it now."""
        try:
            response = await self._client.request("GET", url, timeouts=_TIMEOUTS)
            if response.status != _OK:
                return None
            shown = msgspec.json.decode(response.body, type=_Shown)
        except (EndpointError, msgspec.DecodeError):
            return None  # control does not answer: what this worker remembers is all there is
        return Trace(open=shown.open, close=shown.close) if shown.open.key_id == key.key_id else None


def is_on_its_way(trace: Trace | None, trace_id: str, now: float) -> bool:
    """Whether more of a trace may be in the store in a moment: its end, or all of it where the id was made just now.

    Args:
        trace: what the store has of it.
        trace_id: begins with the time at which it was made.
        now: Unix seconds.
    """
    if trace is not None:
        return trace.close is None
    try:
        made_at = int(trace_id[:_MS_DIGITS], 16) / 1000.0
    except ValueError:
        return False
    return abs(now - made_at) <= _ON_ITS_WAY_S


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
