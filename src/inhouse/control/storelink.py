"""The way to the store from asyncio: opened when it answers, each call in a thread and on a deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from inhouse.store import Store, StoreUnavailableError, open_store

_T = TypeVar("_T")
_NUM_THREADS = 4
CALL_TIMEOUT_S = 3.0


class StoreLink:
    """One store, opened at the first call that reaches it. A store that is down costs a caller its deadline, no more.

    A call that outlives its deadline keeps its thread until the driver gives up (seconds); the next callers have the
    other threads. Use from one event loop.

    Args:
        url: as `open_store` takes it.
        opener: makes the store, called in a thread.
        timeout_s: deadline of a call where it names none.
    """

    def __init__(
        self, url: str, *, opener: Callable[[str], Store] = open_store, timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self._url = url
        self._opener = opener
        self._timeout_s = timeout_s
        self._store: Store | None = None
        self._opening = threading.Lock()
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="store")

    async def call(self, work: Callable[[Store], _T], *, timeout_s: float | None = None) -> _T:
        """Run `work` on the store in a thread.

        Raises:
            StoreUnavailableError: the store does not answer, or not in time.
            StateError: the store answers and refuses (a newer schema, a broken rule).
            ConfigError: its URL cannot be used.
        """
        deadline_s = self._timeout_s if timeout_s is None else timeout_s
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._threads, self._run, work), deadline_s)
        except TimeoutError:
            raise StoreUnavailableError(
                f"The store did not answer within {deadline_s:g} s.",
                fix="see whether the database is up and not overloaded; the gateway serves on meanwhile.",
            ) from None

    def close(self) -> None:
        """Wait for calls under way and close the store."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._store is not None:
            self._store.close()
            self._store = None

    def _run(self, work: Callable[[Store], _T]) -> _T:
        with self._opening:
            store = self._store
            if store is None:
                store = self._store = self._opener(self._url)
        return work(store)
