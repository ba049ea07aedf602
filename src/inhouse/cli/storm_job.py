"""What the demonstration's storm tells its application, and what comes back. Loads no SDK."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Ending(StrEnum):
    """What the application saw of one request."""

    FULL = "full"
    """The whole answer."""
    ERROR = "error"
    """An exception: the application knows, and can do something about it."""
    CUT = "cut"
    """A part of the answer, and no exception: it passes for the whole one."""
    HUNG = "hung"
    """Nothing conclusive within the user's patience."""


class StormJob(Struct, frozen=True, kw_only=True):
    """What to ask, where, and for how long somebody waits for each answer."""

    base_url: str
    key: str
    model: str
    prompts: tuple[str, ...]
    num_at_once: int
    patience_s: float


class StormResult(Struct, frozen=True):
    """One request: how it ended, after how many seconds, who answered (where the reply says so), and the exception."""

    ending: Ending
    seconds: float
    endpoint: str | None = None
    error: str | None = None
