from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.backends import EventCutter, EventTooLongError, read_data, split_events
from inhouse.backends.sse import MAX_EVENT_BYTES

EVENTS = [b"data: a\n\n", b": ping\n\n", b"data: b\r\n\r\n", b"event: x\ndata: c\ndata: d\n\n", b"data: [DONE]\n\n"]


@given(cuts=st.lists(st.integers(0, 70), max_size=8))
def test_however_a_stream_is_cut_only_whole_events_come_out_and_no_byte_is_lost(cuts: list[int]) -> None:
    stream = b"".join(EVENTS)
    cutter = EventCutter()
    blocks: list[bytes] = []
    previous = 0
    for cut in [*sorted(min(cut, len(stream)) for cut in cuts), len(stream)]:
        blocks.append(cutter.feed(stream[previous:cut]))
        previous = cut
    assert b"".join(blocks) == stream
    assert cutter.tail == b""
    assert [event for block in blocks for event in split_events(block)] == EVENTS


def test_the_start_of_an_incomplete_event_is_held() -> None:
    cutter = EventCutter()
    assert cutter.feed(b"data: a\n\ndata: b") == b"data: a\n\n"
    assert cutter.tail == b"data: b"
    assert cutter.feed(b"c\n\n") == b"data: bc\n\n"


def test_an_endless_event_is_refused() -> None:
    cutter = EventCutter()
    with pytest.raises(EventTooLongError):
        cutter.feed(b"data: " + b"x" * MAX_EVENT_BYTES)


def test_data_lines_are_joined_and_comments_have_none() -> None:
    assert [read_data(event) for event in EVENTS] == [b"a", None, b"b", b"c\nd", b"[DONE]"]
    assert read_data(b"data:tight\n\n") == b"tight"
