"""From numbers to yes or no, and to words: which signals of an answer say that something may be wrong."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from inhouse.domain import Signals

MAX_WHITESPACE_RUN = 100
"""Deeper indentation or wider gaps than this are not seen in good answers."""
MAX_RUN = 256
"""A run this long is no ruler line; a shorter one counts where it is a quarter of the answer."""
MAX_REPEATED_PERCENT = 50
MIN_COMPRESSED_PERCENT = 12
"""English under zlib is at 45 to 60, tables and code at 15 to 40, loops below 10."""


class SignalFlag(StrEnum):
    """What can be wrong with an answer. One alone is seldom proof; a rate that changes is."""

    EMPTY = "empty"
    REASONING_ONLY = "reasoning_only"
    TRUNCATED = "truncated"
    REFUSAL = "refusal"
    TOKEN_LEAK = "token_leak"  # noqa: S105  # tokens of a model
    WHITESPACE_RUN = "whitespace_run"
    LONG_RUN = "long_run"
    REPETITION = "repetition"
    SCRIPT_MISMATCH = "script_mismatch"
    INVALID_JSON = "invalid_json"
    INVALID_SCHEMA = "invalid_schema"
    INVALID_TOOL_CALL = "invalid_tool_call"


def read_flags(signals: Signals) -> dict[SignalFlag, bool]:
    """Whether each flag is raised; a flag that could not be judged is left out."""
    found: dict[SignalFlag, bool | None] = {
        SignalFlag.EMPTY: _is(signals.empty, 1),
        SignalFlag.REASONING_ONLY: _is(signals.reasoning_only, 1),
        SignalFlag.TRUNCATED: _is(signals.truncated, 1),
        SignalFlag.REFUSAL: signals.refusal == 1,
        SignalFlag.TOKEN_LEAK: signals.token_leak == 1,
        SignalFlag.WHITESPACE_RUN: signals.whitespace_run > MAX_WHITESPACE_RUN,
        SignalFlag.LONG_RUN: signals.longest_run > MAX_RUN or 0 < signals.num_chars <= 4 * signals.longest_run,
        SignalFlag.REPETITION: _is_repetitive(signals),
        SignalFlag.SCRIPT_MISMATCH: None if signals.script_mismatch is None else signals.script_mismatch > 0,
        SignalFlag.INVALID_JSON: _is(signals.json_valid, 0),
        SignalFlag.INVALID_SCHEMA: _is(signals.schema_valid, 0),
        SignalFlag.INVALID_TOOL_CALL: _is(signals.tools_valid, 0),
    }
    return {flag: is_raised for flag, is_raised in found.items() if is_raised is not None}


class SignalLine(Struct, frozen=True):
    """One signal for people. `is_raised` None: a number without a verdict of its own."""

    name: str
    value: str
    is_raised: bool | None = None


def list_signals(signals: Signals) -> list[SignalLine]:
    """Every signal that was measured, in words; what was not measured is left out."""
    flags = read_flags(signals)
    lines = [
        SignalLine(_WORDS[flag], _say(flag, signals, flags[flag]), flags[flag]) for flag in _WORDS if flag in flags
    ]
    numbers = (
        ("length", signals.num_chars, 1, "characters"),
        ("of the client's limit of tokens", signals.cap_share, 1, "%"),
        ("characters per token", signals.chars_per_token, 100, ""),
        ("mean log probability", signals.logprob_mean, 1000, ""),
        ("tokens below -5", signals.logprob_low_share, 10, "%"),
        ("margin of the likeliest token", signals.logprob_margin, 1000, ""),
    )
    lines += [SignalLine(name, _count(value, scale, unit)) for name, value, scale, unit in numbers if value is not None]
    return lines


_WORDS = {
    SignalFlag.EMPTY: "empty",
    SignalFlag.REASONING_ONLY: "reasoning without an answer",
    SignalFlag.TRUNCATED: "cut at a limit of tokens",
    SignalFlag.REFUSAL: "reads as a refusal",
    SignalFlag.TOKEN_LEAK: "special tokens in the text",
    SignalFlag.WHITESPACE_RUN: "endless whitespace",
    SignalFlag.LONG_RUN: "one character repeated",
    SignalFlag.REPETITION: "repeats itself",
    SignalFlag.SCRIPT_MISMATCH: "letters of another script",
    SignalFlag.INVALID_JSON: "broken JSON",
    SignalFlag.INVALID_SCHEMA: "JSON of another shape",
    SignalFlag.INVALID_TOOL_CALL: "tool call that does not fit",
}


def _is(value: int | None, wanted: int) -> bool | None:
    return None if value is None else value == wanted


def _is_repetitive(signals: Signals) -> bool:
    """The quick look at the end of the text is a measurement too: where nothing hints at a loop, there is none."""
    repeated, compressed = signals.repeated_share, signals.compressed_share
    return (repeated is not None and repeated >= MAX_REPEATED_PERCENT) or (
        compressed is not None and compressed <= MIN_COMPRESSED_PERCENT
    )


def _say(flag: SignalFlag, signals: Signals, is_raised: bool) -> str:  # noqa: FBT001  # private, one caller
    word = "yes" if is_raised else "no"
    details: dict[SignalFlag, tuple[int | None, str]] = {
        SignalFlag.WHITESPACE_RUN: (signals.whitespace_run or None, "characters"),
        SignalFlag.LONG_RUN: (signals.longest_run or None, "times"),
        SignalFlag.REPETITION: (signals.repeated_share, "% said before"),
        SignalFlag.SCRIPT_MISMATCH: (signals.script_mismatch or None, "%"),
    }
    number, unit = details.get(flag, (None, ""))
    return word if number is None else f"{word}, {_count(number, 1, unit)}"


def _count(value: int, scale: int, unit: str) -> str:
    number = f"{value:,}" if scale == 1 else f"{value / scale:.{len(str(scale)) - 1}f}"
    return f"{number} {unit}".strip() if not unit.startswith("%") else f"{number}{' ' if len(unit) > 1 else ''}{unit}"
