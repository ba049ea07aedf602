"""Relays chunks of a stream that differ from an earlier one in their text alone, by their bytes. Parses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from inhouse.backends import Shortcut, find_payload
from inhouse.telemetry import StreamAnswer

_MAX_WAITING = 64
"""Chunks that wait to be counted and read."""
_MAX_STARTS = 512
_QUOTE = b'"'
_NO_START = b"\0"
"""Begins no chunk."""
_read_clock = time.perf_counter


class ChunkRelay(Shortcut):
    """Passes whole HTTP chunks on as they came, one plain content event each.

    What stands around the text of such an event is learned from one that was metered. A chunk with the same around its
    text says nothing else than that one did, if no quote stands in its text: in JSON it would be escaped, and is left
    to the meter. A chunk's size line is known by the length of the whole from an earlier chunk as long.

    Args:
        write: puts framed bytes on the client's connection.
        answer: takes the text, a little later; None where nobody reads it.
    """

    def __init__(self, write: Callable[[bytes], None], answer: StreamAnswer | None) -> None:
        self._write = write
        self._answer = answer
        self._begin: bytes = b""
        self._end: bytes = b""
        self._num_quotes = 0
        self._starts: dict[int, bytes] = {}
        self._waiting: list[bytes] = []
        self.num_taken = 0
        """Chunks passed on, but for those that wait; `settle` first."""
        self.last_at = 0.0
        """When the last one was passed on (`time.perf_counter()` seconds); 0 before the first."""

    def learn(self, begin: bytes, end: bytes) -> None:
        """From now on, chunks whose event begins and ends so (the last CRLF is part of `end`) are taken."""
        if begin != self._begin or end != self._end:
            self.settle()
            self._begin, self._end = begin, end
            self._num_quotes = begin.count(_QUOTE) + end.count(_QUOTE)
            self._starts = {}

    def data_received(self, data: bytes) -> None:
        """Pass on what is known by its bytes and length to be one more such chunk; the rest is the connection's."""
        start = self._starts.get(len(data)) or self._add_start(data)
        if data.startswith(start) and data.endswith(self._end) and data.count(_QUOTE) == self._num_quotes:
            self.last_at = _read_clock()
            waiting = self._waiting
            waiting.append(data)
            self._write(data)
            if len(waiting) == _MAX_WAITING:
                self.settle()
        else:
            self.connection.data_received(data)

    def _add_start(self, data: bytes) -> bytes:
        """How a chunk as long as this one, which is the first so long, must begin."""
        payload_at = find_payload(data) if data.endswith(self._end) else 0
        if not payload_at or len(data) < payload_at + len(self._begin) + len(self._end):
            return _NO_START
        if len(self._starts) >= _MAX_STARTS:
            self.settle()
            self._starts.clear()
        start = self._starts[len(data)] = data[:payload_at] + self._begin
        return start

    def settle(self) -> None:
        """Count what waits, and hand its text on."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        self.num_taken += len(waiting)
        if self._answer is not None:
            self._answer.add_text(b"".join(self._cut_texts(waiting)))

    def _cut_texts(self, waiting: list[bytes]) -> list[bytes]:
        """What stands in the chunks between what is learned."""
        starts, end = self._starts, self._end
        shortest, longest = starts[min(map(len, waiting))], starts[max(map(len, waiting))]
        num_start_bytes = len(longest)
        if len(shortest) == num_start_bytes:  # so have those between
            return [piece[num_start_bytes:] for piece in b"".join(waiting).split(end)]
        return [framed[len(starts[len(framed)]) : -len(end)] for framed in waiting]
