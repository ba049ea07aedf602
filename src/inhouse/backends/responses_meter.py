"""Meters a stream of Responses events while it passes, byte for byte. Writes nowhere."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.openai import is_json
from inhouse.backends.responses import ResponsesUsage, WireResponse, parse_responses_usage, read_response
from inhouse.backends.sse import read_data, split_events
from inhouse.backends.wire import ReplyFacts
from inhouse.backends.wire_usage import read_tier
from inhouse.domain import Usage, UsageBasis

_NULL = Raw(b"null")
_NOTHING = frozenset({b"null", b'""'})
_DONE = b"[DONE]"
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
_LIFECYCLE = frozenset({"response.created", "response.queued", "response.in_progress", "keepalive"})
_MAX_KINDS = 8


class _Event(Struct):
    """An event as far as it is metered."""

    type: str = ""
    delta: Raw = _NULL
    response: Raw = _NULL
    error: Raw = _NULL


_decode_event = msgspec.json.Decoder(_Event).decode


class ResponsesMeter:
    """Looks at whole events of a Responses stream; every byte passes.

    An event that only says that the response was created or is under way is no progress: there is nothing yet of an
    answer, so another endpoint may still be tried.
    """

    __slots__ = (
        "_has_refusal",
        "_has_text",
        "_plain",
        "_usage",
        "error_event",
        "fingerprint",
        "finish_reason",
        "first_content_at",
        "is_done",
        "is_malformed",
        "last_content_at",
        "last_response",
        "model",
        "num_chunks",
        "num_events",
        "tier",
    )

    def __init__(self) -> None:
        self._has_text = self._has_refusal = False
        self._plain: tuple[bytes, ...] = ()  # how the events begin that brought content before: no need to decode them
        self._usage: ResponsesUsage | None = None
        self.num_events = 0
        """Events that came: the `sequence_number` of the next."""
        self.num_chunks = 0
        self.first_content_at: float | None = None
        self.last_content_at: float | None = None
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.fingerprint: str | None = None
        self.tier: str | None = None
        self.error_event: bytes | None = None
        self.is_done = False
        self.is_malformed = False
        self.last_response: bytes | None = None
        """The response object that the last event brought, as JSON."""

    @property
    def is_complete(self) -> bool:
        """Whether the stream came to its last event without an error."""
        return self.is_done and self.error_event is None

    def settle(self) -> tuple[Usage | None, UsageBasis]:
        """The usage reported so far, in disjoint buckets; it comes with the last event."""
        return parse_responses_usage(self._usage)

    def facts(self) -> ReplyFacts:
        """The same as of a whole reply."""
        usage, basis = self.settle()
        return ReplyFacts(
            model=self.model,
            finish_reason=self.finish_reason,
            usage=usage,
            usage_basis=basis,
            is_error=self.error_event is not None,
            is_filtered=self.finish_reason == "content_filter",
            is_refusal=self._has_refusal and not self._has_text,
            tier=self.tier,
        )

    def feed(self, block: bytes, now: float) -> tuple[bytes, bool]:
        """Meter whole events that came at `now` (seconds, any clock).

        Returns:
            The block as it is, and whether it was progress.
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
        if event.startswith(self._plain) and b'"delta":""' not in event and b'"delta": ""' not in event:
            self.num_events += 1
            self.num_chunks += 1
            self.last_content_at = now
            return True
        data = read_data(event)
        if data is None:
            return False
        if data == _DONE:
            self.is_done = True
            return True
        self.num_events += 1
        try:
            found = _decode_event(data)
        except (ValueError, RecursionError):
            self.is_malformed = self.is_malformed or not is_json(data)
            return True
        self._note(found, data, now)
        return found.type not in _LIFECYCLE

    def _note(self, event: _Event, data: bytes, now: float) -> None:
        kind = event.type
        if kind.endswith(".delta"):
            if bytes(event.delta) not in _NOTHING:
                self._note_content(kind, now)
        elif kind == "error" or event.error != _NULL:
            self.error_event = data
        elif event.response != _NULL:
            response = read_response(event.response)
            if response is not None:
                self._note_response(event, response, data)

    def _note_content(self, kind: str, now: float) -> None:
        if kind == "response.refusal.delta":
            self._has_refusal = True
        elif kind == "response.output_text.delta":
            self._has_text = True
        start = b"event: %b\ndata: {" % kind.encode()
        if start not in self._plain:
            self._plain = (*self._plain, start)[-_MAX_KINDS:]
        self.num_chunks += 1
        self.last_content_at = now
        if self.first_content_at is None:
            self.first_content_at = now

    def _note_response(self, event: _Event, response: WireResponse, data: bytes) -> None:
        self.model = response.model or self.model
        if event.type not in _LAST:
            return
        self.is_done = True
        self.last_response = bytes(event.response)
        self.finish_reason = response.finish_reason
        self._usage = response.usage or self._usage
        self.tier = read_tier(response.service_tier)
        if event.type == "response.failed":
            self.error_event = data
