"""Periods that a source has summed up: their length, gaps between them, and those that are not whole yet."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from inhouse.cli.usage_files.labels import quote
from inhouse.cli.usage_files.reading import Place, Reading
from inhouse.cli.usage_files.report import count_missing, name_width
from inhouse.cli.usage_files.values import parse_moment
from inhouse.domain import DAY_S, HOUR_S

_NOT_OVER = "the period ends after the file was written: it is not whole, a later export will replace it"
_SHORT = "the period is shorter than the others: it is not whole, an export of it all will replace it"


@dataclass(frozen=True, slots=True)
class Period:
    """Start in Unix seconds, length in seconds."""

    started_at: int
    width_s: int


@dataclass(slots=True)
class PeriodCheck:
    """Reads periods, and notes what is missing."""

    reading: Reading
    starts: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    cut: dict[Period, str] = field(default_factory=dict[Period, str])

    def parse(self, place: Place, name: str, value: str | float) -> int:
        """Unix seconds of a field.

        Raises:
            ConfigError: it is no time.
        """
        try:
            return parse_moment(value)
        except ValueError as error:
            problem = f"{name} {error}; it is {quote(value)}."
            raise self.reading.refuse(problem, line=place.line, path=place.within(name).path) from None

    def find(
        self, place: Place, start: str | float | None, end: str | float | None, *, width_s: int | None = None
    ) -> Period:
        """The period between two fields; a length that is given goes before the end.

        A period that was cut at the end of the export keeps the length of the minute, hour or day that it belongs to.

        Raises:
            ConfigError: a field is missing or no time, or the period is no minute, hour or day.
        """
        if start is None:
            problem = "It has no start_time, so it belongs to no hour."
            raise self.reading.refuse(problem, line=place.line, path=place.path)
        started_at = self.parse(place, "start_time", start)
        if width_s is None and end is None:
            problem = "It has no end_time, so it may be an hour or a day."
            raise self.reading.refuse(problem, line=place.line, path=place.path)
        length = width_s or self.parse(place, "end_time", end or 0) - started_at
        width = next((size for size in (60, 300, HOUR_S, DAY_S) if length <= size), None)
        if length <= 0 or width is None:
            problem = f"It lasts {length} s; a period is a minute, an hour or a day."
            fix = "export it by hour (`bucket_width=1h`) or by day (`1d`)."
            raise self.reading.refuse(problem, line=place.line, path=place.path, fix=fix)
        period = Period(started_at - started_at % width, width)
        if length < width:
            self.cut[period] = str(place)
        return period

    def add(self, period: Period) -> None:
        """Note that a period is in the file, with usage or without."""
        self.starts[period.width_s].add(period.started_at)
        self.reading.report.cover(period.started_at, period.width_s)

    def finish(self) -> None:
        """Report gaps and periods that are not whole."""
        report = self.reading.report
        for place in self.cut.values():
            report.warn(_SHORT, place)
        for width_s, starts in self.starts.items():
            missing = count_missing(starts, width_s)
            if missing:
                first = datetime.fromtimestamp(_find_gap(starts, width_s), tz=UTC).isoformat()
                words = f"{name_width(width_s)}s are missing in the middle"
                report.warnings[words] += missing
                report.examples[words] = [f"first at {first}"]
            last = max(starts)
            if last + width_s > self.reading.opened.written_at and Period(last, width_s) not in self.cut:
                report.warn(_NOT_OVER, datetime.fromtimestamp(last, tz=UTC).isoformat())


def _find_gap(starts: set[int], width_s: int) -> int:
    return min(start + width_s for start in starts if start + width_s not in starts)
