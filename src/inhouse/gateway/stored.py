"""Keeps Responses for their clients, off the event loop: a store that is slow or down delays and fails nothing else.

What keeps them is behind `ResponseKeeper`: a worker that keeps none carries no database code.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct

from inhouse.backends import ResponsesRequest, Turn, read_turn
from inhouse.domain import ErrorCode, InhouseError, RequestError

MAX_WAITING_BYTES = 67_108_864
"""Requests and responses that wait for the store; what comes while there are more is not kept."""
DEADLINE_S = 3.0
"""How long a client waits for the store."""
SECOND_LOOK_S = 0.2
"""What is not found is looked for once more after this time: another worker may be writing it."""
_NUM_THREADS = 4
_SILENCE_S = 60.0
_KEPT = frozenset({"completed", "incomplete", None})
_log = logging.getLogger("inhouse.gateway")
_T = TypeVar("_T")


class KeptResponse(Struct, frozen=True, kw_only=True):
    """One response as it is kept. `input_json` is an array of the request's own items, `response_json` the object."""

    response_id: str
    key_id: str
    route: str
    endpoint_id: str
    input_json: str
    response_json: str
    previous_response_id: str | None = None


class ConversationTooLongError(Exception):
    """A response and those before it are more than may be read at once."""


class ResponseKeeper(Protocol):
    """Where responses are kept, and for how long. Methods block, several run at once, each in a thread.

    Each raises InhouseError where it cannot answer now.
    """

    def put(self, response: KeptResponse) -> None:
        """Keep a response."""
        ...

    def get(self, response_id: str, key_id: str) -> KeptResponse | None:
        """One of the key's responses; None where there is none, or no longer."""
        ...

    def list_turns(self, response_id: str, key_id: str, max_chars: int) -> Sequence[KeptResponse] | None:
        """A response with all that it followed, oldest first; None where one is not there (any more).

        Raises:
            ConversationTooLongError: they are longer than `max_chars`.
        """
        ...

    def delete(self, response_id: str, key_id: str) -> bool:
        """Forget one of the key's responses; whether there was one."""
        ...


class Answered(Struct, frozen=True, kw_only=True):
    """A request and its finished response object, as JSON."""

    request: ResponsesRequest
    response: bytes
    key_id: str
    route: str
    endpoint_id: str


class _Head(Struct):
    id: str
    status: str | None = None


_decode_head = msgspec.json.Decoder(_Head).decode


class ResponseShelf:
    """One worker's way to the keeper. Its methods are for the event loop, and none blocks it.

    A client that comes back at once finds its response: reading waits for what this worker still writes.

    Args:
        keeper: keeps them.
        max_chars: of the conversation that a request may follow, as JSON.
    """

    def __init__(self, keeper: ResponseKeeper, max_chars: int) -> None:
        self._keeper = keeper
        self._max_chars = max_chars
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="responses")
        self._writes: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._num_waiting_bytes = 0
        self._silent_until = 0.0
        self.num_lost = 0
        """Responses that should have been kept, and are not."""

    def keep(self, answered: Answered) -> None:
        """Keep a finished response, some time soon. Never fails; what is lost is counted and logged.

        A response that failed, or has no id, is not kept.
        """
        try:
            head = _decode_head(answered.response)
        except (ValueError, RecursionError):
            return
        if head.status not in _KEPT:
            return
        num_bytes = len(answered.response) + len(answered.request.body)
        if self._num_waiting_bytes + num_bytes > MAX_WAITING_BYTES:
            self._note_lost("too much waits for the store already")
            return
        self._num_waiting_bytes += num_bytes
        key = (answered.key_id, head.id)
        write = self._writes[key] = self._loop.run_in_executor(self._threads, _put, self._keeper, head.id, answered)
        write.add_done_callback(lambda done: self._note_written(key, num_bytes, done))

    async def get(self, response_id: str, key_id: str) -> KeptResponse | None:
        """One of the key's responses; None where there is none.

        Raises:
            RequestError: 503, the store does not answer.
        """
        return await self._look(response_id, key_id, lambda: self._keeper.get(response_id, key_id))

    async def list_turns(self, response_id: str, key_id: str) -> list[Turn] | None:
        """A response with all that it followed, oldest first; None where one of them is not there.

        Raises:
            RequestError: 503, the store does not answer; 413, they are too long.
        """

        def read() -> list[Turn] | None:
            return _read_turns(self._keeper.list_turns(response_id, key_id, self._max_chars))

        try:
            return await self._look(response_id, key_id, read)
        except ConversationTooLongError:
            message = (
                f"The responses before this request are longer than {self._max_chars} bytes together. "
                "Begin a new conversation, or send what matters of this one as 'input'."
            )
            raise RequestError(413, ErrorCode.REQUEST_TOO_LARGE, message, param="previous_response_id") from None

    async def delete(self, response_id: str, key_id: str) -> bool:
        """Forget one of the key's responses; whether there was one.

        Raises:
            RequestError: 503, the store does not answer.
        """
        await self._settle(response_id, key_id)
        return await self._ask(lambda: self._keeper.delete(response_id, key_id))

    async def aclose(self, timeout_s: float) -> None:
        """Let writes under way finish for so long; what is not written then is given up, and counted."""
        if self._writes:
            await asyncio.wait(tuple(self._writes.values()), timeout=timeout_s)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._writes:
            self.num_lost += len(self._writes)
            _log.error("the gateway ends while %d responses wait for the store: they are given up", len(self._writes))

    async def _look(self, response_id: str, key_id: str, work: Callable[[], _T | None]) -> _T | None:
        await self._settle(response_id, key_id)
        found = await self._ask(work)
        if found is None:
            await asyncio.sleep(SECOND_LOOK_S)
            found = await self._ask(work)
        return found

    async def _settle(self, response_id: str, key_id: str) -> None:
        """Wait for the response if it is being written."""
        write = self._writes.get((key_id, response_id))
        if write is not None:
            await asyncio.wait((write,), timeout=DEADLINE_S)

    async def _ask(self, work: Callable[[], _T]) -> _T:
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await self._loop.run_in_executor(self._threads, work)
        except TimeoutError:
            self._warn(f"no answer within {DEADLINE_S:g} s")
        except InhouseError as error:
            self._warn(str(error))
        message = "Kept responses cannot be reached now. Try again, or send the whole conversation as 'input'."
        raise RequestError(503, ErrorCode.STORE_UNAVAILABLE, message)

    def _note_written(self, key: tuple[str, str], num_bytes: int, done: asyncio.Future[None]) -> None:
        self._num_waiting_bytes -= num_bytes
        if self._writes.get(key) is done:
            del self._writes[key]
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:  # the words of an unknown error might quote content
            self._note_lost(str(error) if isinstance(error, InhouseError) else type(error).__name__)

    def _note_lost(self, why: str) -> None:
        self.num_lost += 1
        self._warn(f"{why}; {self.num_lost} responses are not kept so far")

    def _warn(self, words: str) -> None:
        """Log, but not for each request of an outage."""
        now = self._loop.time()
        if now >= self._silent_until:
            self._silent_until = now + _SILENCE_S
            _log.error("the store of responses: %s", words)


def _put(keeper: ResponseKeeper, response_id: str, answered: Answered) -> None:
    request = answered.request
    items = b"[%b]" % b",".join(request.list_items())
    keeper.put(
        KeptResponse(
            response_id=response_id,
            key_id=answered.key_id,
            route=answered.route,
            endpoint_id=answered.endpoint_id,
            input_json=items.decode(),
            response_json=answered.response.decode(),
            previous_response_id=request.previous_response_id,
        )
    )


def _read_turns(kept: Sequence[KeptResponse] | None) -> list[Turn] | None:
    if kept is None:
        return None
    return [read_turn(one.route, one.endpoint_id, one.input_json.encode(), one.response_json.encode()) for one in kept]
