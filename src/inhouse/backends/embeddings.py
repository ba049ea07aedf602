"""OpenAI's embeddings: what a request asks for, a reply's facts. The body passes verbatim but for the model."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.request_body import RequestBody, missing, read_body, wrong_type
from inhouse.backends.wire import TEXT_ONLY, ReplyFacts
from inhouse.backends.wire_usage import WireUsage, parse_usage
from inhouse.domain import ErrorCode, Modality, Operation, RequestError

EMBEDDINGS_PATH = "/embeddings"
"""Stands under a replica's `base_url`."""
_NULL = Raw(b"null")


class EmbeddingsRequest(Struct, frozen=True, kw_only=True):
    """What the gateway needs of an embeddings request; the rest stays bytes."""

    parts: RequestBody
    model: str
    metadata: Mapping[str, str]

    @property
    def operation(self) -> Operation:
        """Embeddings."""
        return Operation.EMBEDDINGS

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return self.parts.found.text

    @property
    def is_stream(self) -> bool:
        """Never."""
        return False

    @property
    def asks_usage(self) -> bool:
        """Nothing is withheld."""
        return True

    @property
    def modalities(self) -> frozenset[Modality]:
        """Text, always."""
        return TEXT_ONLY

    def edit(self, model: str) -> bytes:
        """The body with the model name, else the very same bytes."""
        return self.parts.replace_model(self.model, model)


def read_embeddings_request(body: bytes) -> EmbeddingsRequest:
    """Find what is needed in an embeddings request's body.

    Raises:
        RequestError: 400 `invalid_json`, `missing_field` or `invalid_request`, naming the field at fault.
    """
    parts = read_body(body)
    model = parts.model()
    if not parts.has("input") and not parts.has("messages"):  # what vLLM takes in its place
        raise missing("input")
    if parts.has("input") and parts.raw("input")[:1] not in (b'"', b"["):
        raise wrong_type("input", "a string, or an array of strings or token numbers")
    if parts.flag("stream"):
        message = "Embeddings are never streamed. Leave 'stream' out."
        raise RequestError(400, ErrorCode.INVALID_REQUEST, message, param="stream")
    return EmbeddingsRequest(parts=parts, model=model, metadata=parts.labels())


class _Reply(Struct):
    """A reply as far as it is metered; `data` is asked for only as a sign that it is one."""

    data: Raw = _NULL
    model: str | None = None
    usage: WireUsage | None = None
    error: Raw = _NULL


_decode_reply = msgspec.json.Decoder(_Reply).decode


def read_embeddings_reply(body: bytes) -> ReplyFacts | None:
    """What is metered of a reply; None where it is not one.

    Embeddings bring no tokens forth, so `prompt_tokens` alone is a complete usage here.
    """
    try:
        reply = _decode_reply(body)
    except (ValueError, RecursionError):
        return None
    is_error = reply.error != _NULL
    if not is_error and bytes(memoryview(reply.data)[:1]) != b"[":  # megabytes, not copied
        return None
    usage = reply.usage
    if usage is not None and usage.completion_tokens is None:
        usage.completion_tokens = 0
    buckets, basis = parse_usage(usage)
    return ReplyFacts(model=reply.model, usage=buckets, usage_basis=basis, is_error=is_error)
