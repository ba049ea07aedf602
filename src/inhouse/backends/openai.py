"""The OpenAI dialect: what a chat request asks for, its permitted edits, usage and errors in replies. No network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.splice import JsonError, JsonObject, read_object
from inhouse.domain import ErrorCode, Modality, RequestError, Usage, UsageBasis

CHAT_PATH = "/chat/completions"
"""Stands under a replica's `base_url`."""
_PART_MODALITIES = {
    "image_url": Modality.IMAGE,
    "input_image": Modality.IMAGE,
    "input_audio": Modality.AUDIO,
    "audio_url": Modality.AUDIO,
    "file": Modality.FILE,
    "input_file": Modality.FILE,
}
_TEXT_ONLY = frozenset({Modality.TEXT})
_WITH_USAGE = b'{"include_usage":true}'


class _Part(Struct):
    """A content part as far as its kind goes."""

    type: str = ""


class _Message(Struct):
    """A message as far as its content goes."""

    content: Raw = Raw(b"null")


class _StreamOptions(Struct):
    include_usage: bool | None = None


_decode_string = msgspec.json.Decoder(str).decode
_decode_bool = msgspec.json.Decoder(bool | None).decode
_decode_options = msgspec.json.Decoder(_StreamOptions | None).decode
_decode_metadata: Callable[[Raw], dict[str, Raw] | None] = msgspec.json.Decoder(dict[str, Raw] | None).decode
_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_parts = msgspec.json.Decoder(list[_Part]).decode


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the gateway needs to know of a chat request's body; the rest stays bytes in `json`.

    `asks_usage`: the client itself asked for the usage chunk of a stream. `metadata` holds the string members whose
    names begin with `inhouse_`.
    """

    json: JsonObject
    model: str
    is_stream: bool
    asks_usage: bool
    modalities: frozenset[Modality]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    def edit(self, model: str) -> bytes:
        """The body with the permitted edits: the model name, and `stream_options.include_usage` on streams.

        Where nothing is to change, the very same bytes.
        """
        edits: dict[str, bytes] = {}
        if model != self.model:
            edits["model"] = msgspec.json.encode(model)
        if self.is_stream and not self.asks_usage:
            options = self.json.members.get("stream_options")
            if options is None or bytes(options) == b"null":
                edits["stream_options"] = _WITH_USAGE
            else:
                edits["stream_options"] = read_object(bytes(options)).replace({"include_usage": b"true"})
        return self.json.replace(edits) if edits else self.json.text


def read_chat_request(body: bytes) -> ChatRequest:
    """Find what is needed in a chat request's body.

    Raises:
        RequestError: 400 `invalid_json`, `missing_field` or `invalid_request`, naming the field at fault.
    """
    try:
        found = read_object(body)
    except JsonError as error:
        message = f"The request body is not valid JSON for this endpoint: {error}."
        raise RequestError(400, ErrorCode.INVALID_JSON, message) from None
    members = found.members
    model = _read_model(members)
    modalities = _find_modalities(body, members)
    is_stream = "stream" in members and _read_field(members, "stream", _decode_bool, "true or false") is True
    asks_usage = False
    if "stream_options" in members:
        options = _read_field(members, "stream_options", _decode_options, "an object whose include_usage is a boolean")
        asks_usage = options is not None and options.include_usage is True
    metadata = _read_metadata(members) if "metadata" in members else {}
    return ChatRequest(found, model, is_stream, asks_usage, modalities, metadata)


def _read_model(members: Mapping[str, Raw]) -> str:
    if "model" not in members:
        message = "The field 'model' is missing. Name one of the routes that GET /v1/models lists."
        raise RequestError(400, ErrorCode.MISSING_FIELD, message, param="model")
    return _read_field(members, "model", _decode_string, "a string")


_T = TypeVar("_T")


def _read_field(members: Mapping[str, Raw], name: str, decode: Callable[[Raw], _T], kind: str) -> _T:
    try:
        return decode(members[name])
    except msgspec.DecodeError:
        message = f"The field '{name}' must be {kind}."
        raise RequestError(400, ErrorCode.INVALID_REQUEST, message, param=name) from None


def _find_modalities(body: bytes, members: Mapping[str, Raw]) -> frozenset[Modality]:
    """What the messages carry besides text. Bodies that name no part type (or escape it) are not decoded for it."""
    if "messages" not in members:
        message = "The field 'messages' is missing. Give the conversation as an array of messages."
        raise RequestError(400, ErrorCode.MISSING_FIELD, message, param="messages")
    if bytes(members["messages"])[:1] != b"[":
        message = "The field 'messages' must be an array of messages."
        raise RequestError(400, ErrorCode.INVALID_REQUEST, message, param="messages")
    if b'"type"' not in body and b"\\u" not in body:
        return _TEXT_ONLY
    found = {Modality.TEXT}
    for message in _read_field(members, "messages", _decode_messages, "an array of objects"):
        content = bytes(message.content)
        if content.startswith(b"["):
            found |= _list_part_modalities(content)
    return frozenset(found)


def _list_part_modalities(content: bytes) -> set[Modality]:
    try:
        parts = _decode_parts(content)
    except msgspec.DecodeError:
        message = "The field 'content' of a message must be a string or an array of parts with a 'type'."
        raise RequestError(400, ErrorCode.INVALID_REQUEST, message, param="messages") from None
    return {_PART_MODALITIES[part.type] for part in parts if part.type in _PART_MODALITIES}


def _read_metadata(members: Mapping[str, Raw]) -> dict[str, str]:
    metadata: dict[str, str] = {}
    given = _read_field(members, "metadata", _decode_metadata, "an object")
    for name, value in (given or {}).items():
        if name.startswith("inhouse_"):
            try:
                metadata[name] = _decode_string(value)
            except msgspec.DecodeError:
                message = f"The field 'metadata.{name}' must be a string."
                raise RequestError(400, ErrorCode.INVALID_REQUEST, message, param=f"metadata.{name}") from None
    return metadata


# Replies.


class _PromptDetails(Struct):
    cached_tokens: int | None = None


class _CompletionDetails(Struct):
    reasoning_tokens: int | None = None


class WireUsage(Struct):
    """The `usage` object of a reply, as far as it is metered: tokens; the details are parts of the totals."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Delta(Struct):
    """The new part of a choice; `content` and its like are kept raw, only their emptiness is asked."""

    content: Raw = Raw(b"null")
    reasoning_content: Raw = Raw(b"null")
    reasoning: Raw = Raw(b"null")
    refusal: Raw = Raw(b"null")
    tool_calls: Raw = Raw(b"null")
    function_call: Raw = Raw(b"null")


class WireChoice(Struct):
    """One choice of a reply or chunk."""

    finish_reason: str | None = None
    delta: _Delta | None = None


class WireReply(Struct):
    """A whole reply, or one chunk of a stream, as far as it is metered."""

    model: str | None = None
    system_fingerprint: str | None = None
    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
    error: Raw = Raw(b"null")

    @property
    def is_error(self) -> bool:
        """Whether it carries an error instead of an answer."""
        return bytes(self.error) != b"null"

    @property
    def has_content(self) -> bool:
        """Whether the chunk brings content, reasoning or a tool call."""
        return any(choice.delta is not None and _has_content(choice.delta) for choice in self.choices or ())

    @property
    def is_usage_only(self) -> bool:
        """Whether the chunk is the one that `include_usage` adds: usage and no choice."""
        return self.usage is not None and not self.choices


_decode_reply = msgspec.json.Decoder(WireReply).decode
_NOTHING = frozenset({b"null", b'""', b"[]", b"{}"})


def read_reply(data: bytes) -> WireReply | None:
    """Read a whole reply or one chunk; None where it is not JSON in the dialect's shape."""
    try:
        return _decode_reply(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def is_json(data: bytes) -> bool:
    """Whether `data` is well-formed JSON."""
    try:
        msgspec.json.decode(data, type=Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def parse_usage(usage: WireUsage | None) -> tuple[Usage | None, UsageBasis]:
    """Put reported tokens into disjoint buckets.

    `prompt_tokens` includes the cached ones, `completion_tokens` includes reasoning. Numbers that contradict each
    other (a part larger than its whole, negative counts) or a missing total give no usage: `unknown`, never a guess.
    """
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None, UsageBasis.UNKNOWN
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cache_read = (prompt and prompt.cached_tokens) or 0
    reasoning = (completion and completion.reasoning_tokens) or 0
    input_uncached = usage.prompt_tokens - cache_read
    output_visible = usage.completion_tokens - reasoning
    if min(cache_read, reasoning, input_uncached, output_visible) < 0:
        return None, UsageBasis.UNKNOWN
    buckets = Usage(
        input_uncached=input_uncached,
        cache_read=cache_read,
        output_visible=output_visible,
        output_reasoning=reasoning,
    )
    return buckets, UsageBasis.MEASURED


def _has_content(delta: _Delta) -> bool:
    return any(
        bytes(value) not in _NOTHING
        for value in (
            delta.content,
            delta.reasoning_content,
            delta.reasoning,
            delta.tool_calls,
            delta.refusal,
            delta.function_call,
        )
    )
