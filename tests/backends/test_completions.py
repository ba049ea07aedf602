"""Legacy completions: requests pass with two edits at most, streams byte for byte, usage is measured."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.backends.completions import CompletionsMeter, read_completions_reply, read_completions_request
from inhouse.backends.wire import Meter, WireRequest
from inhouse.domain import ErrorCode, Operation, RequestError, Usage, UsageBasis


def chunk(text: str | None = "x", finish: str | None = None, **more: Any) -> bytes:
    choices = [] if text is None else [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]
    value = {"id": "c", "object": "text_completion", "model": "up", "system_fingerprint": "fp", "choices": choices}
    return b"data: %b\n\n" % json.dumps(value | more, separators=(",", ":")).encode()


def test_a_request_is_read() -> None:
    body = b'{"model":"m","prompt":["a",[1,2]],"stream":true,"metadata":{"inhouse_task":"t","other":1}}'
    request: WireRequest = read_completions_request(body)
    assert (
        request.operation,
        request.model,
        request.is_stream,
        request.asks_usage,
        request.body,
        request.metadata,
    ) == (
        Operation.COMPLETIONS,
        "m",
        True,
        False,
        body,
        {"inhouse_task": "t"},
    )


@pytest.mark.parametrize(
    ("body", "edited"),
    [
        (b'{"model":"m", "prompt":"p"}', b'{"model":"up", "prompt":"p"}'),
        (
            b'{"prompt":"p","stream":true,"model":"m"}',
            b'{"prompt":"p","stream":true,"model":"up","stream_options":{"include_usage":true}}',
        ),
        (
            b'{"model":"m","prompt":"p","stream":true,"stream_options":{"x":1, "include_usage":false}}',
            b'{"model":"up","prompt":"p","stream":true,"stream_options":{"x":1, "include_usage":true}}',
        ),
        (
            b'{"model":"m","prompt":"p","stream":true,"stream_options":null}',
            b'{"model":"up","prompt":"p","stream":true,"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"model":"m","prompt":"p","stream":true,"stream_options":{"include_usage":true}}',
            b'{"model":"up","prompt":"p","stream":true,"stream_options":{"include_usage":true}}',
        ),
    ],
)
def test_only_the_model_and_the_usage_of_streams_are_edited(body: bytes, edited: bytes) -> None:
    assert read_completions_request(body).edit("up") == edited


def test_where_nothing_is_to_change_the_very_same_bytes_pass() -> None:
    body = b'{ "model":"m","prompt":"p","max_tokens":1e1 }'
    assert read_completions_request(body).edit("m") is body


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", ErrorCode.INVALID_JSON, None),
        (b"[]", ErrorCode.INVALID_JSON, None),
        (b'{"model":"m","prompt":"\xff"}', ErrorCode.INVALID_JSON, None),
        (b'{"model":"m","prompt":"p","prompt":"q"}', ErrorCode.INVALID_JSON, None),
        (b'{"model":"m","prompt":%b1%b}' % (b"[" * 200, b"]" * 200), ErrorCode.INVALID_JSON, None),
        (b'{"prompt":"p"}', ErrorCode.MISSING_FIELD, "model"),
        (b'{"model":"m"}', ErrorCode.MISSING_FIELD, "prompt"),
        (b'{"model":1,"prompt":"p"}', ErrorCode.INVALID_REQUEST, "model"),
        (b'{"model":"m","prompt":7}', ErrorCode.INVALID_REQUEST, "prompt"),
        (b'{"model":"m","prompt":"p","stream":"yes"}', ErrorCode.INVALID_REQUEST, "stream"),
        (b'{"model":"m","prompt":"p","stream_options":[]}', ErrorCode.INVALID_REQUEST, "stream_options"),
        (b'{"model":"m","prompt":"p","metadata":[]}', ErrorCode.INVALID_REQUEST, "metadata"),
        (b'{"model":"m","prompt":"p","metadata":{"inhouse_t":1}}', ErrorCode.INVALID_REQUEST, "metadata.inhouse_t"),
    ],
)
def test_a_malformed_request_is_refused_naming_the_field(body: bytes, code: ErrorCode, param: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        read_completions_request(body)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


def test_vllm_takes_embeddings_in_place_of_a_prompt() -> None:
    assert read_completions_request(b'{"model":"m","prompt_embeds":"QUJD"}').model == "m"


def test_a_reply_is_metered() -> None:
    facts = read_completions_reply(
        b'{"model":"up","system_fingerprint":"fp","choices":[{"text":"a","finish_reason":"length"}],'
        b'"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}'
    )
    assert facts is not None
    assert facts.usage == Usage(input_uncached=5, cache_read=4, output_visible=3)
    assert (facts.model, facts.fingerprint, facts.finish_reason, facts.usage_basis, facts.is_error) == (
        "up",
        "fp",
        "length",
        UsageBasis.MEASURED,
        False,
    )
    assert read_completions_reply(b"<html>") is None
    broken = read_completions_reply(b'{"error":{"message":"no"}}')
    assert broken is not None
    assert broken.is_error


def test_a_stream_is_metered_and_passes_byte_for_byte() -> None:
    meter: Meter = CompletionsMeter(withholds_usage=True)
    events = [chunk(""), chunk("a"), b": ping\n\n", chunk("b"), chunk("", "stop")]
    usage = chunk(None, usage={"prompt_tokens": 4, "completion_tokens": 2})
    results = [meter.feed(event, float(at)) for at, event in enumerate(events)]
    assert [passed for passed, _ in results] == events
    assert [progress for _, progress in results] == [True, True, False, True, True]
    assert (meter.num_chunks, meter.first_content_at, meter.last_content_at) == (2, 1.0, 3.0)
    assert (meter.finish_reason, meter.is_complete, meter.is_done, meter.model) == ("stop", True, False, "up")
    assert meter.feed(usage + b"data: [DONE]\n\n", 9.0) == (b"data: [DONE]\n\n", True)
    assert meter.is_done
    facts = meter.facts()
    assert (facts.usage, facts.usage_basis) == (Usage(input_uncached=4, output_visible=2), UsageBasis.MEASURED)
    assert facts.fingerprint == "fp"


def test_usage_that_the_client_asked_for_passes() -> None:
    usage = chunk(None, usage={"prompt_tokens": 4, "completion_tokens": 2})
    assert CompletionsMeter(withholds_usage=False).feed(usage, 0.0) == (usage, True)


def test_an_error_in_the_stream_is_kept_also_after_plain_chunks() -> None:
    meter = CompletionsMeter(withholds_usage=True)
    meter.feed(chunk("a"), 0.0)
    meter.feed(b'data: {"error":{"message":"boom"}}\n\n', 1.0)
    assert meter.error_event == b'{"error":{"message":"boom"}}'
    assert not meter.is_complete
    assert meter.facts().is_error


def test_a_finish_in_one_of_several_choices_is_seen() -> None:
    meter = CompletionsMeter(withholds_usage=False)
    meter.feed(chunk("a"), 0.0)
    meter.feed(
        b'data: {"choices":[{"text":"b","finish_reason": null},{"index":1,"text":"c","finish_reason": "length"}]}\n\n',
        1.0,
    )
    assert (meter.finish_reason, meter.num_chunks) == ("length", 2)


@given(
    texts=st.lists(st.text(max_size=8), max_size=6),
    cuts=st.lists(st.integers(0, 5), max_size=3),
    crlf=st.booleans(),
)
def test_however_events_come_together_the_count_and_bytes_are_the_same(
    texts: list[str], cuts: list[int], crlf: bool
) -> None:
    events = [chunk(text) for text in texts] + [chunk("", "stop"), b"data: [DONE]\n\n"]
    if crlf:
        events = [event.replace(b"\n", b"\r\n") for event in events]
    meter = CompletionsMeter(withholds_usage=True)
    borders = sorted({0, len(events), *(min(cut, len(events)) for cut in cuts)})
    blocks = [b"".join(events[start:stop]) for start, stop in itertools.pairwise(borders)]
    assert b"".join(meter.feed(block, 0.0)[0] for block in blocks) == b"".join(events)
    assert meter.num_chunks == sum(1 for text in texts if text)
    assert (meter.is_done, meter.finish_reason) == (True, "stop")


@given(st.binary(max_size=60))
def test_no_bytes_break_the_readers(data: bytes) -> None:
    read_completions_reply(data)
    CompletionsMeter(withholds_usage=True).feed(b"data: %b\n\n" % data.replace(b"\n", b""), 0.0)
    try:
        request = read_completions_request(data)
    except RequestError:
        return
    assert msgspec.json.decode(request.edit("other"))["model"] == "other"
