"""Edits of top-level members of a JSON object by byte span, so that everything else keeps its bytes. Types nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import msgspec
from msgspec import Raw

MAX_DEPTH = 128
"""Deeper nesting is refused: it serves nobody, and parsers behind us may fall over it."""
_WHITESPACE = rb"[ \t\r\n]*"
_OPEN = re.compile(_WHITESPACE + rb"\{" + _WHITESPACE)
_MEMBER = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")' + _WHITESPACE + rb":" + _WHITESPACE)
_AFTER = re.compile(_WHITESPACE + rb"([,}])" + _WHITESPACE)
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_CLOSING_BRACE = 0x7D
_ONE_BRACKET = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_string = msgspec.json.Decoder(str).decode


class JsonError(ValueError):
    """The bytes are not one JSON object as it must be. The text says what and, where known, at which byte."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object as bytes, with the raw values of its top-level members and where they stand.

    Build it with `read_object`. `members` maps each decoded name to its value's bytes, `spans` to their place in
    `text`, `end` is the place of the closing brace.
    """

    text: bytes
    members: Mapping[str, Raw]
    spans: Mapping[str, tuple[int, int]]
    end: int

    def replace(self, values: Mapping[str, bytes]) -> bytes:
        """The object's bytes with the members in `values` set: replaced where they stand, else added at the end.

        Args:
            values: member name → JSON bytes of its new value.
        """
        spans = self.spans
        cuts = sorted((*spans[name], value) for name, value in values.items() if name in spans)
        parts: list[bytes] = []
        position = 0
        for start, stop, value in cuts:
            parts += (self.text[position:start], value)
            position = stop
        parts.append(self.text[position : self.end])
        is_empty = not spans
        for name, value in values.items():
            if name not in spans:
                parts += (b"" if is_empty else b",", msgspec.json.encode(name), b":", value)
                is_empty = False
        parts.append(self.text[self.end :])
        return b"".join(parts)


def read_object(text: bytes) -> JsonObject:
    """Check that `text` is one well-formed JSON object and find its top-level members.

    Raises:
        JsonError: no JSON, no object, invalid UTF-8, nested deeper than MAX_DEPTH, or a top-level name given twice
            (parsers disagree on which one counts).
    """
    check_text(text)
    try:
        members = _decode_object(text)
    except msgspec.ValidationError:
        raise JsonError("the body must be a JSON object") from None
    except RecursionError:
        raise JsonError(f"nested deeper than {MAX_DEPTH}") from None
    except msgspec.DecodeError as error:
        raise JsonError(str(error)) from None
    return _locate(text, members)


def check_text(text: bytes) -> None:
    """Refuse what decoding lets through: invalid UTF-8 in parts that are not decoded, and deep nesting.

    Raises:
        JsonError: as said.
    """
    if not text.isascii():
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise JsonError(f"invalid UTF-8 (byte {error.start})") from None
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH:
        _check_depth(text)


def _locate(text: bytes, members: Mapping[str, Raw]) -> JsonObject:
    """Find the span of each top-level value by walking over the names.

    A value's length is known from decoding, so only names and the bytes between values are looked at. Where a name
    repeats, the walk either meets other bytes than the decoded value's, or a name that it has seen.
    """
    opened = _OPEN.match(text)
    if opened is None:
        raise JsonError("the body must be a JSON object")
    position = opened.end()
    spans: dict[str, tuple[int, int]] = {}
    while text[position] != _CLOSING_BRACE:
        member = _MEMBER.match(text, position)
        if member is None:
            raise JsonError(f"a member name was expected (byte {position})")
        name = _read_name(member[1])
        value = bytes(members[name])
        start = member.end()
        stop = start + len(value)
        after = _AFTER.match(text, stop)
        if after is None or name in spans or text[start:stop] != value:
            raise JsonError(f"the name {name!r} is given twice (byte {position})")
        spans[name] = (start, stop)
        if text[after.start(1)] == _CLOSING_BRACE:
            position = after.start(1)
            break
        position = after.end()
    return JsonObject(text, members, spans, position)


@cache
def _plain_names() -> dict[bytes, str]:
    names = ("model", "messages", "stream", "stream_options", "metadata", "temperature", "max_tokens", "user")
    return {b'"%b"' % name.encode(): name for name in names}


def _read_name(token: bytes) -> str:
    return _plain_names().get(token) or _decode_string(token)


def _check_depth(text: bytes) -> None:
    """Refuse deep nesting, in time linear in the text even where it is not well-formed.

    Strings go first (each quote that opens one either closes or ends the look), then each round takes the innermost
    pairs of brackets away.
    """
    brackets = _STRING.sub(b"", text).translate(_ONE_BRACKET, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            return  # no more pairs: balanced, or malformed and refused by decoding
        brackets = shorter
    if brackets:
        raise JsonError(f"nested deeper than {MAX_DEPTH}")
