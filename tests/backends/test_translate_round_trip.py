"""What both dialects can express survives the way there and back."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backends.translated import built
from inhouse.backends import read_chat_request
from inhouse.backends.anthropic import read_messages_request
from inhouse.backends.translate import ChatToMessages, MessagesToChat

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
IDS = st.text("abcXYZ019_-", min_size=1, max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
ARGUMENTS = st.dictionaries(TEXT, VALUES, max_size=3)
URLS = st.sampled_from(["https://a/b.png", "data:image/png;base64,iVBORw0KGgo=", "data:image/webp;base64,UklGRg=="])
TEXT_PART = TEXT.map(lambda text: {"type": "text", "text": text})
PARTS = st.one_of(
    TEXT_PART,
    URLS.map(lambda url: {"type": "image_url", "image_url": {"url": url}}),
    TEXT.map(
        lambda name: {"type": "file", "file": {"filename": name, "file_data": "data:application/pdf;base64,JVBERg=="}}
    ),
)


def as_content(parts: list[dict[str, Any]]) -> object:
    """A lone text is written as a string, which means the same."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


SAID = st.lists(TEXT_PART, min_size=1, max_size=3).map(as_content)
USER = st.lists(PARTS, min_size=1, max_size=3).map(as_content).map(lambda content: {"role": "user", "content": content})


@st.composite
def exchanges(draw: st.DrawFn) -> list[dict[str, Any]]:
    """An assistant's turn, with the results of its calls."""
    call_ids = draw(st.lists(IDS, max_size=3, unique=True))
    if not call_ids:
        return [{"role": "assistant", "content": draw(SAID)}, draw(USER)]
    calls = [
        {
            "id": call_id,
            "type": "function",
            "function": {"name": draw(IDS), "arguments": json.dumps(draw(ARGUMENTS), ensure_ascii=draw(st.booleans()))},
        }
        for call_id in call_ids
    ]
    results = [{"role": "tool", "tool_call_id": call_id, "content": draw(SAID)} for call_id in call_ids]
    return [
        {"role": "assistant", "content": draw(st.none() | SAID), "tool_calls": calls},
        *results,
        *draw(st.lists(USER, max_size=1)),
    ]


SCHEMAS = st.fixed_dictionaries({"type": st.just("object"), "properties": ARGUMENTS})
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"name": IDS, "parameters": SCHEMAS}, optional={"description": TEXT, "strict": st.booleans()}
    ).map(lambda function: {"type": "function", "function": function}),
    min_size=1,
    max_size=3,
)
CHOICES = st.sampled_from(["auto", "none", "required", {"type": "function", "function": {"name": "f"}}])
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "stop": st.lists(TEXT, min_size=1, max_size=4),
        "user": TEXT,
        "service_tier": st.just("default"),
        "reasoning_effort": st.sampled_from(["none", "low", "medium", "high", "xhigh", "max"]),
        "stream": st.just(True),
        "response_format": SCHEMAS.map(
            lambda schema: {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema, "strict": True},
            }
        ),
    },
)


@st.composite
def chat_requests(draw: st.DrawFn) -> dict[str, Any]:
    messages = [{"role": "system", "content": draw(SAID)}] if draw(st.booleans()) else []
    messages.append(draw(USER))
    for exchange in draw(st.lists(exchanges(), max_size=3)):
        messages += exchange
    request: dict[str, Any] = {
        "model": "m",
        "messages": messages,
        "max_completion_tokens": draw(st.integers(1, 9999)),
        **draw(OPTIONS),
    }
    if "stream" in request:
        request["stream_options"] = {"include_usage": True}
    if draw(st.booleans()):
        request["tools"] = draw(TOOLS)
        request["tool_choice"] = draw(CHOICES)
        if request["tool_choice"] != "none" and draw(st.booleans()):
            request["parallel_tool_calls"] = False
    return request


@settings(max_examples=50, deadline=None)
@given(chat_requests(), st.booleans())
def test_a_chat_request_comes_back_as_it_was(request: dict[str, Any], ensure_ascii: bool) -> None:
    body = json.dumps(request, ensure_ascii=ensure_ascii).encode()
    there = ChatToMessages(read_chat_request(body)).build("m")
    back = built(MessagesToChat(read_messages_request(there)))
    assert back == {**request, "model": "their-model"}


@settings(max_examples=50, deadline=None)
@given(chat_requests())
def test_a_messages_request_comes_back_as_it_was(request: dict[str, Any]) -> None:
    there = ChatToMessages(read_chat_request(json.dumps(request).encode())).build("m")
    back = MessagesToChat(read_messages_request(there)).build("m")
    assert json.loads(ChatToMessages(read_chat_request(back)).build("m")) == json.loads(there)
