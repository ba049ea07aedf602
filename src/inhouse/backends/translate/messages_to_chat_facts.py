"""Finish reasons and usage of chat completions in Anthropic's words."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from inhouse.backends.translate.chat_wire import NULL, ChatUsage

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def read_stop_reason(
    finish_reason: str | None, stop_sequence: Raw, *, has_calls: bool, is_refusal: bool
) -> tuple[str, Raw]:
    """The stop reason, and the stop sequence that was met (null where none was, or the endpoint does not say).

    Args:
        finish_reason: the endpoint's word; None where it ended its stream without one.
        stop_sequence: what the endpoint names as the sequence that was met; null where it does not.
        has_calls: whether the answer holds tool calls. Endpoints say `stop` where the one function was chosen by the
            client; Anthropic's clients wait for `tool_use`.
        is_refusal: whether the answer came as a refusal.

    Raises:
        ValueError: the word is unknown.
    """
    word = finish_reason or "stop"
    if word not in _STOP_REASONS:
        raise ValueError(f"the endpoint finished with {word!r}, which Anthropic's Messages API cannot say")
    if is_refusal:
        return "refusal", NULL
    if word == "stop" and has_calls:
        return "tool_use", NULL
    if word == "stop" and stop_sequence != NULL:
        return "stop_sequence", stop_sequence
    return _STOP_REASONS[word], NULL


def write_messages_usage(usage: ChatUsage | None) -> dict[str, Any]:
    """The usage as Anthropic's clients read it, who must be given both totals: 0 stands where none was reported.

    Cached tokens are taken out of `input_tokens`; details are written where they are reported and fit the total.
    """
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    prompt_tokens = usage.prompt_tokens or 0
    written: dict[str, Any] = {"input_tokens": prompt_tokens, "output_tokens": usage.completion_tokens or 0}
    details = usage.prompt_tokens_details
    if details is not None:
        uncached = prompt_tokens - (details.cached_tokens or 0) - (details.cache_write_tokens or 0)
        if uncached >= 0:
            written["input_tokens"] = uncached
            if details.cached_tokens is not None:
                written["cache_read_input_tokens"] = details.cached_tokens
            if details.cache_write_tokens is not None:
                written["cache_creation_input_tokens"] = details.cache_write_tokens
    completion = usage.completion_tokens_details
    if completion is not None and completion.reasoning_tokens is not None:
        written["output_tokens_details"] = {"thinking_tokens": completion.reasoning_tokens}
    return written
