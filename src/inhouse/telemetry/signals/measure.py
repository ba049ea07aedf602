"""All free signals of one answer. Pure: the same answer, request and usage give the same signals."""

from __future__ import annotations

import msgspec
from msgspec import structs

from inhouse.domain import Signals, Usage
from inhouse.telemetry.signals.answer import HEAD_CHARS, TAIL_CHARS, Answer, ToolCall
from inhouse.telemetry.signals.ask import Ask
from inhouse.telemetry.signals.logprobs import LogprobStats
from inhouse.telemetry.signals.schema import CompiledSchema, compile_schema, compile_tools
from inhouse.telemetry.signals.script import measure_mismatch
from inhouse.telemetry.signals.text import (
    has_token_leak,
    is_refusal,
    measure_repetition,
    measure_run,
    measure_whitespace,
)

MAX_JSON_CHARS = 262_144
"""Longer texts are not parsed."""
_MAX_SHARE = 10_000
_TRUNCATED = frozenset({"length", "max_tokens", "max_output_tokens", "model_context_window_exceeded", "incomplete"})
_WITHHELD = frozenset({"content_filter", "refusal"})
_decode_json = msgspec.json.Decoder().decode


def measure_signals(answer: Answer, ask: Ask, usage: Usage | None) -> Signals:
    """Measure one answer; never raises.

    Of a text longer than 80 Ki characters, the first 64 Ki and the last 16 Ki are looked at. `usage` is what the
    endpoint reported, None where it did not.
    """
    text = answer.text
    seen = text if len(text) <= HEAD_CHARS + TAIL_CHARS else text[:HEAD_CHARS] + text[-TAIL_CHARS:]
    is_blank = not text or text.isspace()
    is_empty = is_blank and not answer.tool_calls and not answer.has_other
    finish = answer.finish_reason
    # A struct is made faster of few members, and most answers show nothing of the others.
    signals = Signals(
        num_chars=len(text) + answer.num_left_out,
        empty=None if finish is None else 1 if is_empty else 0,
        reasoning_only=None if finish is None else 1 if is_empty and answer.num_reasoning_chars else 0,
        truncated=None if finish is None else 1 if finish in _TRUNCATED else 0,
        cap_share=None if usage is None else _measure_cap(usage, ask.max_tokens),
        chars_per_token=None if usage is None else _measure_density(answer, usage),
        script_mismatch=None if ask.prompt is None or is_blank else measure_mismatch(seen, ask.prompt),
    )
    found = _measure_text(seen)
    if ask.format is not None or answer.tool_calls:
        _judge_shapes(answer, ask, found, is_blank=is_blank)
    if answer.logprobs is not None:
        _add_logprobs(answer.logprobs, found)
    if answer.is_refusal or finish in _WITHHELD:
        found["refusal"] = 1
    return structs.replace(signals, **found) if found else signals


def _measure_cap(usage: Usage, max_tokens: int | None) -> int | None:
    if max_tokens is None or max_tokens <= 0:
        return None
    return min(_MAX_SHARE, 100 * usage.output_total // max_tokens)


def _measure_text(text: str) -> dict[str, int]:
    """What stands out in the text, by the names of `Signals`."""
    found: dict[str, int] = {}
    if run := measure_whitespace(text):
        found["whitespace_run"] = run
    if run := measure_run(text):
        found["longest_run"] = run
    if has_token_leak(text):
        found["token_leak"] = 1
    if is_refusal(text):
        found["refusal"] = 1
    repeated_share, compressed_share = measure_repetition(text)
    if repeated_share is not None:
        found["repeated_share"] = repeated_share
    if compressed_share is not None:
        found["compressed_share"] = compressed_share
    return found


def _add_logprobs(logprobs: LogprobStats, found: dict[str, int]) -> None:
    found["logprob_mean"] = logprobs.mean
    found["logprob_low_share"] = logprobs.low_share
    if logprobs.margin is not None:
        found["logprob_margin"] = logprobs.margin


def _measure_density(answer: Answer, usage: Usage) -> int | None:
    """Characters per visible token, times 100.

    An endpoint that gives reasoning without counting it apart has it among the visible tokens.
    """
    if usage.output_visible <= 0:
        return None
    num_chars = len(answer.text) + answer.num_left_out
    if answer.tool_calls:
        num_chars += sum(len(call.name) + len(call.arguments or "") for call in answer.tool_calls)
    if usage.output_reasoning == 0:
        num_chars += answer.num_reasoning_chars
    return 100 * num_chars // usage.output_visible


def _judge_shapes(answer: Answer, ask: Ask, found: dict[str, int], *, is_blank: bool) -> None:
    """JSON and tool calls, where they were asked for and the answer is finished and known whole."""
    if answer.finish_reason is None or answer.is_partial:
        return
    is_call = is_blank and bool(answer.tool_calls)
    if ask.format is not None and not is_call and len(answer.text) <= MAX_JSON_CHARS:
        shape = compile_schema(ask.format)
        parses, fits = (None, None) if shape is None else _judge_text(answer.text, shape)
        if parses is not None:
            found["json_valid"] = parses
        if fits is not None:
            found["schema_valid"] = fits
    tools = compile_tools(ask.tools) if answer.tool_calls and ask.tools is not None else None
    if tools is not None:
        verdicts = [_judge_call(call, tools.get(call.name)) for call in answer.tool_calls]
        if 0 in verdicts:
            found["tools_valid"] = 0
        elif None not in verdicts:
            found["tools_valid"] = 1


def _judge_text(text: str, shape: CompiledSchema) -> tuple[int | None, int | None]:
    try:
        value = _decode_json(text)
    except RecursionError:
        return None, None
    except ValueError:
        return 0, 0
    fits = shape.check(value)
    return 1, None if fits is None else int(fits)


def _judge_call(call: ToolCall, shape: CompiledSchema | None) -> int | None:
    if shape is None:
        return 0
    if call.arguments is None:
        return 1
    parses, fits = _judge_text(call.arguments or "{}", shape)
    return parses if parses == 0 or fits is None else fits
