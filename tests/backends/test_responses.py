"""The Responses dialect: requests and their items, whole replies, streams as they pass, and the error event."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.backends.responses import (
    list_output_items,
    read_responses_reply,
    read_responses_request,
    responses_error_event,
)
from inhouse.backends.responses_meter import ResponsesMeter
from inhouse.backends.wire import Meter, WireRequest
from inhouse.domain import ErrorCode, Modality, Operation, RequestError, Usage, UsageBasis

USAGE = (
    b'{"input_tokens":20,"input_tokens_details":{"cached_tokens":12,"cache_write_tokens":3},"output_tokens":9,'
    b'"output_tokens_details":{"reasoning_tokens":4},"total_tokens":29}'
)
BUCKETS = Usage(input_uncached=5, cache_read=12, cache_write=3, output_visible=5, output_reasoning=4)


def event(kind: str, **members: Any) -> bytes:
    value = {"type": kind, "sequence_number": 0, **members}
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps(value, separators=(",", ":")).encode())


def delta(text: str, kind: str = "response.output_text.delta") -> bytes:
    return event(kind, item_id="msg_1", output_index=0, content_index=0, delta=text, logprobs=[])


def ending(kind: str, status: str, **members: Any) -> bytes:
    response = {"id": "resp_1", "object": "response", "model": "up", "status": status, "output": [], **members}
    return event(kind, response=response)


CREATED = ending("response.created", "in_progress")


# Requests.


def test_a_request_is_read() -> None:
    body = (
        b'{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"u"},{"type":"input_file"}]},'
        b'{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"t"}]},"odd"],"stream":true}'
    ).replace(b',"odd"', b"")
    request: WireRequest = read_responses_request(body)
    assert (request.operation, request.model, request.is_stream, request.body) == (
        Operation.RESPONSES,
        "m",
        True,
        body,
    )
    assert request.modalities == {Modality.TEXT, Modality.IMAGE, Modality.FILE}
    assert request.edit("m") is body
    assert request.edit("up") == body.replace(b'"m"', b'"up"', 1)


def test_an_image_of_a_computer_is_an_image() -> None:
    body = (
        b'{"model":"m","input":[{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot",'
        b'"image_url":"u"}},{"type":"reasoning","content":{"type":1}}]}'
    )
    assert read_responses_request(body).modalities == {Modality.TEXT, Modality.IMAGE}


@pytest.mark.parametrize(
    ("members", "stored", "previous"),
    [
        (b"", True, None),
        (b',"store":null,"background":null', True, None),
        (b',"store":false,"background":false', False, None),
        (b',"previous_response_id":"resp_0"', True, "resp_0"),
    ],
)
def test_what_is_to_be_kept_is_read(members: bytes, stored: bool, previous: str | None) -> None:
    request = read_responses_request(b'{"model":"m","input":"a"%b}' % members)
    assert (request.is_stored, request.previous_response_id) == (stored, previous)


def test_an_answer_in_the_background_is_refused() -> None:
    with pytest.raises(RequestError, match="Leave 'background' out") as refusal:
        read_responses_request(b'{"model":"m","input":"a","background":true}')
    assert (refusal.value.status, refusal.value.param) == (400, "background")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b'{"model":"m","input":"a","input":"b"}', ErrorCode.INVALID_JSON, None),
        (b'{"model":"m","input":"a\xff"}', ErrorCode.INVALID_JSON, None),
        (b'{"input":"a"}', ErrorCode.MISSING_FIELD, "model"),
        (b'{"model":"m"}', ErrorCode.MISSING_FIELD, "input"),
        (b'{"model":"m","input":5}', ErrorCode.INVALID_REQUEST, "input"),
        (b'{"model":"m","input":["a"]}', ErrorCode.INVALID_REQUEST, "input"),
        (b'{"model":"m","input":"a","stream":1}', ErrorCode.INVALID_REQUEST, "stream"),
        (b'{"model":"m","input":"a","store":"no"}', ErrorCode.INVALID_REQUEST, "store"),
        (b'{"model":"m","input":"a","metadata":{"inhouse_a":[]}}', ErrorCode.INVALID_REQUEST, "metadata.inhouse_a"),
        (
            b'{"model":"m","input":"a","previous_response_id":"r","conversation":"c"}',
            ErrorCode.INVALID_REQUEST,
            "previous_response_id",
        ),
    ],
)
def test_a_malformed_request_is_refused_naming_the_field(body: bytes, code: ErrorCode, param: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        read_responses_request(body)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


def test_a_conversation_is_put_before_the_request_s_own_items() -> None:
    request = read_responses_request(b'{"model":"m","previous_response_id":"resp_0","input":"b\\n","store":true}')
    history = [b'{"role":"user","content":"a"}', b'{"type":"reasoning","id":"rs","summary":[]}']
    expanded = request.expand(history)
    assert expanded.body == (
        b'{"model":"m","previous_response_id":null,"input":[{"role":"user","content":"a"},{"type":"reasoning","id":"rs",'
        b'"summary":[]},{"type":"message","role":"user","content":[{"type":"input_text","text":"b\\n"}]}],"store":true}'
    )
    assert expanded.previous_response_id is None
    assert expanded.list_items() == [*history, *request.list_items()]


def test_a_request_may_have_no_items_of_its_own() -> None:
    request = read_responses_request(b'{"model":"m","previous_response_id":"resp_0"}')
    assert request.list_items() == []
    assert request.expand([b'{"role":"user","content":"a"}']).body == (
        b'{"model":"m","previous_response_id":null,"input":[{"role":"user","content":"a"}]}'
    )


# Whole replies.


def test_a_reply_is_metered() -> None:
    facts = read_responses_reply(
        b'{"object":"response","model":"up","status":"completed","output":[],"usage":%b}' % USAGE
    )
    assert facts is not None
    assert (facts.model, facts.finish_reason, facts.usage, facts.usage_basis, facts.is_error) == (
        "up",
        "completed",
        BUCKETS,
        UsageBasis.MEASURED,
        False,
    )


@pytest.mark.parametrize(
    ("usage", "basis"),
    [
        (b"null", UsageBasis.UNKNOWN),
        (b'{"input_tokens":5}', UsageBasis.UNKNOWN),
        (b'{"input_tokens":5,"output_tokens":1,"input_tokens_details":{"cached_tokens":6}}', UsageBasis.UNKNOWN),
        (b'{"input_tokens":5,"output_tokens":1,"output_tokens_details":{"reasoning_tokens":2}}', UsageBasis.UNKNOWN),
        (b'{"input_tokens":5,"output_tokens":1,"input_tokens_details":null}', UsageBasis.MEASURED),
    ],
)
def test_contradictory_or_missing_counts_are_unknown(usage: bytes, basis: UsageBasis) -> None:
    facts = read_responses_reply(b'{"output":[],"usage":%b}' % usage)
    assert facts is not None
    assert facts.usage_basis is basis
    assert (facts.usage is None) is (basis is UsageBasis.UNKNOWN)


def test_endings_that_are_no_full_answer_are_told_apart() -> None:
    cut = read_responses_reply(
        b'{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}'
    )
    filtered = read_responses_reply(
        b'{"status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[]}'
    )
    refused = read_responses_reply(
        b'{"status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":"no"}]}]}'
    )
    odd = read_responses_reply(b'{"status":"completed","output":[{"type":"x","content":"refusal"},{"type":"refusal"}]}')
    failed = read_responses_reply(b'{"status":"failed","error":{"code":"server_error","message":"m"},"output":[]}')
    assert cut is not None
    assert filtered is not None
    assert refused is not None
    assert odd is not None
    assert failed is not None
    assert (cut.finish_reason, cut.is_filtered) == ("max_output_tokens", False)
    assert (filtered.finish_reason, filtered.is_filtered) == ("content_filter", True)
    assert (refused.is_refusal, odd.is_refusal, failed.is_error) == (True, False, True)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"output":"x"}', b"[]"])
def test_what_is_no_reply_is_none(body: bytes) -> None:
    assert read_responses_reply(body) is None


def test_output_items_are_listed_as_they_are() -> None:
    assert list_output_items(b'{"output":[{"a": 1},{"b":[2]}]}') == [b'{"a": 1}', b'{"b":[2]}']
    with pytest.raises(ValueError, match="output"):
        list_output_items(b"{}")


# Streams.


def test_a_stream_is_metered_and_passes_byte_for_byte() -> None:
    meter: Meter = ResponsesMeter()
    events = [
        CREATED,
        event("response.in_progress", response={}),
        event("response.output_item.added", item={}),
        delta(""),
        delta("hm", "response.reasoning_text.delta"),
        delta("a"),
        b": ping\n\n",
        delta("b"),
        delta('{"x"', "response.function_call_arguments.delta"),
        ending("response.completed", "completed", usage=json.loads(USAGE)),
    ]
    results = [meter.feed(block, float(at)) for at, block in enumerate(events)]
    assert [passed for passed, _ in results] == events
    assert [progress for _, progress in results] == [False, False, True, True, True, True, False, True, True, True]
    assert (meter.num_chunks, meter.first_content_at, meter.last_content_at) == (4, 4.0, 8.0)
    assert (meter.is_done, meter.is_complete, meter.model, meter.finish_reason) == (True, True, "up", "completed")
    assert meter.settle() == (BUCKETS, UsageBasis.MEASURED)
    facts = meter.facts()
    assert (facts.is_error, facts.is_refusal, facts.is_filtered, facts.usage) == (False, False, False, BUCKETS)


def test_the_next_sequence_number_is_known_also_after_plain_events() -> None:
    meter = ResponsesMeter()
    meter.feed(CREATED + delta("a") + b": ping\n\n" + delta("b") + delta("c"), 0.0)
    assert meter.num_events == 4


def test_the_last_event_s_response_can_be_kept() -> None:
    meter = ResponsesMeter()
    meter.feed(ending("response.incomplete", "incomplete", incomplete_details={"reason": "content_filter"}), 0.0)
    assert meter.last_response is not None
    assert json.loads(meter.last_response)["status"] == "incomplete"
    assert (meter.is_complete, meter.facts().is_filtered) == (True, True)


@pytest.mark.parametrize(
    ("block", "is_done"),
    [
        (ending("response.failed", "failed", error={"code": "server_error", "message": "m"}), True),
        (event("error", code="server_error", message="m", param=None), False),
        (b'data: {"error":{"message":"m"}}\n\n', False),
    ],
)
def test_an_error_in_the_stream_is_no_complete_answer(block: bytes, is_done: bool) -> None:
    meter = ResponsesMeter()
    meter.feed(delta("a"), 0.0)
    assert meter.feed(block, 1.0) == (block, True)
    assert meter.error_event is not None
    assert b'"m"' in meter.error_event
    assert (meter.is_done, meter.is_complete, meter.facts().is_error) == (is_done, False, True)


def test_a_refusal_without_text_is_a_refusal() -> None:
    meter = ResponsesMeter()
    meter.feed(delta("no", "response.refusal.delta"), 0.0)
    assert meter.facts().is_refusal
    meter.feed(delta("but yes"), 0.0)
    assert not meter.facts().is_refusal


def test_events_without_a_name_and_servers_that_say_done_are_understood() -> None:
    meter = ResponsesMeter()
    for text in ("a", "b"):
        meter.feed(delta(text).split(b"\n", 1)[1], 0.0)
    meter.feed(b"data: [DONE]\n\n", 0.0)
    assert (meter.num_chunks, meter.is_complete) == (2, True)


@given(st.lists(st.text(max_size=8), max_size=8), st.booleans())
def test_however_events_come_together_the_count_is_the_same(texts: list[str], crlf: bool) -> None:
    events = [CREATED, *map(delta, texts), ending("response.completed", "completed")]
    if crlf:
        events = [block.replace(b"\n", b"\r\n") for block in events]
    one, many = ResponsesMeter(), ResponsesMeter()
    assert one.feed(b"".join(events), 0.0)[0] == b"".join(events)
    for block in events:
        many.feed(block, 0.0)
    num_texts = sum(1 for text in texts if text)
    assert (one.num_chunks, many.num_chunks, one.num_events, many.num_events) == (
        num_texts,
        num_texts,
        len(events),
        len(events),
    )


@given(st.binary(max_size=80))
def test_no_bytes_break_the_readers(data: bytes) -> None:
    line = data.replace(b"\n", b"").replace(b"\r", b"")
    ResponsesMeter().feed(b"event: response.output_text.delta\ndata: %b\n\n" % line, 0.0)
    read_responses_reply(data)
    try:
        request = read_responses_request(data)
    except RequestError:
        return
    assert request.expand([]).model == request.model


# The error that ends a broken stream.


def test_the_sdk_raises_on_the_error_event() -> None:
    content = CREATED + responses_error_event(502, "upstream_cut", "The endpoint broke off.", sequence_number=1)
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=content)
    )
    with httpx2.Client(transport=transport) as http:
        client = openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http)
        stream = client.responses.create(model="m", input="a", stream=True)
        assert next(stream).type == "response.created"
        with pytest.raises(openai.APIError, match="The endpoint broke off") as caught:
            next(stream)
    assert (caught.value.code, caught.value.type) == ("upstream_cut", "upstream_error")


def test_the_error_event_has_the_dialect_s_own_members_too() -> None:
    text = responses_error_event(504, "upstream_timeout", "Late.", "input", sequence_number=7)
    assert text.startswith(b"event: error\ndata: {")
    value = json.loads(text.split(b"data: ", 1)[1])
    assert value == {
        "type": "error",
        "sequence_number": 7,
        "code": "upstream_timeout",
        "message": "Late.",
        "param": "input",
        "error": {"message": "Late.", "type": "timeout_error", "param": "input", "code": "upstream_timeout"},
    }
