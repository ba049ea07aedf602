"""A CSV of one's own: named columns, obvious other names of them, or `--map column=field`. One pass, no dictionaries.

A table with a `requests` column holds summed-up periods; one without holds one request in each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from inhouse.cli.usage_files.columns import COUNT_FIELDS, LABEL_FIELDS, Columns, find_columns
from inhouse.cli.usage_files.intake import Buckets, Requests, make_key
from inhouse.cli.usage_files.labels import clean_id, clean_label, find_tier, name_model, quote
from inhouse.cli.usage_files.opening import read_table
from inhouse.cli.usage_files.reading import Reading
from inhouse.cli.usage_files.values import DATE_CHARS, is_date, parse_count, parse_moment, parse_usd
from inhouse.domain import DAY_S, HOUR_S, MOMENT_S, ConfigError, ServiceTier, UsageRecord

SOURCE = "csv"
_WIDTHS = {
    "1m": 60, "minute": 60, "60": 60, "1h": HOUR_S, "hour": HOUR_S, "hourly": HOUR_S, "3600": HOUR_S,
    "1d": DAY_S, "day": DAY_S, "daily": DAY_S, "86400": DAY_S,
}  # fmt: skip
_PARTS_OVER_INPUT = "the parts of the input are more than the input: they were cut to it"
_PARTS_OVER_OUTPUT = "the parts of the output are more than the output: they were cut to it"
_NOT_STATED = (None,) * len(COUNT_FIELDS)
_OTHER_TIER = "a tier that is not known was taken as standard"

Labels = tuple[str | None, str | None, str | None, str | None, str | None, str | None, ServiceTier]


def read_csv(reading: Reading) -> Iterator[UsageRecord]:
    """The records of a table, one for each row.

    Raises:
        ConfigError: a column is missing, or a value is not as it must be; names file, line, column and fix.
    """
    header, rows = read_table(reading.opened.path, reading.advance)
    columns = find_columns(reading, header)
    row_reader = _RowReader(reading, columns, header)
    if columns.requests is None:
        requests = Requests(reading.report)
        for line, row in rows:
            record = row_reader.read(line, row)
            if requests.admit(record):
                yield record
        return
    names = (name for name, at in zip(LABEL_FIELDS, columns.labels, strict=True) if at is not None)
    reading.report.grouped_by.update(names)
    buckets = Buckets(reading.report)
    for line, row in rows:
        kept = buckets.admit(row_reader.read(line, row))
        if kept is not None:
            yield kept


@dataclass(slots=True)
class _RowReader:
    """Makes records of rows; what recurs (labels, repeated rows) is worked out once."""

    reading: Reading
    columns: Columns
    header: Sequence[str]
    labels: dict[tuple[str, ...], Labels]
    repeats: dict[str, int]
    pick: Callable[[Sequence[str]], tuple[str, ...]]
    """The cells of a row that hold labels."""
    is_plain: bool
    """A row is one request, and no column says how long its period is."""

    def __init__(self, reading: Reading, columns: Columns, header: Sequence[str]) -> None:
        self.reading, self.columns, self.header = reading, columns, header
        self.labels = {}
        self.repeats = {}
        self.is_plain = columns.width is None and columns.requests is None
        self.pick = _make_picker([at for at in columns.labels if at is not None])

    def read(self, line: int, row: Sequence[str]) -> UsageRecord:
        """The record of a row.

        Raises:
            ConfigError: a value is not as it must be.
        """
        try:
            return self._read(line, row)
        except ValueError:
            self._find_fault(line, row)
            raise

    def _read(self, line: int, row: Sequence[str]) -> UsageRecord:
        columns = self.columns
        raw = self.pick(row)
        labels = self.labels.get(raw)
        if labels is None:
            labels = self.labels[raw] = self._find_labels(line, row)
        moment = row[columns.time]
        started_at = parse_moment(moment)
        num_requests: int | None = 1
        if self.is_plain and len(moment) > DATE_CHARS and moment[-1] != " ":
            width_s = MOMENT_S  # what nearly every row is, without a call
        else:
            width_s = self._find_width(line, row)
            if width_s != MOMENT_S:
                started_at -= started_at % width_s
            if columns.requests is not None:
                num_requests = parse_count(row[columns.requests]) if row[columns.requests] else None
        return UsageRecord(
            SOURCE,
            self._make_id(row, started_at, width_s),
            started_at,
            width_s,
            *labels,
            num_requests,
            *self._read_tokens(line, row),
            stated_pico_usd=parse_usd(row[columns.usd]) if columns.usd is not None and row[columns.usd] else None,
        )

    def _make_id(self, row: Sequence[str], started_at: int, width_s: int) -> str:
        """The row's own id, its period and labels, or all that it says and the how manieth such row it is."""
        columns = self.columns
        account = self.reading.account
        if columns.id is not None and row[columns.id]:
            return clean_id(row[columns.id] if not account else f"{account}:{row[columns.id]}")
        if columns.requests is not None:
            return make_key(account, started_at, width_s, *self._read_labels(row))
        text = "\x1f".join(row)
        number = self.repeats[text] = self.repeats.get(text, 0) + 1
        return make_key(account, text, number)

    def _read_labels(self, row: Sequence[str]) -> tuple[str | None, ...]:
        return tuple(row[at] if at is not None else None for at in self.columns.labels)

    def _find_labels(self, line: int, row: Sequence[str]) -> Labels:
        provider, model, project, key, task, template, tier = self._read_labels(row)
        named = name_model(provider or None, model or None)
        found = find_tier(tier)
        if found is None:
            self.reading.report.warn(_OTHER_TIER, f"line {line}: {quote(tier)}")
        labels = (clean_label(project), clean_label(key), clean_label(task), clean_label(template))
        return (*named, *labels, found or ServiceTier.STANDARD)

    def _find_width(self, line: int, row: Sequence[str]) -> int:
        columns = self.columns
        if columns.width is not None:
            width = _WIDTHS.get(row[columns.width].strip().lower())
            if width is None:
                value = quote(row[columns.width])
                raise self._refuse(line, columns.width, f"is {value}; a period is `1m`, `1h` or `1d`")
            return width
        if is_date(row[columns.time]):
            return DAY_S
        return HOUR_S if columns.requests is not None else MOMENT_S

    def _read_tokens(self, line: int, row: Sequence[str]) -> tuple[int, ...] | tuple[None, ...]:
        """The eight buckets; all None where the row states no tokens."""
        uncached = read = write = visible = reasoning = hour = audio_in = audio_out = 0
        is_stated = False
        columns = self.columns
        if columns.counts:
            counts = [0] * len(COUNT_FIELDS)
            for bucket, at in columns.counts:
                text = row[at]
                if text:
                    counts[bucket] = int(text) if text.isdecimal() else parse_count(text)
                    is_stated = True
            uncached, read, write, visible, reasoning, hour, audio_in, audio_out = counts
        total_in, total_out = columns.totals
        if total_in is not None and row[total_in]:
            text = row[total_in]
            total = int(text) if text.isdecimal() else parse_count(text)
            is_stated = True
            uncached = total - read - write - hour - audio_in
            if uncached < 0:
                self.reading.report.warn(_PARTS_OVER_INPUT, f"line {line}")
                uncached, (read, write, hour, audio_in) = 0, cut((read, write, hour, audio_in), total)
        if total_out is not None and row[total_out]:
            text = row[total_out]
            total = int(text) if text.isdecimal() else parse_count(text)
            is_stated = True
            visible = total - reasoning - audio_out
            if visible < 0:
                self.reading.report.warn(_PARTS_OVER_OUTPUT, f"line {line}")
                visible, (reasoning, audio_out) = 0, cut((reasoning, audio_out), total)
        if not is_stated:
            return _NOT_STATED
        return uncached, read, write, visible, reasoning, hour, audio_in, audio_out

    def _find_fault(self, line: int, row: Sequence[str]) -> None:
        """Name the first column whose value is not as it must be."""
        columns = self.columns
        counts = (columns.requests, *columns.totals, *(at for _, at in columns.counts))
        parsers: list[tuple[int | None, Callable[[str], int]]] = [(at, parse_count) for at in counts]
        for at, parse in [(columns.time, parse_moment), *parsers, (columns.usd, parse_usd)]:
            if at is None or (not row[at] and at != columns.time):
                continue
            try:
                parse(row[at])
            except ValueError as error:
                value = quote(row[at]) if row[at] else "empty"
                raise self._refuse(line, at, f"{error}; it is {value}") from None

    def _refuse(self, line: int, at: int, words: str) -> ConfigError:
        name = self.header[at]
        return self.reading.refuse(
            f"Column {quote(name)} {words}.",
            line=line,
            fix="mend or remove the row, or say what the column holds with `--map column=field`.",
        )


def _make_picker(places: Sequence[int]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """Takes the cells at these places out of a row, in C where there are several."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple(row[at] for at in places)


def cut(parts: tuple[int, ...], total: int) -> list[int]:
    """The parts, the later ones made smaller until they fit into the total."""
    kept: list[int] = []
    for part in parts:
        kept.append(min(part, total - sum(kept)))
    return kept
