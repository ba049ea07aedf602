"""The shapes of chat replies and chunks as far as they are translated; texts stay raw JSON strings."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

NULL = Raw(b"null")
EMPTY = frozenset({b"null", b'""'})
"""Raw texts that say nothing."""


class PromptDetails(Struct):
    """Parts of `prompt_tokens`."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(Struct):
    """Parts of `completion_tokens`."""

    reasoning_tokens: int | None = None


class ChatUsage(Struct):
    """The `usage` object: tokens; the details are parts of the totals."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Function(Struct):
    """A called function, or the next part of it."""

    name: Raw = NULL
    arguments: Raw = NULL


class ToolCall(Struct):
    """A tool call, or the next part of it."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None


class Answer(Struct):
    """A message, or the next part of it (`delta`)."""

    content: Raw = NULL
    reasoning_content: Raw = NULL
    reasoning: Raw = NULL
    refusal: Raw = NULL
    tool_calls: list[ToolCall] | None = None
    function_call: Raw = NULL

    @property
    def thinking(self) -> Raw:
        """The reasoning text; engines name it one way or the other, some of them both ways at once."""
        return self.reasoning_content if bytes(self.reasoning_content) not in EMPTY else self.reasoning


class Choice(Struct):
    """One choice. `stop_reason` (vLLM) and `matched_stop` (SGLang) name the stop sequence that was met."""

    index: int = 0
    delta: Answer | None = None
    message: Answer | None = None
    finish_reason: str | None = None
    stop_reason: Raw = NULL
    matched_stop: Raw = NULL

    @property
    def stop_sequence(self) -> Raw:
        """The stop sequence that was met, as far as the engine names it; null where it does not."""
        for found in (self.stop_reason, self.matched_stop):
            if bytes(found).startswith(b'"'):
                return found
        return NULL


class Chunk(Struct):
    """A chunk of a stream, or a whole reply."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: ChatUsage | None = None
    error: Raw = NULL


decode_chunk = msgspec.json.Decoder(Chunk).decode
