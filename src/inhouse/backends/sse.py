"""Cuts a byte stream of server-sent events at event borders. Looks into no event."""

from __future__ import annotations

MAX_EVENT_BYTES = 1_048_576
"""An event that grows beyond this is refused: nobody sends one, and it would be held in memory."""


class EventTooLongError(ValueError):
    """An event is longer than MAX_EVENT_BYTES."""


class EventCutter:
    """Gives back whole events only; the start of an event that is not yet complete is held.

    So a stream that breaks off never leaves half an event with the client. Borders are an empty line in LF or CRLF
    form (what every OpenAI-compatible server sends).
    """

    __slots__ = ("tail",)

    def __init__(self) -> None:
        self.tail = b""
        """What is held: the start of an incomplete event, empty between events."""

    def feed(self, data: bytes) -> bytes:
        """The whole events among what is held and `data`, byte for byte; empty where none is complete.

        Raises:
            EventTooLongError: the incomplete event is too long.
        """
        if self.tail:
            data = self.tail + data
            self.tail = b""
        if data.endswith((b"\n\n", b"\n\r\n")):
            return data
        cut = max(data.rfind(b"\n\n") + 2, data.rfind(b"\n\r\n") + 3)
        if cut < 3:  # rfind found neither border: 1 and 2 are what -1 leaves
            cut = 0
        self.tail = data[cut:]
        if len(self.tail) > MAX_EVENT_BYTES:
            raise EventTooLongError(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        return data[:cut]


def split_events(block: bytes) -> list[bytes]:
    """The single events of a block of whole events, each with its border; joined they are the block."""
    if b"\r" in block:
        return _split_at_empty_lines(block)
    if block.find(b"\n\n") == len(block) - 2:
        return [block]
    *parts, rest = block.split(b"\n\n")
    events = [part + b"\n\n" for part in parts]
    return [*events, rest] if rest else events


def read_data(event: bytes) -> bytes | None:
    """The `data` of one event, its lines joined with a newline; None for a comment or an event without data."""
    if event.startswith(b"data: ") and event.find(b"\n") >= len(event) - 2:
        return event[6:].rstrip(b"\r\n")
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _split_at_empty_lines(block: bytes) -> list[bytes]:
    events: list[bytes] = []
    lines: list[bytes] = []
    for line in block.splitlines(keepends=True):
        lines.append(line)
        if not line.strip(b"\r\n"):
            events.append(b"".join(lines))
            lines = []
    if lines:
        events.append(b"".join(lines))
    return events
