"""What the bench asks of its load process and gets back: one JSON line each way."""

from __future__ import annotations

from msgspec import Struct
from payloads import Ask


class Closed(Struct, frozen=True, kw_only=True, tag=True):
    """Closed loop: `num_connections` kept-alive connections, on each one request after another."""

    port: int
    num_requests: int
    num_connections: int
    is_stream: bool = False
    ask: Ask = Ask.CHAT


class Open(Struct, frozen=True, kw_only=True, tag=True):
    """Open loop: requests at times fixed beforehand, whatever the replies do.

    `rate` is requests a second; gaps are even, or drawn from an exponential distribution with `seed`. `num_warm` more
    come before those that are timed: a program whose turn it was not finds its memory out of the CPU's caches.
    """

    port: int
    rate: float
    num_requests: int
    is_poisson: bool
    seed: int
    num_warm: int = 0


class Held(Struct, frozen=True, kw_only=True, tag=True):
    """`num_streams` streams at once, each of `num_events` events that bear its number and theirs."""

    port: int
    num_streams: int
    num_events: int


class ClosedReply(Struct, frozen=True, kw_only=True):
    """`statuses` counts replies by status; `num_bad` counts those that were no whole 200, or never came."""

    num_good: int
    num_bad: int
    seconds: float
    statuses: dict[int, int]


class OpenReply(Struct, frozen=True, kw_only=True):
    """Microseconds from the planned time of sending: to the whole reply, and to the sending itself."""

    latencies_us: list[float]
    late_us: list[float]
    num_bad: int


class HeldReply(Struct, frozen=True, kw_only=True):
    """`num_at_once` is the most streams that had begun and not ended at one time; `faults` the first few, in words."""

    num_at_once: int
    num_whole: int
    num_bytes: int
    faults: list[str]
    seconds: float


Command = Closed | Open | Held
