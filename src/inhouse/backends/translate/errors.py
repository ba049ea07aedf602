"""A refusal (4xx) by an endpoint of one dialect, in the words and the shape of the other."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from inhouse.backends.anthropic import messages_error_body
from inhouse.domain import ERROR_TYPES, ErrorCode

_NULL = Raw(b"null")


class _Details(Struct):
    error_code: Any = None


class _Error(Struct):
    """The error object, of either dialect; engines put numbers and words into `code`."""

    message: Any = None
    param: Any = None
    code: Any = None
    details: _Details | None = None


class _Body(Struct):
    """A body with an error: an object, a string (TGI), or the message itself (older engines, web frameworks)."""

    error: Raw = _NULL
    message: Any = None
    detail: Any = None
    param: Any = None
    code: Any = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_error = msgspec.json.Decoder(_Error | str | None).decode


def chat_error_from_messages(status: int, body: bytes) -> bytes:
    """An error body of Anthropic's dialect as a chat client reads it.

    A body that holds no message is not shown; the status speaks for it.
    """
    error = _read(status, body)
    code = _text(error.details.error_code if error.details is not None else error.code)
    written = {
        "message": error.message,
        "type": ERROR_TYPES.get(status, "invalid_request_error"),
        "param": _text(error.param),
        "code": code or ErrorCode.UPSTREAM_REJECTED.value,
    }
    return msgspec.json.encode({"error": written})


def messages_error_from_chat(status: int, body: bytes) -> bytes:
    """An error body of an OpenAI-compatible endpoint as Anthropic's clients read it.

    A body that holds no message is not shown; the status speaks for it.
    """
    error = _read(status, body)
    code = _text(error.code) or ErrorCode.UPSTREAM_REJECTED.value
    return messages_error_body(status, code, str(error.message), _text(error.param))


def _read(status: int, body: bytes) -> _Error:
    try:
        found = _decode_body(body)
        error = _decode_error(found.error)
    except (ValueError, RecursionError):
        return _Error(message=_speak_for(status))
    if isinstance(error, str):
        return _Error(message=error)
    if error is None:
        error = _Error(message=found.message or found.detail, param=found.param, code=found.code)
    if not _text(error.message):
        error.message = _speak_for(status)
    return error


def _speak_for(status: int) -> str:
    return f"The endpoint refused the request with HTTP {status} and no message that can be shown."


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
