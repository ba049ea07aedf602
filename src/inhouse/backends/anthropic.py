"""Anthropic's dialect: what a messages request asks for, a reply's facts, errors in its shapes. No network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.anthropic_wire import decode_message, settle_usage
from inhouse.backends.messages_meter import MessagesMeter
from inhouse.backends.request_body import RequestBody, missing, read_body, wrong_type
from inhouse.backends.wire import TEXT_ONLY, ReplyFacts
from inhouse.domain import Modality, Operation

__all__ = [
    "ANTHROPIC_VERSION",
    "COUNT_TOKENS_PATH",
    "MESSAGES_PATH",
    "MessagesMeter",
    "MessagesRequest",
    "messages_error_body",
    "messages_error_event",
    "read_count_tokens_request",
    "read_messages_reply",
    "read_messages_request",
]

MESSAGES_PATH = "/messages"
"""Stands under a replica's `base_url`."""
COUNT_TOKENS_PATH = "/messages/count_tokens"
ANTHROPIC_VERSION = "2023-06-01"
"""The `anthropic-version` header's value where an endpoint names no other."""
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_BLOCK_MODALITIES = {"image": Modality.IMAGE, "document": Modality.FILE, "container_upload": Modality.FILE}
_NULL = b"null"
_T = TypeVar("_T")
_encode = msgspec.json.encode


class _Block(Struct):
    """A content block as far as its kind goes, and where others may stand in it."""

    type: str = ""
    content: Raw = Raw(_NULL)
    source: Raw = Raw(_NULL)


class _Container(Struct):
    """What has a `content`: a message, or the source of a document."""

    content: Raw = Raw(_NULL)


_decode_whole_number = msgspec.json.Decoder(int).decode
_decode_containers = msgspec.json.Decoder(list[_Container]).decode
_decode_blocks = msgspec.json.Decoder(list[_Block]).decode
_decode_source = msgspec.json.Decoder(_Container).decode


class MessagesRequest(Struct, frozen=True, kw_only=True):
    """What the gateway needs of a messages or count_tokens request; the rest stays bytes."""

    parts: RequestBody
    operation: Operation
    model: str
    is_stream: bool
    modalities: frozenset[Modality]
    metadata: Mapping[str, str]

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return self.parts.found.text

    @property
    def asks_usage(self) -> bool:
        """Every stream of this dialect brings its usage."""
        return True

    def edit(self, model: str) -> bytes:
        """The body with another model; the very same bytes where it is the same."""
        return self.parts.replace_model(self.model, model)


def read_messages_request(body: bytes) -> MessagesRequest:
    """Find what is needed in a messages request's body.

    Raises:
        RequestError: 400 `invalid_json`, `missing_field` or `invalid_request`, naming the field at fault.
    """
    parts = read_body(body)
    request = _read(parts, Operation.MESSAGES)
    if "max_tokens" not in parts.found.members:
        raise missing("max_tokens")
    parts.read("max_tokens", _decode_whole_number, "a whole number of tokens")
    return request


def read_count_tokens_request(body: bytes) -> MessagesRequest:
    """Find what is needed in a count_tokens request's body.

    Raises:
        RequestError: 400 `invalid_json`, `missing_field` or `invalid_request`, naming the field at fault.
    """
    return _read(read_body(body), Operation.COUNT_TOKENS)


def read_messages_reply(body: bytes) -> ReplyFacts | None:
    """What is metered of a whole reply (of a token count: that it is one); None where it is not one of the dialect."""
    try:
        message = decode_message(body)
    except (ValueError, RecursionError):
        return None
    usage, basis = settle_usage(message.usage)
    return ReplyFacts(
        model=message.model,
        finish_reason=message.stop_reason,
        usage=usage,
        usage_basis=basis,
        is_error=message.is_error,
        is_refusal=message.stop_reason == "refusal",
        tier=None if message.usage is None else message.usage.tier,
    )


def messages_error_body(
    status: int, code: str, message: str, param: str | None, context: Mapping[str, Any] | None = None
) -> bytes:
    """An error as Anthropic's SDKs read it.

    Args:
        status: the HTTP status; `error.type` follows from it.
        code: the stable code, as `error.code` and where the SDKs look for one: `error.details.error_code`.
        message: words for an application developer.
        param: the request field at fault, as `error.param`.
        context: what acted; stands beside the error as `inhouse`.
    """
    kind = _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    error = {"type": kind, "message": message, "code": code, "param": param, "details": {"error_code": code}}
    body: dict[str, Any] = {"type": "error", "error": error}
    if context:
        body["inhouse"] = context
    return _encode(body)


def messages_error_event(
    status: int, code: str, message: str, param: str | None, context: Mapping[str, Any] | None = None
) -> bytes:
    """The last event of a stream that could not be finished; the arguments are those of `messages_error_body`."""
    return b"event: error\ndata: %b\n\n" % messages_error_body(status, code, message, param, context)


def _read(parts: RequestBody, operation: Operation) -> MessagesRequest:
    model = parts.model()
    if "messages" not in parts.found.members:
        raise missing("messages")
    messages = parts.raw("messages")
    if not messages.startswith(b"["):
        raise wrong_type("messages", "an array of messages")
    return MessagesRequest(
        parts=parts,
        operation=operation,
        model=model,
        is_stream=parts.flag("stream"),
        modalities=TEXT_ONLY if _is_text_only(parts.found.text) else _find_modalities(parts),
        metadata=parts.labels(),
    )


def _is_text_only(body: bytes) -> bool:
    """Whether no block can be anything but text; an escape might hide its kind."""
    return b"\\u" not in body and not any(b'"%b"' % kind.encode() in body for kind in _BLOCK_MODALITIES)


def _find_modalities(parts: RequestBody) -> frozenset[Modality]:
    found = {Modality.TEXT}
    for message in parts.read("messages", _decode_containers, "an array of objects"):
        _collect(bytes(message.content), found)
    return frozenset(found)


def _collect(content: bytes, found: set[Modality]) -> None:
    """Add what the blocks carry, those inside tool results and documents included."""
    if not content.startswith(b"["):
        return
    for block in _decode(_decode_blocks, content):
        if block.type in _BLOCK_MODALITIES:
            found.add(_BLOCK_MODALITIES[block.type])
        _collect(bytes(block.content), found)
        source = bytes(block.source)
        if source.startswith(b"{"):
            _collect(bytes(_decode(_decode_source, source).content), found)


def _decode(decode: Callable[[bytes], _T], content: bytes) -> _T:
    try:
        return decode(content)
    except (ValueError, RecursionError):
        raise wrong_type("messages", "messages whose content blocks have a 'type'") from None
