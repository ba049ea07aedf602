"""Joins and cuts JSON strings without decoding them. Escapes stay as the endpoint wrote them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw

_EMPTY = b'""'


def join_quoted(parts: Iterable[bytes]) -> bytes:
    """One JSON string out of several: what one string ends with never changes what the next begins with."""
    return b'"%b"' % b"".join(part[1:-1] for part in parts)


def text_of(raw: Raw, field: str) -> bytes:
    """The JSON string that an endpoint sent, `""` for null.

    Raises:
        ValueError: it is neither a string nor null.
    """
    text = bytes(raw)
    if text.startswith(b'"'):
        return text
    if text == b"null":
        return _EMPTY
    raise ValueError(f"the endpoint's '{field}' is no string")
