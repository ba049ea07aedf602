"""Raw sample records, each with its place: inline, JSON lines, CSV, or the ticket generator. Checks no sample."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from inhouse.domain import ConfigError, SourceLocation
from inhouse.evals.positions import PositionedFile
from inhouse.evals.tickets import TaskType, generate_tickets

SAMPLE_FIELDS = ("id", "task", "prompt", "messages", "target", "cluster", "slices", "must_pass")
_LIST_SEPARATOR = ";"
_MAX_FIELD_CHARS = 4_000_000


@dataclass(frozen=True, slots=True)
class RawSample:
    """One sample as written, and where."""

    fields: Mapping[str, object]
    location: SourceLocation


def read_inline(items: list[object], file: PositionedFile) -> Iterator[RawSample]:
    """The samples of a suite file's own list."""
    for position, item in enumerate(items):
        path = ("samples", position)
        if not isinstance(item, dict):
            raise file.fail(path, f"sample {position + 1} is no mapping.", "Give it id, prompt and target.")
        yield RawSample(cast("dict[str, object]", item), file.locate(path))


def read_sample_file(path: Path) -> Iterator[RawSample]:
    """The samples of a `.jsonl` or `.csv` file.

    Raises:
        ConfigError: another kind of file, unreadable, or a line that is no sample.
    """
    readers = {".jsonl": _read_json_lines, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise ConfigError(
            f"{path.name} is neither .jsonl nor .csv.", fix="Save the samples as JSON lines or CSV, named so."
        )
    return readers[path.suffix.lower()](read_text(path, what="samples"), str(path))


def read_text(path: Path, *, what: str, location: SourceLocation | None = None) -> str:
    """The text of a UTF-8 file (a byte-order mark is dropped); ConfigError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        fix = "Correct the path; it is relative to the suite file."
        raise ConfigError(f"there is no file {path} with {what}.", fix=fix, location=location) from None
    except (OSError, UnicodeDecodeError) as error:
        fix = "Give a readable file of UTF-8 text."
        raise ConfigError(f"{path} cannot be read: {error}.", fix=fix, location=location) from None


def draw_tickets(seed: int, per_task: int, location: SourceLocation) -> Iterator[RawSample]:
    """`per_task` held-out support tickets of each task, from the generator."""
    for task in TaskType:
        try:
            tickets = generate_tickets(task, per_task, seed=seed)
        except ValueError as error:
            raise ConfigError(
                f"the tickets cannot be made: {error}.", fix="Lower per_task.", location=location
            ) from None
        for ticket in tickets:
            fields: dict[str, object] = {
                "id": ticket.id,
                "task": ticket.task.value,
                "prompt": ticket.prompt,
                "target": ticket.target,
                "slices": list(ticket.slices),
            }
            yield RawSample(fields, location)


def _read_json_lines(text: str, name: str) -> Iterator[RawSample]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        location = SourceLocation(name, number)
        try:
            record: object = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            fix = "Put one whole JSON object on each line."
            raise ConfigError(f"this line is no JSON: {error}.", fix=fix, location=location) from None
        if not isinstance(record, dict):
            raise ConfigError(
                "this line is no JSON object.", fix="Write {…} with id, prompt, target.", location=location
            )
        yield RawSample(cast("dict[str, object]", record), location)


def _read_csv(text: str, name: str) -> Iterator[RawSample]:
    csv.field_size_limit(_MAX_FIELD_CHARS)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, list[str]())]
        _check_header(header, SourceLocation(name, 1))
        first_line = reader.line_num + 1
        for row in reader:
            location, first_line = SourceLocation(name, first_line), reader.line_num + 1
            if not row:
                continue
            if len(row) != len(header):
                fix = "Quote values that hold commas or line breaks."
                raise ConfigError(
                    f"this row has {len(row)} values, the header {len(header)}.", fix=fix, location=location
                )
            yield RawSample(_read_row(dict(zip(header, row, strict=True)), location), location)
    except csv.Error as error:
        location = SourceLocation(name, reader.line_num)
        raise ConfigError(
            f"this is no CSV: {error}.", fix="Mend the quoting near this line.", location=location
        ) from None


def _check_header(header: list[str], location: SourceLocation) -> None:
    allowed = [field for field in SAMPLE_FIELDS if field != "messages"]
    unknown = [column for column in header if column not in allowed]
    fix = f"Make the first line a header of these columns: {', '.join(allowed)}."
    if unknown or not header:
        problem = (
            f"the header has unknown columns: {', '.join(map(repr, unknown))}." if unknown else "there is no header."
        )
        raise ConfigError(problem, fix=fix, location=location)
    if len(set(header)) != len(header):
        raise ConfigError("a column of the header stands twice.", fix=fix, location=location)


def _read_row(row: dict[str, str], location: SourceLocation) -> dict[str, object]:
    fields: dict[str, object] = {key: value for key, value in row.items() if value != ""}
    if "slices" in fields:
        fields["slices"] = [part.strip() for part in row["slices"].split(_LIST_SEPARATOR) if part.strip()]
    if "must_pass" in fields:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        word = row["must_pass"].strip().lower()
        if word not in words:
            raise ConfigError(f"must_pass is {word!r}.", fix="Write true or false.", location=location)
        fields["must_pass"] = words[word]
    return fields
