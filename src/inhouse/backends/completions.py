"""OpenAI's legacy completions: what a request asks for, its permitted edits, a reply's facts, a stream's meter."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.openai import is_json
from inhouse.backends.request_body import RequestBody, missing, read_body, wrong_type
from inhouse.backends.sse import read_data, split_events
from inhouse.backends.wire import TEXT_ONLY, ReplyFacts
from inhouse.backends.wire_usage import WireUsage, parse_usage, read_tier
from inhouse.domain import Modality, Operation, Usage, UsageBasis

COMPLETIONS_PATH = "/completions"
"""Stands under a replica's `base_url`."""
_NULL = Raw(b"null")
_EMPTY = frozenset({b"null", b'""'})
_DONE = b"[DONE]"


class CompletionsRequest(Struct, frozen=True, kw_only=True):
    """What the gateway needs of a completions request; the rest stays bytes.

    `asks_usage`: the client itself asked for the usage chunk of a stream.
    """

    parts: RequestBody
    model: str
    is_stream: bool
    asks_usage: bool
    metadata: Mapping[str, str]

    @property
    def operation(self) -> Operation:
        """Completions."""
        return Operation.COMPLETIONS

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return self.parts.found.text

    @property
    def modalities(self) -> frozenset[Modality]:
        """Text, always."""
        return TEXT_ONLY

    def edit(self, model: str) -> bytes:
        """The body with the permitted edits: the model name, and `stream_options.include_usage` on streams."""
        if self.is_stream and not self.asks_usage:
            return self.parts.with_usage(self.model, model)
        return self.parts.replace_model(self.model, model)


def read_completions_request(body: bytes) -> CompletionsRequest:
    """Find what is needed in a completions request's body.

    Raises:
        RequestError: 400 `invalid_json`, `missing_field` or `invalid_request`, naming the field at fault.
    """
    parts = read_body(body)
    model = parts.model()
    if "prompt" not in parts.found.members and not parts.has("prompt_embeds"):  # what vLLM takes in its place
        raise missing("prompt")
    if parts.raw("prompt")[:1] not in (b'"', b"[", b"n"):
        raise wrong_type("prompt", "a string, or an array of strings or token numbers")
    return CompletionsRequest(
        parts=parts,
        model=model,
        is_stream=parts.flag("stream"),
        asks_usage=parts.asks_usage(),
        metadata=parts.labels(),
    )


# Replies.


class _Choice(Struct):
    """One choice; its text is kept raw, only its emptiness is asked."""

    text: Raw = _NULL
    finish_reason: str | None = None


class _Reply(Struct):
    """A whole reply, or one chunk of a stream."""

    model: str | None = None
    system_fingerprint: str | None = None
    choices: list[_Choice] | None = None
    usage: WireUsage | None = None
    service_tier: str | None = None
    error: Raw = _NULL


_decode_reply = msgspec.json.Decoder(_Reply).decode


def read_completions_reply(body: bytes) -> ReplyFacts | None:
    """What is metered of a whole reply; None where it is not one."""
    reply = _read(body)
    if reply is None:
        return None
    usage, basis = parse_usage(reply.usage)
    finish_reason = next((choice.finish_reason for choice in reply.choices or () if choice.finish_reason), None)
    return ReplyFacts(
        model=reply.model,
        fingerprint=reply.system_fingerprint,
        finish_reason=finish_reason,
        usage=usage,
        usage_basis=basis,
        is_error=reply.error != _NULL,
        is_filtered=finish_reason == "content_filter",
        tier=read_tier(reply.service_tier),
    )


class CompletionsMeter:
    """Meters a stream of completions chunks. Everything passes byte for byte, except a withheld usage chunk.

    A plain chunk (text, no finish, no usage) is recognised by its bytes and not decoded: in JSON text, quoted names
    cannot stand inside a string, where their quotes would be escaped.

    Args:
        withholds_usage: take the chunk out that brings usage and no choice, which only the gateway asked for.
    """

    __slots__ = (
        "_usage",
        "_withholds_usage",
        "error_event",
        "fingerprint",
        "finish_reason",
        "first_content_at",
        "is_done",
        "is_malformed",
        "last_content_at",
        "model",
        "num_chunks",
        "tier",
    )

    def __init__(self, *, withholds_usage: bool) -> None:
        self._withholds_usage = withholds_usage
        self._usage: WireUsage | None = None
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

    @property
    def is_complete(self) -> bool:
        """Whether the stream said that it is finished."""
        return self.is_done or self.finish_reason is not None

    def settle(self) -> tuple[Usage | None, UsageBasis]:
        """The usage reported so far, in disjoint buckets."""
        return parse_usage(self._usage)

    def facts(self) -> ReplyFacts:
        """The same as of a whole reply."""
        usage, basis = self.settle()
        return ReplyFacts(
            model=self.model,
            fingerprint=self.fingerprint,
            finish_reason=self.finish_reason,
            usage=usage,
            usage_basis=basis,
            is_error=self.error_event is not None,
            is_filtered=self.finish_reason == "content_filter",
            tier=self.tier,
        )

    def feed(self, block: bytes, now: float) -> tuple[bytes, bool]:
        """Meter whole events that came at `now` (seconds, any clock): what passes on, and whether it was progress."""
        if block.find(b"\n\n") == len(block) - 2:
            return self._take(block, now)
        passed: list[bytes] = []
        has_progress = False
        for event in split_events(block):
            if self.is_malformed:
                break  # what comes after is not looked at, however the stream is cut
            part, is_progress = self._take(event, now)
            passed.append(part)
            has_progress = has_progress or is_progress
        return b"".join(passed), has_progress

    def _take(self, event: bytes, now: float) -> tuple[bytes, bool]:
        if self.first_content_at is not None and _is_plain(event):
            self.num_chunks += 1
            self.last_content_at = now
            return event, True
        data = read_data(event)
        if data is None:
            return event, False
        if data == _DONE:
            self.is_done = True
            return event, True
        chunk = _read(data)
        if chunk is None:
            self.is_malformed = self.is_malformed or not is_json(data)
            return event, True
        self._note(chunk, data, now)
        is_withheld = (
            self._withholds_usage and chunk.usage is not None and not chunk.choices and self.error_event is None
        )
        return (b"" if is_withheld else event), True

    def _note(self, chunk: _Reply, data: bytes, now: float) -> None:
        if chunk.error != _NULL:
            self.error_event = data
        if not self.model:  # Azure's first chunk names none
            self.model = chunk.model
            self.fingerprint = chunk.system_fingerprint
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.service_tier is not None:
            self.tier = read_tier(chunk.service_tier)
        has_text = False
        for choice in chunk.choices or ():
            self.finish_reason = choice.finish_reason or self.finish_reason
            has_text = has_text or bytes(choice.text) not in _EMPTY
        if has_text:
            self.num_chunks += 1
            self.last_content_at = now
            if self.first_content_at is None:
                self.first_content_at = now


def _read(data: bytes) -> _Reply | None:
    try:
        return _decode_reply(data)
    except (ValueError, RecursionError):
        return None


def _is_plain(event: bytes) -> bool:
    """One chunk with text that neither finishes, nor reports usage or an error."""
    return (
        b'"text":"' in event
        and b'"text":""' not in event
        and b'"finish_reason":"' not in event
        and b'"finish_reason": "' not in event
        and b'"error"' not in event
        and (b'"usage"' not in event or b'"usage":null' in event)
        and event.startswith(b"data: {")
    )
