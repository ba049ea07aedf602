"""A request whose answer waits for something off the event loop. Knows neither what, nor why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine

from inhouse.domain import ErrorCode, RequestError
from inhouse.gateway.connection import ClientConnection, Request, Serving
from inhouse.gateway.replies import describe_refusal

Work = Coroutine[None, None, Serving | None]
"""Writes the whole reply and returns None, or returns who serves the request from then on."""
Refuse = Callable[[RequestError, Request, ClientConnection], None]
"""Answers with a refusal, and counts it."""
_log = logging.getLogger("inhouse.gateway")


class WaitingRequest:
    """Carries out a coroutine for a request, and answers with what it raises. A `Serving`.

    Args:
        request: what was asked.
        connection: whom to answer.
        refuse: what is told of a refusal.
    """

    def __init__(self, request: Request, connection: ClientConnection, refuse: Refuse) -> None:
        self._request = request
        self._connection = connection
        self._refuse = refuse
        self._next: Serving | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Work) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._carry_out(work))
        self._task.add_done_callback(self._end)

    def client_left(self) -> None:
        """Nobody waits any more."""
        if self._next is not None:
            self._next.client_left()
        elif self._task is not None:
            self._task.cancel()

    def shut_down(self) -> None:
        """The gateway ends."""
        if self._next is not None:
            self._next.shut_down()
            return
        self.client_left()
        error = RequestError(503, ErrorCode.SHUTTING_DOWN, "The gateway is shutting down. Try again.")
        self._connection.refuse(describe_refusal(error), closes=True)

    async def _carry_out(self, work: Work) -> None:
        self._next = await work  # set at once: a client that leaves now must reach who serves it

    def _end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, RequestError):
            self._refuse(error, self._request, self._connection)
        elif error is not None:
            _log.error("a request that waited has failed", exc_info=error)
            failed = RequestError(
                500, ErrorCode.INTERNAL_ERROR, "The gateway failed on this request. Its log says why."
            )
            self._connection.refuse(describe_refusal(failed), closes=True)
