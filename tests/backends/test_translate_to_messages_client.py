"""An OpenAI-compatible endpoint's replies and streams, as Anthropic's own SDK reads them after translation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.translated import (
    DONE,
    USAGE,
    call,
    chunk,
    datas,
    messages_to_chat,
    read_messages_reply,
    read_messages_stream,
    translated,
)


def blocks_of(stream: bytes) -> list[dict[str, Any]]:
    message, _ = read_messages_stream(stream)
    return [block.model_dump(exclude_none=True) for block in message.content]


def run(*chunks: bytes, **request: Any) -> bytes:
    return translated(messages_to_chat(stream=True, **request), b"".join(chunks))


ROLE = chunk({"role": "assistant", "content": ""})
END = chunk({}, "stop") + chunk(usage=USAGE) + DONE


# Streams.


def test_text_is_told_event_by_event() -> None:
    stream = run(ROLE, chunk({"content": "Hel"}), chunk({"content": "lo"}), END)
    assert [data["type"] for data in datas(stream)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    message, events = read_messages_stream(stream)
    assert (message.id, message.model, message.role) == ("chatcmpl-1", "gpt-x", "assistant")
    assert [event.text for event in events if event.type == "text"] == ["Hel", "lo"]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (30, 12)


def test_a_chunk_is_told_as_soon_as_it_comes() -> None:
    translator = messages_to_chat(stream=True)
    assert b"message_start" in translator.translate_events(ROLE)
    for text in ("a", "b", "c", "d"):
        event = translator.translate_events(chunk({"content": text}))
        assert datas(event)[-1]["delta"] == {"type": "text_delta", "text": text}


def test_reasoning_then_text_then_calls_become_blocks_in_order() -> None:
    stream = run(
        ROLE,
        chunk({"reasoning_content": "Let me "}),
        chunk({"reasoning_content": "see.", "reasoning": "see."}),
        chunk({"content": "\n"}),
        chunk({"content": "I look."}),
        chunk(call(0, id="call_a", name="weather")),
        chunk(call(0, '{"city":')),
        chunk(call(0, '"Rome"}')),
        chunk(call(1, '{"city":"Oslo"}', id="call_b", name="weather")),
        chunk({}, "tool_calls"),
        chunk(usage=USAGE),
        DONE,
    )
    assert blocks_of(stream) == [
        {"type": "thinking", "thinking": "Let me see.", "signature": ""},
        {"type": "text", "text": "\nI look."},
        {"type": "tool_use", "id": "call_a", "name": "weather", "input": {"city": "Rome"}},
        {"type": "tool_use", "id": "call_b", "name": "weather", "input": {"city": "Oslo"}},
    ]
    assert read_messages_stream(stream)[0].stop_reason == "tool_use"


def test_reasoning_may_have_either_name() -> None:
    assert blocks_of(run(ROLE, chunk({"reasoning": "Hm"}), chunk({"content": "Hi"}), END)) == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "Hi"},
    ]


def test_reasoning_is_left_out_where_the_client_wants_none_shown() -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    stream = run(ROLE, chunk({"reasoning": "Hm"}), chunk({"content": "Hi"}), END, thinking=thinking)
    assert blocks_of(stream) == [{"type": "text", "text": "Hi"}]


INTERLEAVED = (
    chunk(call(0, id="a", name="f")),
    chunk(call(1, id="b", name="g")),
    chunk(call(0, '{"x"')),
    chunk(call(1, '{"y":')),
    chunk({"content": "meanwhile"}),
    chunk(call(0, ":1}")),
    chunk(call(1, "2}")),
    chunk(call(0, " ")),
    chunk({"content": " done"}),
)
INTERLEAVED_BLOCKS = [
    {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
    {"type": "tool_use", "id": "b", "name": "g", "input": {"y": 2}},
    {"type": "text", "text": "meanwhile done"},
]


def test_calls_that_come_to_and_fro_are_told_one_after_the_other() -> None:
    stream = run(*INTERLEAVED, chunk({}, "tool_calls"), chunk(usage=USAGE), DONE)
    assert blocks_of(stream) == INTERLEAVED_BLOCKS
    order = [data["index"] for data in datas(stream) if "index" in data]
    assert order == sorted(order)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_mix_of_texts_and_calls_arrives_whole_and_in_sequence(data: st.DataObject) -> None:
    """Whatever the order of the parts: each call's arguments, and the text, are what was sent; blocks never overlap."""
    arguments = {0: '{"a":{"b":[1,2]}}', 1: "{}", 2: '{"c":"}"}'}
    parts: list[tuple[int, str]] = []
    for number, text in arguments.items():
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
        pieces = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        parts += [(number, piece) for piece in pieces]
    texts = [(9, piece) for piece in data.draw(st.lists(st.sampled_from(["x", '"', "\\", "\n"]), max_size=4))]
    order = data.draw(st.permutations([number for number, _ in parts + texts]))
    waiting = {number: [piece for owner, piece in parts + texts if owner == number] for number in (0, 1, 2, 9)}
    chunks: list[bytes] = []
    begun: set[int] = set()
    for number in order:
        piece = waiting[number].pop(0)
        if number == 9:
            chunks.append(chunk({"content": piece}))
        elif number in begun:
            chunks.append(chunk(call(number, piece)))
        else:
            begun.add(number)
            chunks.append(chunk(call(number, piece, id=f"id{number}", name="f")))
    stream = run(ROLE, *chunks, END)
    seen = blocks_of(stream)
    assert {entry["id"]: entry["input"] for entry in seen if entry["type"] == "tool_use"} == {
        f"id{number}": json.loads(text) for number, text in arguments.items()
    }
    assert "".join(entry["text"] for entry in seen if entry["type"] == "text") == "".join(text for _, text in texts)
    order_told = [entry["index"] for entry in datas(stream) if "index" in entry]
    assert order_told == sorted(order_told)


def test_a_call_without_arguments_has_an_empty_input() -> None:
    stream = run(ROLE, chunk(call(0, id="a", name="now")), chunk(call(1, "{}", id="b", name="now")), END)
    assert blocks_of(stream) == [
        {"type": "tool_use", "id": "a", "name": "now", "input": {}},
        {"type": "tool_use", "id": "b", "name": "now", "input": {}},
    ]


@pytest.mark.parametrize("index", [0, None])
def test_calls_that_share_an_index_are_told_apart_by_their_ids(index: int | None) -> None:
    stream = run(
        ROLE,
        chunk(call(index, '{"x":1}', id="a", name="f")),
        chunk(call(index, '{"y"', id="b", name="g")),
        chunk(call(index, ":2}")),
        END,
    )
    assert blocks_of(stream) == [
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {"y": 2}},
    ]


def test_an_id_and_name_that_are_repeated_begin_no_second_call() -> None:
    parts = [chunk(call(0, part, id="a", name="f")) for part in ("", '{"x"', ":1}")]
    assert blocks_of(run(ROLE, *parts, END)) == [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}]


def test_a_choice_or_a_call_may_say_nothing() -> None:
    silent = b'data: {"choices":[{"index":0}]}\n\n'
    nameless = chunk({"tool_calls": [{"index": 0}]})
    stream = run(silent, chunk(call(0, "{}", id="a", name="f")), nameless, END)
    assert blocks_of(stream) == [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]


def test_a_call_without_an_id_gets_one() -> None:
    (block,) = blocks_of(run(ROLE, chunk(call(0, "{}", name="f")), END))
    assert block["id"].startswith("toolu_")


@pytest.mark.parametrize(
    ("finish_reason", "stop_reason"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal")],
)
def test_finish_reasons(finish_reason: str, stop_reason: str) -> None:
    stream = run(ROLE, chunk({"content": "a"}), chunk({}, finish_reason), DONE)
    assert read_messages_stream(stream)[0].stop_reason == stop_reason


def test_stop_with_calls_means_tool_use() -> None:
    """What OpenAI itself says where the client chose the one function."""
    message, _ = read_messages_stream(run(ROLE, chunk(call(0, "{}", id="a", name="f")), END))
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize("member", ["stop_reason", "matched_stop"])
def test_a_stop_sequence_that_the_engine_names_is_told(member: str) -> None:
    for value, expected in (
        ("END", ("stop_sequence", "END")),
        (151645, ("end_turn", None)),
        (None, ("end_turn", None)),
    ):
        ending = {"index": 0, "delta": {}, "finish_reason": "stop", member: value}
        message, _ = read_messages_stream(run(ROLE, chunk({"content": "a"}), chunk(choices=[ending]), DONE))
        assert (message.stop_reason, message.stop_sequence) == expected


def test_a_refusal_is_text_and_a_refusal() -> None:
    stream = run(ROLE, chunk({"refusal": "I can"}), chunk({"refusal": "not."}), END)
    assert blocks_of(stream) == [{"type": "text", "text": "I cannot."}]
    assert read_messages_stream(stream)[0].stop_reason == "refusal"


DETAILED = {
    **USAGE,
    "prompt_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([chunk({}, "stop"), chunk(usage=USAGE), DONE], (30, None, None, 12)),
        ([chunk({}, "stop"), chunk(usage=DETAILED), DONE], (10, 16, 4, 12)),
        ([chunk({}, "stop", usage=USAGE), DONE], (30, None, None, 12)),
        (
            [
                chunk({"content": "b"}, usage={"prompt_tokens": 30, "completion_tokens": 1}),
                chunk({}, "stop", usage=USAGE),
            ],
            (30, None, None, 12),
        ),
        ([chunk({}, "stop"), DONE], (0, None, None, 0)),
        ([chunk({}, "stop")], (0, None, None, 0)),
        ([DONE], (0, None, None, 0)),
    ],
)
def test_usage_comes_with_the_end_wherever_the_endpoint_puts_it(chunks: list[bytes], expected: tuple[Any, ...]) -> None:
    """0 stands for what was not reported: Anthropic's clients must be given numbers."""
    stream = run(ROLE, chunk({"content": "a"}), *chunks)
    kinds = [data["type"] for data in datas(stream)]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("message_delta") == 1
    usage = read_messages_stream(stream)[0].usage
    assert (
        usage.input_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
        usage.output_tokens,
    ) == expected


def test_reasoning_tokens_are_told() -> None:
    usage = read_messages_stream(run(ROLE, chunk({}, "stop"), chunk(usage=DETAILED), DONE))[0].usage
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 5


def test_details_without_a_count_say_nothing() -> None:
    empty = {**USAGE, "prompt_tokens_details": {}, "completion_tokens_details": {}}
    usage = read_messages_stream(run(ROLE, chunk({}, "stop"), chunk(usage=empty), DONE))[0].usage
    assert usage.model_dump(exclude_none=True) == {"input_tokens": 30, "output_tokens": 12}


def test_details_that_contradict_their_total_are_left_out() -> None:
    wrong = {**USAGE, "prompt_tokens_details": {"cached_tokens": 31}}
    usage = read_messages_stream(run(ROLE, chunk({}, "stop"), chunk(usage=wrong), DONE))[0].usage
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (30, None)


def test_the_end_is_told_once_however_often_it_is_said() -> None:
    translator = messages_to_chat(stream=True)
    told = translated(translator, ROLE + chunk({}, "stop", usage=USAGE) + chunk(usage=USAGE) + DONE + DONE)
    assert [data["type"] for data in datas(told)] == ["message_start", "message_delta", "message_stop"]
    assert translator.finish() == b""


def test_nothing_is_finished_that_never_began_or_never_said_so() -> None:
    translator = messages_to_chat(stream=True)
    assert translator.finish() == b""
    translator.translate_events(DONE)
    translator.translate_events(ROLE + chunk({"content": "half an ans"}))
    assert translator.finish() == b""


def test_comments_become_pings_once_the_message_has_begun() -> None:
    stream = run(b": alive\n\n", ROLE, b": alive\n\n", chunk({"content": "a"}), END)
    assert [data["type"] for data in datas(stream)][:3] == ["message_start", "ping", "content_block_start"]
    assert blocks_of(stream) == [{"type": "text", "text": "a"}]


def test_an_error_inside_the_stream_is_not_translated() -> None:
    translator = messages_to_chat(stream=True)
    assert translator.translate_events(b'data: {"error":{"message":"boom"}}\n\n') == b""


def test_azures_first_chunk_begins_nothing() -> None:
    first = chunk(choices=[], id="", model="", prompt_filter_results=[])
    message, _ = read_messages_stream(run(first, ROLE, chunk({"content": "a"}), END))
    assert (message.id, message.model) == ("chatcmpl-1", "gpt-x")


def test_a_stream_without_ids_gets_one() -> None:
    message, _ = read_messages_stream(run(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', DONE))
    assert message.id.startswith("msg_")


@pytest.mark.parametrize(
    "events",
    [
        [b"data: <html>\n\n"],
        [b'data: {"choices":[{"delta":{"content":["a"]}}]}\n\n'],
        [b'data: {"choices":[{"index":1,"delta":{}}]}\n\n'],
        [b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}\n\n'],
        [b'data: {"choices":[{"delta":{"function_call":{"name":"f"}}}]}\n\n'],
        [chunk({}, "new_reason"), DONE],
        [chunk({}, "stop", usage=USAGE), chunk({"content": "more"})],
        [chunk(call(0, "{}", id="a", name="f")), chunk(call(1, "{}", id="b", name="f")), chunk(call(0, "more"))],
    ],
)
def test_what_is_not_of_the_dialect_is_an_error(events: list[bytes]) -> None:
    translator = messages_to_chat(stream=True)
    *before, last = events
    for event in before:
        translator.translate_events(event)
    with pytest.raises(ValueError, match="the endpoint"):
        translator.translate_events(last)


WORDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(['"', "\\", '\\"}', "\n\n", "data: ", "gpt-x"]),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(WORDS, st.lists(st.integers(1, 400)), st.booleans(), st.booleans())
def test_text_arrives_as_it_was_sent_however_the_bytes_are_cut(
    words: list[str], sizes: list[int], is_crlf: bool, is_spaced: bool
) -> None:
    """Also on the short way for events that differ in their text alone."""
    chunks = [chunk({"content": word}) for word in words]
    if is_spaced:
        chunks = [b"data: %b\n\n" % json.dumps(datas(event)[0]).encode() for event in chunks]
    source = b"".join((ROLE, *chunks, END))
    if is_crlf:
        source = source.replace(b"\n", b"\r\n")
    stream = translated(messages_to_chat(stream=True), source, sizes)
    told = [data["delta"]["text"] for data in datas(stream) if data["type"] == "content_block_delta"]
    assert told == [word for word in words if word]
    assert datas(stream)[-1] == {"type": "message_stop"}


# Whole replies.


def whole(message: dict[str, Any], finish_reason: str | None = "stop", **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-x",
            "choices": [choice],
            "usage": DETAILED,
            **fields,
        }
    ).encode()


def replied(body: bytes, **request: Any) -> Any:
    return read_messages_reply(messages_to_chat(**request).translate_reply(body))


def test_a_whole_reply() -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.50}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    body = whole({"content": "Hi", "reasoning_content": "Hm", "refusal": None, "tool_calls": calls}, "tool_calls")
    message = replied(body)
    assert [block.model_dump(exclude_none=True) for block in message.content] == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.5}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]
    assert (message.id, message.model, message.stop_reason) == ("chatcmpl-1", "gpt-x", "tool_use")
    assert message.usage.model_dump(exclude_none=True) == {
        "input_tokens": 10,
        "cache_read_input_tokens": 16,
        "cache_creation_input_tokens": 4,
        "output_tokens": 12,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    hidden = replied(body, thinking={"type": "adaptive", "display": "omitted"})
    assert [block.type for block in hidden.content] == ["text", "tool_use", "tool_use"]


def test_a_whole_refusal_and_a_whole_stop_sequence() -> None:
    refusal = replied(whole({"content": None, "refusal": "No."}))
    assert (refusal.content[0].text, refusal.stop_reason) == ("No.", "refusal")
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": ""},
        "finish_reason": "stop",
        "stop_reason": "END",
    }
    stopped = replied(whole({}, choices=[choice], usage=None))
    assert (stopped.content, stopped.stop_reason, stopped.stop_sequence) == ([], "stop_sequence", "END")
    assert (stopped.usage.input_tokens, stopped.usage.output_tokens) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"error":{"message":"boom"}}',
        b'{"choices":[]}',
        whole({"content": "a"}, None),
        whole({"content": 5}),
        whole({"content": "a"}, "new_reason"),
        whole({"content": "a", "function_call": {"name": "f"}}),
        whole({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{broken"}}]}),
        whole({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[]"}}]}),
        whole({"tool_calls": [{"id": "a", "function": {}}]}),
        whole({}, choices=[{"message": {}, "finish_reason": "stop"}, {"message": {}, "finish_reason": "stop"}]),
    ],
)
def test_a_reply_that_is_not_one_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        messages_to_chat().translate_reply(body)
