"""The meter of a chat stream: what it lets pass, what is progress, and what it learns of the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inhouse.backends import ChatMeter
from inhouse.domain import Usage, UsageBasis

AZURE_START = {
    "id": "",
    "object": "",
    "created": 0,
    "model": "",
    "choices": [],
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}],
}


def event(value: dict[str, Any], *, is_spaced: bool = False) -> bytes:
    return b"data: %b\n\n" % json.dumps(value, separators=(", ", ": ") if is_spaced else (",", ":")).encode()


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "model": "up", "choices": [choice], **members}


def metered(*events: bytes) -> ChatMeter:
    meter = ChatMeter(withholds_usage=False)
    for number, one in enumerate(events):
        assert meter.feed(one, float(number))[0] == one
    return meter


def test_what_azure_says_of_the_prompt_is_no_progress_and_names_no_model() -> None:
    meter = ChatMeter(withholds_usage=True)
    first = event(AZURE_START)
    assert meter.feed(first, 1.0) == (first, False)
    answer = event(chunk({"content": "a"}, system_fingerprint="fp"))
    assert meter.feed(answer, 2.0) == (answer, True)
    assert (meter.model, meter.fingerprint, meter.first_content_at) == ("up", "fp", 2.0)


def test_a_stream_that_never_names_its_model_has_none() -> None:
    assert metered(event(AZURE_START)).facts().model is None


@pytest.mark.parametrize("is_spaced", [False, True])
def test_the_finish_is_seen_in_any_spelling(is_spaced: bool) -> None:
    two = chunk({"content": "b"}, "length")
    two["choices"].append({"index": 1, "delta": {"content": "c"}, "finish_reason": None})
    meter = metered(event(chunk({"content": "a"}), is_spaced=is_spaced), event(two, is_spaced=is_spaced))
    assert meter.finish_reason == "length"


def test_tokens_written_to_the_cache_have_a_bucket_of_their_own() -> None:
    details = {"cached_tokens": 3, "cache_write_tokens": 1}
    usage = {"prompt_tokens": 10, "completion_tokens": 11, "prompt_tokens_details": details}
    meter = metered(event(chunk({"content": "a"})), event(chunk({}, "stop", usage=usage)))
    buckets = Usage(input_uncached=6, cache_read=3, cache_write=1, output_visible=11)
    assert meter.settle() == (buckets, UsageBasis.MEASURED)


@pytest.mark.parametrize(
    ("deltas", "is_refusal"),
    [
        ([{"refusal": "I "}, {"refusal": "cannot."}], True),
        ([{"refusal": "I "}, {"content": "can."}], False),
        ([{"content": "I "}, {"refusal": "cannot."}], False),
        ([{"content": "I can."}], False),
    ],
)
def test_a_refusal_is_an_answer_without_text(deltas: list[dict[str, str]], is_refusal: bool) -> None:
    meter = metered(*(event(chunk(delta)) for delta in deltas), event(chunk({}, "stop")))
    assert meter.num_chunks == len(deltas)
    assert meter.facts().is_refusal is is_refusal


def test_what_stands_around_the_text_is_known_from_the_first_content_on() -> None:
    meter = ChatMeter(withholds_usage=False)
    meter.feed(event(chunk({"role": "assistant", "content": ""})), 1.0)
    assert meter.last_plain == b""
    meter.feed(event(chunk({"content": "a"})), 2.0)
    begin, end = meter.find_alike() or (b"", b"")
    assert begin + b"a" + end == event(chunk({"content": "a"}))


@pytest.mark.parametrize(
    "other",
    [
        chunk({"content": "a"}, "stop"),
        chunk({"tool_calls": [{"index": 0}]}),
        chunk({"refusal": "No."}),
        chunk({"content": 'say "a"'}),
        {**chunk({"content": "a"}), "choices": [{"index": 1, "delta": {"content": "a"}, "finish_reason": None}]},
        chunk({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
    ],
)
def test_of_any_other_chunk_nothing_is_taken_for_alike(other: dict[str, Any]) -> None:
    meter = ChatMeter(withholds_usage=False)
    meter.feed(event(other), 1.0)
    assert meter.find_alike() is None
    meter.feed(event(chunk({"content": "b"})), 2.0)
    meter.feed(event(other), 3.0)
    assert meter.find_alike() is None
