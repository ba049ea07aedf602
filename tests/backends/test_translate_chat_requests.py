"""Chat requests → Anthropic's dialect: what is carried over, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import MessageCreateParams
from pydantic import TypeAdapter

from backends.translated import HELLO, built, chat_to_messages
from inhouse.backends import read_chat_request
from inhouse.backends.translate import ChatToMessages
from inhouse.backends.wire import UntranslatableError
from inhouse.domain import ErrorCode

PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Says it.", "parameters": SCHEMA}}
PNG = "data:image/png;base64,iVBORw0KGgo="
PLAIN = {"model": "their-model", "max_tokens": 32000, "messages": HELLO}


def carried(**fields: Any) -> dict[str, Any]:
    """The request that is built, without what every one of them has."""
    body = built(chat_to_messages(**fields))
    body.setdefault("stream", False)
    PARAMS.validate_python({name: value for name, value in body.items() if name not in ("temperature", "top_p")})
    if not body["stream"]:
        del body["stream"]
    return {name: value for name, value in body.items() if PLAIN.get(name) != value}


def refused(**fields: Any) -> UntranslatableError:
    with pytest.raises(UntranslatableError) as caught:
        chat_to_messages(**fields).build("their-model")
    assert (caught.value.status, caught.value.code) == (400, ErrorCode.INVALID_REQUEST)
    assert caught.value.param
    assert caught.value.param in str(caught.value)
    return caught.value


def turns(*messages: dict[str, Any]) -> list[Any]:
    return carried(messages=[*messages]).get("messages", HELLO)


def test_a_plain_request_gets_the_cap_that_anthropic_asks_for() -> None:
    assert built(chat_to_messages()) == PLAIN


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"max_completion_tokens": 7, "max_tokens": 7}, {"max_tokens": 7}),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop": []}, {}),
        ({"stream": True}, {"stream": True}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        ({"stream": False, "stop": None, "seed": None, "anything": None}, {}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"safety_identifier": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"service_tier": "auto"}, {}),
        ({"metadata": {"inhouse_task": "sql", "mine": "x"}, "prompt_cache_key": "k"}, {}),
        ({"n": 1, "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}}, {}),
        ({"store": False, "modalities": ["text"], "verbosity": "medium", "response_format": {"type": "text"}}, {}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"reasoning_effort": "high"}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        ({"parallel_tool_calls": False, "tool_choice": "auto"}, {}),
    ],
)
def test_parameters_with_an_equal_are_carried_and_what_asks_for_nothing_is_left_out(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert carried(**given) == expected


def test_numbers_keep_their_digits() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"a"}],"temperature":0.70,"max_tokens":1e2}'
    sent = ChatToMessages(read_chat_request(body)).build("m")
    assert b'"temperature":0.70' in sent
    assert b'"max_tokens":1e2' in sent


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"n": 2}, "n"),
        ({"seed": 1}, "seed"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"frequency_penalty": 0.1}, "frequency_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"audio": {"voice": "a"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"prediction": {"type": "content", "content": "a"}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"store": True}, "store"),
        ({"verbosity": "low"}, "verbosity"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"top_k": 5}, "top_k"),
        ({"chat_template_kwargs": {}}, "chat_template_kwargs"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"user": "a", "safety_identifier": "b"}, "safety_identifier"),
        ({"reasoning_effort": "minimal"}, "reasoning_effort"),
        ({"stop": [1]}, "stop[0]"),
        ({"stream_options": {"continuous_usage_stats": True}}, "stream_options.continuous_usage_stats"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"description": "d", "schema": {}}}},
            "response_format.json_schema.description",
        ),
        ({"tools": [WEATHER, {"type": "custom", "custom": {"name": "c"}}]}, "tools[1].type"),
        ({"tools": [{"type": "function", "function": {"name": "f", "extra": 1}}]}, "tools[0].function.extra"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a", "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{"role": "function", "name": "f", "content": "a"}]}, "messages[0].role"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "a"}]}, "messages[1]"),
    ],
)
def test_what_has_no_equal_is_a_400_that_names_the_field(given: dict[str, Any], param: str) -> None:
    assert refused(**given).param == param


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "type"),
        ({"type": "video_url", "video_url": {"url": "u"}}, "type"),
        ({"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}, "image_url.detail"),
        ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA=="}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,AA=="}}, "image_url.url"),
        ({"type": "image_url", "image_url": "https://a/b.png"}, "image_url"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file.file_id"),
        ({"type": "file", "file": {"file_data": "data:text/csv;base64,AA=="}}, "file.file_data"),
        ({"type": "text", "text": 5}, "text"),
        ({"type": "text", "text": "a", "emphasis": 1}, "emphasis"),
        ({"type": "refusal", "refusal": "no"}, "type"),
    ],
)
def test_a_part_without_an_equal_is_named_by_its_path(part: dict[str, Any], param: str) -> None:
    messages = [*HELLO, {"role": "user", "content": [{"type": "text", "text": "a"}, part]}]
    assert refused(messages=messages).param == f"messages[1].content[1].{param}"


def test_text_images_and_files_become_blocks() -> None:
    parts = [
        {"type": "text", "text": "Look: \u00e4\n", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "text", "text": ""},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}},
    ]
    assert turns({"role": "user", "content": parts}) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look: \u00e4\n"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                    "title": "a.pdf",
                },
            ],
        }
    ]


def test_a_file_may_have_no_name() -> None:
    part = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg=="}}
    assert turns({"role": "user", "content": [part]})[0]["content"] == [
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}}
    ]


def test_a_data_url_may_be_written_with_escapes() -> None:
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]}
    )
    sent = json.loads(ChatToMessages(read_chat_request(body.replace("/", "\\/").encode())).build("m"))
    source = sent["messages"][0]["content"][0]["source"]
    assert source == {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def test_instructions_before_the_first_turn_are_the_system_prompt() -> None:
    one = carried(messages=[{"role": "system", "content": "Be brief."}, *HELLO])
    assert one == {"system": "Be brief."}
    several = carried(
        messages=[
            {"role": "system", "content": "Be brief."},
            {
                "role": "developer",
                "content": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be right."}],
            },
            *HELLO,
        ]
    )
    assert several == {
        "system": [
            {"type": "text", "text": "Be brief."},
            {"type": "text", "text": "Be kind."},
            {"type": "text", "text": "Be right."},
        ]
    }
    assert carried(messages=[{"role": "system", "content": ""}, *HELLO]) == {}


def test_later_instructions_keep_their_place() -> None:
    assert turns(*HELLO, {"role": "developer", "content": "Now in French."}, *HELLO) == [
        HELLO[0],
        {"role": "system", "content": "Now in French."},
        HELLO[0],
    ]


def call(call_id: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def test_parallel_calls_and_their_results_stand_in_two_turns() -> None:
    messages = [
        *HELLO,
        {
            "role": "assistant",
            "content": "Let me see.",
            "refusal": None,
            "audio": None,
            "annotations": [],
            "tool_calls": [call("call_a", '{"city": "Rome", "n": 1.50}'), call("call_b", "")],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "Sunny"},
        {"role": "tool", "tool_call_id": "call_b", "name": "weather", "content": [{"type": "text", "text": "Rain"}]},
        {"role": "user", "content": "And now?"},
    ]
    assert turns(*messages)[1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "call_a", "name": "weather", "input": {"city": "Rome", "n": 1.5}},
                {"type": "tool_use", "id": "call_b", "name": "weather", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_a", "content": "Sunny"},
                {"type": "tool_result", "tool_use_id": "call_b", "content": [{"type": "text", "text": "Rain"}]},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]


def test_results_after_a_users_word_begin_a_turn_of_their_own() -> None:
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call("a", "{}")]},
        {"role": "tool", "tool_call_id": "a", "content": ""},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]},
        {
            "role": "tool",
            "tool_call_id": "a",
            "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}],
        },
    ]
    image = {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}
    assert turns(*messages)[2:] == [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}, image]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [image]}]},
    ]


def test_ids_that_anthropic_refuses_are_replaced_alike_in_call_and_result() -> None:
    messages = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call("functions.weather:0", "{}"), call("x" * 46, "{}")]},
        {"role": "tool", "tool_call_id": "functions.weather:0", "content": "a"},
        {"role": "tool", "tool_call_id": "x" * 46, "content": "b"},
    ]
    asked, answered = turns(*messages)[1:]
    ids = [block["id"] for block in asked["content"]]
    assert ids == [block["tool_use_id"] for block in answered["content"]]
    assert len(set(ids)) == 2
    assert all(name.startswith("call_") and len(name) == 29 for name in ids)


@pytest.mark.parametrize(
    ("call_fields", "param"),
    [
        ({"type": "custom"}, "type"),
        ({"function": {"name": "f", "arguments": "{broken"}}, "function.arguments"),
        ({"function": {"name": "f", "arguments": "[1]"}}, "function.arguments"),
        ({"function": {"arguments": "{}"}}, "function.name"),
        ({"id": None}, "id"),
        ({"extra_content": {}}, "extra_content"),
    ],
)
def test_a_call_that_cannot_be_carried_is_named_by_its_path(call_fields: dict[str, Any], param: str) -> None:
    message = {"role": "assistant", "tool_calls": [call("a", "{}"), {**call("b", "{}"), **call_fields}]}
    assert refused(messages=[*HELLO, message, *HELLO]).param == f"messages[1].tool_calls[1].{param}"


def test_tools_and_choices() -> None:
    bare = {"type": "function", "function": {"name": "now", "parameters": {}, "strict": True}}
    given = carried(tools=[WEATHER, bare], tool_choice="required", parallel_tool_calls=False)
    assert given == {
        "tools": [
            {"name": "weather", "description": "Says it.", "input_schema": SCHEMA},
            {"name": "now", "input_schema": {"type": "object", "properties": {}}, "strict": True},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, {"type": "tool", "name": "weather"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
    ],
)
def test_choices_of_tools(given: dict[str, Any], expected: object) -> None:
    assert carried(tools=[WEATHER], **given).get("tool_choice") == expected


def test_a_schema_for_the_answer() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
    assert carried(response_format=form, reasoning_effort="low") == {
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    }


def reasoned(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [call("a", "{}")], **fields}


RESULT = {"role": "tool", "tool_call_id": "a", "content": "b"}
USE = {"type": "tool_use", "id": "a", "name": "weather", "input": {}}


def test_reasoning_with_its_signature_goes_back_before_the_call() -> None:
    blocks = [
        {"index": 0, "type": "thinking", "thinking": "Hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
    ]
    sent = turns(*HELLO, reasoned(reasoning_content="Hm", thinking_blocks=blocks), RESULT)
    assert sent[1]["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        USE,
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_content": "Hm"}, "reasoning_content"),
        ({"reasoning": "Hm"}, "reasoning"),
        ({"thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": ""}]}, "thinking_blocks[0]"),
        ({"thinking_blocks": [{"type": "thinking", "thinking": "Hm"}]}, "thinking_blocks[0]"),
    ],
)
def test_reasoning_without_a_signature_is_refused_amid_calls_and_left_out_of_turns_that_are_over(
    fields: dict[str, Any], param: str
) -> None:
    assert refused(messages=[*HELLO, reasoned(**fields), RESULT]).param == f"messages[1].{param}"
    assert turns(*HELLO, reasoned(**fields), RESULT, *HELLO)[1] == {"role": "assistant", "content": [USE]}


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"type": "text"}, "type"),
        ({"type": "thinking", "signature": "s"}, "thinking"),
        ({"type": "thinking", "x": 1}, "x"),
    ],
)
def test_a_malformed_reasoning_block_is_refused(block: dict[str, Any], param: str) -> None:
    assert (
        refused(messages=[*HELLO, reasoned(thinking_blocks=[block]), RESULT]).param
        == f"messages[1].thinking_blocks[0].{param}"
    )


def test_what_an_assistant_said_is_text_also_where_it_refused() -> None:
    assert turns(*HELLO, {"role": "assistant", "content": "Hi"}, *HELLO)[1] == {"role": "assistant", "content": "Hi"}
    refusal = {"role": "assistant", "content": None, "refusal": "No."}
    assert turns(*HELLO, refusal, *HELLO)[1]["content"] == [{"type": "text", "text": "No."}]
    parts = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert turns(*HELLO, parts, *HELLO)[1]["content"] == [{"type": "text", "text": "No."}]
    assert refused(messages=[*HELLO, {**refusal, "annotations": [{"type": "url_citation"}]}, *HELLO]).param == (
        "messages[1].annotations"
    )


def test_what_is_refused_says_where_to_and_what_to_do() -> None:
    assert str(refused(seed=1)) == (
        "'seed' cannot be carried over to an endpoint that speaks Anthropic's Messages API. It has no seed. "
        "Leave it out."
    )
