"""Bytes of replies: status lines, header lines, OpenAI-shaped errors. Writes to no socket."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from inhouse.domain import ERROR_TYPES, ErrorCode, RequestError

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
JSON_HEADER = b"content-type: application/json\r\n"
_UPSTREAM_HEADERS = frozenset({b"retry-after", b"x-request-id", b"openai-processing-ms"})
_UNSAFE = dict.fromkeys((*range(32), 127))
_encode = msgspec.json.encode


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
        if name in _UPSTREAM_HEADERS or name.startswith(b"x-ratelimit-"):
            lines += b"%b: %b\r\n" % (name, value)
    return lines


def error_body(status: int, code: str, message: str, param: str | None = None) -> bytes:
    """An error as OpenAI's SDKs read it."""
    kind = ERROR_TYPES.get(status, "invalid_request_error")
    return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def refusal_body(error: RequestError) -> bytes:
    """The body of a refusal."""
    return error_body(error.status, error.code.value, str(error), error.param)


def error_event(status: int, code: ErrorCode, message: str) -> bytes:
    """The last event of a stream that could not be finished."""
    return b"data: %b\n\n" % error_body(status, code.value, message)
