"""Statistics over the log probabilities that an endpoint reports with its tokens. Never asks for any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw, Struct

MAX_TOKENS = 4096
"""Tokens looked at in one answer, from its beginning."""
_LOW = -5.0
# A provider's word for "too unlikely to say" is -9999; it must not drown every other token.
_FLOOR = -100.0


class LogprobStats(Struct, frozen=True, gc=False):
    """Statistics over `num_tokens` tokens.

    `mean` in thousandths of a nat; `low_share` tokens below -5, per thousand; `margin` the mean distance of the two
    likeliest tokens in thousandths of a nat, None where no alternatives were reported.
    """

    num_tokens: int
    mean: int
    low_share: int
    margin: int | None


class LogprobSums:
    """Adds tokens up."""

    __slots__ = ("_margin_sum", "_num_low", "_num_margins", "_num_tokens", "_sum")

    def __init__(self) -> None:
        self._num_tokens = self._num_low = self._num_margins = 0
        self._sum = self._margin_sum = 0.0

    def add(self, logprobs: Raw) -> None:
        """Take the `logprobs` member of a choice, or the list of a Responses event; another shape adds nothing."""
        try:
            found = _decode(logprobs)
        except (ValueError, RecursionError):
            return
        if found is None:
            return
        if not isinstance(found, _Logprobs):
            self._add_tokens(found)
        elif found.content is not None:
            self._add_tokens(found.content)
        elif found.token_logprobs is not None:
            self._add_columns(found.token_logprobs, found.top_logprobs or ())

    def settle(self) -> LogprobStats | None:
        """The statistics; None where no token had a log probability."""
        number = self._num_tokens
        if number == 0:
            return None
        margin = round(1000 * self._margin_sum / self._num_margins) if self._num_margins else None
        return LogprobStats(number, round(1000 * self._sum / number), 1000 * self._num_low // number, margin)

    def _add_tokens(self, tokens: Sequence[_Token]) -> None:
        self._add(
            (token.logprob, [top.logprob for top in token.top_logprobs] if token.top_logprobs else ())
            for token in tokens
        )

    def _add_columns(self, logprobs: Sequence[float | None], tops: Sequence[dict[str, float | None] | None]) -> None:
        self._add(
            (logprob, list((tops[index] or {}).values()) if index < len(tops) else ())
            for index, logprob in enumerate(logprobs)
        )

    def _add(self, tokens: Iterable[tuple[float | None, Sequence[float | None]]]) -> None:
        """Take tokens, each with its alternatives."""
        for logprob, alternatives in tokens:
            if logprob is None:
                continue
            if self._num_tokens >= MAX_TOKENS:
                return
            self._num_tokens += 1
            self._sum += max(_FLOOR, logprob)
            if logprob < _LOW:
                self._num_low += 1
            if len(alternatives) > 1:
                known = sorted([value for value in alternatives if value is not None])
                if len(known) > 1:
                    self._num_margins += 1
                    self._margin_sum += max(known[-1], _FLOOR) - max(known[-2], _FLOOR)


class _Alternative(Struct, gc=False):
    logprob: float | None = None


class _Token(Struct, gc=False):
    logprob: float | None = None
    top_logprobs: list[_Alternative] | None = None


class _Logprobs(Struct, gc=False):
    """Chat: a list of tokens. Completions: columns."""

    content: list[_Token] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None


_decode = msgspec.json.Decoder(_Logprobs | list[_Token] | None).decode
