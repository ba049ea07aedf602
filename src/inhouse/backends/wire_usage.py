"""What OpenAI's dialects report of a reply's tokens and tariff, put into disjoint buckets. Prices nothing."""

from __future__ import annotations

from msgspec import Struct

from inhouse.domain import ServiceTier, Usage, UsageBasis

MAX_TIER_CHARS = 32
"""As much of a tariff's word is kept; an endpoint may write anything."""


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
    if prompt is completion is cached is None and total == num_input + num_output and num_input >= 0 <= num_output:
        return Usage(num_input, 0, 0, num_output), UsageBasis.MEASURED  # what engines report, in fewer steps
    if cached is not None and (prompt is None or prompt.cached_tokens is None):
        written = None if prompt is None else prompt.cache_write_tokens
        audio = None if prompt is None else prompt.audio_tokens
        prompt = PromptDetails(cached, written, audio)
    return sort_tokens(num_input, num_output, total, prompt, completion)


def sort_tokens(
    num_input: int,
    num_output: int,
    total: int | None,
    prompt: PromptDetails | None,
    completion: CompletionDetails | None,
) -> tuple[Usage | None, UsageBasis]:
    """Put tokens that are reported as totals and parts of them into disjoint buckets, whose sum is the total.

    The prompt's total includes those read from and written to the cache and audio, the answer's reasoning and audio.
    Where the sum of all is larger than prompt and answer together, the rest is reasoning that the endpoint counts
    beside its answer (xAI, and Gemini behind its OpenAI-compatible address). Cached audio counts as cached.

    Numbers that contradict each other (a part larger than its whole, negative counts) give no usage: `unknown`, never a
    guess.

    Args:
        num_input: tokens of the prompt.
        num_output: tokens of the answer.
        total: tokens of both, where reported.
        prompt: parts of the first.
        completion: parts of the second.
    """
    cache_read = cache_write = input_audio = reasoning = output_audio = num_beside = 0
    if prompt is not None:
        cache_read, cache_write = prompt.cached_tokens or 0, prompt.cache_write_tokens or 0
        if prompt.audio_tokens:
            input_audio = _count_audio(prompt, num_input, num_input - cache_read - cache_write)
    if completion is not None:
        reasoning, output_audio = completion.reasoning_tokens or 0, completion.audio_tokens or 0
    if total is not None and total > num_input + num_output:
        num_beside = total - num_input - num_output
        if reasoning not in (0, num_beside):
            return None, UsageBasis.UNKNOWN
        reasoning = num_beside
    input_uncached = num_input - cache_read - cache_write - input_audio
    output_visible = num_output + num_beside - reasoning - output_audio
    # An `or` of numbers is negative where one of them is.
    if (cache_read | cache_write | input_audio | input_uncached | reasoning | output_audio | output_visible) < 0:
        return None, UsageBasis.UNKNOWN
    buckets = Usage(input_uncached, cache_read, cache_write, output_visible, reasoning, 0, input_audio, output_audio)
    return buckets, UsageBasis.MEASURED


def _count_audio(prompt: PromptDetails, num_input: int, num_uncached: int) -> int:
    """Audio tokens of a prompt that no cache held: those that are said to be cached, or must be, are left out.

    Negative where the report contradicts itself.
    """
    num_audio, cached = prompt.audio_tokens or 0, prompt.cached_tokens_details
    num_cached = 0 if cached is None else cached.audio_tokens or 0
    if not 0 <= num_cached <= min(num_audio, prompt.cached_tokens or 0) or num_audio > num_input:
        return -1
    return min(num_audio - num_cached, num_uncached)


_TIERS: dict[str, str | None] = {
    **dict.fromkeys(("default", "standard", "auto", "on_demand", ""), None),
    "fast": ServiceTier.PRIORITY.value,  # OpenAI's newer name: developers.openai.com/api/docs/guides/fast-mode
}


def read_tier(word: str | None) -> str | None:
    """The tariff that a reply names in `service_tier`; None for the standard one, or where it names none.

    A word that is not known here is kept: its tariff is another one, whose price is not known.
    """
    if word is None:
        return None
    return _TIERS[word] if word in _TIERS else word[:MAX_TIER_CHARS]
