"""Responses clients served from chat endpoints: requests and whole replies, every member carried over or refused."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel

from inhouse.backends.quirks import ENGINE_QUIRKS
from inhouse.backends.responses import read_responses_reply, read_responses_request
from inhouse.backends.translate_responses import ResponsesToChat, name_member
from inhouse.backends.wire import Translator, UntranslatableError
from inhouse.domain import EngineKind, ErrorCode, RequestError, Usage

FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
CHAT_FUNCTION = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, "strict": True}}


def build(
    input_: Any = "hi", engine: EngineKind = EngineKind.VLLM, history: list[bytes] | None = None, **members: Any
) -> dict[str, Any]:
    """The chat request's body for a Responses request."""
    body = json.dumps({"model": "m", "input": input_, **members}).encode()
    translator: Translator = ResponsesToChat(
        read_responses_request(body), history=history, quirks=ENGINE_QUIRKS[engine]
    )
    return json.loads(translator.build("up"))


def messages(*items: dict[str, Any], engine: EngineKind = EngineKind.VLLM) -> list[dict[str, Any]]:
    return build(list(items), engine)["messages"]


def call(name: str, call_id: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": "{}",
        "id": "fc",
        "status": "completed",
    }


def chat_call(name: str, call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": "{}"}}


def reasoning(text: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}


# Requests.


def test_the_plain_request() -> None:
    assert build(instructions="Be brief.") == {
        "model": "up",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
    }


def test_a_stream_asks_for_its_usage() -> None:
    chat = build(stream=True, stream_options={"include_obfuscation": False})
    assert (chat["stream"], chat["stream_options"]) == (True, {"include_usage": True})


def test_settings_are_carried_over() -> None:
    chat = build(
        temperature=0.5,
        top_p=0.25,
        max_output_tokens=64,
        parallel_tool_calls=False,
        user="u",
        service_tier="flex",
        prompt_cache_key="k",
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_object"}, "verbosity": "low"},
        tools=[FUNCTION],
        tool_choice={"type": "function", "name": "look"},
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        top_logprobs=3,
        metadata={"a": "b"},
        store=True,
        truncation="disabled",
        background=False,
        max_tool_calls=4,
        moderation=None,
    )
    del chat["messages"]
    assert chat == {
        "model": "up",
        "temperature": 0.5,
        "top_p": 0.25,
        "max_completion_tokens": 64,
        "parallel_tool_calls": False,
        "user": "u",
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "verbosity": "low",
        "tools": [CHAT_FUNCTION],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "logprobs": True,
        "top_logprobs": 3,
    }


@pytest.mark.parametrize(
    ("engine", "field"),
    [
        (EngineKind.VLLM, "max_completion_tokens"),
        (EngineKind.OLLAMA, "max_tokens"),
        (EngineKind.TGI, "max_tokens"),
        (EngineKind.GENERIC, "max_tokens"),
    ],
)
def test_the_cap_goes_where_the_server_reads_it(engine: EngineKind, field: str) -> None:
    assert build(engine=engine, max_output_tokens=5)[field] == 5


def test_a_schema_keeps_its_numbers_and_order() -> None:
    body = (
        b'{"model":"m","input":"a","text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":'
        b'{"maximum":1e400,"b":12345678901234567890123,"a":1.50}}}}'
    )
    chat = ResponsesToChat(read_responses_request(body)).build("up")
    assert b'"schema":{"maximum":1e400,"b":12345678901234567890123,"a":1.50}' in chat
    assert b'"response_format":{"type":"json_schema","json_schema":{"name":"n",' in chat


def test_plain_text_is_no_format() -> None:
    assert "response_format" not in build(text={"format": {"type": "text"}})


def test_a_choice_among_allowed_tools_leaves_only_these() -> None:
    other = FUNCTION | {"name": "other", "description": "d", "strict": None, "allowed_callers": ["direct"]}
    chat = build(
        tools=[FUNCTION, other],
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "other"}]},
    )
    described = {"name": "other", "description": "d", "parameters": {"type": "object"}}
    assert (chat["tools"], chat["tool_choice"]) == ([{"type": "function", "function": described}], "required")


def test_without_tools_nothing_is_said_of_them() -> None:
    chat = build(tools=[], tool_choice="auto", parallel_tool_calls=True)
    assert set(chat) == {"model", "messages"}


def test_contents_become_chat_parts() -> None:
    assert messages(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "what?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
                {"type": "input_file", "file_data": "data:x", "filename": "a.pdf"},
                {"type": "input_audio", "input_audio": {"data": "QQ", "format": "wav"}},
            ],
        }
    ) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}},
                {"type": "input_audio", "input_audio": {"data": "QQ", "format": "wav"}},
            ],
        }
    ]


def test_texts_that_are_alone_become_strings() -> None:
    one = {"role": "user", "content": [{"type": "input_text", "text": "a"}]}
    two = {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}
    assert messages(one, two) == [
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]


def test_system_texts_at_the_beginning_are_one_message() -> None:
    """Many chat templates take only one, and only there."""
    items = [
        {"role": "developer", "content": [{"type": "input_text", "text": "b"}, {"type": "input_text", "text": "c"}]},
        {"role": "user", "content": "q"},
        {"role": "system", "content": "d"},
    ]
    assert build(items, instructions="a")["messages"] == [
        {"role": "system", "content": "a\n\nb\n\nc"},
        {"role": "user", "content": "q"},
        {"role": "system", "content": "d"},
    ]


def test_a_loop_of_tools_is_one_assistant_s_message_per_turn() -> None:
    answer = {
        "type": "message",
        "role": "assistant",
        "id": "msg",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Let me look.", "annotations": [], "logprobs": []}],
    }
    result = {"type": "function_call_output", "call_id": "c1", "output": "3"}
    parts = {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "4"}]}
    assert messages(
        {"role": "user", "content": "q"}, reasoning("hm"), answer, call("f", "c1"), call("g", "c2"), result, parts
    ) == [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "reasoning": "hm",
            "content": "Let me look.",
            "tool_calls": [chat_call("f", "c1"), chat_call("g", "c2")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        {"role": "tool", "tool_call_id": "c2", "content": "4"},
    ]


@pytest.mark.parametrize(
    ("engine", "field"),
    [(EngineKind.VLLM, "reasoning"), (EngineKind.SGLANG, "reasoning_content"), (EngineKind.OLLAMA, "reasoning")],
)
def test_reasoning_goes_where_the_server_reads_it(engine: EngineKind, field: str) -> None:
    found = messages(reasoning("a"), call("f", "c1"), reasoning("b"), call("g", "c2"), engine=engine)
    assert found == [
        {
            "role": "assistant",
            "content": None,
            field: "a\n\nb",
            "tool_calls": [chat_call("f", "c1"), chat_call("g", "c2")],
        }
    ]


def test_reasoning_alone_is_a_turn_and_an_empty_one_is_none() -> None:
    summary = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "s"}]}
    empty = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": None}
    assert messages(summary, {"role": "user", "content": "q"}, empty) == [
        {"role": "assistant", "content": "", "reasoning": "s"},
        {"role": "user", "content": "q"},
    ]


def test_answers_that_follow_each_other_stay_apart_and_refusals_are_kept() -> None:
    refusal = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    assert messages({"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}, refusal) == [
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "assistant", "content": "", "refusal": "no"},
    ]


def test_history_goes_before_the_request_s_own_items() -> None:
    chat = build("b", previous_response_id="resp_0", history=[b'{"role":"user","content":"a"}'], instructions="i")
    assert [message["content"] for message in chat["messages"]] == ["i", "a", "b"]


def test_an_item_of_the_history_that_chat_cannot_take_names_the_reference() -> None:
    with pytest.raises(UntranslatableError, match="web_search_call") as caught:
        build(previous_response_id="resp_0", history=[b'{"type":"web_search_call","id":"ws"}'])
    assert caught.value.param == "previous_response_id"


ITEM = "input[0]"


@pytest.mark.parametrize(
    ("param", "members"),
    [
        *[
            (f"tools[1].{field}", {"tools": [FUNCTION, tool]})
            for field, tool in [
                ("type", {"type": "web_search"}),
                ("type", {"type": "file_search", "vector_store_ids": ["v"]}),
                ("type", {"type": "computer"}),
                ("type", {"type": "mcp", "server_label": "s"}),
                ("type", {"type": "custom", "name": "c"}),
                ("defer_loading", FUNCTION | {"defer_loading": True}),
                ("allowed_callers", FUNCTION | {"allowed_callers": ["programmatic"]}),
                ("async", FUNCTION | {"async": True}),
                ("output_schema", FUNCTION | {"output_schema": {}}),
            ]
        ],
        ("tool_choice.type", {"tools": [FUNCTION], "tool_choice": {"type": "web_search_preview"}}),
        ("truncation", {"truncation": "auto"}),
        ("conversation", {"conversation": "conv_1"}),
        ("previous_response_id", {"previous_response_id": "resp_0"}),
        ("prompt", {"prompt": {"id": "p"}}),
        ("context_management", {"context_management": []}),
        ("include[1]", {"include": ["reasoning.encrypted_content", "file_search_call.results"]}),
        ("reasoning.summary", {"reasoning": {"summary": "detailed"}}),
        ("reasoning.mode", {"reasoning": {"mode": "pro"}}),
        ("reasoning.other", {"reasoning": {"other": 1}}),
        ("text.format.type", {"text": {"format": {"type": "grammar"}}}),
        ("text.format.more", {"text": {"format": {"type": "json_object", "more": 1}}}),
        ("stream_options.include_obfuscation", {"stream_options": {"include_obfuscation": True}}),
        ("unheard_of", {"unheard_of": 0}),
        *[
            (param, {"input_": [item]})
            for param, item in [
                (f"{ITEM}.type", {"type": "item_reference", "id": "msg_1"}),
                (f"{ITEM}.type", {"type": "computer_call_output", "call_id": "c", "output": {}}),
                (f"{ITEM}.type", {"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "i"}),
                (f"{ITEM}.encrypted_content", {"type": "reasoning", "summary": [], "encrypted_content": "x"}),
                (f"{ITEM}.namespace", call("f", "c") | {"namespace": "n"}),
                (f"{ITEM}.caller", call("f", "c") | {"caller": {"type": "program", "caller_id": "p"}}),
                (f"{ITEM}.phase", {"role": "assistant", "content": "a", "phase": "commentary"}),
                (f"{ITEM}.other", {"role": "user", "content": "a", "other": {}}),
                (
                    f"{ITEM}.output[1].type",
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": [{"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": "u"}],
                    },
                ),
                (f"{ITEM}.content", {"role": "assistant", "content": [{"type": "input_image", "image_url": "u"}]}),
                *[
                    (f"{ITEM}.content[0].{field}", {"role": "user", "content": [part]})
                    for field, part in [
                        ("type", {"type": "input_video"}),
                        ("file_id", {"type": "input_image", "file_id": "f"}),
                        ("file_url", {"type": "input_file", "file_url": "u"}),
                        ("detail", {"type": "input_file", "file_data": "d", "detail": "high"}),
                        ("other", {"type": "input_text", "text": "t", "other": 1}),
                        ("annotations", {"type": "output_text", "text": "t", "annotations": [{"type": "file_path"}]}),
                    ]
                ],
            ]
        ],
    ],
)
def test_what_chat_cannot_carry_is_refused_naming_the_path(param: str, members: dict[str, Any]) -> None:
    with pytest.raises(UntranslatableError) as caught:
        build(**members)
    assert (caught.value.param, caught.value.status, caught.value.code) == (param, 400, ErrorCode.INVALID_REQUEST)


def test_reasoning_is_refused_where_the_server_takes_none() -> None:
    with pytest.raises(UntranslatableError) as caught:
        build([reasoning("a")], EngineKind.TGI)
    assert caught.value.param == f"{ITEM}.type"


@pytest.mark.parametrize(
    ("param", "members"),
    [
        ("tools", {"tools": {}}),
        ("tools[0]", {"tools": [5]}),
        ("tools[0].name", {"tools": [{"type": "function"}]}),
        ("tool_choice", {"tool_choice": "any"}),
        ("tool_choice", {"tool_choice": "required"}),
        (
            "tool_choice.tools",
            {
                "tools": [FUNCTION],
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "x"}]},
            },
        ),
        ("instructions", {"instructions": ["a"]}),
        (f"{ITEM}.role", {"input_": [{"role": "tool", "content": "a"}]}),
        (f"{ITEM}.content", {"input_": [{"role": "user"}]}),
        (f"{ITEM}.content", {"input_": [{"role": "user", "content": 5}]}),
        (f"{ITEM}.call_id", {"input_": [{"type": "function_call_output", "output": "a"}]}),
        (f"{ITEM}.output", {"input_": [{"type": "function_call_output", "call_id": "c"}]}),
    ],
)
def test_a_malformed_field_is_the_request_s_own_fault(param: str, members: dict[str, Any]) -> None:
    """No other endpoint could serve it, so it is not taken for a lack of this one."""
    with pytest.raises(RequestError) as caught:
        build(**members)
    assert not isinstance(caught.value, UntranslatableError)
    assert (caught.value.param, caught.value.status) == (param, 400)


# Whole replies.

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 5}}


def reply(message: dict[str, Any], finish_reason: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    value = {"id": "c", "object": "chat.completion", "created": 1763925240, "model": "up", "choices": [choice]}
    return json.dumps(value | {"usage": USAGE} | more).encode()


def translate(body: bytes, **members: Any) -> dict[str, Any]:
    request = read_responses_request(json.dumps({"model": "m", "input": "hi", **members}).encode())
    translator = ResponsesToChat(request)
    translated = translator.translate_reply(body)
    assert translator.final_response == translated
    return json.loads(translated)


def test_the_sdk_reads_a_translated_reply() -> None:
    """Through the real client: text, two calls, reasoning, usage, and what the request said."""
    body = reply(
        {
            "content": "Hi!",
            "reasoning_content": "greet",
            "tool_calls": [chat_call("look", "c1"), chat_call("look", "c2")],
        },
        "tool_calls",
    )

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/v1/responses"
        translator = ResponsesToChat(read_responses_request(request.content))
        assert json.loads(translator.build("up"))["model"] == "up"
        return httpx2.Response(
            200, content=translator.translate_reply(body), headers={"content-type": "application/json"}
        )

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        client = openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http)
        response = client.responses.create(
            model="m",
            input="hi",
            instructions="Be kind.",
            tools=[{"type": "function", "name": "look", "parameters": {}, "strict": False}],
            metadata={"a": "b"},
            max_output_tokens=50,
        )
    assert (response.status, response.output_text, response.model) == ("completed", "Hi!", "up")
    assert (response.instructions, response.metadata, response.max_output_tokens) == ("Be kind.", {"a": "b"}, 50)
    assert response.created_at == 1763925240
    assert response.id.startswith("resp_")
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
    assert [item.call_id for item in response.output if item.type == "function_call"] == ["c1", "c2"]
    assert len({item.id for item in response.output}) == 4
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (9, 4, 13)
    assert response.usage.input_tokens_details.cached_tokens == 5


def test_structured_output_is_parsed_by_the_sdk() -> None:
    class Ticket(BaseModel):
        team: str

    def answer(request: httpx2.Request) -> httpx2.Response:
        translator = ResponsesToChat(read_responses_request(request.content))
        chat = json.loads(translator.build("up"))
        assert chat["response_format"]["json_schema"]["name"] == "Ticket"
        assert chat["response_format"]["json_schema"]["strict"] is True
        return httpx2.Response(200, content=translator.translate_reply(reply({"content": '{"team":"billing"}'})))

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        client = openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=http)
        parsed = client.responses.parse(model="m", input="hi", text_format=Ticket).output_parsed
    assert parsed == Ticket(team="billing")


@pytest.mark.parametrize(
    ("finish_reason", "status", "details", "last"),
    [
        ("stop", "completed", None, "completed"),
        ("eos_token", "completed", None, "completed"),
        (None, "completed", None, "completed"),
        ("length", "incomplete", {"reason": "max_output_tokens"}, "incomplete"),
        ("content_filter", "incomplete", {"reason": "content_filter"}, "incomplete"),
        ("abort", "failed", None, "incomplete"),
    ],
)
def test_the_status_says_how_the_answer_ended(
    finish_reason: str | None, status: str, details: dict[str, str] | None, last: str
) -> None:
    response = translate(reply({"content": "a"}, finish_reason))
    assert (response["status"], response["incomplete_details"], response["output"][-1]["status"]) == (
        status,
        details,
        last,
    )
    assert (response["error"] is None) is (status != "failed")


def test_a_reply_of_reasoning_alone_has_no_message() -> None:
    response = translate(reply({"content": None, "reasoning": "hm"}, "length"))
    assert [item["type"] for item in response["output"]] == ["reasoning"]


def test_an_empty_reply_is_an_empty_message() -> None:
    (item,) = translate(reply({"content": ""}))["output"]
    assert item["content"] == [{"type": "output_text", "text": "", "annotations": [], "logprobs": []}]


def test_a_refusal_is_a_refusal() -> None:
    response = translate(reply({"content": None, "refusal": "No."}))
    assert response["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_arguments_given_as_an_object_become_text_and_a_missing_id_is_made() -> None:
    """Both are TGI's ways."""
    calls = [{"type": "function", "function": {"name": "look", "arguments": {"a": "ä"}}}]
    (item,) = translate(reply({"content": None, "tool_calls": calls}, "tool_calls"))["output"]
    assert json.loads(item["arguments"]) == {"a": "ä"}
    assert item["call_id"].startswith("call_")


def test_probabilities_are_carried_over() -> None:
    tokens = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
    body = json.loads(reply({"content": "a"}))
    body["choices"][0]["logprobs"] = {"content": tokens, "refusal": None}
    response = translate(json.dumps(body).encode(), include=["message.output_text.logprobs"])
    assert response["output"][0]["content"][0]["logprobs"] == tokens


def test_usage_that_is_not_reported_is_null() -> None:
    assert translate(reply({"content": "a"}, usage=None))["usage"] is None


def test_what_the_client_reads_meters_as_what_the_endpoint_said() -> None:
    request = read_responses_request(b'{"model":"m","input":"hi"}')
    facts = read_responses_reply(ResponsesToChat(request).translate_reply(reply({"content": "a"})))
    assert facts is not None
    assert facts.usage == Usage(input_uncached=4, cache_read=5, output_visible=4)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b'{"choices":[]}', b'{"choices":[{}]}', b'{"choices":[{"message":{"tool_calls":[{}]}}]}'],
)
def test_what_is_no_chat_reply_is_an_error_of_the_endpoint(body: bytes) -> None:
    with pytest.raises(ValueError):
        translate(body)


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("messages[2].content[0].image_url.detail", b"{}", "input"),
        ("max_tokens", b"{}", "max_output_tokens"),
        ("max_completion_tokens", b"{}", "max_output_tokens"),
        ("response_format.json_schema.description", b"{}", "text.format.description"),
        ("response_format.type", b"{}", "text.format.type"),
        ("verbosity", b"{}", "text.verbosity"),
        ("reasoning_effort", b"{}", "reasoning.effort"),
        ("tools[3].function.strict", b"{}", "tools[3].strict"),
        ("tool_choice.function.name", b"{}", "tool_choice.name"),
        ("logprobs", b'{"include":["message.output_text.logprobs"]}', "include"),
        ("logprobs", b'{"top_logprobs":2}', "top_logprobs"),
        ("temperature", b"{}", "temperature"),
        ("messages_of_mine", b"{}", "messages_of_mine"),
    ],
)
def test_a_chat_field_is_named_as_the_client_wrote_it(path: str, body: bytes, name: str) -> None:
    assert name_member(path, body) == name
