"""The answer of a stream is that of the same reply unstreamed, however it is cut, and takes bounded memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.domain import Operation
from inhouse.telemetry import Answer, LogprobStats, StreamAnswer, ToolCall, read_answer


def gather(operation: Operation, events: Sequence[dict[str, Any] | bytes]) -> Answer:
    stream = StreamAnswer(operation)
    for event in events:
        stream.add_event(event if isinstance(event, bytes) else json.dumps(event).encode())
    answer = stream.finish()
    assert answer is not None
    return answer


def chunk(delta: dict[str, Any], finish: str | None = None, **changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish} | changes
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def tool(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments} | ({} if name is None else {"name": name})
    return {"tool_calls": [{"index": index, "function": function}]}


def test_a_chat_stream() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    logprobs = {"content": [{"logprob": -2.0, "top_logprobs": []}]}
    answer = gather(
        Operation.CHAT,
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "Grü"}, logprobs=logprobs),
            chunk({"content": "ße"}, logprobs=logprobs),
            chunk({"content": "other choice"}, index=1),
            chunk(tool(0, "", "f")),
            chunk(tool(1, "{}", "g")),
            chunk(tool(0, '{"a"')),
            chunk(tool(0, ":1}")),
            chunk({}, "tool_calls"),
            usage,
            b"[DONE]",
        ],
    )
    assert answer == Answer(
        text="Grüße",
        finish_reason="tool_calls",
        num_reasoning_chars=2,
        tool_calls=(ToolCall("f", '{"a":1}'), ToolCall("g", "{}")),
        logprobs=LogprobStats(2, -2000, 0, None),
    )


def test_a_completion_stream() -> None:
    events = [{"choices": [{"index": 0, "text": part, "finish_reason": None}]} for part in ("a", "b")]
    end = {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]}
    assert gather(Operation.COMPLETIONS, [*events, end]) == Answer(text="ab", finish_reason="length")


def test_a_messages_stream() -> None:
    def delta(index: int, **values: str) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": values}

    def start(index: int, **block: Any) -> dict[str, Any]:
        return {"type": "content_block_start", "index": index, "content_block": block}

    answer = gather(
        Operation.MESSAGES,
        [
            {"type": "message_start", "message": {"id": "m", "content": [], "stop_reason": None}},
            {"type": "ping"},
            start(0, type="thinking", thinking="", signature=""),
            delta(0, type="thinking_delta", thinking="hm"),
            delta(0, type="signature_delta", signature="x"),
            start(1, type="text", text=""),
            delta(1, type="text_delta", text="a"),
            delta(1, type="text_delta", text="b"),
            {"type": "content_block_stop", "index": 1},
            start(2, type="tool_use", id="1", name="f", input={}),
            delta(2, type="input_json_delta", partial_json=""),
            delta(2, type="input_json_delta", partial_json='{"a":'),
            delta(2, type="input_json_delta", partial_json="1}"),
            start(3, type="server_tool_use", id="2", name="web_search", input={}),
            delta(3, type="input_json_delta", partial_json='{"query":"x"}'),
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ],
    )
    assert answer == Answer(
        text="ab",
        finish_reason="tool_use",
        num_reasoning_chars=2,
        tool_calls=(ToolCall("f", '{"a":1}'),),
        has_other=True,
    )


def test_a_refused_messages_stream() -> None:
    event = {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_sequence": None}}
    assert gather(Operation.MESSAGES, [event]) == Answer(finish_reason="refusal", is_refusal=True)


def test_a_responses_stream() -> None:
    def item(index: int, **values: Any) -> dict[str, Any]:
        return {"type": "response.output_item.added", "output_index": index, "item": values}

    def text(delta: str) -> dict[str, Any]:
        logprobs = [{"token": "x", "logprob": -8.0, "top_logprobs": []}]
        return {"type": "response.output_text.delta", "output_index": 1, "delta": delta, "logprobs": logprobs}

    whole = {"status": "completed", "output": [{"type": "message", "content": []}], "incomplete_details": None}
    answer = gather(
        Operation.RESPONSES,
        [
            {"type": "response.created", "response": {"status": "in_progress", "output": []}},
            item(0, type="reasoning", summary=[]),
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"},
            item(1, type="message", content=[]),
            text("a"),
            text("b"),
            {"type": "response.output_text.done", "output_index": 1, "text": "ab"},
            item(2, type="function_call", name="f", arguments="", call_id="1"),
            {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a"'},
            {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ":1}"},
            {"type": "response.function_call_arguments.done", "output_index": 2, "arguments": '{"a":1}'},
            item(3, type="web_search_call", id="w"),
            {"type": "response.completed", "response": whole},
        ],
    )
    assert answer == Answer(
        text="ab",
        finish_reason="completed",
        num_reasoning_chars=2,
        tool_calls=(ToolCall("f", '{"a":1}'),),
        has_other=True,
        logprobs=LogprobStats(2, -8000, 1000, None),
    )


def test_a_cut_or_refused_responses_stream() -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert gather(Operation.RESPONSES, [{"type": "response.incomplete", "response": cut}]) == Answer(
        finish_reason="max_output_tokens"
    )
    assert gather(Operation.RESPONSES, [{"type": "response.refusal.delta", "delta": "No"}]) == Answer(is_refusal=True)


def test_a_stream_that_broke_off_has_no_finish_reason() -> None:
    assert gather(Operation.CHAT, [chunk({"content": "half"})]) == Answer(text="half")


@pytest.mark.parametrize("odd", [b"{", b"\xff", b"5", b'{"choices":5}', b'"\\ud800"'])
def test_an_event_that_cannot_be_read_is_left_out_and_said(odd: bytes) -> None:
    answer = gather(Operation.CHAT, [chunk({"content": "a"}), odd, chunk({"content": "b"}, "stop")])
    assert answer == Answer(text="ab", finish_reason="stop", is_partial=True)


def test_an_event_of_several_lines_is_one() -> None:
    data = json.dumps(chunk({"content": "a"}), indent=1).encode()
    assert b"\n" in data
    assert gather(Operation.CHAT, [data]) == Answer(text="a")


def test_operations_without_an_answer_in_words_give_none() -> None:
    stream = StreamAnswer(Operation.EMBEDDINGS)
    stream.add_event(b"{}")
    stream.add_text(b"a")
    assert stream.finish() is None


def test_the_answer_so_far_may_be_asked_for_again_and_again() -> None:
    stream = StreamAnswer(Operation.CHAT)
    stream.add_text(b"a")
    first = stream.finish()
    stream.add_text(b"b")
    assert (first, stream.finish()) == (Answer(text="a"), Answer(text="ab"))


@given(
    st.lists(st.text(max_size=40), max_size=30),
    st.data(),
    st.sampled_from(["stop", "length", None]),
)
def test_a_stream_gives_what_the_whole_reply_gives(parts: list[str], data: st.DataObject, finish: str | None) -> None:
    """Plain content as its escaped bytes or as events, in any mixture."""
    stream = StreamAnswer(Operation.CHAT)
    for part in parts:
        if data.draw(st.booleans()):
            stream.add_text(msgspec.json.encode(part)[1:-1])
        else:
            stream.add_event(json.dumps(chunk({"content": part}), ensure_ascii=data.draw(st.booleans())).encode())
    if finish is not None:
        stream.add_event(json.dumps(chunk({}, finish)).encode())
    message = {"message": {"content": "".join(parts)}, "finish_reason": finish}
    assert stream.finish() == read_answer(Operation.CHAT, json.dumps({"choices": [message]}).encode())


@given(st.sampled_from(list(Operation)), st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=20))
def test_nothing_that_comes_raises(operation: Operation, parts: list[tuple[bool, bytes]]) -> None:
    stream = StreamAnswer(operation)
    for is_text, part in parts:
        if is_text:
            stream.add_text(part)
        else:
            stream.add_event(part)
    answer = stream.finish()
    assert answer is None or isinstance(answer, Answer)


@pytest.mark.parametrize("is_event", [False, True])
def test_of_a_long_stream_the_ends_are_kept_in_bounded_memory(*, is_event: bool) -> None:
    stream = StreamAnswer(Operation.CHAT)
    stream.add_text(b"begin ")
    event = json.dumps(chunk({"content": "word "})).encode()
    most, most_pieces = 0, 0
    for number in range(30_000):
        if is_event:
            stream.add_event(event)
        else:
            stream.add_text(b"word ")
        if number % 300 == 0:
            most = max(most, len(stream._pending) + sum(map(len, stream._draft._texts)))
            most_pieces = max(most_pieces, len(stream._draft._texts))
    stream.add_event(json.dumps(chunk({"content": "end"}, "stop")).encode())
    answer = stream.finish()
    assert answer is not None
    assert most < 128 * 1024
    assert most_pieces <= 64
    assert answer.is_partial
    assert len(answer.text) + answer.num_left_out == 6 + 150_000 + 3
    assert answer.text.startswith("begin word")
    assert answer.text.endswith("word end")


def test_tool_calls_without_end_are_bounded() -> None:
    stream = StreamAnswer(Operation.CHAT)
    for index in range(200):
        stream.add_event(json.dumps(chunk(tool(index, "x" * 1000, "f"))).encode())
    answer = stream.finish()
    assert answer is not None
    assert (len(answer.tool_calls), answer.is_partial) == (128, True)
    assert sum(len(call.arguments or "") for call in answer.tool_calls) <= 65_536
