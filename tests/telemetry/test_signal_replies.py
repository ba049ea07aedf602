"""Answers are read out of whole replies of every dialect as the SDKs read them, and nothing else is an answer."""

from __future__ import annotations

import json
from typing import Any

import anthropic.types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from inhouse.domain import Operation
from inhouse.telemetry import Answer, LogprobStats, ToolCall, read_answer

CHAT_BASE: dict[str, Any] = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
TOKEN: dict[str, Any] = {"token": "x", "bytes": []}


def chat(message: dict[str, Any], **choice: Any) -> bytes:
    values = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"} | choice
    return json.dumps(CHAT_BASE | {"choices": [values]}).encode()


def call(name: str, arguments: str, call_id: str = "1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (chat({"content": "Grüße 😀\n"}), Answer(text="Grüße 😀\n", finish_reason="stop")),
        (
            chat({"content": "a", "refusal": None, "annotations": [], "audio": None}),
            Answer(text="a", finish_reason="stop"),
        ),
        (chat({"content": "a"}, finish_reason="length"), Answer(text="a", finish_reason="length")),
        (chat({"content": None}), Answer(finish_reason="stop")),
        (
            chat({"content": None, "reasoning_content": "hm hm"}),
            Answer(finish_reason="stop", num_reasoning_chars=5),
        ),
        (chat({"content": "a", "reasoning": "hm"}), Answer(text="a", finish_reason="stop", num_reasoning_chars=2)),
        (chat({"content": "a", "reasoning": {"odd": 1}}), Answer(text="a", finish_reason="stop")),
        (chat({"content": None, "refusal": "No."}), Answer(finish_reason="stop", is_refusal=True)),
        (
            chat({"content": None, "audio": {"id": "a", "data": "", "expires_at": 1, "transcript": "t"}}),
            Answer(finish_reason="stop", has_other=True),
        ),
        (
            chat(
                {"content": None, "tool_calls": [call("f", '{"a":1}'), call("g", "", "2")]}, finish_reason="tool_calls"
            ),
            Answer(finish_reason="tool_calls", tool_calls=(ToolCall("f", '{"a":1}'), ToolCall("g", ""))),
        ),
        (
            chat(
                {"content": None, "tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "c", "input": "x"}}]}
            ),
            Answer(finish_reason="stop", tool_calls=(ToolCall("c"),)),
        ),
        (
            chat({"content": None, "function_call": {"name": "f", "arguments": "{}"}}, finish_reason="function_call"),
            Answer(finish_reason="function_call", tool_calls=(ToolCall("f", "{}"),)),
        ),
    ],
)
def test_a_chat_reply(body: bytes, expected: Answer) -> None:
    assert read_answer(Operation.CHAT, body) == expected
    sdk = ChatCompletion.model_validate_json(body).choices[0]
    assert (sdk.message.content or "", sdk.finish_reason) == (expected.text, expected.finish_reason)


def test_shapes_of_other_engines_are_read_too() -> None:
    parts = chat({"content": [{"type": "text", "text": "a"}, {"type": "thinking"}, {"type": "text", "text": "b"}]})
    assert read_answer(Operation.CHAT, parts) == Answer(text="ab", finish_reason="stop")
    value = chat({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1]}}}]})
    assert read_answer(Operation.CHAT, value) == Answer(finish_reason="stop", tool_calls=(ToolCall("f", '{"a":[1]}'),))


def test_of_several_choices_the_first_is_read() -> None:
    choices = [
        {"index": index, "message": {"content": text}, "finish_reason": "stop"} for index, text in ((1, "b"), (0, "a"))
    ]
    body = json.dumps(CHAT_BASE | {"choices": choices}).encode()
    assert read_answer(Operation.CHAT, body) == Answer(text="a", finish_reason="stop")


LOGPROBS = [
    {**TOKEN, "logprob": -0.5, "top_logprobs": [{**TOKEN, "logprob": -0.5}, {**TOKEN, "logprob": -1.5}]},
    {**TOKEN, "logprob": -9999.0, "top_logprobs": [{**TOKEN, "logprob": -0.25}, {**TOKEN, "logprob": -0.75}]},
]


def test_log_probabilities_of_a_chat_reply() -> None:
    """Minus 9999 stands for "unlikely" and is taken as minus 100."""
    body = chat({"content": "ab"}, logprobs={"content": LOGPROBS, "refusal": None})
    answer = read_answer(Operation.CHAT, body)
    assert answer is not None
    assert answer.logprobs == LogprobStats(num_tokens=2, mean=-50250, low_share=500, margin=750)


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {"content": None},
        {"content": []},
        {"content": [{"token": "a"}]},
        {"content": "odd"},
        [5],
        {"token_logprobs": [None]},
        {},
    ],
)
def test_log_probabilities_that_are_not_there_are_absent(logprobs: object) -> None:
    answer = read_answer(Operation.CHAT, chat({"content": "a"}, logprobs=logprobs))
    assert answer == Answer(text="a", finish_reason="stop")


def test_no_more_than_4096_tokens_are_looked_at() -> None:
    tokens = [{"logprob": -1.0}] * 4096 + [{"logprob": -50.0}] * 100
    answer = read_answer(Operation.CHAT, chat({"content": "a"}, logprobs={"content": tokens}))
    assert answer is not None
    assert answer.logprobs == LogprobStats(num_tokens=4096, mean=-1000, low_share=0, margin=None)


def test_a_completion_reply() -> None:
    logprobs = {
        "tokens": ["a", "b"],
        "token_logprobs": [-6.0, -1.0],
        "top_logprobs": [{"a": -6.0, "x": -0.5}],
        "text_offset": [0, 1],
    }
    choice = {"index": 0, "text": "ab", "finish_reason": "length", "logprobs": logprobs}
    body = json.dumps(CHAT_BASE | {"object": "text_completion", "choices": [choice]}).encode()
    sdk = Completion.model_validate_json(body)
    assert read_answer(Operation.COMPLETIONS, body) == Answer(
        text=sdk.choices[0].text, finish_reason="length", logprobs=LogprobStats(2, -3500, 500, 5500)
    )


def test_the_first_token_of_an_echoed_prompt_has_no_log_probability() -> None:
    logprobs = {"token_logprobs": [None, -2.0], "top_logprobs": [None, {"b": -2.0, "x": None}]}
    body = json.dumps({"choices": [{"text": "ab", "finish_reason": "stop", "logprobs": logprobs}]}).encode()
    answer = read_answer(Operation.COMPLETIONS, body)
    assert answer is not None
    assert answer.logprobs == LogprobStats(num_tokens=1, mean=-2000, low_share=0, margin=None)


def message(content: list[dict[str, Any]], stop_reason: str = "end_turn") -> bytes:
    usage = {"input_tokens": 1, "output_tokens": 1}
    values = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None, "usage": usage}
    return json.dumps(values | {"content": content, "stop_reason": stop_reason}).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (message([{"type": "text", "text": "a"}]), Answer(text="a", finish_reason="end_turn")),
        (message([]), Answer(finish_reason="end_turn")),
        (message([{"type": "text", "text": "a"}], "max_tokens"), Answer(text="a", finish_reason="max_tokens")),
        (
            message([{"type": "text", "text": "No."}], "refusal"),
            Answer(text="No.", finish_reason="refusal", is_refusal=True),
        ),
        (message([], "refusal"), Answer(finish_reason="refusal", is_refusal=True)),
        (
            message(
                [
                    {"type": "thinking", "thinking": "hm", "signature": ""},
                    {"type": "redacted_thinking", "data": ""},
                    {"type": "text", "text": "a"},
                    {"type": "tool_use", "id": "1", "name": "f", "input": {"b": 1}},
                    {"type": "tool_use", "id": "2", "name": "f", "input": {}},
                ],
                "tool_use",
            ),
            Answer(
                text="a",
                finish_reason="tool_use",
                num_reasoning_chars=2,
                tool_calls=(ToolCall("f", '{"b": 1}'), ToolCall("f", "{}")),
            ),
        ),
        (
            message([{"type": "server_tool_use", "id": "1", "name": "web_search", "input": {}}]),
            Answer(finish_reason="end_turn", has_other=True),
        ),
    ],
)
def test_a_message_reply(body: bytes, expected: Answer) -> None:
    assert read_answer(Operation.MESSAGES, body) == expected
    sdk = anthropic.types.Message.model_validate_json(body)
    assert "".join(block.text for block in sdk.content if block.type == "text") == expected.text
    assert sdk.stop_reason == expected.finish_reason


def response(output: list[dict[str, Any]], **changes: Any) -> bytes:
    values = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed", "tools": []}
    rest = {"parallel_tool_calls": True, "tool_choice": "auto", "incomplete_details": None, "output": output}
    return json.dumps(values | rest | changes).encode()


def says(text: str, **changes: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []} | changes
    return {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (response([says("a")]), Answer(text="a", finish_reason="completed")),
        (response([says("a"), says("b")]), Answer(text="ab", finish_reason="completed")),
        (
            response([says("a", logprobs=LOGPROBS)]),
            Answer(text="a", finish_reason="completed", logprobs=LogprobStats(2, -50250, 500, 750)),
        ),
        (
            response([says("a")], status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            Answer(text="a", finish_reason="max_output_tokens"),
        ),
        (response([], status="incomplete"), Answer(finish_reason="incomplete")),
        (response([], status="in_progress"), Answer()),
        (
            response(
                [
                    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}]},
                    {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"a":1}'},
                    {"type": "custom_tool_call", "call_id": "2", "name": "c", "input": "x"},
                ]
            ),
            Answer(
                finish_reason="completed",
                num_reasoning_chars=2,
                tool_calls=(ToolCall("f", '{"a":1}'), ToolCall("c")),
            ),
        ),
        (
            response([{"type": "image_generation_call", "id": "i", "status": "completed", "result": ""}]),
            Answer(finish_reason="completed", has_other=True),
        ),
        (
            response(
                [
                    {
                        "type": "message",
                        "id": "m",
                        "role": "assistant",
                        "status": "completed",
                        "content": [{"type": "refusal", "refusal": "No."}],
                    }
                ]
            ),
            Answer(finish_reason="completed", is_refusal=True),
        ),
    ],
)
def test_a_response(body: bytes, expected: Answer) -> None:
    assert read_answer(Operation.RESPONSES, body) == expected
    assert Response.model_validate_json(body).output_text == expected.text


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.COMPLETIONS, Operation.MESSAGES, Operation.RESPONSES])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b'{"choices":[]}',
        b'{"choices":[{"index":0}]}',
        b'{"choices":[{"message":5}]}',
        b'{"error":{"message":"no"}}',
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b"[" * 100_000,
        b'{"type":"error","error":{}}',
    ],
)
def test_what_is_no_reply_is_no_answer(operation: Operation, body: bytes) -> None:
    assert read_answer(operation, body) is None


def test_embeddings_have_no_answer_in_words() -> None:
    assert read_answer(Operation.EMBEDDINGS, b'{"data":[]}') is None
    assert read_answer(Operation.COUNT_TOKENS, b'{"input_tokens":1}') is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("choices", "message", "content", "text", "tool_calls", "function", "name", "arguments", "index"),
                    *("finish_reason", "logprobs", "output", "type", "summary", "input", "delta", "refusal", "audio"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(st.sampled_from(list(Operation)), JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50))
def test_no_body_is_too_odd(operation: Operation, body: bytes) -> None:
    answer = read_answer(operation, body)
    assert answer is None or isinstance(answer, Answer)
