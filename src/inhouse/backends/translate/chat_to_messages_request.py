"""A chat request → a request of Anthropic's Messages API. docs/design/dialects.md has it field by field."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from inhouse.backends.translate.chat_to_messages_turns import Conversation
from inhouse.backends.translate.fields import Field, says_nothing

TARGET = "Anthropic's Messages API"
DEFAULT_MAX_TOKENS = 32_000
"""Anthropic asks for an output cap and chat clients seldom send one. Every current model allows this many; a reply that
meets it says `length`."""
_CARRIED = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "user",
        "safety_identifier",
        "service_tier",
    }
)
_HINTS = frozenset({"metadata", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"})
"""They label, or tell a cache what to do; the answer is the same without them."""
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "store": (False,),
    "verbosity": ("medium",),
    "modalities": (["text"],),
    "functions": ([],),
}
"""Values that only spell out what holds at Anthropic anyway."""
_REASONS = {
    "seed": "It has no seed. Leave it out.",
    "n": "It gives one answer. Send the request n times.",
    "functions": "Use `tools`.",
    "function_call": "Use `tool_choice`.",
}
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_TOOL_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_SERVICE_TIERS = {"auto": None, "default": "standard_only"}


def build_messages_body(body: bytes, model: str, default_max_tokens: int = DEFAULT_MAX_TOKENS) -> bytes:
    """The request in Anthropic's dialect.

    Args:
        body: the chat request, a JSON object.
        model: the endpoint's model name.
        default_max_tokens: the output cap where the client set none.

    Raises:
        UntranslatableError: a field cannot be carried over.
    """
    request = Field(body, "", TARGET)
    members = request.members()
    _check_names(members)
    conversation = Conversation(request.require("messages", members))
    written: dict[str, Any] = {
        "model": model,
        "max_tokens": _read_cap(members, default_max_tokens),
        "system": conversation.system,
        "messages": conversation.turns,
        "temperature": _read_temperature(members),
        "top_p": members["top_p"].json if "top_p" in members else None,
        "stop_sequences": _read_stops(members),
        "tools": [_write_tool(tool) for tool in members["tools"].items()] if "tools" in members else None,
        "tool_choice": _write_tool_choice(members),
        "metadata": _write_metadata(members),
        "service_tier": _read_service_tier(members),
        "stream": True if "stream" in members and members["stream"].flag() else None,
        **_write_output(members),
    }
    return msgspec.json.encode({name: value for name, value in written.items() if value is not None})


def _check_names(members: dict[str, Field]) -> None:
    for name, member in members.items():
        if name in _CARRIED or name in _HINTS or says_nothing(member, _DEFAULTS, name):
            continue
        raise member.refuse(
            _REASONS.get(name, "It has no equal there. Leave it out, or call a route whose endpoints know it.")
        )
    if "stream_options" in members:
        options = members["stream_options"]
        options.check_names(options.members(), frozenset({"include_usage", "include_obfuscation"}))


def _read_cap(members: dict[str, Field], default: int) -> Raw | int:
    given = [members[name] for name in ("max_completion_tokens", "max_tokens") if name in members]
    if not given:
        return default
    if given[0].number() != given[-1].number():
        raise given[-1].refuse("`max_completion_tokens` says another number. Give one of the two.")
    return given[0].json


def _read_temperature(members: dict[str, Field]) -> Raw | None:
    if "temperature" not in members:
        return None
    temperature = members["temperature"]
    if temperature.number() > 1:
        raise temperature.refuse("Its range ends at 1. Set 1 or less.")
    return temperature.json


def _read_stops(members: dict[str, Field]) -> list[Raw] | None:
    if "stop" not in members:
        return None
    stop = members["stop"]
    stops = [stop] if stop.is_text else stop.items()
    return [sequence.quoted() for sequence in stops] or None


def _write_tool(tool: Field) -> dict[str, Any]:
    members = tool.members()
    kind = tool.require("type", members)
    if kind.text() != "function":
        raise kind.refuse("Of tools, only functions have an equal there.")
    tool.check_names(members, frozenset({"type", "function"}))
    function = tool.require("function", members)
    parts = function.members()
    function.check_names(parts, frozenset({"name", "description", "parameters", "strict"}))
    written: dict[str, Any] = {"name": function.require("name", parts).quoted()}
    if "description" in parts:
        written["description"] = parts["description"].quoted()
    has_schema = "parameters" in parts and bool(parts["parameters"].members())
    written["input_schema"] = parts["parameters"].json if has_schema else {"type": "object", "properties": {}}
    if "strict" in parts:
        written["strict"] = parts["strict"].flag()
    return written


def _write_tool_choice(members: dict[str, Field]) -> dict[str, Any] | None:
    """The choice, with what is said of parallel calls, which stands in it there. Without tools it says nothing."""
    if "tools" not in members:
        return None
    written: dict[str, Any] | None = None
    if "tool_choice" in members:
        written = _write_choice(members["tool_choice"])
    if "parallel_tool_calls" in members and not members["parallel_tool_calls"].flag():
        written = written or {"type": "auto"}
        if written["type"] != "none":
            written["disable_parallel_tool_use"] = True
    return written


def _write_choice(choice: Field) -> dict[str, Any]:
    if choice.is_text:
        if choice.text() not in _TOOL_CHOICES:
            raise choice.malformed("'auto', 'none', 'required' or the choice of one function")
        return {"type": _TOOL_CHOICES[choice.text()]}
    members = choice.members()
    kind = choice.require("type", members)
    if kind.text() != "function":
        raise kind.refuse("Name one function, or give only the tools that may be called.")
    choice.check_names(members, frozenset({"type", "function"}))
    function = choice.require("function", members)
    return {"type": "tool", "name": function.require("name", function.members()).quoted()}


def _write_metadata(members: dict[str, Field]) -> dict[str, Any] | None:
    """`user` and its successor `safety_identifier` mean the same: an opaque id of the end user."""
    given = [members[name] for name in ("user", "safety_identifier") if name in members]
    if not given:
        return None
    if given[0].text() != given[-1].text():
        raise given[-1].refuse("There is one id of the end user there, and `user` says another. Give one of the two.")
    return {"user_id": given[0].json}


def _read_service_tier(members: dict[str, Field]) -> str | None:
    if "service_tier" not in members:
        return None
    tier = members["service_tier"]
    if tier.text() not in _SERVICE_TIERS:
        raise tier.refuse("Only `auto` and `default` have an equal there.")
    return _SERVICE_TIERS[tier.text()]


def _write_output(members: dict[str, Field]) -> dict[str, Any]:
    """`thinking` and `output_config`: how much to reason, and the form of the answer."""
    written: dict[str, Any] = {}
    config: dict[str, Any] = {}
    if "reasoning_effort" in members:
        effort = members["reasoning_effort"].text()
        if effort == "none":
            written["thinking"] = {"type": "disabled"}
        elif effort in _EFFORTS:
            written["thinking"] = {"type": "adaptive"}
            config["effort"] = effort
        else:
            raise members["reasoning_effort"].refuse("It has none, low, medium, high, xhigh and max.")
    if "response_format" in members:
        schema = _read_schema(members["response_format"])
        if schema is not None:
            config["format"] = {"type": "json_schema", "schema": schema}
    if config:
        written["output_config"] = config
    return written


def _read_schema(form: Field) -> Raw | None:
    """The schema that the answer must keep to; None for plain text. The schema's name is a label and stays behind."""
    members = form.members()
    kind = form.require("type", members)
    if kind.text() == "text":
        return None
    if kind.text() != "json_schema":
        raise kind.refuse("It has no JSON without a schema. Give a `json_schema`.")
    form.check_names(members, frozenset({"type", "json_schema"}))
    wrapper = form.require("json_schema", members)
    parts = wrapper.members()
    if "description" in parts:
        raise parts["description"].refuse("Put the description into the schema itself.")
    wrapper.check_names(parts, frozenset({"name", "schema", "strict"}))
    schema = wrapper.require("schema", parts)
    schema.members()
    return schema.json
