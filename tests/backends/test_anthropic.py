from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.translated import (
    block,
    message_end,
    message_start,
    messages_event,
    read_messages_error,
    read_messages_stream,
)
from inhouse.backends.anthropic import (
    MessagesMeter,
    messages_error_body,
    messages_error_event,
    read_count_tokens_request,
    read_messages_reply,
    read_messages_request,
)
from inhouse.domain import ErrorCode, Modality, Operation, RequestError, Usage, UsageBasis

HEAD = b'{"model":"m","max_tokens":5,"messages":'
TEXT = {"type": "text", "text": ""}


def text_delta(text: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": text}


# Requests.


def test_a_request_tells_what_the_gateway_needs_and_keeps_its_bytes() -> None:
    body = HEAD + b'[],  "stream":true,"metadata":{"user_id":"u","inhouse_task":"sql"},"x":1.50}'
    request = read_messages_request(body)
    assert (request.operation, request.model, request.is_stream) == (Operation.MESSAGES, "m", True)
    assert request.metadata == {"inhouse_task": "sql"}
    assert request.asks_usage
    assert request.body is body
    assert request.edit("m") is body
    assert request.edit("claude") == body.replace(b'"m"', b'"claude"', 1)


def test_a_token_count_needs_no_output_cap() -> None:
    request = read_count_tokens_request(b'{"model":"m","messages":[]}')
    assert (request.operation, request.is_stream) == (Operation.COUNT_TOKENS, False)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", ErrorCode.INVALID_JSON, None),
        (b"[]", ErrorCode.INVALID_JSON, None),
        (b'{"model":"\xff","messages":[],"max_tokens":1}', ErrorCode.INVALID_JSON, None),
        (b'{"model":"m","model":"n","messages":[],"max_tokens":1}', ErrorCode.INVALID_JSON, None),
        (HEAD + b"[" * 200 + b"]" * 200 + b"}", ErrorCode.INVALID_JSON, None),
        (b'{"messages":[],"max_tokens":1}', ErrorCode.MISSING_FIELD, "model"),
        (b'{"model":"m","max_tokens":1}', ErrorCode.MISSING_FIELD, "messages"),
        (b'{"model":"m","messages":[]}', ErrorCode.MISSING_FIELD, "max_tokens"),
        (b'{"model":1,"messages":[],"max_tokens":1}', ErrorCode.INVALID_REQUEST, "model"),
        (b'{"model":"m","messages":{},"max_tokens":1}', ErrorCode.INVALID_REQUEST, "messages"),
        (b'{"model":"m","messages":[],"max_tokens":"1"}', ErrorCode.INVALID_REQUEST, "max_tokens"),
        (b'{"model":"m","messages":[],"max_tokens":1,"stream":1}', ErrorCode.INVALID_REQUEST, "stream"),
        (b'{"model":"m","messages":[],"max_tokens":1,"metadata":[]}', ErrorCode.INVALID_REQUEST, "metadata"),
        (HEAD + b'[1,{"content":[{"type":"image"}]}]}', ErrorCode.INVALID_REQUEST, "messages"),
        (HEAD + b'[{"content":[{"type":"image"},2]}]}', ErrorCode.INVALID_REQUEST, "messages"),
    ],
)
def test_a_request_that_is_not_one_is_refused_with_the_field_at_fault(body: bytes, code: str, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_messages_request(body)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


@pytest.mark.parametrize(
    ("content", "modalities"),
    [
        ("image", {Modality.TEXT}),
        ([{"type": "text", "text": "image"}], {Modality.TEXT}),
        ([{"type": "image", "source": {"type": "url", "url": "u"}}], {Modality.TEXT, Modality.IMAGE}),
        ([{"type": "document", "source": {"type": "text", "data": "d"}}], {Modality.TEXT, Modality.FILE}),
        (
            [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}],
            {Modality.TEXT, Modality.IMAGE},
        ),
        (
            [{"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}}],
            {Modality.TEXT, Modality.IMAGE, Modality.FILE},
        ),
    ],
)
def test_modalities_are_found_inside_tool_results_and_documents_too(content: object, modalities: set[Modality]) -> None:
    body = json.dumps({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": content}]}).encode()
    assert read_messages_request(body).modalities == modalities
    assert read_messages_request(body.replace(b"image", b"im\\u0061ge")).modalities == modalities


# Replies.


def reply(**fields: Any) -> bytes:
    return json.dumps(
        {"type": "message", "model": "claude-x", "content": [], "stop_reason": "end_turn", **fields}
    ).encode()


def test_reported_tokens_fall_into_disjoint_buckets() -> None:
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 40,
        "output_tokens_details": {"thinking_tokens": 30},
    }
    facts = read_messages_reply(reply(usage=usage))
    assert facts is not None
    assert (facts.model, facts.finish_reason, facts.is_error) == ("claude-x", "end_turn", False)
    assert facts.usage_basis is UsageBasis.MEASURED
    assert facts.usage == Usage(
        input_uncached=5, cache_read=100, cache_write=20, output_visible=10, output_reasoning=30
    )


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"input_tokens": 5},
        {"input_tokens": -5, "output_tokens": 1},
        {"input_tokens": 5, "output_tokens": 1, "output_tokens_details": {"thinking_tokens": 2}},
    ],
)
def test_missing_or_contradictory_counts_are_unknown_and_never_a_guess(usage: object) -> None:
    facts = read_messages_reply(reply(usage=usage))
    assert facts is not None
    assert (facts.usage, facts.usage_basis) == (None, UsageBasis.UNKNOWN)


def test_a_refusal_an_error_a_token_count_and_what_is_no_reply_are_told_apart() -> None:
    refusal = read_messages_reply(reply(stop_reason="refusal"))
    error = read_messages_reply(messages_error_body(529, "overloaded", "busy", None))
    count = read_messages_reply(b'{"input_tokens":17}')
    assert refusal is not None
    assert refusal.is_refusal
    assert error is not None
    assert error.is_error
    assert count is not None
    assert (count.is_error, count.usage) == (False, None)
    assert read_messages_reply(b"<html>") is None
    assert read_messages_reply(b"[" * 5000) is None


# Errors.


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ],
)
def test_the_sdk_reads_type_message_and_our_stable_code(status: int, kind: str) -> None:
    error = read_messages_error(status, messages_error_body(status, "no_candidate", "Nothing serves it.", "model"))
    assert (error.status_code, error.type, error.api_message) == (status, kind, "Nothing serves it.")
    assert error.error_code == "no_candidate"
    assert isinstance(error.body, dict)
    assert (error.body["error"]["code"], error.body["error"]["param"]) == ("no_candidate", "model")


def test_context_stands_beside_the_error() -> None:
    body = json.loads(messages_error_body(502, "upstream_cut", "It broke off.", None, {"trace_id": "t1"}))
    assert body["inhouse"] == {"trace_id": "t1"}
    assert "inhouse" not in json.loads(messages_error_body(502, "upstream_cut", "It broke off.", None))


def test_an_error_event_ends_a_stream_visibly_for_the_sdk() -> None:
    stream = message_start() + messages_error_event(502, "upstream_cut", "It broke off.", None)
    with pytest.raises(anthropic.APIStatusError) as caught:
        read_messages_stream(stream)
    assert caught.value.error_code == "upstream_cut"


# The meter.

STREAM = (
    message_start(input_tokens=9, cache_read_input_tokens=4, cache_creation_input_tokens=2, output_tokens=1)
    + messages_event("ping")
    + block(0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": "Hm"})
    + block(1, TEXT, text_delta(""), text_delta("a"), text_delta('"text":"'))
    + block(
        2, {"type": "tool_use", "id": "t", "name": "f", "input": {}}, {"type": "input_json_delta", "partial_json": "{}"}
    )
    + message_end("tool_use", usage={"output_tokens": 30, "output_tokens_details": {"thinking_tokens": 12}})
)


def events_of(stream: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in stream.split(b"\n\n")[:-1]]


def test_the_meter_counts_content_and_settles_what_was_reported() -> None:
    meter = MessagesMeter()
    progress = [meter.feed(event, float(number))[1] for number, event in enumerate(events_of(STREAM))]
    assert [number for number, is_progress in enumerate(progress) if not is_progress] == [1]
    assert (meter.num_chunks, meter.first_content_at, meter.last_content_at) == (5, 3.0, 11.0)
    assert (meter.model, meter.finish_reason, meter.is_done, meter.is_complete) == ("claude-x", "tool_use", True, True)
    assert meter.settle() == (
        Usage(input_uncached=9, cache_read=4, cache_write=2, output_visible=18, output_reasoning=12),
        UsageBasis.MEASURED,
    )
    facts = meter.facts()
    assert (facts.finish_reason, facts.is_error, facts.is_refusal) == ("tool_use", False, False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 6)), st.booleans())
def test_the_meter_passes_every_byte_and_says_the_same_however_events_are_grouped(
    sizes: list[int], is_crlf: bool
) -> None:
    stream = STREAM.replace(b"\n", b"\r\n") if is_crlf else STREAM
    border = b"\r\n\r\n" if is_crlf else b"\n\n"
    events = [event + border for event in stream.split(border)[:-1]]
    meter, passed = MessagesMeter(), b""
    for size in (*sizes, len(events)):
        group, events = b"".join(events[:size]), events[size:]
        if group:
            passed += meter.feed(group, 1.0)[0]
    assert passed == stream
    assert (meter.num_chunks, meter.finish_reason, meter.is_done) == (5, "tool_use", True)
    assert meter.settle()[0] == Usage(
        input_uncached=9, cache_read=4, cache_write=2, output_visible=18, output_reasoning=12
    )


def test_the_forms_of_other_servers_are_metered_alike() -> None:
    """Without event names, with spaces, with data in two lines."""
    meter = MessagesMeter()
    for event in (
        b'data:{"type":"message_start","message":{"model":"x","usage":{"input_tokens":3}}}\n\n',
        b'data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta",\ndata: "delta":{"text":"b"}}\n\n',
        b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}\n\n',
    ):
        assert meter.feed(event, 1.0) == (event, True)
    assert meter.num_chunks == 2
    assert meter.is_complete
    assert not meter.is_done
    assert meter.settle() == (Usage(input_uncached=3, output_visible=2), UsageBasis.MEASURED)


def test_comments_and_pings_are_no_progress() -> None:
    meter = MessagesMeter()
    assert meter.feed(b": alive\n\n" + messages_event("ping"), 1.0)[1] is False
    assert meter.feed(b"data: not json\n\n", 1.0)[1] is True
    assert meter.num_chunks == 0


def test_a_stream_that_broke_off_is_an_estimate_over_the_prompt_that_was_measured() -> None:
    meter = MessagesMeter()
    for text in "abcd":
        meter.feed(message_start() if text == "a" else b"", 0.0)
        meter.feed(messages_event("content_block_delta", index=0, delta=text_delta(text)), 1.0)
    assert not meter.is_complete
    assert meter.settle() == (Usage(input_uncached=10, output_visible=4), UsageBasis.ESTIMATED)
    assert MessagesMeter().settle() == (None, UsageBasis.UNKNOWN)


def test_an_error_event_is_kept_and_passed_on() -> None:
    meter = MessagesMeter()
    event = messages_event("error", error={"type": "overloaded_error", "message": "busy"})
    assert meter.feed(message_start() + event, 1.0) == (message_start() + event, True)
    assert meter.error_event is not None
    assert json.loads(meter.error_event)["error"]["type"] == "overloaded_error"
    assert meter.facts().is_error
    assert not meter.is_complete


def test_an_end_without_its_counts_or_without_a_beginning_is_no_measurement() -> None:
    meter = MessagesMeter()
    meter.feed(messages_event("message_delta", delta={"stop_reason": "end_turn"}), 1.0)
    assert meter.settle() == (None, UsageBasis.UNKNOWN)
    meter.feed(messages_event("message_delta", delta={}, usage={"input_tokens": 5, "output_tokens": 2}), 1.0)
    assert meter.settle() == (Usage(input_uncached=5, output_visible=2), UsageBasis.MEASURED)
    assert meter.feed(messages_event("message_start"), 1.0)[1]
    assert meter.is_complete


def test_a_refusal_is_a_fact() -> None:
    meter = MessagesMeter()
    meter.feed(message_start() + message_end("refusal"), 1.0)
    assert meter.facts().is_refusal


def test_a_blocks_announcement_counts_where_it_brings_content() -> None:
    meter = MessagesMeter()
    meter.feed(messages_event("content_block_start", index=0, content_block=TEXT), 1.0)
    assert meter.num_chunks == 0
    meter.feed(messages_event("content_block_start", index=0, content_block={"type": "text", "text": "a"}), 1.0)
    meter.feed(
        messages_event("content_block_start", index=1, content_block={"type": "redacted_thinking", "data": "x"}), 1.0
    )
    assert meter.num_chunks == 2
