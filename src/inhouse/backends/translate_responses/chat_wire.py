"""Replies and chunks of chat completions, as far as they are translated. Texts stay raw JSON."""

from __future__ import annotations

from msgspec import Raw, Struct

NULL = Raw(b"null")


class Function(Struct):
    """The function of a call. TGI gives arguments as an object, all others as a string."""

    name: str | None = None
    arguments: Raw = NULL


class Call(Struct):
    """A tool call, or a part of one in a stream."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Words(Struct):
    """A message, or what a chunk adds to it."""

    content: Raw = NULL
    refusal: Raw = NULL
    reasoning_content: Raw = NULL
    reasoning: Raw = NULL
    tool_calls: list[Call] | None = None

    @property
    def thought(self) -> Raw:
        """Reasoning text, whichever of its two names it came under."""
        return self.reasoning_content if has_text(self.reasoning_content) else self.reasoning


class Logprobs(Struct):
    """Probabilities of the content's tokens."""

    content: Raw = NULL


class Choice(Struct):
    """One choice; a reply has `message`, a chunk `delta`."""

    index: int = 0
    message: Words | None = None
    delta: Words | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class PromptDetails(Struct):
    """Parts of the prompt's tokens."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(Struct):
    """Parts of the answer's tokens."""

    reasoning_tokens: int | None = None


class ChatUsage(Struct):
    """Tokens as chat reports them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class ChatReply(Struct):
    """A whole reply, or one chunk of a stream."""

    created: int | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: ChatUsage | None = None
    service_tier: str | None = None
    error: Raw = NULL


def has_text(value: Raw) -> bool:
    """Whether the value is a string that is not empty."""
    view = memoryview(value)
    return len(view) > len(b'""') and bytes(view[:1]) == b'"'
