"""Responses in the store. Only a worker that keeps some imports this: it brings the database code with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import msgspec

from inhouse.domain import InhouseError
from inhouse.gateway.stored import ConversationTooLongError, KeptResponse
from inhouse.store import Store, StoredResponse, open_store

PAUSE_S = 1.0
"""After the store could not be opened, every call fails at once for this time."""


class StoreKeeper:
    """A `ResponseKeeper` on the store. The store is opened by the first call that reaches it.

    Args:
        url: as `open_store` takes it.
        keep: how long each response is kept.
        clock: Unix seconds.
    """

    def __init__(self, url: str, keep: timedelta, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._keep_s = keep.total_seconds()
        self._clock = clock
        self._store: Store | None = None
        self._opening = threading.Lock()
        self._failure: InhouseError | None = None
        self._failed_at = 0.0

    def put(self, response: KeptResponse) -> None:
        """Keep a response."""
        now = self._clock()
        row = StoredResponse(**msgspec.structs.asdict(response), created_at=now, expires_at=now + self._keep_s)
        self._open().responses.put(row)

    def get(self, response_id: str, key_id: str) -> KeptResponse | None:
        """One of the key's responses; None where there is none, or no longer."""
        row = self._open().responses.get(response_id, key_id, now=self._clock())
        return None if row is None else _read(row)

    def list_turns(self, response_id: str, key_id: str, max_chars: int) -> list[KeptResponse] | None:
        """A response with all that it followed, oldest first; None where one is not there (any more).

        Raises:
            ConversationTooLongError: they are longer than `max_chars`.
        """
        try:
            rows = self._open().responses.list_turns(response_id, key_id, now=self._clock(), max_chars=max_chars)
        except ValueError as error:
            raise ConversationTooLongError(str(error)) from None
        return None if rows is None else [_read(row) for row in rows]

    def delete(self, response_id: str, key_id: str) -> bool:
        """Forget one of the key's responses; whether there was one."""
        return self._open().responses.delete(response_id, key_id)

    def close(self) -> None:
        """Close the store."""
        with self._opening:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _open(self) -> Store:
        """The store.

        Raises:
            InhouseError: it does not answer, or cannot be used.
        """
        with self._opening:
            if self._store is not None:
                return self._store
            if self._failure is not None and time.monotonic() < self._failed_at + PAUSE_S:
                raise self._failure.with_traceback(None)
            try:
                self._store = open_store(self._url)
            except InhouseError as error:
                self._failure, self._failed_at = error, time.monotonic()
                raise
            return self._store


def _read(row: StoredResponse) -> KeptResponse:
    return KeptResponse(
        response_id=row.response_id,
        key_id=row.key_id,
        route=row.route,
        endpoint_id=row.endpoint_id,
        input_json=row.input_json,
        response_json=row.response_json,
        previous_response_id=row.previous_response_id,
    )
