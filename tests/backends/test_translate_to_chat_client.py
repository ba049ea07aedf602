"""Anthropic's replies and streams, as OpenAI's own SDK reads them after translation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.translated import (
    block,
    chat_to_messages,
    datas,
    message_end,
    message_start,
    messages_event,
    read_chat_reply,
    read_chat_stream,
    translated,
)

TEXT = {"type": "text", "text": ""}
THINKING = {"type": "thinking", "thinking": "", "signature": ""}


def text_delta(text: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": text}


def json_delta(part: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": part}


def use(call_id: str, name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}}


def run(*events: bytes, **request: Any) -> bytes:
    return translated(chat_to_messages(stream=True, **request), b"".join(events))


WITH_USAGE = {"stream_options": {"include_usage": True}}


# Streams.


def test_text_is_told_event_by_event() -> None:
    stream = run(
        message_start(),
        messages_event("ping"),
        block(0, TEXT, text_delta("Hel"), text_delta(""), text_delta("lo")),
        message_end("end_turn"),
    )
    assert b": ping\n\n" in stream
    assert stream.endswith(b"\n\ndata: [DONE]\n\n")
    assert [data["choices"][0]["delta"] for data in datas(stream)] == [
        {"role": "assistant"},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    completion, events = read_chat_stream(stream)
    assert [event.delta for event in events if event.type == "content.delta"] == ["Hel", "lo"]
    assert (completion.id, completion.model, completion.usage) == ("msg_1", "claude-x", None)
    assert completion.choices[0].message.content == "Hello"
    assert completion.choices[0].finish_reason == "stop"


def test_a_delta_is_told_as_soon_as_it_comes() -> None:
    translator = chat_to_messages(stream=True)
    translator.translate_events(message_start() + messages_event("content_block_start", index=0, content_block=TEXT))
    for text in ("a", "b", "c"):
        told = translator.translate_events(messages_event("content_block_delta", index=0, delta=text_delta(text)))
        assert datas(told)[0]["choices"][0]["delta"] == {"content": text}


def test_reasoning_then_text_then_parallel_calls() -> None:
    stream = run(
        message_start(),
        block(
            0,
            THINKING,
            {"type": "thinking_delta", "thinking": 'Let "me'},
            {"type": "thinking_delta", "thinking": " see."},
            {"type": "signature_delta", "signature": "sig=="},
        ),
        block(1, {"type": "redacted_thinking", "data": "xyz"}),
        block(2, TEXT, text_delta("I look.")),
        block(3, use("toolu_a", "weather"), json_delta(""), json_delta('{"city":'), json_delta(' "Rome"}')),
        block(4, use("toolu_b", "now"), json_delta("")),
        message_end("tool_use"),
    )
    choice = read_chat_stream(stream)[0].choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "I look."
    extra = choice.message.model_extra
    assert extra is not None
    assert extra["reasoning_content"] == 'Let "me see.'
    assert extra["thinking_blocks"] == [
        {"index": 0, "type": "thinking", "thinking": 'Let "me see.', "signature": "sig=="},
        {"index": 1, "type": "redacted_thinking", "data": "xyz"},
    ]
    calls = choice.message.tool_calls
    assert calls is not None
    assert [(call.id, call.function.name, call.function.arguments) for call in calls if call.type == "function"] == [
        ("toolu_a", "weather", '{"city": "Rome"}'),
        ("toolu_b", "now", "{}"),
    ]


def test_the_streamed_answer_can_be_sent_back_with_its_reasoning() -> None:
    stream = run(
        message_start(),
        block(0, THINKING, {"type": "thinking_delta", "thinking": "Hm"}, {"type": "signature_delta", "signature": "s"}),
        block(1, use("toolu_a", "now"), json_delta("{}")),
        message_end("tool_use"),
    )
    answer = read_chat_stream(stream)[0].choices[0].message.model_dump(exclude_none=True)
    for call in answer["tool_calls"]:
        call["function"].pop("parsed_arguments", None)
    result = {"role": "tool", "tool_call_id": "toolu_a", "content": "noon"}
    messages = [{"role": "user", "content": "time?"}, answer, result]
    sent = json.loads(chat_to_messages(messages=messages).build("m"))
    assert sent["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "tool_use", "id": "toolu_a", "name": "now", "input": {}},
    ]


def test_calls_are_counted_from_zero_and_may_come_to_and_fro() -> None:
    def part(index: int, text: str) -> bytes:
        return messages_event("content_block_delta", index=index, delta=json_delta(text))

    stream = run(
        message_start(),
        block(0, TEXT, text_delta("a")),
        messages_event("content_block_start", index=1, content_block=use("a", "f")),
        messages_event("content_block_start", index=2, content_block=use("b", "g")),
        *(part(1, '{"x"'), part(2, '{"y"'), part(1, ":1}"), part(2, ":2}")),
        messages_event("content_block_stop", index=1),
        messages_event("content_block_stop", index=2),
        message_end("tool_use"),
    )
    deltas = [data["choices"][0]["delta"] for data in datas(stream)]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert [call["index"] for call in calls] == [0, 1, 0, 1, 0, 1]
    assert calls[1] == {
        "index": 1,
        "id": "b",
        "type": "function",
        "function": {"name": "g", "arguments": ""},
    }
    told = read_chat_stream(stream)[0].choices[0].message.tool_calls
    assert told is not None
    assert [call.function.arguments for call in told if call.type == "function"] == ['{"x":1}', '{"y":2}']


def test_an_input_that_came_with_the_announcement_is_told() -> None:
    announced = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
    stream = run(message_start(), block(0, announced), message_end("tool_use"))
    told = read_chat_stream(stream)[0].choices[0].message.tool_calls
    assert told is not None
    assert [call.function.arguments for call in told if call.type == "function"] == ['{"x":1}']


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
    ],
)
def test_stop_reasons(stop_reason: str, finish_reason: str) -> None:
    stream = run(message_start(), block(0, TEXT, text_delta("a")), message_end(stop_reason))
    assert read_chat_stream(stream)[0].choices[0].finish_reason == finish_reason


def test_a_stop_sequence_is_named_as_vllm_names_it() -> None:
    stream = run(message_start(), message_end("stop_sequence", stop_sequence="END"))
    assert datas(stream)[-1]["choices"][0]["stop_reason"] == "END"


def test_a_refusal_brings_its_explanation() -> None:
    details = {"stop_details": {"type": "refusal", "category": "bio", "explanation": "Not this."}}
    message = read_chat_stream(run(message_start(), message_end("refusal", delta=details)))[0].choices[0].message
    assert (message.content, message.refusal) == (None, "Not this.")


def test_usage_is_one_chunk_before_the_end_for_those_who_ask() -> None:
    usage = {"output_tokens": 40, "output_tokens_details": {"thinking_tokens": 25}}
    events = (
        message_start(input_tokens=5, cache_read_input_tokens=100, cache_creation_input_tokens=20, output_tokens=1),
        block(0, TEXT, text_delta("a")),
        message_end("end_turn", usage=usage),
    )
    completion, _ = read_chat_stream(run(*events, **WITH_USAGE))
    assert completion.usage is not None
    assert completion.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 125,
        "completion_tokens": 40,
        "total_tokens": 165,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 25},
    }
    assert datas(run(*events, **WITH_USAGE))[-1]["choices"] == []
    assert not any("usage" in data for data in datas(run(*events)))


def test_a_later_report_replaces_the_earlier_counts_and_keeps_the_rest() -> None:
    end = message_end("end_turn", usage={"input_tokens": 11, "output_tokens": 3, "cache_read_input_tokens": 0})
    completion, _ = read_chat_stream(run(message_start(input_tokens=5, output_tokens=1), end, **WITH_USAGE))
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (11, 3)
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.prompt_tokens_details.cached_tokens == 0


def test_the_end_may_come_in_two_reports() -> None:
    late = messages_event("message_delta", delta={}, usage={"output_tokens": 9})
    end = message_end("end_turn").replace(b"event: message_stop", late + b"event: message_stop")
    stream = run(message_start(input_tokens=5, output_tokens=1), end, **WITH_USAGE)
    assert [data["choices"][0]["finish_reason"] for data in datas(stream)[:-1]] == [None, "stop"]
    assert datas(stream)[-1]["usage"]["completion_tokens"] == 9
    assert "prompt_tokens_details" not in datas(stream)[-1]["usage"]


def test_a_stream_without_usage_ends_without_one() -> None:
    start = messages_event("message_start", message={"id": "msg_1", "model": "claude-x", "content": []})
    end = messages_event("message_delta", delta={"stop_reason": "end_turn"})
    stream = run(start, end, **WITH_USAGE)
    assert [len(data["choices"]) for data in datas(stream)] == [1, 1]
    assert stream.endswith(b"data: [DONE]\n\n")


def test_the_end_is_told_once_and_only_after_a_finish() -> None:
    translator = chat_to_messages(stream=True)
    assert translator.finish() == b""
    translator.translate_events(message_start())
    assert translator.finish() == b""
    assert translator.translate_events(message_end("end_turn")).endswith(b"data: [DONE]\n\n")
    assert translator.finish() == b""


def test_an_error_inside_the_stream_and_unknown_events_are_not_translated() -> None:
    translator = chat_to_messages(stream=True)
    assert translator.translate_events(b": alive\n\n" + messages_event("ping")) == b""
    assert translator.translate_events(messages_event("error", error={"type": "overloaded_error"})) == b""
    assert translator.translate_events(messages_event("event_of_tomorrow")) == b""


@pytest.mark.parametrize(
    "events",
    [
        b"data: <html>\n\n",
        messages_event("message_start"),
        message_start() + message_start(),
        messages_event("content_block_start", index=0, content_block=TEXT),
        message_start() + messages_event("content_block_start", index=0),
        message_start() + messages_event("content_block_delta", index=0, delta=text_delta("a")),
        message_start() + messages_event("content_block_stop", index=0),
        message_start() + block(0, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
        message_start() + block(0, TEXT, {"type": "citations_delta", "citation": {}}),
        message_start() + block(0, {"type": "text", "text": 5}),
        message_start() + message_end("pause_turn"),
        message_end("end_turn"),
    ],
)
def test_what_is_not_of_the_dialect_or_cannot_be_said_is_an_error(events: bytes) -> None:
    with pytest.raises(ValueError, match="the endpoint"):
        chat_to_messages(stream=True).translate_events(events)


WORDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(['"', "\\", '\\"}', "\n\n", "data: "]),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(WORDS, st.lists(st.integers(1, 400)), st.booleans(), st.booleans())
def test_text_arrives_as_it_was_sent_however_the_bytes_are_cut(
    words: list[str], sizes: list[int], is_crlf: bool, has_names: bool
) -> None:
    """Also on the short way for events that differ in their text alone, and without event names."""
    source = message_start() + block(0, TEXT, *(text_delta(word) for word in words)) + message_end("end_turn")
    if not has_names:
        lines = source.split(b"\n")
        source = b"\n".join(line for line in lines if not line.startswith(b"event: "))
    if is_crlf:
        source = source.replace(b"\n", b"\r\n")
    stream = translated(chat_to_messages(stream=True), source, sizes)
    told = [data["choices"][0]["delta"].get("content") for data in datas(stream)]
    assert told == [None, *(word for word in words if word), None]
    assert stream.endswith(b"data: [DONE]\n\n")


# Whole replies.


def whole(*content: dict[str, Any], stop_reason: str | None = "end_turn", **fields: Any) -> bytes:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 40},
        **fields,
    }
    return json.dumps(body).encode()


def replied(body: bytes) -> Any:
    return read_chat_reply(chat_to_messages().translate_reply(body))


def test_a_whole_reply() -> None:
    completion = replied(
        whole(
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "xyz"},
            {"type": "text", "text": "Hel"},
            {"type": "text", "text": "lo", "citations": None},
            {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {"x": 1.5}},
            stop_reason="tool_use",
        )
    )
    choice = completion.choices[0]
    assert (completion.id, completion.model, choice.finish_reason) == ("msg_1", "claude-x", "tool_calls")
    assert (choice.message.content, choice.message.refusal) == ("Hello", None)
    assert choice.message.model_extra == {
        "reasoning_content": "Hm",
        "thinking_blocks": [
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "xyz"},
        ],
    }
    call = choice.message.tool_calls[0]
    assert (call.id, call.function.name, call.function.arguments) == ("toolu_a", "f", '{"x": 1.5}')
    assert completion.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 105,
        "completion_tokens": 40,
        "total_tokens": 145,
        "prompt_tokens_details": {"cached_tokens": 100},
    }


def test_reasoning_of_another_model_has_no_proof_to_give_back() -> None:
    message = replied(whole({"type": "thinking", "thinking": "Hm", "signature": ""})).choices[0].message
    assert message.model_extra == {"reasoning_content": "Hm"}
    assert message.content is None


def test_a_whole_refusal_and_a_whole_stop_sequence() -> None:
    details = {"type": "refusal", "explanation": "Not this."}
    refusal = replied(whole(stop_reason="refusal", stop_details=details)).choices[0]
    assert (refusal.finish_reason, refusal.message.refusal) == ("content_filter", "Not this.")
    body = chat_to_messages().translate_reply(whole(stop_reason="stop_sequence", stop_sequence="END", usage=None))
    stopped = json.loads(body)
    assert stopped["choices"][0]["stop_reason"] == "END"
    assert "usage" not in stopped


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"type":"error","error":{"type":"api_error","message":"boom"}}',
        whole(stop_reason=None),
        whole(stop_reason="pause_turn"),
        whole({"type": "server_tool_use"}),
        whole({"type": "text", "text": 5}),
        whole({"type": "tool_use", "id": "a", "name": "f", "input": "x"}),
    ],
)
def test_a_reply_that_is_not_one_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="the endpoint"):
        chat_to_messages().translate_reply(body)
