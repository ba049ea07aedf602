"""The OpenAI dialect: what a chat request asks for, its permitted edits, usage and errors in replies. No network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.splice import MAX_DEPTH, JsonError, check_text, read_object
from inhouse.backends.wire import TEXT_ONLY, ReplyFacts
from inhouse.backends.wire_usage import WireUsage, parse_usage, read_tier
from inhouse.domain import ErrorCode, Modality, Operation, RequestError

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
_NO_METADATA: Mapping[str, str] = MappingProxyType({})
_MODEL_VALUE = re.compile(rb'"model"[ \t\r\n]*:[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")')
_ABSENT = Raw(b"")
_MESSAGES = b'"messages":'
_NUM_MESSAGES_BYTES = len(_MESSAGES)
_BRACKET = ord("[")
_MAX_SHAPES = 512
_MAX_EDITS = 16
_MAX_SHAPE_BYTES = 2048
_WITH_USAGE = b'{"include_usage":true}'


class _Part(Struct):
    """A content part as far as its kind goes."""

    type: str = ""


class _Message(Struct):
    """A message as far as its content goes."""

    content: Raw = Raw(b"null")


class _StreamOptions(Struct):
    include_usage: bool | None = None


_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode_parts = msgspec.json.Decoder(list[_Part]).decode


class _Body(Struct, gc=False):
    """A chat request's body as far as the gateway needs it."""

    model: str
    messages: Raw
    stream: bool | None = None
    stream_options: Raw = _ABSENT
    metadata: Raw = _ABSENT


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_string = msgspec.json.Decoder(str).decode
_decode_options = msgspec.json.Decoder(_StreamOptions | None).decode
_decode_metadata: Callable[[Raw], dict[str, Raw] | None] = msgspec.json.Decoder(dict[str, Raw] | None).decode


class ChatShape(Struct, gc=False):
    """What the bodies of chat requests say beside their messages, where they are alike in that.

    `model_span` is where the model's value stands in a body without its messages; what `ChatRequest` says of its
    members holds here too. `is_passing`: but for the model, nothing is to be edited. `edits` holds what stands around
    the messages in edited bodies, by model and place of the messages. `memo` is for whoever derives more from it.
    """

    model: str
    model_span: tuple[int, int]
    is_stream: bool
    asks_usage: bool
    has_options: bool
    metadata: Mapping[str, str]
    is_passing: bool
    edits: dict[tuple[str, int], tuple[bytes, bytes]] = {}
    memo: object = None


class ChatRequest(Struct, frozen=True, gc=False):
    """What the gateway needs to know of a chat request's body; the rest stays bytes.

    `asks_usage`: the client itself asked for the usage chunk of a stream. `metadata` holds the string members whose
    names begin with `inhouse_`. `messages` is the value of that member, which stands at `start` in `body`.
    """

    body: bytes
    model: str
    is_stream: bool
    asks_usage: bool
    modalities: frozenset[Modality]
    metadata: Mapping[str, str]
    messages: bytes
    start: int
    shape: ChatShape

    @property
    def operation(self) -> Operation:
        """Chat."""
        return Operation.CHAT

    def edit(self, model: str) -> bytes:
        """The body with the permitted edits: the model name, and `stream_options.include_usage` on streams.

        Where nothing is to change, the very same bytes.
        """
        shape = self.shape
        if shape.is_passing and model == shape.model:
            return self.body
        edits = shape.edits.get((model, self.start))
        if edits is None:
            if shape.has_options and not shape.is_passing:
                return self._edit_options(model)
            edits = self._edit_around(model)
        return b"".join((edits[0], self.messages, edits[1]))

    def _edit_around(self, model: str) -> tuple[bytes, bytes]:
        """What stands before and behind the messages in the edited body; the same for all requests of this shape."""
        shape = self.shape
        before, behind = self.body[: self.start], self.body[self.start + len(self.messages) :]
        if not shape.is_passing:
            end = behind.rindex(b"}")
            behind = b'%b,"stream_options":%b%b' % (behind[:end], _WITH_USAGE, behind[end:])
        if model != shape.model:
            value, (begin, stop) = msgspec.json.encode(model), shape.model_span
            if begin < self.start:
                before = before[:begin] + value + before[stop:]
            else:
                behind = behind[: begin - self.start] + value + behind[stop - self.start :]
        if len(shape.edits) >= _MAX_EDITS:
            shape.edits.clear()
        shape.edits[model, self.start] = before, behind
        return before, behind

    def _edit_options(self, model: str) -> bytes:
        """The client gave `stream_options` of its own: only `include_usage` in them is set."""
        found = read_object(self.body)
        options = bytes(found.members["stream_options"])
        value = _WITH_USAGE if options == b"null" else read_object(options).replace({"include_usage": b"true"})
        edits = {"stream_options": value}
        if model != self.model:
            edits["model"] = msgspec.json.encode(model)
        return found.replace(edits)


def read_chat_request(body: bytes) -> ChatRequest:
    """Find what is needed in a chat request's body.

    Raises:
        RequestError: 400 `invalid_json`, `missing_field` or `invalid_request`, naming the field at fault.
    """
    try:
        if not body.isascii() or body.count(b"[") + body.count(b"{") > MAX_DEPTH:  # else it says nothing
            check_text(body)
        found = _decode_body(body)
        messages = bytes(found.messages)
        start = body.find(_MESSAGES) + _NUM_MESSAGES_BYTES
        if not body.startswith(messages, start):
            start = _find_messages(body, messages, start)
        if messages[0] != _BRACKET:
            raise _wrong_type("messages", "an array of messages")
        around = body[:start] + body[start + len(messages) :]
        shape = _SHAPES.get(around)
        if shape is None:
            shape = _read_shape(body, found, around, start)
    except msgspec.ValidationError as error:
        raise _name_fault(body, error) from None
    except (JsonError, msgspec.DecodeError, RecursionError) as error:
        raise _malformed(error) from None
    # `find` is twice as fast as `in` on bytes (CPython 3.11).
    has_words_only = messages.find(b'"type"') < 0 and (messages.find(b"\\") < 0 or messages.find(b"\\u") < 0)
    return ChatRequest(
        body,
        shape.model,
        shape.is_stream,
        shape.asks_usage,
        TEXT_ONLY if has_words_only else _find_modalities(messages),
        shape.metadata,
        messages,
        start,
        shape,
    )


_SHAPES: dict[bytes, ChatShape] = {}
"""By the body less its messages, which is the same text with most requests of a client; short ones only, bounded."""


def _find_messages(body: bytes, messages: bytes, start: int) -> int:
    """Where the messages' text stands that is not where it was looked for first.

    White space goes before it, or the name stands somewhere else before. The last member of this name is the one that
    was decoded; where it is not the only one, or its text stands elsewhere too, what is left of the body shows it.
    """
    found = body.find(messages, start)
    return found if found >= 0 else body.rindex(messages)


def _read_shape(body: bytes, found: _Body, around: bytes, start: int) -> ChatShape:
    """What the members beside the messages say, after a check that no name that is decided upon is given twice.

    The body is `around` with the messages put in at `start`.
    """
    has_options = found.stream_options is not _ABSENT
    asks_usage = False
    if has_options:
        options = _read_field(found.stream_options, "stream_options", _decode_options, "an object")
        asks_usage = options is not None and options.include_usage is True
    is_stream = found.stream is True
    shape = ChatShape(
        found.model,
        _find_model(body, around, start),
        is_stream,
        asks_usage,
        has_options,
        _NO_METADATA if found.metadata is _ABSENT else _read_metadata(found.metadata),
        is_passing=not is_stream or asks_usage,
    )
    if len(around) <= _MAX_SHAPE_BYTES:
        if len(_SHAPES) >= _MAX_SHAPES:
            _SHAPES.clear()
        _SHAPES[around] = shape
    return shape


def _find_model(body: bytes, around: bytes, start: int) -> tuple[int, int]:
    """Where the model's value stands in `around`, which is the body without its messages, cut out at `start`.

    A name that occurs once in the text, where no escape can hide another, is the member itself. Anything less plain
    (the name in a nested schema, an escape) is walked over member by member.
    """
    if (
        b"\\" not in around
        and around.count(b'"model"') == 1
        and around.count(b'"messages"') == 1
        and around.count(b'"stream"') <= 1
        and around.count(b'"stream_options"') <= 1
        and around.count(b'"metadata"') <= 1
    ):
        value = _MODEL_VALUE.search(around)
        if value is not None:
            return value.span(1)
    begin, end = read_object(body).spans["model"]
    num_bytes = len(body) - len(around) if begin > start else 0
    return begin - num_bytes, end - num_bytes


def _name_fault(body: bytes, error: msgspec.ValidationError) -> RequestError:
    """The refusal of a well-formed body in the wrong shape, naming the field."""
    try:
        members = read_object(body).members
    except JsonError as malformed:
        return _malformed(malformed)
    for name in ("model", "messages"):
        if name not in members:
            message = f"The field '{name}' is missing."
            return RequestError(400, ErrorCode.MISSING_FIELD, message, param=name)
    for name, kind in (("model", "a string"), ("stream", "true or false")):
        if f"$.{name}" in str(error):
            return _wrong_type(name, kind)
    return _malformed(error)


def _malformed(error: Exception) -> RequestError:
    words = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    message = f"The request body is not valid JSON for this endpoint: {words}."
    return RequestError(400, ErrorCode.INVALID_JSON, message)


def _wrong_type(name: str, kind: str) -> RequestError:
    return RequestError(400, ErrorCode.INVALID_REQUEST, f"The field '{name}' must be {kind}.", param=name)


_T = TypeVar("_T")


def _read_field(value: Raw, name: str, decode: Callable[[Raw], _T], kind: str) -> _T:
    try:
        return decode(value)
    except msgspec.DecodeError:
        raise _wrong_type(name, kind) from None


def _find_modalities(messages: bytes) -> frozenset[Modality]:
    """What the messages carry besides text."""
    found = {Modality.TEXT}
    for message in _read_field(Raw(messages), "messages", _decode_messages, "an array of objects"):
        content = bytes(message.content)
        if content.startswith(b"["):
            parts = _read_field(Raw(content), "messages", _decode_parts, "messages whose content parts have a 'type'")
            found.update(_PART_MODALITIES[part.type] for part in parts if part.type in _PART_MODALITIES)
    return frozenset(found)


def _read_metadata(metadata: Raw) -> dict[str, str]:
    given = _read_field(metadata, "metadata", _decode_metadata, "an object")
    return {
        name: _read_field(value, f"metadata.{name}", _decode_string, "a string")
        for name, value in (given or {}).items()
        if name.startswith("inhouse_")
    }


# Replies.


_NULL = Raw(b"null")


class _Delta(Struct, gc=False):
    """The new part of a choice; `content` and its like are kept raw, only their emptiness is asked."""

    content: Raw = _NULL
    reasoning_content: Raw = _NULL
    reasoning: Raw = _NULL
    refusal: Raw = _NULL
    tool_calls: Raw = _NULL
    function_call: Raw = _NULL


class _Answer(Struct, gc=False):
    """A whole reply's message, as far as it tells a refusal."""

    content: Raw = _NULL
    refusal: Raw = _NULL


class WireChoice(Struct, gc=False):
    """One choice of a reply or chunk."""

    finish_reason: str | None = None
    delta: _Delta | None = None


class _AnswerChoice(Struct, gc=False):
    message: _Answer | None = None


class _Answers(Struct, gc=False):
    choices: list[_AnswerChoice] | None = None


class WireReply(Struct, gc=False):
    """A whole reply, or one chunk of a stream, as far as it is metered."""

    model: str | None = None
    system_fingerprint: str | None = None
    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
    service_tier: str | None = None
    error: Raw = _NULL

    @property
    def is_error(self) -> bool:
        """Whether it carries an error instead of an answer."""
        return self.error is not _NULL and bytes(self.error) != b"null"

    @property
    def has_content(self) -> bool:
        """Whether the chunk brings content, reasoning or a tool call."""
        return any(choice.delta is not None and _has_content(choice.delta) for choice in self.choices or ())

    @property
    def has_text(self) -> bool:
        """Whether the chunk brings content in the narrow sense."""
        return any(choice.delta is not None and _brings(choice.delta.content) for choice in self.choices or ())

    @property
    def has_refusal(self) -> bool:
        """Whether the chunk brings words of a refusal."""
        return any(choice.delta is not None and _brings(choice.delta.refusal) for choice in self.choices or ())

    @property
    def is_usage_only(self) -> bool:
        """Whether the chunk is the one that `include_usage` adds: usage and no choice."""
        return self.usage is not None and not self.choices


_decode_reply = msgspec.json.Decoder(WireReply).decode
_decode_answers = msgspec.json.Decoder(_Answers).decode
_NOTHING = frozenset({b"null", b'""', b"[]", b"{}"})


def read_reply(data: bytes) -> WireReply | None:
    """Read a whole reply or one chunk; None where it is not JSON in the dialect's shape."""
    try:
        return _decode_reply(data)
    except (ValueError, RecursionError):
        return None


def read_chat_facts(body: bytes) -> ReplyFacts | None:
    """What is metered of a whole chat reply; None where it is not one."""
    try:
        reply = _decode_reply(body)
    except (ValueError, RecursionError):
        return None
    choices, usage = reply.choices, reply.usage
    if not choices:
        return ReplyFacts(is_error=True) if reply.is_error else None
    finish_reason = choices[0].finish_reason
    buckets, basis = parse_usage(usage)
    tier = reply.service_tier
    return ReplyFacts(
        reply.model,
        reply.system_fingerprint,
        finish_reason,
        buckets,
        basis,
        reply.error is not _NULL and reply.is_error,
        finish_reason == "content_filter",
        body.find(b'"refusal"') >= 0 and _is_refusal(body),
        None if tier is None else read_tier(tier),
    )


def _is_refusal(body: bytes) -> bool:
    """Whether the model refused: a refusal text in place of content."""
    choices = _decode_answers(body).choices
    answer = choices[0].message if choices else None
    return answer is not None and _brings(answer.refusal) and not _brings(answer.content)


def is_json(data: bytes) -> bool:
    """Whether `data` is well-formed JSON."""
    try:
        msgspec.json.decode(data, type=Raw)
    except (ValueError, RecursionError):
        return False
    return True


def _has_content(delta: _Delta) -> bool:
    return (
        _brings(delta.content)
        or _brings(delta.reasoning_content)
        or _brings(delta.reasoning)
        or _brings(delta.tool_calls)
        or _brings(delta.refusal)
        or _brings(delta.function_call)
    )


def _brings(value: Raw) -> bool:
    """Whether a member is there and is not empty."""
    return value is not _NULL and bytes(value) not in _NOTHING
