"""What OpenAI's dialects report of a reply's tokens and tariff, put into disjoint buckets. Prices nothing."""

from __future__ import annotations

from msgspec import Struct

from inhouse.domain import ServiceTier, Usage, UsageBasis


class _CachedDetails(Struct, gc=False):
    audio_tokens: int | None = None


class PromptDetails(Struct, gc=False):
    """Parts of a prompt's tokens. Audio counts cached audio too; Chat Completions and Responses name them alike."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens_details: _CachedDetails | None = None


class CompletionDetails(Struct, gc=False):
    """Parts of an answer's tokens. Tokens of rejected predictions are billed as any others, and are not told apart."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class WireUsage(Struct, gc=False):
    """The `usage` object of a reply, as far as it is metered: tokens; the details are parts of the totals."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's name for the prompt's cached tokens."""
    cached_tokens: int | None = None
    """Moonshot's name for them."""


def parse_usage(usage: WireUsage | None) -> tuple[Usage | None, UsageBasis]:
    """Put reported tokens into disjoint buckets, see `sort_tokens`."""
    if usage is None:
        return None, UsageBasis.UNKNOWN
    num_input, num_output, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    if num_input is None or num_output is None:
        return None, UsageBasis.UNKNOWN
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = usage.prompt_cache_hit_tokens
    if cached is None:
        cached = usage.cached_tokens
    has_parts = prompt is not None or completion is not None or cached is not None
    if not has_parts and num_input >= 0 and num_output >= 0 and (total is None or total <= num_input + num_output):
        return Usage(num_input, 0, 0, num_output), UsageBasis.MEASURED
    if cached is not None and (prompt is None or prompt.cached_tokens is None):
        written = None if prompt is None else prompt.cache_write_tokens
        audio = None if prompt is None else prompt.audio_tokens
        prompt = PromptDetails(cached, written, audio)
    return sort_tokens((num_input, num_output, total), prompt, completion)


def sort_tokens(
    totals: tuple[int, int, int | None], prompt: PromptDetails | None, completion: CompletionDetails | None
) -> tuple[Usage | None, UsageBasis]:
    """Put tokens that are reported as totals and parts of them into disjoint buckets, whose sum is the total.

    The prompt's total includes those read from and written to the cache and audio, the answer's reasoning and audio.
    Where the sum of all is larger than prompt and answer together, the rest is reasoning that the endpoint counts
    beside its answer (xAI, and Gemini behind its OpenAI-compatible address). Cached audio counts as cached.

    Numbers that contradict each other (a part larger than its whole, negative counts) give no usage: `unknown`, never a
    guess.

    Args:
        totals: tokens of the prompt, of the answer, of both where reported.
        prompt: parts of the first.
        completion: parts of the second.
    """
    num_input, num_output, total = totals
    cache_read = (prompt and prompt.cached_tokens) or 0
    cache_write = (prompt and prompt.cache_write_tokens) or 0
    reasoning = (completion and completion.reasoning_tokens) or 0
    output_audio = (completion and completion.audio_tokens) or 0
    num_beside = 0 if total is None else max(0, total - num_input - num_output)
    if num_beside and reasoning not in (0, num_beside):
        return None, UsageBasis.UNKNOWN
    num_text = num_input - cache_read - cache_write
    input_audio = _count_audio(prompt, num_input, num_text)
    input_uncached = num_text - input_audio
    output_visible = num_output - output_audio - (0 if num_beside else reasoning)
    output_reasoning = num_beside or reasoning
    if min(cache_read, cache_write, input_audio, input_uncached, reasoning, output_audio, output_visible) < 0:
        return None, UsageBasis.UNKNOWN
    buckets = Usage(
        input_uncached, cache_read, cache_write, output_visible, output_reasoning, 0, input_audio, output_audio
    )
    return buckets, UsageBasis.MEASURED


def _count_audio(prompt: PromptDetails | None, num_input: int, num_uncached: int) -> int:
    """Audio tokens of a prompt that no cache held: those that are said to be cached, or must be, are left out.

    Negative where the report contradicts itself.
    """
    if prompt is None or prompt.audio_tokens is None:
        return 0
    if prompt.audio_tokens > num_input or prompt.audio_tokens < 0:
        return -1
    cached = prompt.cached_tokens_details
    num_cached = 0 if cached is None else cached.audio_tokens or 0
    if not 0 <= num_cached <= min(prompt.audio_tokens, prompt.cached_tokens or 0):
        return -1
    return min(prompt.audio_tokens - num_cached, num_uncached)


_TIERS: dict[str, str | None] = {
    **dict.fromkeys(("default", "standard", "auto", "on_demand", ""), None),
    "fast": ServiceTier.PRIORITY.value,  # OpenAI's newer name: developers.openai.com/api/docs/guides/fast-mode
}
_MAX_TIER_CHARS = 32


def read_tier(word: str | None) -> str | None:
    """The tariff that a reply names in `service_tier`; None for the standard one, or where it names none.

    A word that is not known here is kept: its tariff is another one, whose price is not known.
    """
    if word is None:
        return None
    return _TIERS[word] if word in _TIERS else word[:_MAX_TIER_CHARS]
