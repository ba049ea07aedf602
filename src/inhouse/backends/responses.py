"""OpenAI's Responses: what a request asks for, its items, a whole reply's facts, the error that ends a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.request_body import RequestBody, missing, read_body, wrong_type
from inhouse.backends.wire import TEXT_ONLY, ReplyFacts
from inhouse.backends.wire_usage import CompletionDetails, PromptDetails, read_tier, sort_tokens
from inhouse.domain import ERROR_TYPES, ErrorCode, Modality, Operation, RequestError, Usage, UsageBasis

RESPONSES_PATH = "/responses"
"""Stands under a replica's `base_url`."""
_PART_MODALITIES = {
    "input_image": Modality.IMAGE,
    "computer_screenshot": Modality.IMAGE,
    "input_audio": Modality.AUDIO,
    "input_file": Modality.FILE,
}
_NULL = Raw(b"null")
_INPUT_KIND = "a string or an array of items"
_ITEMS_KIND = "a string or an array of objects"
_INPUT_SOURCES = ("previous_response_id", "conversation", "prompt")
_encode = msgspec.json.encode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str | None).decode
_decode_store = msgspec.json.Decoder(bool | None).decode


class _Part(Struct):
    """A content part as far as its kind goes."""

    type: str = ""


class _Item(Struct):
    """An input item as far as its parts go: messages have `content`, results of tools have `output`."""

    content: Raw = _NULL
    output: Raw = _NULL


_decode_kinds = msgspec.json.Decoder(list[_Item]).decode
_decode_part = msgspec.json.Decoder(_Part).decode
_decode_parts = msgspec.json.Decoder(list[_Part]).decode


class ResponsesRequest(Struct, frozen=True, kw_only=True):
    """What the gateway needs of a Responses request; the rest stays bytes.

    `is_stored`: the client wants to refer to the response later (`store`, which is on where it is not given).
    """

    parts: RequestBody
    model: str
    is_stream: bool
    is_stored: bool
    previous_response_id: str | None
    modalities: frozenset[Modality]
    metadata: Mapping[str, str]

    @property
    def operation(self) -> Operation:
        """Responses."""
        return Operation.RESPONSES

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return self.parts.found.text

    @property
    def asks_usage(self) -> bool:
        """A stream of this dialect always ends with its usage."""
        return True

    def edit(self, model: str) -> bytes:
        """The body with the model name, else the very same bytes."""
        return self.parts.replace_model(self.model, model)

    def list_items(self) -> list[bytes]:
        """The request's own input items as JSON; a string is a user's message."""
        text = self.parts.raw("input")
        if text == b"null":
            return []
        if text.startswith(b'"'):
            return [b'{"type":"message","role":"user","content":[{"type":"input_text","text":%b}]}' % text]
        return [bytes(item) for item in _decode_items(text)]

    def expand(self, history: Sequence[bytes]) -> ResponsesRequest:
        """The same request with earlier items before its own, and without `previous_response_id`.

        So an endpoint that keeps no responses can serve it.

        Args:
            history: input and output items of the earlier responses, oldest first, as JSON.
        """
        items = b"[%b]" % b",".join([*history, *self.list_items()])
        edits = {"input": items}
        if self.previous_response_id is not None:
            edits["previous_response_id"] = b"null"
        return read_responses_request(self.parts.found.replace(edits))


def read_responses_request(body: bytes) -> ResponsesRequest:
    """Find what is needed in a Responses request's body.

    Raises:
        RequestError: 400 `invalid_json`, `missing_field` or `invalid_request`, naming the field at fault.
    """
    parts = read_body(body)
    model = parts.model()
    text = parts.raw("input")
    if text[:1] not in (b'"', b"[", b"n"):
        raise wrong_type("input", _INPUT_KIND)
    if text == b"null" and not any(parts.has(name) for name in _INPUT_SOURCES):
        raise missing("input")
    if parts.has("previous_response_id") and parts.has("conversation"):
        message = "Give 'previous_response_id' or 'conversation', not both."
        raise RequestError(400, ErrorCode.INVALID_REQUEST, message, param="previous_response_id")
    if parts.flag("background"):
        message = "An answer can only be waited for here, not fetched later. Leave 'background' out."
        raise RequestError(400, ErrorCode.INVALID_REQUEST, message, param="background")
    return ResponsesRequest(
        parts=parts,
        model=model,
        is_stream=parts.flag("stream"),
        is_stored=parts.read("store", _decode_store, "true or false") is not False,
        previous_response_id=parts.read("previous_response_id", _decode_text, "a string"),
        modalities=parts.read("input", read_modalities, _ITEMS_KIND) if text.startswith(b"[") else TEXT_ONLY,
        metadata=parts.labels(),
    )


def read_modalities(items: bytes) -> frozenset[Modality]:
    """What the parts of items carry, text in any case.

    Args:
        items: JSON array of input or output items.

    Raises:
        msgspec.DecodeError: it is not an array of objects.
    """
    found = {Modality.TEXT}
    for item in _decode_kinds(items):
        for value in (bytes(item.content), bytes(item.output)):
            for part in _read_kinds(value):
                if part.type in _PART_MODALITIES:
                    found.add(_PART_MODALITIES[part.type])
    return frozenset(found)


def _read_kinds(value: bytes) -> list[_Part]:
    """The parts of a content. One of another shape has none: what it is, its endpoint knows."""
    try:
        if value.startswith(b"["):
            return _decode_parts(value)
        return [_decode_part(value)] if value.startswith(b"{") else []
    except msgspec.DecodeError:
        return []


# Replies.


class ResponsesUsage(Struct):
    """The `usage` object of a response, as far as it is metered: tokens; the details are parts of the totals."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: PromptDetails | None = None
    output_tokens_details: CompletionDetails | None = None


class _IncompleteDetails(Struct):
    reason: str | None = None


class _Message(Struct):
    """An output item as far as it tells a refusal."""

    content: list[_Part] | None = None


_decode_messages = msgspec.json.Decoder(list[_Message]).decode


class WireResponse(Struct):
    """A response object, as far as it is metered."""

    object: str | None = None
    model: str | None = None
    status: str | None = None
    incomplete_details: _IncompleteDetails | None = None
    output: Raw = _NULL
    usage: ResponsesUsage | None = None
    service_tier: str | None = None
    error: Raw = _NULL

    @property
    def finish_reason(self) -> str | None:
        """Why an incomplete response is so, else its status."""
        details = self.incomplete_details
        return (details.reason if details is not None else None) or self.status

    @property
    def is_refusal(self) -> bool:
        """Whether there is a refusal and no text."""
        if b'"refusal"' not in bytes(self.output):
            return False
        try:
            kinds = {part.type for item in _decode_messages(self.output) for part in item.content or ()}
        except msgspec.DecodeError:
            return False
        return "refusal" in kinds and "output_text" not in kinds


_decode_response = msgspec.json.Decoder(WireResponse).decode


def read_response(data: bytes | Raw) -> WireResponse | None:
    """Read a response object; None where it is not one in JSON."""
    try:
        return _decode_response(data)
    except (ValueError, RecursionError):
        return None


def read_responses_reply(body: bytes) -> ReplyFacts | None:
    """What is metered of a whole reply; None where it is not one."""
    response = read_response(body)
    if response is None:
        return None
    is_error = response.error != _NULL or response.status == "failed"
    if not is_error and not bytes(response.output).startswith(b"["):
        return None
    usage, basis = parse_responses_usage(response.usage)
    finish_reason = response.finish_reason
    return ReplyFacts(
        model=response.model,
        finish_reason=finish_reason,
        usage=usage,
        usage_basis=basis,
        is_error=is_error,
        is_filtered=finish_reason == "content_filter",
        is_refusal=response.is_refusal,
        tier=read_tier(response.service_tier),
    )


def parse_responses_usage(usage: ResponsesUsage | None) -> tuple[Usage | None, UsageBasis]:
    """Put reported tokens into disjoint buckets, see `sort_tokens`. A missing total gives no usage: `unknown`."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None, UsageBasis.UNKNOWN
    prompt, completion = usage.input_tokens_details, usage.output_tokens_details
    return sort_tokens(usage.input_tokens, usage.output_tokens, usage.total_tokens, prompt, completion)


def list_output_items(response: bytes) -> list[bytes]:
    """The output items of a whole response, as JSON: what a later request has before its own input.

    Raises:
        ValueError: it is not a response.
    """
    try:
        return [bytes(item) for item in _decode_output(response).output]
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None


class _Output(Struct):
    output: list[Raw]


_decode_output = msgspec.json.Decoder(_Output).decode


def responses_error_event(
    status: int, code: str, message: str, param: str | None = None, *, sequence_number: int = 0
) -> bytes:
    """The last event of a Responses stream that could not be finished.

    It has the members of the dialect's `error` event, and beside them an `error` object, which is what the SDKs raise
    an exception on.

    Args:
        status: HTTP status that the error would have had.
        code: stable wire code.
        message: words for an application developer.
        param: the request field at fault.
        sequence_number: how many events went before it.
    """
    kind = ERROR_TYPES.get(status, "invalid_request_error")
    event = {
        "type": "error",
        "sequence_number": sequence_number,
        "code": code,
        "message": message,
        "param": param,
        "error": {"message": message, "type": kind, "param": param, "code": code},
    }
    return b"event: error\ndata: %b\n\n" % _encode(event)
