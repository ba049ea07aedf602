"""The shapes of Anthropic's replies and stream events as far as they are metered or translated, and their usage."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.wire_usage import MAX_TIER_CHARS, read_tier
from inhouse.domain import Usage, UsageBasis

NULL = Raw(b"null")
_USUAL_SPEEDS = frozenset({"standard", "default", ""})
_DEARER_PLACES = frozenset({"us"})
"""Values of `inference_geo` that cost more: platform.claude.com/docs/en/about-claude/pricing (data residency)."""


class OutputDetails(Struct):
    """Parts of `output_tokens`."""

    thinking_tokens: int | None = None


class CacheCreation(Struct):
    """Parts of `cache_creation_input_tokens` by how long the cache keeps them."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class MessagesUsage(Struct):
    """The `usage` object: tokens. `input_tokens` excludes what was read from or written to the cache."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None
    cache_creation: CacheCreation | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None

    @property
    def tier(self) -> str | None:
        """The tariff; None for the standard one.

        Fast mode and inference in the United States alone have prices of their own, which are tariffs here.
        """
        if self.speed is not None and self.speed not in _USUAL_SPEEDS:
            return self.speed[:MAX_TIER_CHARS]
        if self.inference_geo in _DEARER_PLACES:
            return f"{self.inference_geo} only"
        return read_tier(self.service_tier)

    @property
    def cache_writes(self) -> tuple[int, int]:
        """Tokens written to the cache: those kept for the shortest time, those kept for an hour.

        A stream says the parts at its start alone, and the whole may have grown at its end: what came later went where
        all before it went. Negative where that is not certain, or the parts are more than the whole.
        """
        whole, parts = self.cache_creation_input_tokens, self.cache_creation
        short = (parts and parts.ephemeral_5m_input_tokens) or 0
        long = (parts and parts.ephemeral_1h_input_tokens) or 0
        num_more = 0 if whole is None else whole - short - long
        if num_more == 0:
            return short, long
        if num_more > 0 and (short == 0 or long == 0):
            return (short, long + num_more) if long else (short + num_more, long)
        return -1, long

    @property
    def thinking_tokens(self) -> int | None:
        """The part of `output_tokens` that was reasoning; None where it is not reported."""
        return None if self.output_tokens_details is None else self.output_tokens_details.thinking_tokens

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached ones included."""
        return (self.input_tokens or 0) + (self.cache_read_input_tokens or 0) + (self.cache_creation_input_tokens or 0)

    def update(self, later: MessagesUsage) -> None:
        """Take over what a later report says: its counts are totals, and what it leaves out still stands."""
        for name in self.__struct_fields__:
            value = getattr(later, name)
            if value is not None:
                setattr(self, name, value)


class StopDetails(Struct):
    """Why a refusal came."""

    explanation: str | None = None


class ContentBlock(Struct):
    """A content block of a reply, or as a stream announces it."""

    type: str = ""
    text: Raw = NULL
    thinking: Raw = NULL
    signature: Raw = NULL
    data: Raw = NULL
    id: Raw = NULL
    name: Raw = NULL
    input: Raw = NULL


class Message(Struct):
    """A whole reply, or the empty one that begins a stream."""

    type: str = ""
    id: str | None = None
    model: str | None = None
    content: list[ContentBlock] | None = None
    stop_reason: str | None = None
    stop_sequence: Raw = NULL
    stop_details: StopDetails | None = None
    usage: MessagesUsage | None = None
    error: Raw = NULL

    @property
    def is_error(self) -> bool:
        """Whether it carries an error instead of an answer."""
        return self.type == "error" or self.error != NULL


class Delta(Struct):
    """What a stream event adds to a content block, or to the message."""

    type: str = ""
    text: Raw = NULL
    thinking: Raw = NULL
    partial_json: Raw = NULL
    signature: Raw = NULL
    stop_reason: str | None = None
    stop_sequence: Raw = NULL
    stop_details: StopDetails | None = None


class Event(Struct):
    """The data of one stream event."""

    type: str = ""
    index: int = 0
    message: Message | None = None
    content_block: ContentBlock | None = None
    delta: Delta | None = None
    usage: MessagesUsage | None = None


decode_message = msgspec.json.Decoder(Message).decode
decode_event = msgspec.json.Decoder(Event).decode


def settle_usage(usage: MessagesUsage | None) -> tuple[Usage | None, UsageBasis]:
    """Put reported tokens into disjoint buckets.

    A missing total, or counts that contradict each other, give no usage: `unknown`, never a guess.
    """
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None, UsageBasis.UNKNOWN
    reasoning = usage.thinking_tokens or 0
    cache_read, (cache_write, cache_write_1h) = usage.cache_read_input_tokens or 0, usage.cache_writes
    output_visible = usage.output_tokens - reasoning
    if min(usage.input_tokens, cache_read, cache_write, cache_write_1h, reasoning, output_visible) < 0:
        return None, UsageBasis.UNKNOWN
    buckets = Usage(
        input_uncached=usage.input_tokens,
        cache_read=cache_read,
        cache_write=cache_write,
        output_visible=output_visible,
        output_reasoning=reasoning,
        cache_write_1h=cache_write_1h,
    )
    return buckets, UsageBasis.MEASURED
