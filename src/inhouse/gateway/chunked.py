"""Strict decoder of chunked request bodies (RFC 9112 §7.1). Reads no sockets, knows no deadlines."""

from __future__ import annotations

import re
from enum import Enum, auto

from inhouse.domain import ErrorCode, RequestError

MAX_LINE_BYTES = 1024
"""A chunk-size line or trailer line that is longer is refused."""
MAX_TRAILER_BYTES = 8192
MAX_EXTENSION_BYTES = 8192
"""Chunk extensions of one body, all together: they are dropped, so a flood of them is work for nothing."""
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = rb'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*+"'
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})((?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*+)")
_TRAILER = re.compile(rb"(" + _TOKEN + rb"):[\x20-\x7e\x80-\xff]*+")
_FORBIDDEN_TRAILERS = frozenset(
    {
        *(b"content-length", b"transfer-encoding", b"trailer", b"host", b"connection", b"upgrade", b"te", b"expect"),
        *(b"authorization", b"x-api-key", b"api-key", b"content-type", b"content-encoding", b"content-range"),
    }
)
"""What frames, routes or authenticates a message has no place behind it (RFC 9110 §6.5.1)."""


class _Want(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    NOTHING = auto()


class ChunkedDecoder:
    """Collects a chunked body; lines must end in CRLF, sizes are bare hex, extensions and trailers are dropped.

    However many small chunks come, what is held is about as large as the body.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._want = _Want.SIZE
        self._num_missing = 0
        self._num_bytes = 0
        self._num_trailer_bytes = 0
        self._num_extension_bytes = 0
        self._body = bytearray()
        self._rest: bytes = b""

    @property
    def is_complete(self) -> bool:
        """Whether the last chunk and the trailers are in."""
        return self._want is _Want.NOTHING

    def take_body(self) -> bytes:
        """The decoded body."""
        return bytes(self._body)

    def feed(self, data: bytes) -> bytes:
        """Take more bytes; give back what stands behind the body's end (empty until then).

        Raises:
            RequestError: 400 for malformed chunking, 413 for a body beyond the limit.
        """
        data, self._rest = self._rest + data, b""
        position = 0
        while self._want is not _Want.NOTHING:
            if self._want is _Want.DATA:
                part = data[position : position + self._num_missing]
                if not part:
                    break
                self._body += part
                position += len(part)
                self._num_missing -= len(part)
                if not self._num_missing:
                    self._want = _Want.DATA_END
                continue
            line, position_after = _cut_line(data, position)
            if line is None:
                break
            position = position_after
            self._take_line(line)
        rest = data[position:]
        if self.is_complete:
            return rest
        self._rest = rest
        return b""

    def _take_line(self, line: bytes) -> None:
        if self._want is _Want.SIZE:
            self._take_size(line)
        elif self._want is _Want.DATA_END:
            if line:
                raise _malformed("a chunk is longer than its size says")
            self._want = _Want.SIZE
        elif not line:
            self._want = _Want.NOTHING
        else:
            self._take_trailer(line)

    def _take_size(self, line: bytes) -> None:
        size = _SIZE.fullmatch(line)
        if size is None:
            raise _malformed("a chunk size is malformed")
        self._num_extension_bytes += len(size[2])
        if self._num_extension_bytes > MAX_EXTENSION_BYTES:
            raise _malformed("the chunk extensions are too long")
        self._num_missing = int(size[1], 16)
        self._num_bytes += self._num_missing
        if self._num_bytes > self._max_body_bytes:
            raise too_large(self._max_body_bytes)
        self._want = _Want.DATA if self._num_missing else _Want.TRAILER

    def _take_trailer(self, line: bytes) -> None:
        self._num_trailer_bytes += len(line)
        found = _TRAILER.fullmatch(line)
        if found is None or self._num_trailer_bytes > MAX_TRAILER_BYTES:
            raise _malformed("the trailers are malformed or too long")
        if found[1].lower() in _FORBIDDEN_TRAILERS:
            raise _malformed(f"the trailer {found[1].decode('ascii').lower()} belongs into the head")


def too_large(max_body_bytes: int) -> RequestError:
    """The refusal of a body beyond the limit."""
    message = (
        f"The request body is larger than {max_body_bytes} bytes. Send less, or raise gateway.limits.max_body_bytes."
    )
    return RequestError(413, ErrorCode.REQUEST_TOO_LARGE, message)


def _cut_line(data: bytes, position: int) -> tuple[bytes | None, int]:
    """The line at `position` without its CRLF, and where the next begins; None where it is not complete."""
    end = data.find(b"\n", position)
    if end < 0:
        if len(data) - position > MAX_LINE_BYTES:
            raise _malformed("a line is too long")
        return None, position
    if end - position > MAX_LINE_BYTES or end == position or data[end - 1] != 0x0D:
        raise _malformed("a line does not end in CRLF, or is too long")
    return data[position : end - 1], end + 1


def _malformed(reason: str) -> RequestError:
    return RequestError(400, ErrorCode.UNSUPPORTED_HTTP, f"The chunked request body is malformed: {reason}.")
