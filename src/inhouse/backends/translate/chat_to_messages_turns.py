"""Chat messages → Anthropic's system prompt and turns."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from inhouse.backends.translate.chat_to_messages_parts import Block, write_blocks, write_content
from inhouse.backends.translate.fields import Field
from inhouse.backends.translate.ids import portable_call_id
from inhouse.backends.wire import UntranslatableError

_SYSTEM_ROLES = frozenset({"system", "developer"})
_PLAIN = frozenset({"role", "content"})
_ASSISTANT = _PLAIN | {"refusal", "tool_calls", "reasoning_content", "reasoning", "thinking_blocks", "annotations"}
_TOOL = _PLAIN | {"tool_call_id", "name"}
"""`name` repeats the name of the call, which `tool_call_id` points at."""
_THINKING = {"thinking": frozenset({"thinking", "signature"}), "redacted_thinking": frozenset({"data"})}
_NO_ARGUMENTS = Raw(b"{}")


class Conversation:
    """The turns so far, and the system prompt that comes before them.

    Args:
        messages: the request's `messages`.
    """

    def __init__(self, messages: Field) -> None:
        self.turns: list[dict[str, Any]] = []
        self._system: list[Raw | list[Block]] = []
        entries = [(message, message.members()) for message in messages.items()]
        roles = [message.require("role", members).text() for message, members in entries]
        self._last_user = max((number for number, role in enumerate(roles) if role == "user"), default=-1)
        for number, ((message, members), role) in enumerate(zip(entries, roles, strict=True)):
            self._add(number, role, message, members)
        if roles and roles[-1] == "assistant":
            raise entries[-1][0].refuse(
                "An assistant message at the end would be continued there, not answered. End with a user message."
            )

    @property
    def system(self) -> Raw | list[Block] | None:
        """The top-level `system`; None where nothing is said."""
        match self._system:
            case []:
                return None
            case [Raw() as text]:
                return text
            case several:
                return [block for said in several for block in _as_blocks(said)]

    def _add(self, number: int, role: str, message: Field, members: dict[str, Field]) -> None:
        if role in _SYSTEM_ROLES:
            self._add_system(message, members)
        elif role == "user":
            self._add_user(message, members)
        elif role == "assistant":
            is_past = number < self._last_user
            blocks = _write_assistant(message, members, is_past=is_past)
            self.turns.append({"role": "assistant", "content": blocks})
        elif role == "tool":
            self._add_result(message, members)
        else:
            raise members["role"].refuse("Use `tool` messages for results, and `user` or `system` for the rest.")

    def _add_system(self, message: Field, members: dict[str, Field]) -> None:
        """Instructions before the first turn are the system prompt; later ones keep their place."""
        message.check_names(members, _PLAIN)
        content = write_content(message.require("content", members), is_user=False)
        if isinstance(content, Raw) and bytes(content) == b'""':
            return
        if self.turns:
            self.turns.append({"role": "system", "content": content})
        else:
            self._system.append(content)

    def _add_user(self, message: Field, members: dict[str, Field]) -> None:
        """A user's message right after tool results joins their turn, as Anthropic's own clients send it."""
        message.check_names(members, _PLAIN)
        content = message.require("content", members)
        if self._ends_with_results():
            self.turns[-1]["content"] += write_blocks(content, is_user=True)
        else:
            self.turns.append({"role": "user", "content": write_content(content, is_user=True)})

    def _add_result(self, message: Field, members: dict[str, Field]) -> None:
        """All results of parallel calls stand in one turn."""
        message.check_names(members, _TOOL)
        call_id = portable_call_id(message.require("tool_call_id", members).text())
        result: Block = {"type": "tool_result", "tool_use_id": call_id}
        content = members.get("content")
        if content is not None and content.raw != b'""':
            result["content"] = write_content(content, is_user=True)
        if self._ends_with_results() and self.turns[-1]["content"][-1]["type"] == "tool_result":
            self.turns[-1]["content"].append(result)
        else:
            self.turns.append({"role": "user", "content": [result]})

    def _ends_with_results(self) -> bool:
        if not self.turns or self.turns[-1]["role"] != "user":
            return False
        content = self.turns[-1]["content"]
        return isinstance(content, list) and content[0]["type"] == "tool_result"  # pyright: ignore[reportUnknownVariableType]


def _as_blocks(said: Raw | list[Block]) -> list[Block]:
    return [{"type": "text", "text": said}] if isinstance(said, Raw) else said


def _write_assistant(message: Field, members: dict[str, Field], *, is_past: bool) -> Raw | list[Block]:
    message.check_names(members, _ASSISTANT)
    if "annotations" in members and members["annotations"].value() != []:
        raise members["annotations"].refuse("Web citations have no equal there. Leave them out.")
    blocks = _write_thinking(members, is_past=is_past)
    content = members.get("content")
    if content is not None and content.raw != b'""':
        if not blocks and "tool_calls" not in members and content.is_text:
            return content.json
        blocks += write_blocks(content, is_user=False)
    if "refusal" in members:
        blocks.append({"type": "text", "text": members["refusal"].quoted()})
    if "tool_calls" in members:
        blocks += [_write_call(call) for call in members["tool_calls"].items()]
    return blocks or Raw(b'""')


def _write_thinking(members: dict[str, Field], *, is_past: bool) -> list[Block]:
    """Reasoning goes back only with the proof (`signature`) that Anthropic asks for.

    Reasoning without one, in a turn that is over, is left out: no dialect reads it again once the user has spoken.
    Amid tool calls it matters, and is refused.
    """
    if "thinking_blocks" in members:
        blocks = [_write_thinking_block(entry, is_past=is_past) for entry in members["thinking_blocks"].items()]
        return [block for block in blocks if block is not None]
    for name in ("reasoning_content", "reasoning"):
        if name in members and not is_past and members[name].raw != b'""':
            raise _refuse_unsigned(members[name])
    return []


def _write_thinking_block(entry: Field, *, is_past: bool) -> Block | None:
    members = entry.members()
    kind = entry.require("type", members)
    names = _THINKING.get(kind.text())
    if names is None:
        raise kind.malformed("'thinking' or 'redacted_thinking'")
    entry.check_names(members, names | {"type", "index"})
    if "signature" in names and members.get("signature", entry).raw in (b'""', entry.raw):
        if is_past:
            return None
        raise _refuse_unsigned(entry)
    return {"type": kind.json, **{name: entry.require(name, members).quoted() for name in sorted(names)}}


def _refuse_unsigned(field: Field) -> UntranslatableError:
    return field.refuse(
        "Reasoning amid tool calls is taken there only with the signature that came with it. Send the assistant's"
        " message back whole, with its `thinking_blocks`, or without its reasoning."
    )


def _write_call(call: Field) -> Block:
    members = call.members()
    call.check_names(members, frozenset({"id", "type", "function", "index"}))
    if "type" in members and members["type"].text() != "function":
        raise members["type"].refuse("Only calls of functions have an equal there.")
    function = call.require("function", members)
    parts = function.members()
    function.check_names(parts, frozenset({"name", "arguments"}))
    return {
        "type": "tool_use",
        "id": portable_call_id(call.require("id", members).text()),
        "name": function.require("name", parts).quoted(),
        "input": _read_arguments(function.require("arguments", parts)),
    }


def _read_arguments(arguments: Field) -> Raw:
    """The arguments' own JSON text; nothing at all stands for no arguments."""
    text = arguments.text().strip()
    if not text:
        return _NO_ARGUMENTS
    try:
        value = msgspec.json.decode(text, type=Raw)
    except (ValueError, RecursionError):
        raise _refuse_arguments(arguments) from None
    if not text.startswith("{"):
        raise _refuse_arguments(arguments)
    return value


def _refuse_arguments(arguments: Field) -> UntranslatableError:
    return arguments.refuse("Arguments must be a JSON object there. Leave the call out, or mend its arguments.")
