"""Reads a file of usage, whatever its format, as a stream of records with a report. Stores and prices nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inhouse.cli.usage_files.anthropic_usage import read_anthropic_usage
from inhouse.cli.usage_files.formats import UsageFormat, check_format, detect_format
from inhouse.cli.usage_files.langfuse import read_langfuse
from inhouse.cli.usage_files.litellm_spend import read_litellm_spend
from inhouse.cli.usage_files.openai_usage import read_openai_usage
from inhouse.cli.usage_files.opening import Shape, look_into
from inhouse.cli.usage_files.reading import Reading, ignore_progress
from inhouse.cli.usage_files.report import Report
from inhouse.cli.usage_files.table import read_csv
from inhouse.domain import ConfigError, SourceLocation, UsageRecord

_READERS: dict[UsageFormat, Callable[[Reading], Iterator[UsageRecord]]] = {
    UsageFormat.OPENAI_USAGE: read_openai_usage,
    UsageFormat.ANTHROPIC_USAGE: read_anthropic_usage,
    UsageFormat.LITELLM_SPEND: read_litellm_spend,
    UsageFormat.LANGFUSE: read_langfuse,
    UsageFormat.CSV: read_csv,
}


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a file does not say itself."""

    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    """Column → field, for tables of one's own (`parse_mapping`)."""
    account: str = ""
    """Tells two organisations apart whose exports have equal labels."""
    advance: Callable[[int], None] = ignore_progress
    """Told how many bytes of the file have been read."""


@dataclass(frozen=True, slots=True)
class UsageFile:
    """A file whose records can be read, once.

    `records` raises ConfigError where the file is malformed; `report` is whole when there are no more.
    """

    path: Path
    format: UsageFormat
    num_bytes: int
    report: Report
    records: Iterator[UsageRecord]


def read_usage_file(
    path: Path, usage_format: UsageFormat | None = None, options: ReadOptions | None = None
) -> UsageFile:
    """Open a file of usage: a JSON document, JSON lines or a CSV table, gzipped or not.

    Args:
        path: the file.
        usage_format: its format; None finds it by the content.
        options: what the file does not say.

    Raises:
        ConfigError: it cannot be read, or has another format; lists what was looked for.
    """
    wanted = options or ReadOptions()
    opened = look_into(path)
    known = usage_format
    if known is None:
        known = detect_format(opened)
    else:
        check_format(opened, known)
    if known is UsageFormat.CSV and opened.shape is not Shape.CSV:
        raise ConfigError(
            f"This is no table but {opened.shape}.",
            fix="name a CSV file with a header.",
            location=SourceLocation(file=str(path)),
        )
    report = Report()
    reading = Reading(opened, report, wanted.account, wanted.mapping, wanted.advance)
    return UsageFile(path, known, opened.num_bytes, report, _READERS[known](reading))
