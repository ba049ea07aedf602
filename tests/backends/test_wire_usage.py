"""Reported tokens become disjoint buckets, or nothing: none is negative or counted twice, whatever is reported."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.backends.anthropic_wire import CacheCreation, MessagesUsage, OutputDetails, settle_usage
from inhouse.backends.responses import ResponsesUsage, parse_responses_usage
from inhouse.backends.wire_usage import WireUsage, parse_usage, read_tier
from inhouse.domain import USAGE_BUCKETS, Usage, UsageBasis

counts = st.none() | st.integers(-2, 60)
totals = st.none() | st.integers(-2, 200)
prompt_details = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "cached_tokens": counts,
        "cache_write_tokens": counts,
        "audio_tokens": counts,
        "cached_tokens_details": st.none() | st.fixed_dictionaries({}, optional={"audio_tokens": counts}),
    },
)
completion_details = st.none() | st.fixed_dictionaries(
    {}, optional={"reasoning_tokens": counts, "audio_tokens": counts}
)


def check_buckets(usage: Usage | None, basis: UsageBasis, num_input: int | None, num_output: int | None) -> bool:
    """Each bucket holds zero or more and they add up; else there is no usage. Whether there is one."""
    if usage is None:
        assert basis is UsageBasis.UNKNOWN
        return False
    assert basis is UsageBasis.MEASURED
    assert all(getattr(usage, bucket) >= 0 for bucket in USAGE_BUCKETS)
    assert (usage.input_total, usage.output_total) == (num_input, num_output)
    return True


def sum_output(num_input: int | None, num_output: int | None, total: int | None) -> int | None:
    """What the provider bills as output: its answer, and what its sum holds beyond prompt and answer."""
    if num_input is None or num_output is None or total is None:
        return num_output
    return max(num_output, total - num_input)


@given(counts, counts, totals, prompt_details, completion_details, counts, counts)
def test_any_chat_usage_gives_buckets_that_add_up_or_none(
    prompt: int | None,
    completion: int | None,
    total: int | None,
    prompt_parts: dict[str, Any] | None,
    completion_parts: dict[str, Any] | None,
    hit: int | None,
    cached: int | None,
) -> None:
    wire = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "prompt_tokens_details": prompt_parts,
        "completion_tokens_details": completion_parts,
        "prompt_cache_hit_tokens": hit,
        "cached_tokens": cached,
    }
    usage, basis = parse_usage(msgspec.convert(wire, WireUsage))
    check_buckets(usage, basis, prompt, sum_output(prompt, completion, total))


@given(counts, counts, totals, prompt_details, completion_details)
def test_chat_and_responses_put_the_same_report_into_the_same_buckets(
    num_input: int | None,
    num_output: int | None,
    total: int | None,
    input_parts: dict[str, Any] | None,
    output_parts: dict[str, Any] | None,
) -> None:
    wire = {"input_tokens": num_input, "output_tokens": num_output, "total_tokens": total}
    details = {"input_tokens_details": input_parts, "output_tokens_details": output_parts}
    usage, basis = parse_responses_usage(msgspec.convert(wire | details, ResponsesUsage))
    check_buckets(usage, basis, num_input, sum_output(num_input, num_output, total))
    wire = {"prompt_tokens": num_input, "completion_tokens": num_output, "total_tokens": total}
    details = {"prompt_tokens_details": input_parts, "completion_tokens_details": output_parts}
    assert parse_usage(msgspec.convert(wire | details, WireUsage)) == (usage, basis)


@given(
    st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.booleans()
)
def test_a_report_without_contradiction_is_never_lost(
    text: int, cached: int, written: int, visible: int, reasoning: int, is_beside: bool
) -> None:
    """Also where reasoning is counted beside the answer."""
    wire = {
        "prompt_tokens": text + cached + written,
        "completion_tokens": visible if is_beside else visible + reasoning,
        "total_tokens": text + cached + written + visible + reasoning,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    assert parse_usage(msgspec.convert(wire, WireUsage)) == (
        Usage(text, cached, written, visible, reasoning),
        UsageBasis.MEASURED,
    )


@given(counts, counts, counts, counts, counts, counts, counts)
def test_any_messages_usage_gives_buckets_that_add_up_or_none(
    plain: int | None,
    output: int | None,
    cached: int | None,
    written: int | None,
    short: int | None,
    long: int | None,
    thinking: int | None,
) -> None:
    wire = MessagesUsage(plain, output, cached, written, OutputDetails(thinking), CacheCreation(short, long))
    usage, basis = settle_usage(wire)
    num_written = (short or 0) + (long or 0) if written is None else written
    num_input = None if plain is None else plain + (cached or 0) + num_written
    check_buckets(usage, basis, num_input, output)


@pytest.mark.parametrize(
    ("cached", "details", "buckets"),
    [
        (0, None, (30, 0, 70)),
        (20, None, (10, 20, 70)),
        (20, {"audio_tokens": 15}, (25, 20, 55)),
        (60, None, (0, 60, 40)),
        (100, {"audio_tokens": 70}, (0, 100, 0)),
    ],
)
def test_cached_audio_is_in_the_cache_bucket_and_not_in_audios(
    cached: int, details: dict[str, int] | None, buckets: tuple[int, int, int]
) -> None:
    """70 of 100 prompt tokens are audio. What of it is cached is said, or follows from the sums."""
    parts = {"cached_tokens": cached, "audio_tokens": 70, "cached_tokens_details": details}
    wire = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": parts}
    usage, _ = parse_usage(msgspec.convert(wire, WireUsage))
    assert usage is not None
    assert (usage.input_uncached, usage.cache_read, usage.input_audio) == buckets


@pytest.mark.parametrize(
    "parts",
    [
        {"audio_tokens": 101},
        {"audio_tokens": -1},
        {"audio_tokens": 10, "cached_tokens": 50, "cached_tokens_details": {"audio_tokens": 11}},
        {"audio_tokens": 10, "cached_tokens": 5, "cached_tokens_details": {"audio_tokens": 6}},
        {"audio_tokens": 10, "cached_tokens": 5, "cached_tokens_details": {"audio_tokens": -1}},
        {"audio_tokens": 10, "cached_tokens": 101},
    ],
)
def test_audio_that_contradicts_the_prompt_is_no_usage(parts: dict[str, Any]) -> None:
    wire = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": parts}
    assert parse_usage(msgspec.convert(wire, WireUsage)) == (None, UsageBasis.UNKNOWN)


def test_a_sum_that_neither_way_of_counting_reasoning_explains_is_no_usage() -> None:
    wire = {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "total_tokens": 50,
        "completion_tokens_details": {"reasoning_tokens": 7},
    }
    assert parse_usage(msgspec.convert(wire, WireUsage)) == (None, UsageBasis.UNKNOWN)


@pytest.mark.parametrize(
    ("whole", "parts", "writes"),
    [
        (None, None, (0, 0)),
        (9, None, (9, 0)),
        (9, CacheCreation(), (9, 0)),
        (9, CacheCreation(0, 0), (9, 0)),
        (9, CacheCreation(4, 5), (4, 5)),
        (9, CacheCreation(4, 0), (9, 0)),
        (9, CacheCreation(0, 4), (0, 9)),
        (9, CacheCreation(None, 9), (0, 9)),
        (None, CacheCreation(4, 5), (4, 5)),
    ],
)
def test_tokens_written_to_the_cache_are_told_apart_by_their_lifetime(
    whole: int | None, parts: CacheCreation | None, writes: tuple[int, int]
) -> None:
    wire = MessagesUsage(1, 1, cache_creation_input_tokens=whole, cache_creation=parts)
    assert wire.cache_writes == writes
    usage, _ = settle_usage(wire)
    assert usage == Usage(1, 0, writes[0], 1, cache_write_1h=writes[1])


@pytest.mark.parametrize(
    "parts", [CacheCreation(4, 4), CacheCreation(9, 1), CacheCreation(-1, 10), CacheCreation(10, -1)]
)
def test_lifetimes_that_are_not_the_whole_are_no_usage(parts: CacheCreation) -> None:
    wire = MessagesUsage(1, 1, cache_creation_input_tokens=9, cache_creation=parts)
    assert settle_usage(wire) == (None, UsageBasis.UNKNOWN)


@pytest.mark.parametrize(
    ("word", "tier"),
    [
        (None, None),
        ("default", None),
        ("standard", None),
        ("auto", None),
        ("on_demand", None),
        ("", None),
        ("flex", "flex"),
        ("priority", "priority"),
        ("fast", "priority"),
        ("batch", "batch"),
        ("scale", "scale"),
        ("x" * 100, "x" * 32),
    ],
)
def test_the_standard_tariff_has_many_names_and_an_unknown_one_is_kept(word: str | None, tier: str | None) -> None:
    assert read_tier(word) == tier
