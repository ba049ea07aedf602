"""Brings a chat stream's texts and tool calls into Anthropic's order: one content block after the other."""

from __future__ import annotations

from enum import Enum

import msgspec
from msgspec import Raw

from inhouse.backends.translate.quoting import join_quoted

_EMPTY = b'""'


class LaneKind(Enum):
    """What a lane carries: the opening of its block, and how its parts are told."""

    TEXT = (b'{"type":"text","text":""}', b"text_delta", b"text")
    THINKING = (b'{"type":"thinking","thinking":"","signature":""}', b"thinking_delta", b"thinking")
    CALL = (b"", b"input_json_delta", b"partial_json")


class Lane:
    """One content block in the making.

    Args:
        kind: what it carries.
        opening: the block as it is announced, JSON.
    """

    __slots__ = ("head", "index", "kind", "opening", "parts")

    def __init__(self, kind: LaneKind, opening: bytes) -> None:
        self.kind = kind
        self.opening = opening
        self.parts: list[bytes] = []
        """JSON strings: a call's arguments so far, or what a waiting lane will say."""
        self.index = 0
        self.head = b""

    def begin(self, index: int) -> bytes:
        """The event that announces the block."""
        self.index = index
        _, delta, member = self.kind.value
        self.head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
            % (index, delta, member)
        )
        return b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n' % (
            index,
            self.opening,
        )

    def say(self, text: bytes) -> bytes:
        """The event that adds a JSON string to the block."""
        return b"%b%b}}\n\n" % (self.head, text)

    def end(self) -> bytes:
        """The event that ends the block."""
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self.index

    @property
    def is_whole(self) -> bool:
        """Whether the block may end: a text whenever another begins, a call once its arguments are whole JSON."""
        if self.kind is not LaneKind.CALL:
            return True
        try:
            msgspec.json.decode(msgspec.json.decode(join_quoted(self.parts), type=str), type=Raw)
        except (ValueError, RecursionError):
            return False
        return True


class Lanes:
    """The block that is being written, and those that wait for it.

    Chat chunks may go to and fro between parallel tool calls; Anthropic's blocks come one after the other. So a call
    whose arguments are not yet whole keeps its place, and what belongs to others waits in memory until they are, or
    until the end. Where an endpoint writes call by call, as they all but always do, nothing waits.
    """

    def __init__(self) -> None:
        self._current: Lane | None = None
        self._waiting: list[Lane] = []
        self._num_begun = 0
        self._calls: dict[object, Lane] = {}

    @property
    def has_calls(self) -> bool:
        """Whether there was a tool call."""
        return bool(self._calls)

    def say(self, kind: LaneKind, text: bytes) -> bytes:
        """Text or reasoning (a JSON string, not empty); the events that can be told now."""
        lane = self._waiting[-1] if self._waiting else self._current
        if lane is not None and lane.kind is kind:
            return self._add(lane, text)
        return self._begin(Lane(kind, kind.value[0])) + self._add_to_last(text)

    def begin_call(self, key: object, opening: bytes) -> bytes:
        """A tool call announces itself under `key`."""
        lane = self._calls[key] = Lane(LaneKind.CALL, opening)
        return self._begin(lane)

    def add_arguments(self, key: object, text: bytes) -> bytes:
        """The next part (a JSON string) of the arguments of the call under `key`.

        Raises:
            ValueError: the call's arguments were whole already.
        """
        if text == _EMPTY:
            return b""
        lane = self._calls[key]
        if lane is not self._current and lane not in self._waiting:
            if not msgspec.json.decode(text, type=str).strip():
                return b""
            raise ValueError("the endpoint's stream adds to the arguments of a tool call that were whole already")
        return self._add(lane, text)

    def frame(self, kind: LaneKind) -> tuple[bytes, bytes] | None:
        """What stands before and after such a text, quotes included; None where one could not be told at once."""
        if self._current is None or self._current.kind is not kind or self._waiting:
            return None
        before, after = self._current.say(_EMPTY).split(_EMPTY)
        return before + b'"', b'"' + after

    def end(self) -> bytes:
        """Everything that is left, to the end of the last block."""
        told: list[bytes] = []
        while self._current is not None:
            told.append(self._advance())
        return b"".join(told)

    def _begin(self, lane: Lane) -> bytes:
        self._waiting.append(lane)
        if self._current is None:
            return self._advance()
        return self._release()

    def _add_to_last(self, text: bytes) -> bytes:
        lane = self._waiting[-1] if self._waiting else self._current
        return b"" if lane is None else self._add(lane, text)

    def _add(self, lane: Lane, text: bytes) -> bytes:
        if lane is not self._current:
            lane.parts.append(text)
            return b""
        if lane.kind is LaneKind.CALL:
            lane.parts.append(text)
        told = lane.say(text)
        return told + self._release() if self._waiting and b"}" in text else told

    def _release(self) -> bytes:
        """Go on to those that wait, as far as blocks are whole."""
        told: list[bytes] = []
        while self._waiting and self._current is not None and self._current.is_whole:
            told.append(self._advance())
        return b"".join(told)

    def _advance(self) -> bytes:
        """End the current block, and begin the next with all that it has to say so far."""
        told: list[bytes] = []
        if self._current is not None:
            told.append(self._current.end())
            self._current.parts = []
        self._current = self._waiting.pop(0) if self._waiting else None
        if self._current is not None:
            told.append(self._current.begin(self._num_begun))
            self._num_begun += 1
            if self._current.parts:
                told.append(self._current.say(join_quoted(self._current.parts)))
            if self._current.kind is not LaneKind.CALL:
                self._current.parts = []
        return b"".join(told)
