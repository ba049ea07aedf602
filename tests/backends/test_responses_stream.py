"""Chat streams become Responses streams that the real client's accumulator takes, numbered and in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.backends.responses import read_responses_request
from inhouse.backends.responses_meter import ResponsesMeter
from inhouse.backends.translate_responses import ResponsesToChat
from inhouse.domain import Usage, UsageBasis

REQUEST = b'{"model":"m","input":"hi","stream":true}'
DONE = b"data: [DONE]\n\n"
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}\n\n'


def chunk(finish_reason: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    value = {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "up", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(value).encode()


def call(index: int | None, arguments: str = "", **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
    return {"function": function, **({} if index is None else {"index": index}), **more}


def translate(*blocks: bytes) -> list[dict[str, Any]]:
    """The events' data, after a check that names and numbers are right."""
    translator = ResponsesToChat(read_responses_request(REQUEST))
    stream = b"".join(translator.translate_events(block) for block in blocks) + translator.finish()
    events = [json.loads(event.split(b"\ndata: ", 1)[1]) for event in stream.split(b"\n\n") if b"data: " in event]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert translator.num_events == len(events)
    assert translator.final_response is not None
    assert json.loads(translator.final_response) == events[-1]["response"]
    return events


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def accumulate(*blocks: bytes, **options: Any) -> Any:
    """What the real client's stream makes of the translated events."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        translator = ResponsesToChat(read_responses_request(request.content))
        assert json.loads(translator.build("up"))["stream"] is True

        def stream() -> Iterator[bytes]:
            for block in blocks:
                yield translator.translate_events(block)
            yield translator.finish()

        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream())

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        client = openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http)
        with client.responses.stream(model="m", input="hi", **options) as stream:
            snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
            return snapshots, stream.get_final_response()


def test_a_text_is_streamed_in_the_order_of_the_dialect() -> None:
    events = translate(
        chunk(role="assistant", content=""), chunk(content="He"), chunk(content="y"), chunk("stop"), USAGE, DONE
    )
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [events[number]["delta"] for number in (4, 5)] == ["He", "y"]
    assert events[6]["text"] == "Hey"
    assert (events[0]["response"]["status"], events[0]["response"]["output"]) == ("in_progress", [])
    last = events[-1]["response"]
    assert (last["status"], last["usage"]["total_tokens"], last["model"], last["created_at"]) == (
        "completed",
        13,
        "up",
        5,
    )
    assert last["output"] == [events[8]["item"]]


def test_the_sdk_accumulates_text_reasoning_and_parallel_calls() -> None:
    snapshots, response = accumulate(
        chunk(role="assistant", content=None, reasoning="think "),
        chunk(reasoning="hard"),
        chunk(content='He said "'),
        chunk(content="\u00e4\U0001f600\n"),
        chunk(tool_calls=[call(0, id="c1", type="function", name="look")]),
        chunk(tool_calls=[call(0, '{"a"'), call(1, '{"b":', id="c2", type="function", name="see")]),
        chunk(tool_calls=[call(1, "2}"), call(0, ":1}")]),
        chunk("tool_calls"),
        USAGE + DONE,
    )
    assert snapshots == ['He said "', 'He said "\u00e4\U0001f600\n']
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
    assert response.output[0].content[0].text == "think hard"
    assert response.output_text == 'He said "\u00e4\U0001f600\n'
    assert [(item.call_id, item.name, item.arguments) for item in response.output[2:]] == [
        ("c1", "look", '{"a":1}'),
        ("c2", "see", '{"b":2}'),
    ]
    assert (response.status, response.usage.input_tokens, response.usage.output_tokens) == ("completed", 9, 4)


def test_each_call_has_its_own_output_index() -> None:
    events = translate(
        chunk(content="a"),
        chunk(tool_calls=[call(0, "{}", id="c1", name="f"), call(1, "{}", id="c2", name="g")]),
        chunk("tool_calls"),
        DONE,
    )
    added = [(event["output_index"], event["item"]["type"]) for event in events if "item.added" in event["type"]]
    done = [event["output_index"] for event in events if "item.done" in event["type"]]
    deltas = [event["output_index"] for event in events if event["type"].endswith("arguments.delta")]
    assert added == [(0, "message"), (1, "function_call"), (2, "function_call")]
    assert (done, deltas) == ([0, 1, 2], [1, 2])


def test_servers_that_count_no_calls_are_understood() -> None:
    """Ollama gave every call the index 0 for long; some give none. A new id with a name is a new call."""
    for index in (0, None):
        events = translate(
            chunk(tool_calls=[call(index, "{}", id="c1", name="f")]),
            chunk(tool_calls=[call(index, '{"a":', id="c2", name="f")]),
            chunk(tool_calls=[call(index, "1}")]),
            chunk("tool_calls"),
        )
        output = events[-1]["response"]["output"]
        assert [(item["call_id"], item["arguments"]) for item in output] == [("c1", "{}"), ("c2", '{"a":1}')]


def test_a_call_without_a_name_is_an_error_of_the_endpoint() -> None:
    with pytest.raises(ValueError, match="begins without the function's name"):
        translate(chunk(tool_calls=[call(0, "{}", id="c1")]))


@pytest.mark.parametrize(
    ("finish_reason", "last", "reason", "status"),
    [
        ("length", "incomplete", {"reason": "max_output_tokens"}, "incomplete"),
        ("content_filter", "incomplete", {"reason": "content_filter"}, "incomplete"),
        ("abort", "failed", None, "incomplete"),
        ("stop", "completed", None, "completed"),
    ],
)
def test_the_last_event_says_how_the_answer_ended(
    finish_reason: str, last: str, reason: dict[str, str] | None, status: str
) -> None:
    events = translate(chunk(content="a"), chunk(finish_reason), DONE)
    response = events[-1]["response"]
    assert (kinds(events)[-1], response["status"], response["incomplete_details"]) == (last, last, reason)
    assert events[-2]["item"]["status"] == response["output"][0]["status"] == status


def test_an_answer_may_go_on_after_reasoning_and_turn_into_a_refusal() -> None:
    events = translate(
        chunk(content="a"), chunk(reasoning_content="hm"), chunk(content="b"), chunk(refusal="no"), chunk("stop"), DONE
    )
    first, thought, second = events[-1]["response"]["output"]
    assert [part["text"] for part in first["content"]] == ["a"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert [part["type"] for part in second["content"]] == ["output_text", "refusal"]
    parts = [(event["output_index"], event["content_index"]) for event in events if "part.added" in event["type"]]
    assert parts == [(0, 0), (1, 0), (2, 0), (2, 1)]


def test_an_empty_answer_is_an_empty_message() -> None:
    _, response = accumulate(chunk(role="assistant", content=""), chunk("stop"), DONE)
    assert (response.output_text, [item.type for item in response.output]) == ("", ["message"])


def test_a_stream_that_ends_without_done_is_finished_all_the_same() -> None:
    _, response = accumulate(chunk(content="a"), chunk("stop"), USAGE)
    assert (response.output_text, response.usage.total_tokens) == ("a", 13)


def test_nothing_follows_the_last_event() -> None:
    translator = ResponsesToChat(read_responses_request(REQUEST))
    assert b"response.completed" in translator.translate_events(chunk("stop", content="a") + DONE)
    assert translator.finish() == b""
    assert translator.translate_events(DONE) == b""


def test_comments_pass_and_errors_are_left_to_the_gateway() -> None:
    translator = ResponsesToChat(read_responses_request(REQUEST))
    assert translator.translate_events(b": ping\n\n") == b": ping\n\n"
    assert translator.translate_events(b'data: {"error":{"message":"m"}}\n\n') == b""
    with pytest.raises(ValueError):
        translator.translate_events(b"data: {not json\n\n")


def test_probabilities_come_with_their_text() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    value = json.loads(chunk(content="a")[6:])
    value["choices"][0]["logprobs"] = {"content": [token]}
    block = b"data: %b\n\n" % json.dumps(value).encode()
    events = translate(block, block, chunk("stop"), DONE)
    assert [event["logprobs"] for event in events if event["type"].endswith("text.delta")] == [[token], [token]]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == [token, token]


_DELTAS = st.one_of(
    st.text(max_size=6).map(lambda text: {"content": text}),
    st.text(max_size=6).map(lambda text: {"reasoning": text}),
    st.text(max_size=6).map(lambda text: {"refusal": text}),
    st.tuples(st.integers(0, 2), st.text(max_size=6)).map(lambda pair: {"call": pair}),
)


@given(deltas=st.lists(_DELTAS, max_size=12), finish_reason=st.sampled_from(["stop", "length", "tool_calls"]))
def test_no_character_is_lost_whatever_the_order(deltas: list[dict[str, Any]], finish_reason: str) -> None:
    """Texts of each kind and the arguments of each call, joined, are what the endpoint sent.

    And the meter of this dialect agrees with what was written.
    """
    blocks: list[bytes] = []
    sent: dict[Any, str] = {}
    for delta in deltas:
        if "call" in delta:
            index, text = delta["call"]
            is_new = index not in sent
            more = {"id": f"c{index}", "name": "f"} if is_new else {}
            blocks.append(chunk(tool_calls=[call(index, text, **more)]))
        else:
            ((index, text),) = delta.items()
            blocks.append(chunk(**delta))
        sent[index] = sent.get(index, "") + text
    translator = ResponsesToChat(read_responses_request(REQUEST))
    meter = ResponsesMeter()
    for block in [*blocks, chunk(finish_reason), USAGE + DONE]:
        meter.feed(translator.translate_events(block), 0.0)
    assert translator.final_response is not None
    output = json.loads(translator.final_response)["output"]
    got: dict[Any, str] = {}
    for item in output:
        if item["type"] == "function_call":
            got[int(item["call_id"][1:])] = item["arguments"]
        for part in item.get("content", ()):
            name = {"reasoning_text": "reasoning", "output_text": "content", "refusal": "refusal"}[part["type"]]
            got[name] = got.get(name, "") + part.get("text", part.get("refusal"))
    assert {name: text for name, text in got.items() if text} == {name: text for name, text in sent.items() if text}
    assert meter.num_chunks == sum(1 for delta in deltas if (delta.get("call") or (0, *delta.values()))[1])
    assert meter.num_events == translator.num_events
    assert (meter.is_complete, meter.settle()) == (
        True,
        (Usage(input_uncached=9, output_visible=4), UsageBasis.MEASURED),
    )
