"""A request of Anthropic's Messages API → a chat request. docs/design/dialects.md has it field by field."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from inhouse.backends.translate.fields import Field, says_nothing
from inhouse.backends.translate.messages_to_chat_turns import ChatTurns

TARGET = "OpenAI's chat completions"
_CARRIED = frozenset(
    {
        "model",
        "messages",
        "system",
        "max_tokens",
        "temperature",
        "top_p",
        "stop_sequences",
        "stream",
        "tools",
        "tool_choice",
        "metadata",
        "thinking",
        "output_config",
        "output_format",
        "service_tier",
    }
)
_HINTS = frozenset({"cache_control"})
"""It tells the prompt cache what to keep; the answer is the same without it."""
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "speed": ("standard",),
    "mcp_servers": ([],),
    "context_management": ({}, {"edits": []}, {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}),
}
"""Values that only spell out what holds for chat completions anyway."""
_REASONS = {
    "top_k": "It has no `top_k`. Leave it out, or narrow with `top_p`.",
    "mcp_servers": "It runs no tools on the server's side. Call them from the client.",
}
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_TOOL_CHOICES = {"auto": "auto", "none": "none", "any": "required"}
_SERVICE_TIERS = {"auto": None, "standard_only": "default"}
_TOOL_HINTS = frozenset({"type", "cache_control", "eager_input_streaming"})
_TOOL_DEFAULTS: dict[str, tuple[Any, ...]] = {"defer_loading": (False,), "allowed_callers": (["direct"],)}


class ChatNames(NamedTuple):
    """What an endpoint calls the fields that have several names.

    `cap` is the output cap: what OpenAI asks for, or `max_tokens` where an engine knows only that and would pass over
    the other without a word. `reasoning` is the member of a message that holds reasoning text; None: there is none.
    """

    cap: str = "max_completion_tokens"
    reasoning: str | None = "reasoning_content"


def build_chat_body(body: bytes, model: str, names: ChatNames) -> bytes:
    """The request as chat completions want it; streams bring their usage.

    Args:
        body: the messages request, a JSON object.
        model: the endpoint's model name.
        names: what the endpoint calls the fields that have several names.

    Raises:
        UntranslatableError: a field cannot be carried over.
    """
    request = Field(body, "", TARGET)
    members = request.members()
    _check_names(request, members)
    is_stream = "stream" in members and members["stream"].flag()
    written: dict[str, Any] = {
        "model": model,
        "messages": ChatTurns(request, members, names.reasoning).turns,
        names.cap: _read_cap(request.require("max_tokens", members)),
        "temperature": members["temperature"].json if "temperature" in members else None,
        "top_p": members["top_p"].json if "top_p" in members else None,
        "stop": _read_stops(members),
        "tools": [_write_tool(tool) for tool in members["tools"].items()] or None if "tools" in members else None,
        **_write_tool_choice(members),
        "reasoning_effort": _read_effort(members),
        "response_format": _read_format(members),
        "user": _read_user(members),
        "service_tier": _read_service_tier(members),
        "stream": True if is_stream else None,
        "stream_options": {"include_usage": True} if is_stream else None,
    }
    return msgspec.json.encode({name: value for name, value in written.items() if value is not None})


def shows_thinking(body: bytes) -> bool:
    """Whether the client wants to see the reasoning: all but `thinking.display: "omitted"`."""
    thinking = Field(body, "", TARGET).members().get("thinking")
    display = None if thinking is None else thinking.members().get("display")
    return display is None or display.text() != "omitted"


def _check_names(request: Field, members: dict[str, Field]) -> None:
    for name, member in members.items():
        if name in _REASONS and not says_nothing(member, _DEFAULTS, name):
            raise member.refuse(_REASONS[name])
    told = {name: member for name, member in members.items() if not says_nothing(member, _DEFAULTS, name)}
    request.check_names(told, _CARRIED | _HINTS)


def _read_cap(cap: Field) -> Raw:
    if cap.number() < 1:
        raise cap.refuse("It always answers, and cannot only fill a cache. Set 1 or more.")
    return cap.json


def _read_stops(members: dict[str, Field]) -> list[Raw] | None:
    if "stop_sequences" not in members:
        return None
    return [sequence.quoted() for sequence in members["stop_sequences"].items()] or None


def _write_tool(tool: Field) -> dict[str, Any]:
    members = tool.members()
    if "type" in members and members["type"].text() != "custom":
        raise members["type"].refuse("It has only tools that the client runs. Give the tool a name and a schema.")
    given = {name: member for name, member in members.items() if not says_nothing(member, _TOOL_DEFAULTS, name)}
    tool.check_names(given, _TOOL_HINTS | {"name", "description", "input_schema", "strict"})
    schema = tool.require("input_schema", members)
    schema.members()
    function: dict[str, Any] = {"name": tool.require("name", members).quoted()}
    if "description" in members:
        function["description"] = members["description"].quoted()
    function["parameters"] = schema.json
    if "strict" in members:
        function["strict"] = members["strict"].flag()
    return {"type": "function", "function": function}


def _write_tool_choice(members: dict[str, Field]) -> dict[str, Any]:
    if "tool_choice" not in members:
        return {}
    choice = members["tool_choice"]
    parts = choice.members()
    choice.check_names(parts, frozenset({"type", "name", "disable_parallel_tool_use"}))
    kind = choice.require("type", parts).text()
    if kind == "tool":
        function = {"name": choice.require("name", parts).quoted()}
        written: dict[str, Any] = {"tool_choice": {"type": "function", "function": function}}
    elif kind in _TOOL_CHOICES:
        written = {"tool_choice": _TOOL_CHOICES[kind]}
    else:
        raise parts["type"].malformed("'auto', 'any', 'tool' or 'none'")
    if "disable_parallel_tool_use" in parts and parts["disable_parallel_tool_use"].flag():
        written["parallel_tool_calls"] = False
    return written


def _read_effort(members: dict[str, Field]) -> str | None:
    """How much to reason. Without an effort, `adaptive` leaves it to the model, as chat completions do unasked."""
    config = members["output_config"].members() if "output_config" in members else {}
    if "output_config" in members:
        members["output_config"].check_names(config, frozenset({"effort", "format"}))
    effort = config.get("effort")
    if effort is not None and effort.text() not in _EFFORTS:
        raise effort.malformed("'low', 'medium', 'high', 'xhigh' or 'max'")
    if "thinking" in members and _is_disabled(members["thinking"]):
        if effort is not None:
            raise effort.refuse("It cannot be set where reasoning is off. Leave one of the two out.")
        return "none"
    return None if effort is None else effort.text()


def _is_disabled(thinking: Field) -> bool:
    members = thinking.members()
    kind = thinking.require("type", members)
    if kind.text() == "enabled" and "budget_tokens" in members:
        raise members["budget_tokens"].refuse(
            "It has no budget of reasoning tokens. Use `adaptive` with `output_config.effort`."
        )
    if kind.text() not in ("disabled", "adaptive"):
        raise kind.refuse("It can be told `disabled` or `adaptive`.")
    thinking.check_names(members, frozenset({"type", "display"}))
    return kind.text() == "disabled"


def _read_format(members: dict[str, Field]) -> dict[str, Any] | None:
    """The schema that the answer must keep to, also under the older name `output_format`."""
    given = [members["output_format"]] if "output_format" in members else []
    if "output_config" in members:
        config = members["output_config"].members()
        given += [config["format"]] if "format" in config else []
    if not given:
        return None
    form = given[-1]
    if form.value() != given[0].value():
        raise form.refuse("`output_format` says another schema. Give one of the two.")
    parts = form.members()
    kind = form.require("type", parts)
    if kind.text() != "json_schema":
        raise kind.malformed("'json_schema'")
    form.check_names(parts, frozenset({"type", "schema"}))
    schema = form.require("schema", parts)
    schema.members()
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema.json, "strict": True}}


def _read_user(members: dict[str, Field]) -> Raw | None:
    """The end user's opaque id; labels for inhouse stay here."""
    if "metadata" not in members:
        return None
    metadata = members["metadata"]
    parts = {name: part for name, part in metadata.members().items() if not name.startswith("inhouse_")}
    metadata.check_names(parts, frozenset({"user_id"}))
    return parts["user_id"].quoted() if "user_id" in parts else None


def _read_service_tier(members: dict[str, Field]) -> str | None:
    if "service_tier" not in members:
        return None
    tier = members["service_tier"]
    if tier.text() not in _SERVICE_TIERS:
        raise tier.malformed("'auto' or 'standard_only'")
    return _SERVICE_TIERS[tier.text()]
