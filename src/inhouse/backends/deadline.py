"""One movable deadline on the event loop's clock. Moving it later costs an assignment, not a new timer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

NEVER = math.inf


class Deadline:
    """Calls `on_expired` once when the loop's clock passes `at`; `set` arms it again.

    A timer under way that fires early looks at `at` and goes back to sleep, so a kept-alive connection has one timer
    for many requests. What is called often may write `at` itself, where that is not before `armed_for`, when the timer
    fires.
    """

    __slots__ = ("_handle", "_loop", "_on_expired", "armed_for", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expired: Callable[[], None]) -> None:
        self.at = NEVER
        self._loop = loop
        self._on_expired = on_expired
        self._handle: asyncio.TimerHandle | None = None
        self.armed_for = NEVER

    def set(self, at: float) -> None:
        """Move the deadline to `at` (loop time, seconds); `NEVER` puts it off for good."""
        self.at = at
        if at < self.armed_for:
            if self._handle is not None:
                self._handle.cancel()
            self._handle = self._loop.call_at(at, self._fire)
            self.armed_for = at

    def cancel(self) -> None:
        """Put it off and drop the timer; for the end of the connection that owns it."""
        self.at = NEVER
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self.armed_for = NEVER

    def _fire(self) -> None:
        self._handle = None
        self.armed_for = NEVER
        if self.at is NEVER:
            return
        if self._loop.time() < self.at:
            self.set(self.at)
            return
        self.at = NEVER
        self._on_expired()
