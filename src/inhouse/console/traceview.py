"""One trace as its page shows it: the parts of its time, its attempts, its tokens, its signals. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from inhouse.domain import USAGE_BUCKETS, Trace, TraceClose
from inhouse.telemetry import SignalLine, list_signals

BAR_WIDTH = 1000
"""Width of the time bar in its own units."""

_BUCKET_WORDS = {
    "input_uncached": "input, not cached",
    "cache_read": "input, read from cache",
    "cache_write": "input, written to cache",
    "output_visible": "output, visible",
    "output_reasoning": "output, reasoning",
    "cache_write_1h": "input, written to cache for an hour",
    "input_audio": "input, audio",
    "output_audio": "output, audio",
}
_RARE_BUCKETS = frozenset({"cache_write_1h", "input_audio", "output_audio"})


@dataclass(frozen=True, slots=True)
class TimePart:
    """A stretch of the request's time: `start` and `width` in units of the bar."""

    name: str
    style: str
    duration_ms: float
    start: float
    width: float


def list_time_parts(close: TraceClose | None) -> list[TimePart]:
    """The stretches between arrival and end: the gateway's own, until the first token, the rest.

    Empty where the whole time is unknown or zero.
    """
    if close is None or close.e2e_ms <= 0:
        return []
    parts: list[TimePart] = []
    start_ms = 0.0
    for name, style, end_ms in _list_ends(close):
        clipped_ms = min(max(end_ms, start_ms), close.e2e_ms)
        duration_ms = clipped_ms - start_ms
        scale = BAR_WIDTH / close.e2e_ms
        parts.append(TimePart(name, style, duration_ms, round(start_ms * scale, 2), round(duration_ms * scale, 2)))
        start_ms = clipped_ms
    return parts


def list_usage(trace: Trace) -> list[tuple[str, int]]:
    """(bucket in words, tokens); empty where usage is unknown. Where it is known, a rare bucket is left out at zero."""
    usage = trace.close.usage if trace.close else None
    if usage is None:
        return []
    numbers = {bucket: int(getattr(usage, bucket)) for bucket in USAGE_BUCKETS}
    return [
        (_BUCKET_WORDS[bucket], number) for bucket, number in numbers.items() if number or bucket not in _RARE_BUCKETS
    ]


def list_trace_signals(trace: Trace) -> list[SignalLine]:
    """The answer's free quality signals, those that were raised first; empty where nothing was measured."""
    signals = trace.close.signals if trace.close else None
    return [] if signals is None else sorted(list_signals(signals), key=lambda line: line.is_raised is not True)


def _list_ends(close: TraceClose) -> Iterator[tuple[str, str, float]]:
    """(name, style, end in ms since arrival)."""
    if close.overhead_ms is not None:
        yield "gateway, before sending", "gateway", close.overhead_ms
    if close.ttft_ms is not None:
        yield "endpoint, to the first token", "first", close.ttft_ms
        yield "endpoint, the tokens after it", "rest", close.e2e_ms
    else:
        yield "endpoint, whole reply", "rest", close.e2e_ms
