"""Anthropic requests → chat completions: what is carried over, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParams
from pydantic import TypeAdapter

from backends.translated import HELLO, built, messages_to_chat
from inhouse.backends.anthropic import read_messages_request
from inhouse.backends.translate import MessagesToChat
from inhouse.backends.wire import UntranslatableError
from inhouse.domain import ErrorCode

PARAMS: TypeAdapter[Any] = TypeAdapter(CompletionCreateParams)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "Says it.", "input_schema": SCHEMA}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
PLAIN = {"model": "their-model", "max_completion_tokens": 100, "messages": HELLO}
CACHED = {"cache_control": {"type": "ephemeral"}}


def carried(**fields: Any) -> dict[str, Any]:
    """The request that is built, without what every one of them has."""
    body = built(messages_to_chat(**fields))
    PARAMS.validate_python({"stream": False, **body})
    return {name: value for name, value in body.items() if PLAIN.get(name) != value}


def refused(**fields: Any) -> UntranslatableError:
    with pytest.raises(UntranslatableError) as caught:
        messages_to_chat(**fields).build("their-model")
    assert (caught.value.status, caught.value.code) == (400, ErrorCode.INVALID_REQUEST)
    assert caught.value.param
    assert caught.value.param in str(caught.value)
    return caught.value


def turns(*messages: dict[str, Any]) -> list[Any]:
    return carried(messages=[*messages]).get("messages", HELLO)


def test_a_plain_request_keeps_its_cap_under_the_endpoints_name() -> None:
    assert built(messages_to_chat()) == PLAIN
    request = read_messages_request(b'{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"hello"}]}')
    assert built(MessagesToChat(request, cap_field="max_tokens")) == {
        "model": "their-model",
        "max_tokens": 100,
        "messages": HELLO,
    }


def test_a_stream_asks_for_its_usage() -> None:
    assert carried(stream=True) == {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"stop_sequences": ["END"]}, {"stop": ["END"]}),
        ({"stop_sequences": []}, {}),
        ({"metadata": {"user_id": "u1", "inhouse_task": "sql"}}, {"user": "u1"}),
        ({"metadata": {}}, {}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"service_tier": "auto"}, {}),
        ({"speed": "standard", "container": None, "mcp_servers": [], **CACHED}, {}),
        ({"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}, {}),
        ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, {}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"output_config": {}}, {}),
        ({"tools": []}, {}),
    ],
)
def test_parameters_with_an_equal_are_carried_and_hints_are_left_out(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert carried(**given) == expected


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_a_schema_for_the_answer(name: str) -> None:
    form = {"type": "json_schema", "schema": SCHEMA}
    assert carried(**{name: {"format": form} if name == "output_config" else form}) == {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        }
    }


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"top_k": 5}, "top_k"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"speed": "fast"}, "speed"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"url": "u"}]}, "mcp_servers"),
        ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, "context_management"),
        ({"user_profile_id": "u"}, "user_profile_id"),
        ({"diagnostics": {}}, "diagnostics"),
        ({"anything": 1}, "anything"),
        ({"metadata": {"user_id": "u", "other": "x"}}, "metadata.other"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "between_tools"}}, "thinking.type"),
        ({"thinking": {"type": "adaptive", "more": 1}}, "thinking.more"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, "output_config.effort"),
        ({"output_config": {"effort": "minimal"}}, "output_config.effort"),
        ({"output_config": {"task_budget": {}}}, "output_config.task_budget"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        (
            {
                "output_format": {"type": "json_schema", "schema": {}},
                "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
            },
            "output_config.format",
        ),
        ({"tools": [WEATHER, {"type": "web_search_20250305", "name": "web_search"}]}, "tools[1].type"),
        ({"tools": [{**WEATHER, "input_examples": [{}]}]}, "tools[0].input_examples"),
        ({"tools": [{**WEATHER, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "a", "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "The best is ("}]}, "messages[1]"),
    ],
)
def test_what_has_no_equal_is_a_400_that_names_the_field(given: dict[str, Any], param: str) -> None:
    assert refused(**given).param == param


@pytest.mark.parametrize(
    ("role", "block", "param"),
    [
        ("user", {"type": "search_result", "source": "s", "title": "t", "content": []}, "type"),
        ("user", {"type": "container_upload", "file_id": "f"}, "type"),
        ("user", {"type": "image", "source": {"type": "file", "file_id": "f"}}, "source.type"),
        ("user", {**PNG, "transformations": {"oversized_image": "error"}}, "transformations"),
        ("user", {"type": "document", "source": {"type": "url", "url": "u"}}, "source.type"),
        ("user", {"type": "document", "source": {"type": "text", "data": "d"}}, "source.type"),
        ("user", {"type": "document", "context": "c", "source": {"type": "base64"}}, "context"),
        ("user", {"type": "document", "citations": {"enabled": True}, "source": {"type": "base64"}}, "citations"),
        ("user", {"type": "text", "text": "a", "citations": [{"type": "page_location"}]}, "citations"),
        ("user", {"type": "tool_result", "tool_use_id": "t"}, "type"),
        ("assistant", {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, "type"),
        ("assistant", {"type": "tool_use", "id": "t", "name": "n", "input": "x"}, "input"),
        ("assistant", {"type": "tool_use", "id": "t", "name": "n", "input": {}, "caller": {"type": "x"}}, "caller"),
        ("assistant", PNG, "type"),
    ],
)
def test_a_block_without_an_equal_is_named_by_its_path(role: str, block: dict[str, Any], param: str) -> None:
    message = {"role": role, "content": [{"type": "text", "text": "a"}, block]}
    assert refused(messages=[*HELLO, message, *HELLO]).param == f"messages[1].content[1].{param}"


def test_text_after_a_call_is_refused() -> None:
    content = [{"type": "tool_use", "id": "t", "name": "n", "input": {}}, {"type": "text", "text": "a"}]
    assert refused(messages=[{"role": "assistant", "content": content}, *HELLO]).param == "messages[0].content[1].type"


def test_the_system_prompt_comes_first() -> None:
    assert carried(system="Be brief.")["messages"] == [{"role": "system", "content": "Be brief."}, *HELLO]
    assert carried(system=[{"type": "text", "text": "Be brief.", **CACHED}])["messages"][0]["content"] == "Be brief."
    several = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    assert carried(system=several)["messages"][0] == {"role": "system", "content": several}
    assert carried(system="") == {}
    assert turns(*HELLO, {"role": "system", "content": "Now in French."}) == [
        HELLO[0],
        {"role": "system", "content": "Now in French."},
    ]


def test_text_images_and_documents_become_parts() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    content = [
        {"type": "text", "text": "Look: ä\n", **CACHED},
        PNG,
        {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        {"type": "document", "source": pdf, "title": "a.pdf", "citations": {"enabled": False}},
        {"type": "document", "source": pdf},
    ]
    assert turns({"role": "user", "content": content}) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look: ä\n"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
                {
                    "type": "file",
                    "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
                },
            ],
        }
    ]


def use(call_id: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "weather", "input": given, "caller": {"type": "direct"}}


def result(call_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, **fields}


def test_parallel_calls_and_results() -> None:
    messages = [
        *HELLO,
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Let me see."}, use("toolu_a", {"city": "Rome"}), use("toolu_b", {})],
        },
        {
            "role": "user",
            "content": [
                result("toolu_a", content="Sunny"),
                result("toolu_b", content=[{"type": "text", "text": "Broken"}, PNG], is_error=True),
                {"type": "text", "text": "And now?"},
            ],
        },
    ]
    assert turns(*messages)[1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "toolu_a",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
                },
                {"id": "toolu_b", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_a", "content": "Sunny"},
        {
            "role": "tool",
            "tool_call_id": "toolu_b",
            "content": [
                {"type": "text", "text": "[tool error] "},
                {"type": "text", "text": "Broken"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            ],
        },
        {"role": "user", "content": "And now?"},
    ]


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({}, ""),
        ({"content": "Sunny", "is_error": False}, "Sunny"),
        ({"content": "No such city.", "is_error": True}, "[tool error] No such city."),
        ({"is_error": True}, "[tool error] "),
        ({"content": [{"type": "text", "text": "Sunny"}]}, "Sunny"),
        ({"content": []}, []),
    ],
)
def test_a_result_says_whether_the_call_failed(fields: dict[str, Any], content: object) -> None:
    messages = [{"role": "assistant", "content": [use("a", {})]}, {"role": "user", "content": [result("a", **fields)]}]
    assert turns(*messages) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": content},
    ]


def test_thinking_goes_back_as_reasoning_text() -> None:
    content = [
        {"type": "thinking", "thinking": "First.", "signature": "s"},
        {"type": "thinking", "thinking": "", "signature": "s"},
        {"type": "thinking", "thinking": "Then.", "signature": ""},
        {"type": "text", "text": "Hi"},
    ]
    assert turns({"role": "assistant", "content": content}, *HELLO)[0] == {
        "role": "assistant",
        "content": "Hi",
        "reasoning_content": "First.\n\nThen.",
    }


def test_reasoning_has_the_name_that_the_engine_knows() -> None:
    content = [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "text", "text": "Hi"}]
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": content}, *HELLO]}
    request = read_messages_request(json.dumps(body).encode())
    named = built(MessagesToChat(request, reasoning_field="reasoning"))["messages"][0]
    unknown = built(MessagesToChat(request, reasoning_field=None))["messages"][0]
    assert named == {"role": "assistant", "content": "Hi", "reasoning": "Hm"}
    assert unknown == {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_reasoning_that_has_no_place_is_refused_amid_calls_and_left_out_of_turns_that_are_over(kind: str) -> None:
    block = {"type": kind, **({"thinking": "Hm", "signature": "s"} if kind == "thinking" else {"data": "x"})}
    asked = {"role": "assistant", "content": [block, use("a", {})]}
    answered = {"role": "user", "content": [result("a", content="Sunny")]}
    body = {"model": "m", "max_tokens": 1, "messages": [*HELLO, asked, answered]}
    amid = MessagesToChat(read_messages_request(json.dumps(body).encode()), reasoning_field=None)
    with pytest.raises(UntranslatableError) as caught:
        amid.build("m")
    assert caught.value.param == "messages[1].content[0].type"
    body["messages"] = [*HELLO, asked, answered, *HELLO]
    over = MessagesToChat(read_messages_request(json.dumps(body).encode()), reasoning_field=None)
    assert "reasoning_content" not in built(over)["messages"][1]


def test_encrypted_reasoning_is_left_out_only_of_turns_that_are_over() -> None:
    asked = {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, use("a", {})]}
    answered = {"role": "user", "content": [result("a", content="Sunny")]}
    assert refused(messages=[*HELLO, asked, answered]).param == "messages[1].content[0].type"
    both = {"role": "user", "content": [result("a", content="Sunny"), {"type": "text", "text": "And now?"}]}
    assert turns(*HELLO, asked, both)[1]["tool_calls"][0]["id"] == "a"


def test_an_empty_turn_stays_one() -> None:
    assert turns({"role": "assistant", "content": []}, {"role": "user", "content": []}) == [
        {"role": "assistant", "content": ""},
        {"role": "user", "content": []},
    ]
    assert turns({"role": "assistant", "content": "Hi"}, *HELLO)[0] == {"role": "assistant", "content": "Hi"}


def test_tools_and_choices() -> None:
    plain = {"type": "custom", "name": "now", "input_schema": {"type": "object"}, "strict": True, **CACHED}
    given = carried(
        tools=[{**WEATHER, "eager_input_streaming": True, "defer_loading": False}, plain],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )
    assert given == {
        "tools": [
            {
                "type": "function",
                "function": {"name": "weather", "description": "Says it.", "parameters": SCHEMA},
            },
            {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}, "strict": True}},
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_choices_of_tools(choice: dict[str, Any], expected: object) -> None:
    assert carried(tools=[WEATHER], tool_choice=choice)["tool_choice"] == expected


def test_what_is_refused_says_where_to_and_what_to_do() -> None:
    assert str(refused(top_k=1)) == (
        "'top_k' cannot be carried over to an endpoint that speaks OpenAI's chat completions. It has no `top_k`. "
        "Leave it out, or narrow with `top_p`."
    )
