"""Anthropic's system prompt and turns → chat messages."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from inhouse.backends.translate.fields import Field, says_nothing
from inhouse.backends.translate.ids import portable_call_id
from inhouse.backends.translate.messages_to_chat_parts import Part, simplify, write_content, write_part
from inhouse.backends.translate.quoting import join_quoted

Turn = dict[str, Any]
_ROLES = frozenset({"user", "assistant", "system"})
_PLAIN = frozenset({"role", "content"})
_CALL = frozenset({"type", "id", "name", "input", "cache_control"})
_RESULT = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})
_DEFAULTS: dict[str, tuple[Any, ...]] = {"caller": ({"type": "direct"},)}
_FAILED = b'"[tool error] "'
"""Chat completions have no field for a failed call, so its result says so in words."""
_BETWEEN_THOUGHTS = b'"\\n\\n"'


class ChatTurns:
    """The chat messages of a request.

    Args:
        request: the whole request.
        members: its members.
        reasoning_field: the member of a message that holds reasoning text; None where the endpoint has none.
    """

    def __init__(self, request: Field, members: dict[str, Field], reasoning_field: str | None) -> None:
        self._reasoning_field = reasoning_field
        self.turns: list[Turn] = []
        if "system" in members:
            system = write_content(members["system"], is_user=False)
            if system not in (Raw(b'""'), []):
                self.turns.append({"role": "system", "content": system})
        messages = request.require("messages", members).items()
        said = [_open(message) for message in messages]
        last_user = max(
            (number for number, (role, content) in enumerate(said) if _is_users_word(role, content)), default=-1
        )
        for number, (role, content) in enumerate(said):
            self.turns += self._write(role, content, is_past=number < last_user)
        if said and said[-1][0] == "assistant":
            raise messages[-1].refuse(
                "An assistant message at the end would not be continued there. End with a user message."
            )

    def _write(self, role: str, content: Field, *, is_past: bool) -> list[Turn]:
        if role == "user":
            return _write_user(content)
        if role == "assistant":
            return [_write_assistant(content, self._reasoning_field, is_past=is_past)]
        return [{"role": "system", "content": write_content(content, is_user=False)}]


def _open(message: Field) -> tuple[str, Field]:
    """A message's role and content."""
    members = message.members()
    message.check_names(members, _PLAIN)
    role = message.require("role", members)
    if role.text() not in _ROLES:
        raise role.malformed("'user', 'assistant' or 'system'")
    return role.text(), message.require("content", members)


def _is_users_word(role: str, content: Field) -> bool:
    """Whether it is the user who speaks, and not only results of tools that come back."""
    if role != "user":
        return False
    return content.is_text or any(_kind_of(block) != "tool_result" for block in content.items())


def _kind_of(block: Field) -> str:
    return block.require("type", block.members()).text()


def _write_user(content: Field) -> list[Turn]:
    """Each tool result becomes a message of its own; what else the turn says follows as one message."""
    if content.is_text:
        return [{"role": "user", "content": content.json}]
    turns: list[Turn] = []
    parts: list[Part] = []
    for block in content.items():
        kind = block.require("type", block.members())
        if kind.text() != "tool_result":
            parts.append(write_part(block, is_user=True))
        elif parts:
            raise kind.refuse("Results come right after their calls. Put them before the rest of the turn.")
        else:
            turns.append(_write_result(block))
    if parts or not turns:
        turns.append({"role": "user", "content": simplify(parts)})
    return turns


def _write_result(block: Field) -> Turn:
    members = block.members()
    block.check_names(members, _RESULT)
    content = write_content(members["content"], is_user=True) if "content" in members else Raw(b'""')
    if "is_error" in members and members["is_error"].flag():
        content = _mark_failed(content)
    call_id = portable_call_id(block.require("tool_use_id", members).text())
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _mark_failed(content: Raw | list[Part]) -> Raw | list[Part]:
    if isinstance(content, Raw):
        return Raw(join_quoted((_FAILED, bytes(content))))
    return [{"type": "text", "text": Raw(_FAILED)}, *content]


def _write_assistant(content: Field, reasoning_field: str | None, *, is_past: bool) -> Turn:
    if content.is_text:
        return {"role": "assistant", "content": content.json}
    parts: list[Part] = []
    thoughts: list[bytes] = []
    calls: list[dict[str, Any]] = []
    for block in content.items():
        members = block.members()
        kind = block.require("type", members)
        match kind.text():
            case "text" if calls:
                raise kind.refuse("Text cannot stand after tool calls there. Put it before them.")
            case "thinking" if reasoning_field is not None:
                block.check_names(members, frozenset({"type", "thinking", "signature"}))
                thoughts.append(bytes(block.require("thinking", members).quoted()))
            case "thinking" | "redacted_thinking" if is_past:
                pass  # no dialect asks for it again once the user has spoken
            case "tool_use":
                calls.append(_write_call(block, members))
            case _:
                parts.append(write_part(block, is_user=False))
    turn: Turn = {"role": "assistant", "content": simplify(parts) if parts else None}
    told = [thought for thought in thoughts if thought != b'""']
    if told and reasoning_field is not None:
        turn[reasoning_field] = _join_thoughts(told)
    if calls:
        turn["tool_calls"] = calls
    elif not parts:
        turn["content"] = ""
    return turn


def _join_thoughts(thoughts: list[bytes]) -> Raw:
    spaced = [piece for thought in thoughts for piece in (_BETWEEN_THOUGHTS, thought)]
    return Raw(join_quoted(spaced[1:]))


def _write_call(block: Field, members: dict[str, Field]) -> dict[str, Any]:
    given = {name: member for name, member in members.items() if not says_nothing(member, _DEFAULTS, name)}
    block.check_names(given, _CALL)
    arguments = block.require("input", members)
    arguments.members()
    function = {"name": block.require("name", members).quoted(), "arguments": arguments.raw.decode()}
    call_id = portable_call_id(block.require("id", members).text())
    return {"id": call_id, "type": "function", "function": function}
