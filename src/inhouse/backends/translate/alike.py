"""A short way for streams whose events differ in their text alone: the text is cut out and put into the same frame."""

from __future__ import annotations

_NOTHING = b"\0"
"""Begins no event: nothing learned."""


class AlikeEvents:
    """Remembers the bytes around the text of one translated event, and what is written around it.

    An event that differs from it only between two quotes, and has no quote there (JSON escapes them), says the same
    with another text.
    """

    __slots__ = ("_after", "_before", "_end", "_start")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next event must be looked at."""
        self._start = self._end = self._before = self._after = _NOTHING

    def learn(self, event: bytes, text: bytes, before: bytes, after: bytes) -> None:
        """Remember one event.

        Args:
            event: a whole event, in one line of data.
            text: the JSON string in it that is its text.
            before: what is written before the text, its opening quote included.
            after: what is written after it, its closing quote included.
        """
        if event.count(text) != 1 or len(text) <= 2:
            return
        begin = event.find(text) + 1
        self._start, self._end = event[:begin], event[begin + len(text) - 2 :]
        self._before, self._after = before, after

    def take(self, event: bytes) -> bytes | None:
        """The event translated; None where it must be looked at."""
        if not event.startswith(self._start) or not event.endswith(self._end):
            return None
        text = event[len(self._start) : -len(self._end)]
        if not text or b'"' in text or b"\n" in text or b"\r" in text or text.endswith(b"\\"):
            return None
        return b"%b%b%b" % (self._before, text, self._after)
