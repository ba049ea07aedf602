"""An answer as far as it is measured, and the draft that it is gathered in, bounded. Knows no dialect."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from inhouse.telemetry.signals.logprobs import LogprobStats, LogprobSums

HEAD_CHARS = 65_536
"""What is looked at of a long text: this much of its beginning …"""
TAIL_CHARS = 16_384
"""… and this much of its end."""
_MAX_TEXT_CHARS = HEAD_CHARS + 2 * TAIL_CHARS
_MAX_CALLS = 128
_MAX_ARGUMENT_CHARS = 65_536
_MAX_PIECES = 64
_NO_CALL: tuple[list[str], list[str] | None] = ([], None)


class ToolCall(Struct, frozen=True, gc=False):
    """One call of a tool. `arguments` is JSON text; None where the tool takes free text."""

    name: str
    arguments: str | None = None


class Answer(Struct, frozen=True, kw_only=True, gc=False):
    """What an endpoint answered: the first choice of several.

    `finish_reason` is the endpoint's own word, None where the answer did not finish. `is_refusal`: the dialect itself
    says so. `has_other`: output that is neither text nor a tool call of the client (audio, images, the provider's own
    tools). `num_left_out` characters of the middle were not kept; `is_partial` is true then, and where an event could
    not be read.
    """

    text: str = ""
    finish_reason: str | None = None
    num_reasoning_chars: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    is_refusal: bool = False
    has_other: bool = False
    logprobs: LogprobStats | None = None
    num_left_out: int = 0
    is_partial: bool = False


class AnswerDraft:
    """Gathers an answer piece by piece in at most 96 Ki characters; of a longer one, the middle is left out."""

    __slots__ = (
        "_calls",
        "_num_argument_chars",
        "_num_kept",
        "_texts",
        "finish_reason",
        "has_other",
        "is_partial",
        "is_refusal",
        "logprobs",
        "num_left_out",
        "num_reasoning_chars",
    )

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._num_kept = 0
        self._calls: dict[int, tuple[list[str], list[str] | None]] = {}
        self._num_argument_chars = 0
        self.num_left_out = 0
        self.num_reasoning_chars = 0
        self.finish_reason: str | None = None
        self.is_refusal = False
        self.has_other = False
        self.is_partial = False
        self.logprobs = LogprobSums()

    def add_text(self, text: str) -> None:
        """Take visible text."""
        self._texts.append(text)
        self._num_kept += len(text)
        if self._num_kept > _MAX_TEXT_CHARS:
            whole = "".join(self._texts)
            self._texts = [whole[:HEAD_CHARS], whole[-TAIL_CHARS:]]
            self.num_left_out += len(whole) - HEAD_CHARS - TAIL_CHARS
            self._num_kept = HEAD_CHARS + TAIL_CHARS
            self.is_partial = True

    def add_reasoning(self, value: object) -> None:
        """Count reasoning; endpoints give text, or something else that is not counted."""
        if isinstance(value, str):
            self.num_reasoning_chars += len(value)

    def add_call(self, key: int, name: str | None, arguments: object, *, is_free_text: bool = False) -> None:
        """Take a tool call or more of one; `key` says which of them it is."""
        if key not in self._calls and len(self._calls) >= _MAX_CALLS:
            self.is_partial = True
            return
        names, _ = self._calls.setdefault(key, ([], None if is_free_text else []))
        if name:
            names.append(name)
        self.add_arguments(key, arguments)

    def add_arguments(self, key: int, arguments: object) -> None:
        """Take more of the arguments of a call that has begun; others (of a provider's own tools) are left alone.

        Most endpoints give JSON text, some the value itself.
        """
        _, parts = self._calls.get(key, _NO_CALL)
        if parts is None or arguments is None:
            return
        part = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
        self._num_argument_chars += len(part)
        if self._num_argument_chars > _MAX_ARGUMENT_CHARS:
            self.is_partial = True
            return
        parts.append(part)

    def compact(self) -> None:
        """Join small pieces: each costs more than its letters."""
        for pieces in (self._texts, *(parts for _, parts in self._calls.values())):
            if pieces is not None and len(pieces) > _MAX_PIECES:
                pieces[:] = ["".join(pieces)]

    def build(self) -> Answer:
        """The answer so far."""
        return Answer(
            text="".join(self._texts),
            finish_reason=self.finish_reason,
            num_reasoning_chars=self.num_reasoning_chars,
            tool_calls=tuple(
                ToolCall("".join(names), None if parts is None else "".join(parts))
                for names, parts in self._calls.values()
            ),
            is_refusal=self.is_refusal,
            has_other=self.has_other,
            logprobs=self.logprobs.settle(),
            num_left_out=self.num_left_out,
            is_partial=self.is_partial,
        )
