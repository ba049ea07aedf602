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
_NUM_SPACES = 2
_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\r\n")


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

    __slots__ = ("headers", "repeated", "url")

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.repeated: bytes | None = None

    def on_url(self, url: bytes) -> None:
        self.url += url

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
    num_lines = text.count(b"\r\n")
    if text.count(b"\n") != num_lines or text.count(b"\r") != num_lines:
        raise refuse("lines must end in CRLF")
    if text.count(b" ", 0, text.find(b"\r\n")) != _NUM_SPACES:
        raise refuse("the request line must be method, target and version with one space between")
    if len(text.translate(None, _CONTROLS)) != len(text):
        raise refuse("control characters are not allowed in headers")
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(text)
    except httptools.HttpParserUpgrade:
        pass  # an offered upgrade may be ignored (RFC 9110 §7.8); CONNECT is answered 405 like any other method
    except httptools.HttpParserInvalidMethodError:
        raise RequestError(405, ErrorCode.METHOD_NOT_ALLOWED, "This method is not known here.") from None
    except httptools.HttpParserError as error:
        raise refuse(str(error)) from None
    version = parser.get_http_version()
    if version not in ("1.1", "1.0"):
        raise refuse(f"HTTP/{version} is not spoken on this port, only HTTP/1.1 and HTTP/1.0")
    _check_headers(fields, version)
    headers = fields.headers
    return RequestHead(
        method=parser.get_method().decode("ascii"),
        path=_read_path(fields.url),
        headers=headers,
        is_http_10=version == "1.0",
        keeps_alive=version == "1.1" and not _asks_close(headers.get(b"connection")),
        content_length=_read_length(headers),
        expects_continue=version == "1.1" and headers.get(b"expect", b"").lower() == b"100-continue",
    )


def refuse(reason: str) -> RequestError:
    """A 400 for HTTP that this server does not take."""
    return RequestError(400, ErrorCode.UNSUPPORTED_HTTP, f"This HTTP request is refused: {reason}.")


def _check_headers(fields: _Fields, version: str) -> None:
    headers = fields.headers
    if fields.repeated is not None:
        raise refuse(f"the header {fields.repeated.decode('latin-1')} is repeated")
    if b"host" not in headers and version == "1.1":
        raise refuse("the host header is missing")
    if b"transfer-encoding" in headers:
        if b"content-length" in headers:
            raise refuse("both content-length and transfer-encoding are given")
        if headers[b"transfer-encoding"].lower() != b"chunked":
            raise refuse("the only transfer coding taken is chunked")
        if version == "1.0":
            raise refuse("HTTP/1.0 knows no transfer codings")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise refuse("compressed request bodies are not taken")


def _asks_close(connection: bytes | None) -> bool:
    return connection is not None and b"close" in (token.strip() for token in connection.lower().split(b","))


def _read_length(headers: dict[bytes, bytes]) -> int | None:
    if b"transfer-encoding" in headers:
        return None
    value = headers.get(b"content-length")
    if value is None:
        return 0
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise refuse("content-length must be a plain number")
    return int(value)


def _read_path(url: bytes) -> str:
    """The path without its query. The authority of an absolute URL decides nothing."""
    if not url.startswith(b"/"):
        try:
            url = httptools.parse_url(url).path or b"/"
        except httptools.HttpParserInvalidURLError:
            raise refuse("the request target is malformed") from None
    return url.partition(b"?")[0].decode("latin-1")
