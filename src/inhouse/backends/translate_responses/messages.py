"""Input items of the Responses dialect → chat messages. Calls nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from inhouse.backends.request_body import wrong_type
from inhouse.backends.translate_responses.fields import Fields

_SYSTEM_ROLES = frozenset({"system", "developer"})
_PARAGRAPH = "\n\n"
Part = dict[str, Any]
Message = dict[str, Any]


class MessageBuilder:
    """Puts items together into messages: calls join the assistant's message before them, reasoning the one after it.

    System texts at the beginning become one message, since many chat templates take no more.

    Args:
        reasoning_field: the member of an assistant's message that carries reasoning; None where there is none.
    """

    def __init__(self, reasoning_field: str | None) -> None:
        self._reasoning_field = reasoning_field
        self._messages: list[Message] = []
        self._assistant: Message | None = None
        self._reasoning: list[str] = []

    def build(self) -> list[Message]:
        """The messages so far."""
        if self._reasoning:
            self._open_assistant()
        for message in self._messages:
            if message["content"] is None and "tool_calls" not in message:  # reasoning alone
                message["content"] = ""
        return self._messages

    def add_text(self, role: str, text: str) -> None:
        """A message of text."""
        first = self._messages[0] if len(self._messages) == 1 else None
        if role == "system" and first is not None and first["role"] == "system" and isinstance(first["content"], str):
            first["content"] += _PARAGRAPH + text
        else:
            self._add({"role": role, "content": text})

    def add_items(self, items: Sequence[Raw | bytes], path: str, *, owner: str | None = None) -> None:
        """Every item of a list.

        Args:
            items: their JSON.
            path: where the list stands (`input`).
            owner: what errors name where the client did not send the items itself.

        Raises:
            RequestError: 400, an item is malformed.
            UntranslatableError: chat has nothing like it.
        """
        for index, item in enumerate(items):
            self._add_item(Fields(item, f"{path}[{index}]", owner=owner))

    def _add_item(self, item: Fields) -> None:
        kind = item.pop_text("type") or "message"
        if kind == "message":
            self._add_message(item)
        elif kind == "function_call":
            self._add_call(item)
        elif kind == "function_call_output":
            self._add_result(item)
        elif kind == "reasoning":
            self._add_reasoning(item)
        else:
            words = f"An endpoint that only offers chat completions cannot take an item of type '{kind}'"
            raise item.refuse("type", words)
        item.close()

    def _add_message(self, item: Fields) -> None:
        role = item.need_text("role")
        item.skip("id", "status")
        if role == "assistant":
            self._add_answer(item)
            return
        if role not in _SYSTEM_ROLES and role != "user":
            raise wrong_type(item.place("role"), "'user', 'assistant', 'system' or 'developer'")
        role = "system" if role in _SYSTEM_ROLES else role
        parts = _read_parts(item, "content")
        text = _join(parts, _PARAGRAPH if role == "system" else None)
        if text is None:
            self._add({"role": role, "content": parts})
        else:
            self.add_text(role, text)

    def _add_answer(self, item: Fields) -> None:
        """An assistant's message: its texts are one text, a refusal stands beside it."""
        texts: list[str] = []
        refusals: list[str] = []
        for part in _read_parts(item, "content"):
            if part["type"] == "text":
                texts.append(part["text"])
            elif part["type"] == "refusal":
                refusals.append(part["refusal"])
            else:
                raise item.refuse("content", "An assistant's message can only hold text and refusals")
        if self._assistant is not None and self._assistant["content"]:
            self._assistant = None
        message = self._open_assistant()
        message["content"] = "".join(texts)
        if refusals:
            message["refusal"] = "".join(refusals)

    def _add_call(self, item: Fields) -> None:
        call = {
            "id": item.need_text("call_id"),
            "type": "function",
            "function": {"name": item.need_text("name"), "arguments": item.need_text("arguments")},
        }
        item.skip("id", "status")
        refuse_callers(item)
        self._open_assistant().setdefault("tool_calls", []).append(call)

    def _add_result(self, item: Fields) -> None:
        call_id = item.need_text("call_id")
        item.skip("id", "status", "name")
        refuse_callers(item)
        parts = _read_parts(item, "output")
        for index, part in enumerate(parts):
            if part["type"] != "text":
                place = f"output[{index}].type"
                raise item.refuse(place, "In chat completions the result of a function is text, and this is not")
        text = _join(parts, None)
        self._add({"role": "tool", "tool_call_id": call_id, "content": parts if text is None else text})

    def _add_reasoning(self, item: Fields) -> None:
        """Reasoning of an earlier turn: its text goes where the endpoint reads it."""
        item.skip("id", "status")
        summary = [_read_reasoning(item, "summary", part) for part in item.pop_list("summary")]
        content = [_read_reasoning(item, "content", part) for part in item.pop_list("content")]
        text = _PARAGRAPH.join(content or summary)
        if item.pop("encrypted_content") is not None and not text:
            raise item.refuse("encrypted_content", "Encrypted reasoning can only go to the endpoint that made it")
        if text and self._reasoning_field is None:
            raise item.refuse("type", "This route's endpoint takes no reasoning of earlier turns")
        if text:
            self._reasoning.append(text)

    def _open_assistant(self) -> Message:
        """The assistant's message that calls and reasoning belong to now."""
        message = self._assistant
        if message is None:
            message = {"role": "assistant", "content": None}
            self._add(message)
            self._assistant = message
        if self._reasoning and self._reasoning_field is not None:
            earlier: Any = message.get(self._reasoning_field)
            message[self._reasoning_field] = _PARAGRAPH.join(
                [earlier, *self._reasoning] if earlier else self._reasoning
            )
            self._reasoning = []
        return message

    def _add(self, message: Message) -> None:
        if self._reasoning and message["role"] != "assistant":
            self._open_assistant()
        self._assistant = None
        self._messages.append(message)


def refuse_callers(item: Fields) -> None:
    """Refuse what only OpenAI's own runtime knows of calls: other callers than the model, calls in the background."""
    caller = item.pop_fields("caller")
    if caller is not None and caller.need_text("type") != "direct":
        raise item.refuse("caller", "Functions can only be called by the model itself")
    if item.pop_flag("async"):
        raise item.refuse("async", "Chat completions have no calls in the background")


def _join(parts: list[Part], separator: str | None) -> str | None:
    """The parts as one text; None where they are not all text, or several that must stay apart."""
    if any(part.keys() != {"type", "text"} for part in parts) or (separator is None and len(parts) > 1):
        return None
    return (separator or "").join(part["text"] for part in parts)


def _read_parts(item: Fields, name: str) -> list[Part]:
    """A content, given as a text or as parts, as chat's parts."""
    if item.is_text(name):
        return [{"type": "text", "text": item.need_text(name)}]
    parts = item.need_list(name)
    return [_read_part(item.inner(part, f"{item.path}.{name}[{index}]")) for index, part in enumerate(parts)]


def _read_part(part: Fields) -> Part:
    kind = part.need_text("type")
    found: Part
    if kind in ("input_text", "output_text", "text"):
        found = _read_text(part)
    elif kind == "refusal":
        found = {"type": "refusal", "refusal": part.need_text("refusal")}
    elif kind == "input_image":
        found = _read_image(part)
    elif kind == "input_file":
        found = _read_file(part)
    elif kind == "input_audio":
        found = {"type": "input_audio", "input_audio": part.need("input_audio")}
    else:
        raise part.refuse("type", f"An endpoint that only offers chat completions cannot take a '{kind}' part")
    breakpoint_ = part.pop("prompt_cache_breakpoint")
    if breakpoint_ is not None:
        found["prompt_cache_breakpoint"] = breakpoint_
    part.close()
    return found


def _read_text(part: Fields) -> Part:
    part.skip("logprobs")
    if part.pop_list("annotations"):
        raise part.refuse("annotations", "Chat completions cannot carry the citations of an earlier answer")
    return {"type": "text", "text": part.need_text("text")}


def _read_image(part: Fields) -> Part:
    if part.pop("file_id") is not None:
        raise part.refuse("file_id", "Chat completions take images as 'image_url', not as files")
    image = {"url": part.need("image_url")}
    detail = part.pop("detail")
    if detail is not None:
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def _read_file(part: Fields) -> Part:
    if part.pop("file_url") is not None:
        raise part.refuse("file_url", "Chat completions take files as 'file_data' or 'file_id', not by address")
    detail = part.pop_text("detail")
    if detail not in (None, "auto"):
        raise part.refuse("detail", "Chat completions know no detail of files")
    names = ("file_data", "file_id", "filename")
    file = {name: value for name in names if (value := part.pop(name)) is not None}
    return {"type": "file", "file": file}


def _read_reasoning(item: Fields, name: str, part: Raw) -> str:
    found = item.inner(part, f"{item.path}.{name}")
    found.skip("type")
    text = found.need_text("text")
    found.close()
    return text
