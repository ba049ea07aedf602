"""Reads top-level members of a JSON request body with their types, naming the field at fault. Knows no operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.splice import JsonError, JsonObject, read_object
from inhouse.domain import ErrorCode, RequestError

_T = TypeVar("_T")
_LABEL_PREFIX = "inhouse_"
_NO_LABELS: Mapping[str, str] = MappingProxyType({})
_NULL = b"null"
_WITH_USAGE = b'{"include_usage":true}'
_SET_USAGE = {"include_usage": b"true"}


class _StreamOptions(Struct):
    include_usage: bool | None = None


_decode_string = msgspec.json.Decoder(str).decode
_decode_flag = msgspec.json.Decoder(bool | None).decode
_decode_options = msgspec.json.Decoder(_StreamOptions | None).decode
_decode_labels: Callable[[bytes], dict[str, Raw] | None] = msgspec.json.Decoder(dict[str, Raw] | None).decode


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A request's JSON object. Every reader raises RequestError 400 with the field's name in `param`."""

    found: JsonObject

    def has(self, name: str) -> bool:
        """Whether the member is given, and not null."""
        value = self.found.members.get(name)
        return value is not None and bytes(value) != _NULL

    def raw(self, name: str) -> bytes:
        """The member's JSON, `null` where it is not given."""
        value = self.found.members.get(name)
        return _NULL if value is None else bytes(value)

    def read(self, name: str, decode: Callable[[bytes], _T], kind: str) -> _T:
        """The member's value; `decode` must take `null`, which an absent member reads as.

        Args:
            name: the member.
            decode: a msgspec decoder's `decode`.
            kind: what it must be, for the error's words.
        """
        try:
            return decode(self.raw(name))
        except (ValueError, RecursionError):
            raise wrong_type(name, kind) from None

    def flag(self, name: str) -> bool:
        """True only where the member is `true`."""
        return self.read(name, _decode_flag, "true or false") is True

    def model(self) -> str:
        """The required member `model`."""
        if "model" not in self.found.members:
            raise missing("model")
        return self.read("model", _decode_string, "a string")

    def asks_usage(self) -> bool:
        """Whether `stream_options.include_usage` is true."""
        if not self.has("stream_options"):
            return False
        options = self.read("stream_options", _decode_options, "an object with `include_usage` true or false")
        return options is not None and options.include_usage is True

    def labels(self) -> Mapping[str, str]:
        """The string members of `metadata` whose names begin with `inhouse_`."""
        if "metadata" not in self.found.members:
            return _NO_LABELS
        given = self.read("metadata", _decode_labels, "an object")
        labels: dict[str, str] = {}
        for name, value in (given or {}).items():
            if name.startswith(_LABEL_PREFIX):
                try:
                    labels[name] = _decode_string(value)
                except msgspec.DecodeError:
                    raise wrong_type(f"metadata.{name}", "a string") from None
        return labels

    def replace_model(self, old: str, new: str) -> bytes:
        """The body with another model; the very same bytes where it is the same."""
        return self.found.text if new == old else self.found.replace({"model": msgspec.json.encode(new)})

    def with_usage(self, old: str, new: str) -> bytes:
        """The body with another model and with `stream_options.include_usage` set."""
        edits = {} if new == old else {"model": msgspec.json.encode(new)}
        options = self.raw("stream_options")
        edits["stream_options"] = _WITH_USAGE if options == _NULL else read_object(options).replace(_SET_USAGE)
        return self.found.replace(edits)


def read_body(body: bytes) -> RequestBody:
    """Find the top-level members of a request body.

    Raises:
        RequestError: 400 `invalid_json`: no JSON object, invalid UTF-8, nested too deeply, or a name given twice.
    """
    try:
        return RequestBody(read_object(body))
    except JsonError as error:
        message = f"The request body is not valid JSON for this endpoint: {error}."
        raise RequestError(400, ErrorCode.INVALID_JSON, message) from None


def wrong_type(name: str, kind: str) -> RequestError:
    """The refusal of a field that has the wrong type."""
    return RequestError(400, ErrorCode.INVALID_REQUEST, f"The field '{name}' must be {kind}.", param=name)


def missing(name: str) -> RequestError:
    """The refusal of a request that lacks a field."""
    return RequestError(400, ErrorCode.MISSING_FIELD, f"The field '{name}' is missing.", param=name)
