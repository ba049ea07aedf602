"""The parts of a request's time, and its tokens."""

from __future__ import annotations

from typing import Any

from inhouse.console.traceview import list_time_parts, list_trace_signals, list_usage
from inhouse.domain import Signals, Trace, TraceClose, TraceOpen, TraceStatus, Usage

OPEN = TraceOpen(
    trace_id="1", writer="w", started_at=0.0, route="r", variant="v", endpoint_id="e", replica_id="e-0", key_id="k"
)


def make_close(**changes: Any) -> TraceClose:
    values: dict[str, Any] = {
        "trace_id": "1",
        "writer": "w",
        "ended_at": 1.0,
        "status": TraceStatus.COMPLETE,
        "http_status": 200,
        "variant": "v",
        "endpoint_id": "e",
        "replica_id": "e-0",
        "e2e_ms": 200.0,
    }
    return TraceClose(**(values | changes))


def test_a_stream_has_three_parts_that_fill_the_bar() -> None:
    parts = list_time_parts(make_close(overhead_ms=10.0, ttft_ms=60.0))
    assert [(part.style, part.duration_ms, part.start, part.width) for part in parts] == [
        ("gateway", 10.0, 0.0, 50.0),
        ("first", 50.0, 50.0, 250.0),
        ("rest", 140.0, 300.0, 700.0),
    ]


def test_an_unstreamed_reply_has_no_first_token() -> None:
    parts = list_time_parts(make_close(overhead_ms=10.0))
    assert [(part.style, part.width) for part in parts] == [("gateway", 50.0), ("rest", 950.0)]


def test_times_that_contradict_each_other_never_leave_the_bar() -> None:
    parts = list_time_parts(make_close(overhead_ms=70.0, ttft_ms=60.0, e2e_ms=65.0))
    assert [part.duration_ms for part in parts] == [65.0, 0.0, 0.0]
    assert all(part.start + part.width <= 1000 for part in parts)


def test_unknown_times_have_no_parts() -> None:
    assert list_time_parts(None) == []
    assert list_time_parts(make_close(e2e_ms=0.0)) == []


def test_unknown_usage_is_empty_and_known_usage_has_every_usual_bucket() -> None:
    assert list_usage(Trace(open=OPEN, close=None)) == []
    assert list_usage(Trace(open=OPEN, close=make_close())) == []
    known = list_usage(Trace(open=OPEN, close=make_close(usage=Usage(input_uncached=3, output_visible=2))))
    assert [tokens for _, tokens in known] == [3, 0, 0, 2, 0]


def test_rare_kinds_of_tokens_are_shown_where_there_are_some() -> None:
    usage = Usage(3, 0, 0, 2, cache_write_1h=4, input_audio=5, output_audio=6)
    shown = dict(list_usage(Trace(open=OPEN, close=make_close(usage=usage))))
    assert shown["input, written to cache for an hour"] == 4
    assert (shown["input, audio"], shown["output, audio"]) == (5, 6)


def test_signals_that_were_raised_come_first_and_unmeasured_ones_not_at_all() -> None:
    assert list_trace_signals(Trace(open=OPEN, close=None)) == []
    assert list_trace_signals(Trace(open=OPEN, close=make_close())) == []
    shown = list_trace_signals(Trace(open=OPEN, close=make_close(signals=Signals(num_chars=40, longest_run=40))))
    assert [(line.name, line.value, line.is_raised) for line in shown] == [
        ("one character repeated", "yes, 40 times", True),
        ("reads as a refusal", "no", False),
        ("special tokens in the text", "no", False),
        ("endless whitespace", "no", False),
        ("repeats itself", "no", False),
        ("length", "40 characters", None),
    ]
