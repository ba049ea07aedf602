"""Reads the error bodies of every known server into a message and its codes. Judges nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeGuard

import msgspec
from msgspec import Struct

_MAX_NESTING = 6
_MAX_BYTES = 65_536
"""Longer bodies are not read: an error is short."""
_decode = msgspec.json.Decoder().decode


class Rejection(Struct, frozen=True):
    """An error's words, and its codes (`code`, `type` and their like) in lower case; empty where none could be read."""

    message: str = ""
    codes: frozenset[str] = frozenset()

    @property
    def lowered(self) -> str:
        """The message in lower case."""
        return self.message.lower()

    def names(self, codes: Collection[str]) -> bool:
        """Whether one of its codes is one of `codes` (lower case)."""
        return not self.codes.isdisjoint(codes)

    def says(self, words: Collection[str]) -> bool:
        """Whether its message holds one of `words` (lower case)."""
        message = self.lowered
        return any(word in message for word in words)


def read_rejection(body: bytes) -> Rejection:
    """Read an error body; any bytes are taken."""
    if len(body) > _MAX_BYTES:
        return Rejection()
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Rejection()
    return _read_value(value, _MAX_NESTING)


def _read_value(value: Any, depth: int) -> Rejection:
    """Find the error in a decoded body.

    The shapes: `{"error": {…}}` (OpenAI, Azure, vLLM, llama.cpp, Ollama, Anthropic), `{"error": text}` (TGI, Ollama's
    own API), the members at the top (SGLang, TensorRT-LLM), `{"detail": text or [{"msg"}]}` (FastAPI), the error in a
    list, and JSON in a text of any of them.
    """
    if depth == 0:
        return Rejection()
    if isinstance(value, str):
        return _read_text(value, depth)
    if _is_list(value):
        return _read_value(value[0], depth - 1) if value else Rejection()
    if not _is_object(value):
        return Rejection()
    for name in ("error", "message", "detail", "msg"):
        inner: Any = value.get(name)
        if inner:
            found = _read_value(inner, depth - 1)
            return Rejection(found.message, found.codes | _read_codes(value))
    return Rejection("", _read_codes(value))


def _read_text(text: str, depth: int) -> Rejection:
    """A message, unless it is an error in JSON once more (Ollama passes its runner's errors on like that)."""
    if text.startswith("{"):
        try:
            found = _read_value(_decode(text), depth - 1)
        except (ValueError, RecursionError):
            return Rejection(text)
        if found.message:
            return found
    return Rejection(text)


def _read_codes(value: dict[str, Any]) -> frozenset[str]:
    found = (value.get(name) for name in ("code", "type", "error_type"))
    return frozenset(code.lower() for code in found if isinstance(code, str))


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
