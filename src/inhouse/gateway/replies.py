"""Bytes of replies: status lines, the header allow list, errors in OpenAI's shape. Decides nothing."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from inhouse.domain import ERROR_TYPES, ErrorCode, RequestError

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class _LengthLines(dict[int, bytes]):
    """Written ahead for short bodies; for a longer one each time anew."""

    def __missing__(self, length: int) -> bytes:
        return _write_length(length)


def _write_length(length: int) -> bytes:
    return b"content-length: %d\r\n\r\n" % length


LENGTH_LINES = _LengthLines((length, _write_length(length)) for length in range(8192))
"""The last header line of a message and the empty line behind it, by the length of the body."""
JSON_HEADER = b"content-type: application/json\r\n"
_UPSTREAM_HEADERS = frozenset({b"retry-after", b"x-request-id", b"request-id", b"openai-processing-ms"})
_UPSTREAM_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
_UNSAFE = dict.fromkeys((*range(32), 127))
_STATUS_OF_CODE = {
    ErrorCode.UPSTREAM_TIMEOUT: 504,
    ErrorCode.UPSTREAM_RATE_LIMITED: 429,
    ErrorCode.SHUTTING_DOWN: 503,
    ErrorCode.INTERNAL_ERROR: 500,
}
_encode = msgspec.json.encode


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """An error as every dialect's shape needs it. `context` says what acted: trace, attempts, what was left out.

    `num_events` is how many events of a stream went before it.
    """

    status: int
    code: str
    message: str
    param: str | None = None
    context: dict[str, Any] | None = None
    num_events: int = 0


def status_of(code: ErrorCode) -> int:
    """The HTTP status of a failure at the endpoints."""
    return _STATUS_OF_CODE.get(code, 502)


def status_line(status: int) -> bytes:
    """The status line, also for a status without a registered phrase."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def header_line(name: str, value: str) -> bytes:
    """One header line; control characters are dropped, characters outside Latin-1 become `?`."""
    return f"{name}: {value.translate(_UNSAFE)}\r\n".encode("latin-1", "replace")


def pass_headers(headers: dict[bytes, bytes]) -> bytes:
    """Header lines of an endpoint's reply that may reach the client: the allow list of docs/design/gateway.md."""
    lines = b"content-type: %b\r\n" % headers.get(b"content-type", b"application/json")
    for name, value in headers.items():
        if name in _UPSTREAM_HEADERS or name.startswith(_UPSTREAM_PREFIXES):
            lines += b"%b: %b\r\n" % (name, value)
    return lines


def describe_refusal(error: RequestError, context: dict[str, Any] | None = None) -> ErrorDetail:
    """A refusal as a detail."""
    return ErrorDetail(
        status=error.status, code=error.code.value, message=str(error), param=error.param, context=context
    )


def error_body(detail: ErrorDetail) -> bytes:
    """An error as OpenAI's SDKs read it; `inhouse` beside it says what acted."""
    kind = ERROR_TYPES.get(detail.status, "invalid_request_error")
    body: dict[str, Any] = {
        "error": {"message": detail.message, "type": kind, "param": detail.param, "code": detail.code}
    }
    if detail.context:
        body["inhouse"] = detail.context
    return _encode(body)


def error_event(detail: ErrorDetail) -> bytes:
    """The last event of a stream that could not be finished."""
    return b"data: %b\n\n" % error_body(detail)
