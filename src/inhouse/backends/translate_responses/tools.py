"""Tools and the choice among them: Responses → chat. Calls nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from inhouse.backends.request_body import wrong_type
from inhouse.backends.translate_responses.fields import Fields

_MODES = frozenset({"none", "auto", "required"})
Tool = dict[str, Any]


def build_tools(tools: Sequence[Raw]) -> list[Tool]:
    """The functions as chat has them.

    Raises:
        UntranslatableError: a tool is no function, or asks for more than chat's functions can.
    """
    return [_build_tool(Fields(tool, f"tools[{index}]")) for index, tool in enumerate(tools)]


def build_choice(fields: Fields, tools: list[Tool]) -> tuple[str | Tool | None, list[Tool]]:
    """Take `tool_choice`: the choice as chat has it (None: not given), and the tools that are left to choose from.

    A list of allowed tools becomes a choice among only these.

    Raises:
        UntranslatableError: the choice is of a tool that chat does not have.
    """
    if fields.is_text("tool_choice"):
        mode = fields.need_text("tool_choice")
        if mode not in _MODES:
            raise wrong_type("tool_choice", "'none', 'auto', 'required' or an object")
        return mode, tools
    found = fields.pop_fields("tool_choice")
    if found is None:
        return None, tools
    kind = found.need_text("type")
    if kind == "function":
        name = found.need_text("name")
        found.close()
        return {"type": "function", "function": {"name": name}}, tools
    if kind == "allowed_tools":
        return _build_allowed(found, tools)
    raise found.refuse("type", f"An endpoint that only offers chat completions has no tool of type '{kind}'")


def _build_tool(tool: Fields) -> Tool:
    kind = tool.need_text("type")
    if kind != "function":
        words = f"An endpoint that only offers chat completions has no tool of type '{kind}', only functions"
        raise tool.refuse("type", words)
    if tool.pop_flag("async"):
        raise tool.refuse("async", "Chat completions have no calls in the background")
    if tool.pop_flag("defer_loading"):
        raise tool.refuse("defer_loading", "Chat completions cannot load tools later")
    if any(bytes(caller) != b'"direct"' for caller in tool.pop_list("allowed_callers")):
        raise tool.refuse("allowed_callers", "Functions can only be called by the model itself")
    function: dict[str, Any] = {"name": tool.need_text("name")}
    for name in ("description", "parameters", "strict"):
        value = tool.pop(name)
        if value is not None:
            function[name] = value
    tool.close()
    return {"type": "function", "function": function}


def _build_allowed(found: Fields, tools: list[Tool]) -> tuple[str, list[Tool]]:
    mode = found.need_text("mode")
    names: set[str] = set()
    for index, value in enumerate(found.pop_list("tools")):
        tool = Fields(value, f"tool_choice.tools[{index}]")
        if tool.need_text("type") != "function":
            raise tool.refuse("type", "An endpoint that only offers chat completions has no tools but functions")
        names.add(tool.need_text("name"))
        tool.close()
    found.close()
    left = [tool for tool in tools if tool["function"]["name"] in names]
    if len(left) < len(names) or not names:
        raise wrong_type("tool_choice.tools", "names of functions that 'tools' defines")
    return mode, left
