"""Opens a file of usage: plain or gzipped, JSON document, JSON lines or a table. Knows no format."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, BinaryIO, cast

import msgspec

from inhouse.domain import ConfigError, SourceLocation

_HEAD_BYTES = 262_144
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_ROWS_PER_STEP = 5_000
_NO_NAMES: list[str] = []
_DELIMITERS = ",;\t"

Advance = Callable[[int], None]
"""Told how many bytes of the file, as it lies on the disk, have been read so far."""


class Shape(StrEnum):
    """How a file's content is laid out."""

    JSON = "a JSON document"
    JSONL = "JSON lines"
    CSV = "a table"


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file whose beginning has been looked at."""

    path: Path
    shape: Shape
    head: str
    """The first 256 KiB of its text."""
    num_bytes: int
    """As it lies on the disk."""
    written_at: float
    """Unix seconds of its last change."""


def look_into(path: Path) -> OpenedFile:
    """Read a file's beginning and see how it is laid out.

    Raises:
        ConfigError: it cannot be read, is empty, or is no text in UTF-8.
    """
    with _translate(path):
        status = path.stat()
        with _open_binary(path) as stream:
            data = stream.read(_HEAD_BYTES).removeprefix(_BOM)
    head = data.decode("utf-8", errors="replace")
    if "\x00" in head or head.count("\ufffd") > len(head) // 100:
        raise _refuse(path, "It is no text in UTF-8.", "export it as JSON, JSON lines or CSV; gzip is fine.")
    if not head.strip():
        raise _refuse(path, "It is empty.", "export it again.")
    return OpenedFile(path, _find_shape(head), head, status.st_size, status.st_mtime)


def read_document(path: Path) -> bytes:
    """The whole content, decompressed, without a byte order mark.

    Raises:
        ConfigError: it cannot be read.
    """
    with _translate(path), _open_binary(path) as stream:
        return stream.read().removeprefix(_BOM)


def read_lines(path: Path, advance: Advance) -> Iterator[tuple[int, bytes]]:
    """Line numbers from 1, and the lines that are not blank.

    Raises:
        ConfigError: it cannot be read.
    """
    with _translate(path), path.open("rb") as raw, _decompress(raw) as stream:
        for number, line in enumerate(stream, start=1):
            if number % _ROWS_PER_STEP == 0:
                advance(raw.tell())
            text = line.removeprefix(_BOM) if number == 1 else line
            if not text.isspace():
                yield number, text


def read_table(path: Path, advance: Advance) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header of a table, and its rows with the numbers of their lines.

    Raises:
        ConfigError: it cannot be read, or a row has another number of fields than the header.
    """
    rows = _read_rows(path, advance)
    header = next(rows, None)
    if header is None:
        raise _refuse(path, "It is empty.", "export it again.")
    return [name.strip() for name in header[1]], _check_widths(path, len(header[1]), rows)


def split_header(head: str) -> list[str]:
    """The names in the first line of a table."""
    return next(csv.reader([head.partition("\n")[0].rstrip("\r")], delimiter=_find_delimiter(head)), _NO_NAMES)


def _read_rows(path: Path, advance: Advance) -> Iterator[tuple[int, list[str]]]:
    with _translate(path), path.open("rb") as raw, _decompress(raw) as stream:
        text = io.TextIOWrapper(cast("BinaryIO", stream), encoding="utf-8-sig", newline="")
        first = text.readline()
        yield 1, next(csv.reader([first], delimiter=_find_delimiter(first)), _NO_NAMES)
        reader = csv.reader(text, delimiter=_find_delimiter(first), strict=True)
        try:
            for count, row in enumerate(reader):
                if count % _ROWS_PER_STEP == 0:
                    advance(raw.tell())
                if row:
                    yield reader.line_num + 1, row
        except csv.Error as error:
            raise _refuse(path, f"It is not CSV: {error}.", "export it again.", reader.line_num + 1) from None


def _check_widths(path: Path, width: int, rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    for line, row in rows:
        if len(row) != width:
            problem = f"This row has {len(row)} fields, the header {width}."
            raise _refuse(path, problem, "put values that hold the delimiter in quotes; mend or remove the row.", line)
        yield line, row


def _find_delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return max(_DELIMITERS, key=first.count)


def _find_shape(head: str) -> Shape:
    text = head.lstrip()
    if text[0] == "[":
        return Shape.JSON
    if text[0] != "{":
        return Shape.CSV
    first, newline, rest = text.partition("\n")
    if not newline or not rest.lstrip().startswith("{"):
        return Shape.JSON
    try:
        msgspec.json.decode(first, type=msgspec.Raw)
    except msgspec.DecodeError:
        return Shape.JSON
    return Shape.JSONL


@contextmanager
def _open_binary(path: Path) -> Generator[IO[bytes]]:
    with path.open("rb") as raw, _decompress(raw) as stream:
        yield stream


@contextmanager
def _decompress(raw: io.BufferedReader) -> Generator[IO[bytes]]:
    if raw.peek(2)[:2] != _GZIP_MAGIC:
        yield raw
        return
    with gzip.GzipFile(fileobj=raw) as stream:
        yield cast("IO[bytes]", stream)


@contextmanager
def _translate(path: Path) -> Generator[None]:
    """The system's errors in our words."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise _refuse(path, "Its gzip data end too early or are damaged.", "copy or export it again.") from None
    except UnicodeDecodeError:
        raise _refuse(path, "It is no text in UTF-8.", "save it as UTF-8.") from None
    except OSError as error:
        raise _refuse(path, f"It cannot be read: {error.strerror}.", "name a file that is there.") from None


def _refuse(path: Path, problem: str, fix: str, line: int | None = None) -> ConfigError:
    return ConfigError(problem, fix=fix, location=SourceLocation(file=str(path), line=line))
