"""Items of a streamed response that are still growing, and the events that they give rise to. Numbers nothing."""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Raw

from inhouse.backends.translate_responses.shape import (
    Item,
    build_call,
    build_message,
    build_reasoning,
    build_refusal_part,
    build_text_part,
    build_thought_part,
)

Events = list[tuple[str, dict[str, Any]]]
_DELTA = (
    b'event: response.%b.delta\ndata: {"type":"response.%b.delta","sequence_number":%d,"item_id":"%b",'
    b'"output_index":%d,%b"delta":%b%b}\n\n'
)


class TextKind(Enum):
    """What a text is; the value is the word in its events' names."""

    REASONING = "reasoning_text"
    ANSWER = "output_text"
    REFUSAL = "refusal"


class OpenText:
    """A text that grows: reasoning, or one part of an answer.

    Args:
        kind: what it is.
        item_id: of the item that it is part of.
        output_index: where that item stands in the output.
    """

    def __init__(self, kind: TextKind, item_id: str, output_index: int) -> None:
        self.kind = kind
        self.output_index = output_index
        self._content_index = 0
        self._texts: list[bytes] = []
        self._logprobs: list[bytes] = []
        self._word = kind.value.encode()
        self._id = item_id.encode()
        build = build_reasoning if kind is TextKind.REASONING else build_message
        self.item: Item = build(item_id, [], "in_progress")
        """The item as it is now; it is filled as its parts are closed."""

    @property
    def is_message(self) -> bool:
        """Whether it is part of an answer."""
        return self.kind is not TextKind.REASONING

    def follow(self, kind: TextKind) -> OpenText:
        """A further part of the same answer."""
        part = OpenText(kind, self.item["id"], self.output_index)
        part.item = self.item
        part._content_index = self._content_index + 1
        return part

    def write(self, text: Raw, logprobs: Raw | None, number: int) -> tuple[int, bytes]:
        """Add to the text.

        Args:
            text: JSON string; its characters pass as they are.
            logprobs: of its tokens, a JSON array.
            number: the event's `sequence_number`.

        Returns:
            The next number, and the event.
        """
        value = bytes(text)
        self._texts.append(value[1:-1])
        tail = b""
        if self.kind is TextKind.ANSWER:
            given = b"[]" if logprobs is None else bytes(logprobs)
            tail = b',"logprobs":%b' % given
            if len(given) > len(b"[]"):
                self._logprobs.append(given[1:-1])
        place = b'"content_index":%d,' % self._content_index
        return number + 1, _DELTA % (self._word, self._word, number, self._id, self.output_index, place, value, tail)

    def open_part(self) -> Events:
        """The part begins, empty."""
        return [("response.content_part.added", {**self._place(), "part": self._build(Raw(b'""'), Raw(b"[]"))})]

    def close_part(self) -> Events:
        """The part is complete; it becomes part of the item."""
        text = Raw(b'"%b"' % b"".join(self._texts))
        logprobs = Raw(b"[%b]" % b",".join(self._logprobs))
        part = self._build(text, logprobs)
        self.item["content"].append(part)
        done: dict[str, Any] = {**self._place(), "refusal" if self.kind is TextKind.REFUSAL else "text": text}
        if self.kind is TextKind.ANSWER:
            done["logprobs"] = logprobs
        return [
            (f"response.{self.kind.value}.done", done),
            ("response.content_part.done", {**self._place(), "part": part}),
        ]

    def close_item(self, status: str) -> Events:
        """Nothing more comes: the item is `completed`, or `incomplete` where the answer was cut there."""
        self.item["status"] = status
        return [("response.output_item.done", {"output_index": self.output_index, "item": self.item})]

    def _place(self) -> dict[str, Any]:
        return {
            "item_id": self.item["id"],
            "output_index": self.output_index,
            "content_index": self._content_index,
        }

    def _build(self, text: Raw, logprobs: Raw) -> Item:
        if self.kind is TextKind.REASONING:
            return build_thought_part(text)
        return build_text_part(text, logprobs) if self.kind is TextKind.ANSWER else build_refusal_part(text)


class OpenCall:
    """A call whose arguments grow.

    Args:
        number: the endpoint's index of it.
        item_id: of its item.
        call_id: the endpoint's id of the call.
        name: of the function.
        output_index: where its item stands in the output.
    """

    def __init__(self, number: int, item_id: str, call_id: str, name: str, output_index: int) -> None:
        self.number = number
        self.call_id = call_id
        self.output_index = output_index
        self._id = item_id.encode()
        self._texts: list[bytes] = []
        self.item: Item = build_call(item_id, call_id, name, "", "in_progress")
        """The item as it is now; its arguments are filled in at the end."""

    def write(self, text: Raw, number: int) -> tuple[int, bytes]:
        """Add to the arguments (a JSON string); the next `sequence_number`, and the event with this one."""
        value = bytes(text)
        self._texts.append(value[1:-1])
        word = b"function_call_arguments"
        return number + 1, _DELTA % (word, word, number, self._id, self.output_index, b"", value, b"")

    def close(self, status: str) -> Events:
        """Nothing more comes; `status` as of a text."""
        arguments = Raw(b'"%b"' % b"".join(self._texts))
        self.item["arguments"] = arguments
        self.item["status"] = status
        place = {"item_id": self.item["id"], "output_index": self.output_index}
        return [
            ("response.function_call_arguments.done", {**place, "name": self.item["name"], "arguments": arguments}),
            ("response.output_item.done", {"output_index": self.output_index, "item": self.item}),
        ]
