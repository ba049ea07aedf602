"""Meters a stream of Anthropic's Messages API while it passes: first content, usage, stop, errors. Changes no byte."""

from __future__ import annotations

import msgspec

from inhouse.backends.anthropic_wire import NULL, ContentBlock, Delta, Event, MessagesUsage, decode_event, settle_usage
from inhouse.backends.openai import is_json
from inhouse.backends.sse import read_data, split_events
from inhouse.backends.wire import ReplyFacts
from inhouse.domain import Usage, UsageBasis

_DELTA_EVENT = b"event: content_block_delta\ndata: {"
_EMPTY = frozenset({b"null", b'""'})
_CONTENT_BLOCKS = frozenset({"tool_use", "server_tool_use", "redacted_thinking"})
"""Blocks whose announcement is content by itself."""


class MessagesMeter:
    """Looks at whole events; every one of them passes on byte for byte.

    A plain delta (text, thinking, tool arguments) is recognised by its bytes and not decoded; in JSON text, quoted
    names cannot stand inside a string, where their quotes would be escaped.
    """

    __slots__ = (
        "_has_final_usage",
        "_usage",
        "error_event",
        "fingerprint",
        "finish_reason",
        "first_content_at",
        "is_done",
        "is_malformed",
        "last_content_at",
        "model",
        "num_chunks",
    )

    def __init__(self) -> None:
        self._usage: MessagesUsage | None = None
        self._has_final_usage = False
        self.num_chunks = 0
        self.first_content_at: float | None = None
        self.last_content_at: float | None = None
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.fingerprint: str | None = None
        self.error_event: bytes | None = None
        self.is_done = False
        self.is_malformed = False

    @property
    def is_complete(self) -> bool:
        """Whether the stream said that it is finished."""
        return self.is_done or self.finish_reason is not None

    def settle(self) -> tuple[Usage | None, UsageBasis]:
        """The usage reported so far, in disjoint buckets.

        A stream that broke off has reported its prompt but not its answer: then the output is estimated as one token
        for each content event, and the whole is marked as an estimate.
        """
        usage = self._usage
        if self._has_final_usage or usage is None or usage.input_tokens is None:
            return settle_usage(usage)
        at_least = max(usage.output_tokens or 0, self.num_chunks)
        buckets, basis = settle_usage(msgspec.structs.replace(usage, output_tokens=at_least))
        return buckets, basis if buckets is None else UsageBasis.ESTIMATED

    def facts(self) -> ReplyFacts:
        """The same as of a whole reply."""
        usage, basis = self.settle()
        return ReplyFacts(
            model=self.model,
            finish_reason=self.finish_reason,
            usage=usage,
            usage_basis=basis,
            is_error=self.error_event is not None,
            is_refusal=self.finish_reason == "refusal",
            tier=None if self._usage is None else self._usage.tier,
        )

    def feed(self, block: bytes, now: float) -> tuple[bytes, bool]:
        """Meter whole events that came at `now` (seconds, any clock).

        Returns:
            The very same bytes, and whether there was more than comments and pings.
        """
        if block.find(b"\n\n") == len(block) - 2:
            return block, self._take(block, now)
        has_progress = False
        for event in split_events(block):
            if self.is_malformed:
                break  # what comes after is not looked at, however the stream is cut
            has_progress = self._take(event, now) or has_progress
        return block, has_progress

    def _take(self, event: bytes, now: float) -> bool:
        if _is_plain_delta(event):
            self._note_content(now)
            return True
        data = read_data(event)
        if data is None:
            return False
        try:
            found = decode_event(data)
        except (ValueError, RecursionError):
            self.is_malformed = self.is_malformed or not is_json(data)
            return (
                True  # of a kind that is not known here: it passes, and the end will show whether the answer was whole
            )
        if found.type == "ping":
            return False
        self._note(found, data, now)
        return True

    def _note(self, event: Event, data: bytes, now: float) -> None:
        if event.type == "error":
            self.error_event = data
        elif event.type == "message_stop":
            self.is_done = True
        elif event.type == "message_start" and event.message is not None:
            self.model = event.message.model
            self._usage = event.message.usage
        elif event.type == "message_delta":
            self._note_end(event)
        elif (event.delta is not None and _brings_content(event.delta)) or (
            event.content_block is not None and _is_content(event.content_block)
        ):
            self._note_content(now)

    def _note_end(self, event: Event) -> None:
        if event.delta is not None and event.delta.stop_reason is not None:
            self.finish_reason = event.delta.stop_reason
        if event.usage is None:
            return
        self._has_final_usage = self._has_final_usage or event.usage.output_tokens is not None
        if self._usage is None:
            self._usage = event.usage
        else:
            self._usage.update(event.usage)

    def _note_content(self, now: float) -> None:
        self.num_chunks += 1
        self.last_content_at = now
        if self.first_content_at is None:
            self.first_content_at = now


def _is_plain_delta(event: bytes) -> bool:
    """One delta event in the form that Anthropic sends, whose text is not empty."""
    return (
        event.startswith(_DELTA_EVENT)
        and event.find(b"\n", len(_DELTA_EVENT)) == len(event) - 2
        and b'":""' not in event
        and (b'"text":"' in event or b'"thinking":"' in event or b'"partial_json":"' in event)
    )


def _brings_content(delta: Delta) -> bool:
    return any(bytes(value) not in _EMPTY for value in (delta.text, delta.thinking, delta.partial_json))


def _is_content(block: ContentBlock) -> bool:
    return block.type in _CONTENT_BLOCKS or (block.text != NULL and bytes(block.text) not in _EMPTY)
