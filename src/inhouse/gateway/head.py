"""Reads the head of one request with llhttp and refuses hostile HTTP. Reads no sockets and no bodies."""

from __future__ import annotations

import httptools
from msgspec import Struct

from inhouse.domain import ErrorCode, RequestError

_SINGLE = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type", b"x-inhouse-endpoint"}
)
"""Headers that must not be repeated: two parsers could each pick another one."""
_MAX_LENGTH_DIGITS = 18
_NUM_LINE_PARTS = 3


class RequestHead(Struct, frozen=True, kw_only=True):
    """A request's head. `headers` has lower-case names; `content_length` is None where the body is chunked."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    is_http_10: bool
    keeps_alive: bool
    content_length: int | None
    expects_continue: bool


class _Fields:
    """What the parser calls back."""

    __slots__ = ("headers", "repeated")

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.repeated: bytes | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        known = self.headers.get(name)
        if known is None:
            self.headers[name] = value
        else:
            if name in _SINGLE:
                self.repeated = name
            self.headers[name] = known + b", " + value


def read_head(text: bytes) -> RequestHead:
    """Parse a head that ends in an empty line.

    Raises:
        RequestError: 400 `unsupported_http` for anything that is not plain HTTP/1.0 or 1.1, 405 for a method that no
            HTTP parser knows.
    """
    if text.count(b"\n") != text.count(b"\r\n"):
        raise refuse("lines must end in CRLF")
    fields = _Fields()
    try:
        httptools.HttpRequestParser(fields).feed_data(text)
    except httptools.HttpParserUpgrade:
        pass  # an offered upgrade may be ignored (RFC 9110 §7.8); CONNECT is answered 405 like any other method
    except httptools.HttpParserInvalidMethodError:
        if not text[:1].isalpha():
            raise refuse("this is no HTTP/1.1 request") from None
        raise RequestError(405, ErrorCode.METHOD_NOT_ALLOWED, "This method is not known here.") from None
    except httptools.HttpParserError as error:
        raise refuse(str(error)) from None
    method, target, is_http_10 = _read_line(text)
    headers = fields.headers
    _check_headers(fields, is_http_10=is_http_10)
    return RequestHead(
        method=method,
        path=_read_path(target),
        headers=headers,
        is_http_10=is_http_10,
        keeps_alive=not is_http_10 and (b"connection" not in headers or not _asks_close(headers[b"connection"])),
        content_length=None if b"transfer-encoding" in headers else _read_length(headers.get(b"content-length")),
        expects_continue=b"expect" in headers and headers[b"expect"].lower() == b"100-continue" and not is_http_10,
    )


def _read_line(text: bytes) -> tuple[str, bytes, bool]:
    """Method, target, and whether it is HTTP/1.0. The parser let the line pass; it is stricter here in its spaces."""
    parts = text[: text.index(b"\r\n")].split(b" ")
    if len(parts) != _NUM_LINE_PARTS:
        raise refuse("the request line must be method, target and version with one space between")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise refuse("only HTTP/1.1 and HTTP/1.0 are spoken on this port")
    return method.decode("ascii"), target, version == b"HTTP/1.0"


def refuse(reason: str) -> RequestError:
    """A 400 for HTTP that this server does not take."""
    return RequestError(400, ErrorCode.UNSUPPORTED_HTTP, f"This HTTP request is refused: {reason}.")


def _check_headers(fields: _Fields, *, is_http_10: bool) -> None:
    headers = fields.headers
    if fields.repeated is not None:
        raise refuse(f"the header {fields.repeated.decode('latin-1')} is repeated")
    if b"host" not in headers and not is_http_10:
        raise refuse("the host header is missing")
    if b"transfer-encoding" in headers:
        if b"content-length" in headers:
            raise refuse("both content-length and transfer-encoding are given")
        if headers[b"transfer-encoding"].lower() != b"chunked":
            raise refuse("the only transfer coding taken is chunked")
        if is_http_10:
            raise refuse("HTTP/1.0 knows no transfer codings")
    if b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
        raise refuse("compressed request bodies are not taken")


def _asks_close(connection: bytes) -> bool:
    return b"close" in (token.strip() for token in connection.lower().split(b","))


def _read_length(value: bytes | None) -> int:
    if value is None:
        return 0
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise refuse("content-length must be a plain number")
    return int(value)


def _read_path(target: bytes) -> str:
    """The path without its query. The authority of an absolute URL decides nothing."""
    if not target.startswith(b"/"):
        try:
            target = httptools.parse_url(target).path or b"/"
        except httptools.HttpParserInvalidURLError:
            raise refuse("the request target is malformed") from None
    return target.partition(b"?")[0].decode("latin-1")
