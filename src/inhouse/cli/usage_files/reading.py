"""Decodes the documents, lines and rows of a file into typed entries, and says where one is malformed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from inhouse.cli.usage_files.labels import quote
from inhouse.cli.usage_files.opening import Advance, OpenedFile, Shape, read_document, read_lines, read_table
from inhouse.cli.usage_files.report import Report
from inhouse.cli.usage_files.values import parse_moment
from inhouse.domain import ConfigError, SourceLocation

T = TypeVar("T")

_AT = re.compile(r"^(?P<words>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_BYTE = re.compile(r"\(byte (\d+)\)")
_FIX = "export it again, or mend or remove this record."


def ignore_progress(_num_bytes: int) -> None:
    """An `Advance` that nobody watches."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One file while it is read."""

    opened: OpenedFile
    report: Report
    account: str = ""
    """Part of every key of summed-up records: tells two organisations with equal labels apart."""
    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    """Column → field, for tables of one's own."""
    advance: Advance = ignore_progress

    def refuse(self, problem: str, *, line: int | None = None, path: str = "", fix: str = _FIX) -> ConfigError:
        """An error at a place of this file."""
        return ConfigError(problem, fix=fix, location=SourceLocation(file=str(self.opened.path), line=line, path=path))


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where an entry stands: the line, or the path in the document. Written out only when something is wrong."""

    line: int | None = None
    path: str = ""

    def __str__(self) -> str:
        return f"line {self.line}" if self.line is not None else self.path

    def within(self, path: str) -> Place:
        """A place inside this one."""
        joined = path if not self.path else f"{self.path}{path}" if path.startswith("[") else f"{self.path}.{path}"
        return Place(self.line, joined)


def parse_start(reading: Reading, place: Place, value: str | float) -> int:
    """Unix seconds of a request's `startTime`.

    Raises:
        ConfigError: it is no time.
    """
    try:
        return parse_moment(value)
    except ValueError as error:
        raise reading.refuse(f"startTime {error}.", line=place.line, path=place.within("startTime").path) from None


def read_entries(reading: Reading, kind: type[T]) -> Iterator[tuple[Place, T]]:
    """The top-level entries of a file: of a JSON array, of JSON lines, of a table; a single document is one entry.

    Raises:
        ConfigError: one is not as it must be; names file, line or path.
    """
    opened = reading.opened
    if opened.shape is Shape.JSON:
        yield from _read_json(reading, kind)
    elif opened.shape is Shape.JSONL:
        decoder = msgspec.json.Decoder(kind)
        for line, text in read_lines(opened.path, reading.advance):
            try:
                yield Place(line), decoder.decode(text)
            except msgspec.DecodeError as error:
                raise _explain(reading, error, text, line) from None
    else:
        yield from _read_rows(reading, kind)


def _read_json(reading: Reading, kind: type[T]) -> Iterator[tuple[Place, T]]:
    data = read_document(reading.opened.path)
    is_array = data.lstrip()[:1] == b"["
    try:
        if not is_array:
            yield Place(), msgspec.json.decode(data, type=kind)
            return
        entries = msgspec.json.Decoder(list[kind]).decode(data)
    except msgspec.DecodeError as error:
        raise _explain(reading, error, data, None) from None
    reading.advance(reading.opened.num_bytes)
    for number, entry in enumerate(entries):
        yield Place(path=f"[{number}]"), entry


def _read_rows(reading: Reading, kind: type[T]) -> Iterator[tuple[Place, T]]:
    names, rows = read_table(reading.opened.path, reading.advance)
    for line, row in rows:
        stated: dict[str, Any] = {name: value for name, value in zip(names, row, strict=True) if value}
        try:
            yield Place(line), msgspec.convert(stated, type=kind, strict=False)
        except msgspec.ValidationError as error:
            raise _explain(reading, error, b"", line, stated) from None


def _explain(
    reading: Reading, error: msgspec.DecodeError, data: bytes, line: int | None, row: Mapping[str, Any] | None = None
) -> ConfigError:
    """The library's words with their place: path in the document, line of a table or of JSON lines."""
    found = _AT.match(str(error))
    words, path = (found["words"], found["path"] or "") if found else (str(error), "")
    at_byte = _BYTE.search(words)
    if at_byte is not None and line is None:
        line = data.count(b"\n", 0, int(at_byte[1])) + 1
    value = f", which is {quote(row[path])}" if row is not None and path in row else ""
    return reading.refuse(f"{words}{value}.", line=line, path=path)
