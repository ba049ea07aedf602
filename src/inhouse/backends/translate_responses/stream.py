"""Chat chunks → Responses events, numbered and in order. Keeps one stream's state, sends nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from inhouse.backends.translate_responses.chat_wire import NULL, Call, ChatReply, ChatUsage, Choice, has_text
from inhouse.backends.translate_responses.open_items import OpenCall, OpenText, TextKind
from inhouse.backends.translate_responses.reply import as_text
from inhouse.backends.translate_responses.shape import Item, ResponseShape, judge_end, read_logprobs

_NOTHING = (NULL, Raw(b'""'))
_encode = msgspec.json.encode
_LAST_EVENTS = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "failed": "response.failed",
}


class EventStream:
    """Writes the events of one response while the chunks come.

    One text is open at a time (reasoning, answer or refusal); calls stay open to the end, because nothing forbids an
    endpoint to send parts of several in turn.
    """

    def __init__(self, shape: ResponseShape) -> None:
        self._shape = shape
        self._parts: list[bytes] = []
        self._items: list[Item] = []
        self._text: OpenText | None = None
        self._calls: list[OpenCall] = []
        self._finish_reason: str | None = None
        self._usage: ChatUsage | None = None
        self._is_begun = False
        self.num_events = 0
        """Events written: the `sequence_number` of the next."""
        self.final_response: bytes | None = None
        """The finished response object, once the stream has ended."""

    def take(self, chunk: ChatReply) -> None:
        """Translate one chunk.

        Raises:
            ValueError: it is not one of chat.
        """
        self._shape.take_head(chunk.created, chunk.model, chunk.service_tier)
        self._begin()
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._take_choice(choice)

    def end(self) -> None:
        """Close what is open and write the last event; a second time nothing."""
        if self.final_response is not None:
            return
        self._begin()
        if not self._items:
            self._open_text(TextKind.ANSWER)
        status = judge_end(self._finish_reason)
        last_status = "completed" if status == "completed" else "incomplete"
        self._close_text("completed" if self._calls else last_status)
        for call in self._calls:
            self._emit_all(call.close(last_status if call is self._calls[-1] else "completed"))
        response = self._shape.end(self._finish_reason, self._items, self._usage)
        self.final_response = _encode(response)
        self._emit(_LAST_EVENTS[status], {"response": Raw(self.final_response)})

    def drain(self) -> bytes:
        """What was written since the last time."""
        written, self._parts = b"".join(self._parts), []
        return written

    def _begin(self) -> None:
        if not self._is_begun:
            self._is_begun = True
            response = self._shape.begin()
            self._emit("response.created", {"response": response})
            self._emit("response.in_progress", {"response": response})

    def _take_choice(self, choice: Choice) -> None:
        words = choice.delta
        if words is not None:
            if has_text(words.thought):
                self._add_text(TextKind.REASONING, words.thought, None)
            if has_text(words.content):
                self._add_text(TextKind.ANSWER, words.content, read_logprobs(choice.logprobs))
            if has_text(words.refusal):
                self._add_text(TextKind.REFUSAL, words.refusal, None)
            for call in words.tool_calls or ():
                self._take_call(call)
        self._finish_reason = choice.finish_reason or self._finish_reason

    def _add_text(self, kind: TextKind, text: Raw, logprobs: Raw | None) -> None:
        current = self._text
        if current is None or current.kind is not kind:
            current = self._open_text(kind)
        self.num_events, event = current.write(text, logprobs, self.num_events)
        self._parts.append(event)

    def _open_text(self, kind: TextKind) -> OpenText:
        """Begin an item, or a further part of the answer that is open."""
        before = self._text
        if before is not None and before.is_message and kind is not TextKind.REASONING:
            self._emit_all(before.close_part())
            opened = before.follow(kind)
        else:
            self._close_text()
            prefix = "rs" if kind is TextKind.REASONING else "msg"
            opened = OpenText(kind, self._shape.make_id(prefix), len(self._items))
            self._items.append(opened.item)
            self._emit_added(opened.output_index, opened.item)
        self._text = opened
        self._emit_all(opened.open_part())
        return opened

    def _close_text(self, status: str = "completed") -> None:
        if self._text is not None:
            self._emit_all(self._text.close_part())
            self._emit_all(self._text.close_item(status))
            self._text = None

    def _take_call(self, part: Call) -> None:
        function = part.function
        call = self._find_call(part)
        if call is None:
            if function is None or not function.name:
                raise ValueError("a tool call that begins without the function's name")
            self._close_text()
            call_id = part.id or self._shape.make_id("call")
            number = part.index if part.index is not None else len(self._calls)
            call = OpenCall(number, self._shape.make_id("fc"), call_id, function.name, len(self._items))
            self._calls.append(call)
            self._items.append(call.item)
            self._emit_added(call.output_index, call.item)
        arguments = NULL if function is None else function.arguments
        if arguments not in _NOTHING:
            self.num_events, event = call.write(as_text(arguments), self.num_events)
            self._parts.append(event)

    def _find_call(self, part: Call) -> OpenCall | None:
        """The open call that a part belongs to; None where it begins another.

        Some servers give no index, or the same one to every call: a new id with a name begins a new call.
        """
        names = part.function is not None and part.function.name
        for call in reversed(self._calls):
            if part.index is None or call.number == part.index:
                is_other = names and part.id is not None and part.id != call.call_id
                return None if is_other else call
        return None

    def _emit_added(self, output_index: int, item: Item) -> None:
        self._emit("response.output_item.added", {"output_index": output_index, "item": item})

    def _emit_all(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        for kind, members in events:
            self._emit(kind, members)

    def _emit(self, kind: str, members: dict[str, Any]) -> None:
        event = {"type": kind, "sequence_number": self.num_events, **members}
        self._parts.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(event)))
        self.num_events += 1
