"""What clients of each dialect ask, and what the endpoint must get to see of it. Not a test module."""

from __future__ import annotations

from typing import Any

from dialect_answers import Wire

PNG = "iVBORw0KGgo="
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}

# Chat.

_FUNCTION = {"name": "weather", "description": "Now.", "parameters": SCHEMA}
_CHAT_FUNCTION = {"type": "function", "function": _FUNCTION}
_CHAT_CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
]
_CHAT_RESULTS = [
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    {"role": "tool", "tool_call_id": "call_2", "content": "noon"},
]
_CHAT_FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
_CHAT_IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
_CHAT = {
    "sampling": {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 50,
        "stop": ["END"],
        "reasoning_effort": "low",
    },
    "image": {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, _CHAT_IMAGE]}]},
    "tools": {
        "messages": [
            {"role": "user", "content": "Weather and time?"},
            {"role": "assistant", "content": None, "tool_calls": _CHAT_CALLS},
            *_CHAT_RESULTS,
        ],
        "tools": [_CHAT_FUNCTION],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    },
    "schema": {"messages": [{"role": "user", "content": "Where?"}], "response_format": _CHAT_FORMAT},
}

# Messages.

_MESSAGES_TOOL = {"name": "weather", "description": "Now.", "input_schema": SCHEMA}
_MESSAGES_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
_MESSAGES_TURNS = [
    {"role": "user", "content": "Weather and time?"},
    {
        "role": "assistant",
        "content": [
            {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}},
            {"type": "tool_use", "id": "call_2", "name": "clock", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"},
            {"type": "tool_result", "tool_use_id": "call_2", "content": "noon"},
        ],
    },
]
_MESSAGES_FORMAT = {"format": {"type": "json_schema", "schema": SCHEMA}}
_MESSAGES = {
    "sampling": {
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 50,
        "stop_sequences": ["END"],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low"},
    },
    "image": {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, _MESSAGES_IMAGE]}]},
    "tools": {
        "messages": _MESSAGES_TURNS,
        "tools": [_MESSAGES_TOOL],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    },
    "schema": {"messages": [{"role": "user", "content": "Where?"}], "output_config": _MESSAGES_FORMAT},
}

# Responses.

_RESPONSES_CALLS = [
    {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Rome"}'},
    {"type": "function_call", "call_id": "call_2", "name": "clock", "arguments": "{}"},
]
_RESPONSES_RESULTS = [
    {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
    {"type": "function_call_output", "call_id": "call_2", "output": "noon"},
]
_RESPONSES_IMAGE = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PNG}"}
_RESPONSES = {
    "sampling": {
        "instructions": "Be brief.",
        "input": "hi",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 50,
        "reasoning": {"effort": "low"},
    },
    "image": {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, _RESPONSES_IMAGE]}]
    },
    "tools": {
        "input": [{"role": "user", "content": "Weather and time?"}, *_RESPONSES_CALLS, *_RESPONSES_RESULTS],
        "tools": [{"type": "function", "name": "weather", "description": "Now.", "parameters": SCHEMA, "strict": True}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    },
    "schema": {
        "input": "Where?",
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}},
    },
}

ASKED: dict[Wire, dict[str, dict[str, Any]]] = {
    Wire.CHAT: _CHAT,
    Wire.MESSAGES: _MESSAGES,
    Wire.RESPONSES: _RESPONSES,
}
"""Client's dialect → what is asked → the fields of the request, but for the model."""

_STRICT_CHAT_FUNCTION = {"type": "function", "function": {**_FUNCTION, "strict": True}}
_IMAGE_AS_ASKED = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "auto"}}
_CAP = {"max_tokens": 100}
"""What the tests' messages requests ask for where they ask for nothing else."""
_DEFAULT_CAP = {"max_tokens": 32_000}
"""What Anthropic's endpoints are sent where a client set no cap."""
_SAMPLED = {name: value for name, value in _MESSAGES["sampling"].items() if name != "stop_sequences"}

SENT: dict[tuple[Wire, Wire], dict[str, dict[str, Any]]] = {
    (Wire.CHAT, Wire.MESSAGES): {
        "sampling": _MESSAGES["sampling"],
        "image": _MESSAGES["image"] | _DEFAULT_CAP,
        "tools": _MESSAGES["tools"] | _DEFAULT_CAP,
        "schema": _MESSAGES["schema"] | _DEFAULT_CAP,
    },
    (Wire.RESPONSES, Wire.MESSAGES): {
        "sampling": _SAMPLED,
        "image": _MESSAGES["image"] | _DEFAULT_CAP,
        "tools": _MESSAGES["tools"] | _DEFAULT_CAP | {"tools": [_MESSAGES_TOOL | {"strict": True}]},
        "schema": _MESSAGES["schema"] | _DEFAULT_CAP,
    },
    (Wire.RESPONSES, Wire.CHAT): {
        "sampling": {name: value for name, value in _CHAT["sampling"].items() if name != "stop"},
        "image": {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, _IMAGE_AS_ASKED]}]
        },
        "tools": _CHAT["tools"] | {"tools": [_STRICT_CHAT_FUNCTION]},
        "schema": _CHAT["schema"],
    },
    (Wire.MESSAGES, Wire.CHAT): {
        "sampling": _CHAT["sampling"],
        "image": _CHAT["image"] | _CAP,
        "tools": _CHAT["tools"] | _CAP,
        "schema": _CHAT["schema"] | _CAP,
    },
    (Wire.CHAT, Wire.CHAT): _CHAT,
    (Wire.RESPONSES, Wire.RESPONSES): _RESPONSES,
    (Wire.MESSAGES, Wire.MESSAGES): {name: _CAP | fields for name, fields in _MESSAGES.items()},
}
"""Client's dialect and the endpoint's → what is asked → what the endpoint is sent, but for model and streaming."""
