"""Reads the head of one request, strictly, and refuses hostile HTTP. Reads no sockets and no bodies.

What is accepted here, llhttp accepts with the same meaning (a differential test says so); the reverse does not hold.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from msgspec import Struct

from inhouse.domain import ErrorCode, RequestError

MAX_HEADERS = 100
"""Header lines of one request; more are refused."""
_SINGLE = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"content-encoding",
        b"expect",
        b"authorization",
        b"x-api-key",
        b"api-key",
    }
)
_OWN_PREFIX = b"x-inhouse-"
"""Our own headers, like those in `_SINGLE`, must not be repeated: two readers could each pick another value."""
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT"})
_MAX_LENGTH_DIGITS = 18
_MAX_HOST_BYTES = 261
"""A name of 255 bytes, and a port."""
_MAX_MEMORY_BYTES = 4096
"""A longer head is not remembered, nor are its lines."""
_NUM_LENGTH_NAME_BYTES = len(b"\r\ncontent-length: ")
_NUM_LINE_PARTS = 3
_NOTHING = b"\0"
"""Begins no request."""
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]++): *+([\x20-\x7e\x80-\xff]*+)")
"""Tabs are left out of values: parsers disagree on where they may stand, and no client sends them."""
_AUTHORITY = rb"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_HOST = re.compile(_AUTHORITY)
_TARGET = re.compile(
    rb"(?:https?://" + _AUTHORITY + rb"(?=[/?]|\Z)|(?=/))"
    rb"((?:/(?:[0-9A-Za-z._~!$&'()*+,;=:@-]|%(?![01]|7[Ff])[0-9A-Fa-f]{2})*+)*+)"
    rb"(?:\?[0-9A-Za-z._~!$&'()*+,;=:@/?%\[\]-]*+)?"
)


class HeadMemo(Struct):
    """What others derived from a head, for the next request with the same. It holds only under `owner`.

    `facts` is what the head says, `ways` how requests go that differ only in the words of their messages, by model and
    whether they stream. Their types are those of whoever owns them.
    """

    owner: object = None
    facts: object = None
    ways: dict[tuple[str, bool], Any] = {}


class RequestHead(Struct, frozen=True):
    """A request's head. `headers` has lower-case names and no content-length: `content_length` is that.

    `content_length` is None where the body is chunked. `headers` may be shared by the heads of one connection: nobody
    changes it.
    """

    method: str
    path: str
    target: str
    """The path with its query, as it came; only observe mode passes it on."""
    headers: dict[bytes, bytes]
    is_http_10: bool
    keeps_alive: bool
    content_length: int | None
    expects_continue: bool
    memo: HeadMemo


class HeadReader:
    """Reads the heads of one connection. One that comes again but for its content-length is not parsed again.

    Args:
        max_headers: header lines of one request; more are refused.
    """

    __slots__ = ("_max_headers", "_prefix", "_suffix", "head", "text")

    def __init__(self, max_headers: int = MAX_HEADERS) -> None:
        self._max_headers = max_headers
        self._prefix = b""
        self._suffix = b""
        self.text = _NOTHING
        """The head that came last; whatever begins with it has that very head."""
        self.head: RequestHead | None = None

    def read(self, text: bytes) -> RequestHead:
        """The same as `read_head`.

        Raises:
            RequestError: as there.
        """
        known = self.head
        if known is not None:
            if text == self.text:
                return known
            prefix, suffix = self._prefix, self._suffix
            if prefix and text.startswith(prefix) and text.endswith(suffix):
                digits = text[len(prefix) : len(text) - len(suffix)]
                if digits.isdigit() and len(digits) <= _MAX_LENGTH_DIGITS:
                    self.text = text
                    self.head = _with_length(known, int(digits))
                    return self.head
        head = read_head(text, self._max_headers)
        if len(text) <= _MAX_MEMORY_BYTES:
            self._remember(text, head)
        return head

    def _remember(self, text: bytes, head: RequestHead) -> None:
        """Keep the head, and what stands before and behind the digits of its content-length."""
        self.text, self.head, self._prefix = text, head, b""
        at = text.find(b"\r\ncontent-length: ")
        if at < 0:
            at = text.find(b"\r\nContent-Length: ")
        if at >= 0:
            start = at + _NUM_LENGTH_NAME_BYTES
            end = text.index(b"\r\n", start)
            if text[start:end].isdigit():
                self._prefix, self._suffix = text[:start], text[end:]


def read_head(text: bytes, max_headers: int = MAX_HEADERS) -> RequestHead:
    """Parse a head that ends in an empty line.

    Raises:
        RequestError: 400 `unsupported_http` for anything that is not plain HTTP/1.0 or 1.1, 405 for a method that is
            none of HTTP's own, 431 for too many header lines.
    """
    lines = text.split(b"\r\n")
    num_headers = len(lines) - 3
    if num_headers > max_headers:
        raise RequestError(431, ErrorCode.HEADERS_TOO_LARGE, f"The request has more than {max_headers} header lines.")
    if num_headers < 0 or lines[-1] or lines[-2]:
        raise refuse("the headers do not end in an empty line")
    is_short = len(text) <= _MAX_MEMORY_BYTES
    method, path, target, is_http_10 = (_read_known_line if is_short else _read_line)(lines[0])
    headers = dict(map(_read_known_header if is_short else _read_header, lines[1:-2]))
    if len(headers) != num_headers:
        headers = _join_repeated(lines[1:-2])
    length = _read_length(headers.pop(b"content-length", None))
    is_chunked = b"transfer-encoding" in headers
    if is_chunked:
        _check_coding(text, has_length=length is not None, is_http_10=is_http_10)
    _check_host(headers.get(b"host"), is_http_10=is_http_10)
    return RequestHead(
        method=method,
        path=path,
        target=target,
        headers=headers,
        is_http_10=is_http_10,
        keeps_alive=not is_http_10 and (b"connection" not in headers or not _asks_close(headers[b"connection"])),
        content_length=None if is_chunked else length or 0,
        expects_continue=b"expect" in headers and headers[b"expect"].lower() == b"100-continue" and not is_http_10,
        memo=HeadMemo(),
    )


def refuse(reason: str) -> RequestError:
    """A 400 for HTTP that this server does not take."""
    return RequestError(400, ErrorCode.UNSUPPORTED_HTTP, f"This HTTP request is refused: {reason}.")


def _with_length(head: RequestHead, content_length: int) -> RequestHead:
    return RequestHead(
        head.method,
        head.path,
        head.target,
        head.headers,
        head.is_http_10,
        head.keeps_alive,
        content_length,
        head.expects_continue,
        head.memo,
    )


def _read_line(line: bytes) -> tuple[str, str, str, bool]:
    """Method, path without its query, path with it, and whether it is HTTP/1.0.

    The authority of an absolute URL decides nothing.
    """
    parts = line.split(b" ")
    if len(parts) != _NUM_LINE_PARTS:
        raise refuse("the request line must be method, target and version with one space between")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise refuse("only HTTP/1.1 and HTTP/1.0 are spoken on this port")
    if not method.isalpha():
        raise refuse("this is no HTTP/1.1 request")
    if method not in _METHODS:
        raise RequestError(405, ErrorCode.METHOD_NOT_ALLOWED, "This method is not known here.")
    found = _TARGET.fullmatch(target)
    if found is None:
        raise refuse("the request target is malformed")
    path = found[1].decode("ascii") or "/"
    return method.decode("ascii"), path, path + target[found.end(1) :].decode("ascii"), version == b"HTTP/1.0"


_read_known_line = lru_cache(maxsize=256)(_read_line)


def _read_header(line: bytes) -> tuple[bytes, bytes]:
    """Name in lower case, and value."""
    found = _HEADER.fullmatch(line)
    if found is None:
        raise refuse(_find_fault(line))
    return found[1].lower(), found[2].rstrip(b" ")


_read_known_header = lru_cache(maxsize=1024)(_read_header)
"""Most header lines come again with every request of a client."""


def _find_fault(line: bytes) -> str:
    """What is wrong with a header line, in words."""
    if b"\n" in line or b"\r" in line:
        return "lines must end in CRLF"
    if line.startswith((b" ", b"\t")):
        return "a header is folded over two lines"
    name, colon, value = line.partition(b":")
    if not colon or _TOKEN.fullmatch(name) is None:
        return "a header line is not a name, a colon and a value"
    what = "a tab" if b"\t" in value else "a control character"
    return f"{what} stands in the header {name.decode('ascii').lower()}"


def _join_repeated(lines: list[bytes]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in map(_read_header, lines):
        known = headers.get(name)
        if known is not None and (name in _SINGLE or name.startswith(_OWN_PREFIX)):
            raise refuse(f"the header {name.decode('ascii')} is repeated")
        headers[name] = value if known is None else b"%b, %b" % (known, value)
    return headers


def _check_coding(text: bytes, *, has_length: bool, is_http_10: bool) -> None:
    """The only transfer coding taken is `chunked`, written as everybody writes it: nobody may read it otherwise."""
    if has_length:
        raise refuse("both content-length and transfer-encoding are given")
    if is_http_10:
        raise refuse("HTTP/1.0 knows no transfer codings")
    lowered = text.lower()
    if b"\r\ntransfer-encoding: chunked\r\n" not in lowered and b"\r\ntransfer-encoding:chunked\r\n" not in lowered:
        raise refuse("the only transfer coding taken is chunked")


def _check_host(host: bytes | None, *, is_http_10: bool) -> None:
    if host is None:
        if not is_http_10:
            raise refuse("the host header is missing")
    elif len(host) > _MAX_HOST_BYTES or not _is_host(host):
        raise refuse("the host header is no host name or address")


@lru_cache(maxsize=256)
def _is_host(host: bytes) -> bool:
    """An empty one is right where a client knows no name (RFC 9112 §3.2)."""
    return not host or _HOST.fullmatch(host) is not None


def _asks_close(connection: bytes) -> bool:
    return b"close" in (token.strip() for token in connection.lower().split(b","))


def _read_length(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise refuse("content-length must be a plain number")
    return int(value)
