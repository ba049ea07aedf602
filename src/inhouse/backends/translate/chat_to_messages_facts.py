"""Anthropic's stop reasons and usage in the words of chat completions."""

from __future__ import annotations

from typing import Any

from inhouse.backends.anthropic_wire import MessagesUsage

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def read_finish_reason(stop_reason: str) -> str:
    """The chat word for a stop reason.

    Raises:
        ValueError: there is none. `pause_turn` comes with server tools alone, which are never asked for.
    """
    if stop_reason not in _FINISH_REASONS:
        raise ValueError(f"the endpoint stopped with {stop_reason!r}, which chat completions cannot say")
    return _FINISH_REASONS[stop_reason]


def write_chat_usage(usage: MessagesUsage | None) -> dict[str, Any] | None:
    """The usage as a chat client reads it; None where the totals are not reported, details only where they are."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    prompt_tokens = usage.prompt_tokens
    written: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": prompt_tokens + usage.output_tokens,
    }
    prompt = {"cached_tokens": usage.cache_read_input_tokens, "cache_write_tokens": usage.cache_creation_input_tokens}
    details = {name: count for name, count in prompt.items() if count is not None}
    if details:
        written["prompt_tokens_details"] = details
    if usage.thinking_tokens is not None:
        written["completion_tokens_details"] = {"reasoning_tokens": usage.thinking_tokens}
    return written
