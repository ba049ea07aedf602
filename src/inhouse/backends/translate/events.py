"""Takes the data out of blocks of server-sent events, with a short way for the forms that servers really send."""

from __future__ import annotations

from collections.abc import Iterator

from inhouse.backends.sse import read_data, split_events

_DATA = b"data: "


def read_datas(block: bytes) -> Iterator[bytes | None]:
    """The data of each event of a block of whole events; None for comments."""
    if block.find(b"\n\n") == len(block) - 2:
        yield _data_of(block)
        return
    for event in split_events(block):
        yield _data_of(event)


def _data_of(event: bytes) -> bytes | None:
    """As `read_data`; an event name before one line of data is looked at without splitting lines."""
    if event.startswith(_DATA):
        return read_data(event)
    line_end = event.find(b"\n")
    if (
        event.startswith(_DATA, line_end + 1)
        and event.startswith(b"event:")
        and event.find(b"\n", line_end + 1) == len(event) - 2
        and b"\r" not in event
    ):
        return event[line_end + 7 : -2]
    return read_data(event)
