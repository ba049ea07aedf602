"""What goes wrong at a simulated provider on purpose: which requests, and how. Pure but for counting; sends nothing."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]


class FaultKind(StrEnum):
    """One way to fail a chat request."""

    THROTTLE = "throttle"
    """429 with `retry-after`."""
    ERROR = "error"
    """503."""
    HANG = "hang"
    """No answer, ever; the connection stays open."""
    STALL = "stall"
    """A stream falls silent in the middle and stays open. Where none was asked for: as `hang`."""
    CUT = "cut"
    """A stream's connection breaks off in the middle. Where none was asked for: 500."""
    END = "end"
    """A stream ends in the middle as HTTP wants it, with neither finish nor `[DONE]`. Where none was asked for: an
    empty reply."""


class FaultMix(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of the requests that each fault hits; together at most one. Nothing by default.

    `retry_after_s` goes with every 429.
    """

    throttle: Share = 0.0
    error: Share = 0.0
    hang: Share = 0.0
    stall: Share = 0.0
    cut: Share = 0.0
    end: Share = 0.0
    retry_after_s: Annotated[int, Meta(ge=0)] = 1

    def __post_init__(self) -> None:
        if self.total > 1.0 + 1e-9:
            raise ValueError(f"the shares add up to {self.total:g}, and together they are at most 1")

    @property
    def total(self) -> float:
        """Share of requests that any fault hits."""
        return sum(self.share(kind) for kind in FaultKind)

    def share(self, kind: FaultKind) -> float:
        """Share of requests that this fault hits."""
        return getattr(self, kind.value)


class DrawnFault(Struct, frozen=True):
    """What hits one request. `position` (0 to 1) says where in its answer, for faults in the middle."""

    kind: FaultKind
    position: float


class FaultSwitch:
    """The mix in force, and what it has hit since it was set.

    What hits a request follows from the seed, the prompt, and how often this prompt has come since the mix was set.
    So the same requests meet the same faults after each setting, in whatever order, and a retry has its own chance.
    """

    def __init__(self, seed: int) -> None:
        self.mix = FaultMix()
        self.hits: Counter[FaultKind] = Counter()
        self._seed = seed
        self._arrivals: Counter[bytes] = Counter()

    def set(self, mix: FaultMix) -> None:
        """Put another mix in force, and count from nothing."""
        self.mix = mix
        self.hits.clear()
        self._arrivals.clear()

    def draw(self, prompt: str) -> DrawnFault | None:
        """What hits this request, if anything does; counted."""
        if not self.mix.total:
            return None
        key = hashlib.sha256(prompt.encode()).digest()
        self._arrivals[key] += 1
        drawn = draw_fault(self.mix, self._seed, key, self._arrivals[key])
        if drawn is not None:
            self.hits[drawn.kind] += 1
        return drawn

    def describe(self) -> bytes:
        """The mix and its hits, as JSON."""
        return msgspec.json.encode({"simulated": True, "mix": self.mix, "hits": {**self.hits}})


def draw_fault(mix: FaultMix, seed: int, key: bytes, arrival: int) -> DrawnFault | None:
    """Draw for one arrival of one prompt: a function of its arguments alone."""
    text = b"%d\0%d\0%b" % (seed, arrival, key)
    chance = random.Random(hashlib.sha256(text).digest())
    mark, position = chance.random(), chance.random()
    for kind in FaultKind:
        mark -= mix.share(kind)
        if mark < 0:
            return DrawnFault(kind, position)
    return None
