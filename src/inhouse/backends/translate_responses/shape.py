"""The response object and its items, made from what a chat endpoint answered. Sends nothing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw

from inhouse.backends.translate_responses.chat_wire import NULL, ChatUsage, Logprobs

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FAILED = frozenset({"error", "abort", "insufficient_system_resource"})
_FAILURE = {"code": "server_error", "message": "The endpoint broke its answer off."}
_DEFAULTS: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
}
_NO_LOGPROBS = Raw(b"[]")
Item = dict[str, Any]


class ResponseShape:
    """One response: its ids, what it says again of the request, and how it ends.

    Args:
        echo: the request's members that the response says again.
        model: the client's name of the model, until the endpoint reports one.
    """

    def __init__(self, echo: Mapping[str, Raw], model: str) -> None:
        self._echo = {name: value for name, value in echo.items() if value != NULL}
        self._stem = uuid.uuid4().hex
        self._created_at = int(time.time())
        self._num_ids = 0
        self._service_tier: str | None = None
        self.model = model
        self.response_id = f"resp_{self._stem}"

    def take_head(self, created: int | None, model: str | None, service_tier: str | None) -> None:
        """Note what the endpoint says of its answer."""
        self._created_at = created or self._created_at
        self.model = model or self.model
        self._service_tier = service_tier or self._service_tier

    def make_id(self, prefix: str) -> str:
        """An id for an item of this response."""
        self._num_ids += 1
        return f"{prefix}_{self._stem}{self._num_ids:04x}"

    def begin(self) -> dict[str, Any]:
        """The response as it is before anything came."""
        return self._build("in_progress", [], None, None)

    def end(self, finish_reason: str | None, output: Sequence[Item], usage: ChatUsage | None) -> dict[str, Any]:
        """The finished response; its status says how it ended."""
        return self._build(judge_end(finish_reason), output, usage, _INCOMPLETE.get(finish_reason or ""))

    def _build(
        self, status: str, output: Sequence[Item], usage: ChatUsage | None, incomplete: str | None
    ) -> dict[str, Any]:
        response: dict[str, Any] = {
            "id": self.response_id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "error": _FAILURE if status == "failed" else None,
            "incomplete_details": None if incomplete is None else {"reason": incomplete},
            "model": self.model,
            "output": output,
            "usage": _build_usage(usage),
            **_DEFAULTS,
            **self._echo,
        }
        if self._service_tier is not None:
            response["service_tier"] = self._service_tier
        return response


def judge_end(finish_reason: str | None) -> str:
    """The status of a response whose answer ended for this reason, in chat's words."""
    if finish_reason in _INCOMPLETE:
        return "incomplete"
    return "failed" if finish_reason in _FAILED else "completed"


def build_text_part(text: Raw | str, logprobs: Raw = _NO_LOGPROBS) -> Item:
    """A part of an answer."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def build_refusal_part(text: Raw | str) -> Item:
    """A refusal in an answer."""
    return {"type": "refusal", "refusal": text}


def build_message(item_id: str, parts: Sequence[Item], status: str) -> Item:
    """An answer."""
    return {"type": "message", "id": item_id, "status": status, "role": "assistant", "content": parts}


def build_reasoning(item_id: str, parts: Sequence[Item], status: str) -> Item:
    """Reasoning in plain text. A chat endpoint gives no summary."""
    return {"type": "reasoning", "id": item_id, "summary": [], "content": parts, "status": status}


def build_thought_part(text: Raw | str) -> Item:
    """A part of reasoning."""
    return {"type": "reasoning_text", "text": text}


def build_call(item_id: str, call_id: str, name: str, arguments: Raw | str, status: str) -> Item:
    """A call of a function."""
    return {
        "type": "function_call",
        "id": item_id,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def read_logprobs(logprobs: Logprobs | None) -> Raw:
    """The tokens' probabilities, which have the same shape in both dialects."""
    if logprobs is None or logprobs.content == NULL:
        return _NO_LOGPROBS
    return logprobs.content


def _build_usage(usage: ChatUsage | None) -> dict[str, Any] | None:
    """Tokens. The dialect wants a number for each part: one that was not reported is 0 here, but not in the trace."""
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": (prompt and prompt.cached_tokens) or 0,
            "cache_write_tokens": (prompt and prompt.cache_write_tokens) or 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": (completion and completion.reasoning_tokens) or 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
