"""Decodes what an endpoint sent, so that bytes outside its dialect are one kind of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def decode_reply(decode: Callable[[bytes], _T], data: bytes) -> _T:
    """Decode a reply or an event.

    Raises:
        ValueError: it is not JSON, or not in the dialect's shape.
    """
    try:
        return decode(data)
    except (ValueError, RecursionError):
        raise ValueError("the endpoint sent something that is not of its dialect") from None
