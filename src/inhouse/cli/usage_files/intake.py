"""Takes in records one after the other: each once, with its key; counts into the report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from inhouse.cli.usage_files.report import Report
from inhouse.domain import UsageRecord

_SAME_BUCKET = "two records of one period and of equal labels: they were added up"


def make_key(*parts: object) -> str:
    """A key for a record that has no id: the same parts give the same key in every export."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


@dataclass(slots=True)
class Requests:
    """Takes in records that are one request each, known by the source's own id."""

    report: Report
    seen: set[str] = field(default_factory=set[str])

    def admit(self, record: UsageRecord) -> bool:
        """Whether the record is given out: an id counts once."""
        report = self.report
        report.num_read += 1
        num_seen = len(self.seen)
        self.seen.add(record.record_id)
        if len(self.seen) == num_seen:
            report.num_duplicates += 1
            return False
        report.keep(record)
        return True


def admit_requests(report: Report, records: Iterable[UsageRecord | None]) -> Iterator[UsageRecord]:
    """The records of single requests, each once; None stands for one that was left out."""
    requests = Requests(report)
    for record in records:
        if record is not None and requests.admit(record):
            yield record


@dataclass(slots=True)
class Buckets:
    """Takes in records that the source has summed up, known by their period and labels.

    A record that stands twice counts once. Other figures under the same key are another part of the same sum (the
    source was grouped by something that is not known here): they get a key of their own.
    """

    report: Report
    seen: dict[str, UsageRecord] = field(default_factory=dict[str, UsageRecord])

    def admit(self, record: UsageRecord) -> UsageRecord | None:
        """The record to give out; None where it stood in the file already."""
        report = self.report
        report.num_read += 1
        key, number = record.record_id, 1
        while (known := self.seen.get(key)) is not None:
            if known == msgspec.structs.replace(record, record_id=key):
                report.num_duplicates += 1
                return None
            number += 1
            key = f"{record.record_id}#{number}"
        if number > 1:
            report.warn(_SAME_BUCKET, key)
            record = msgspec.structs.replace(record, record_id=key)
        self.seen[key] = record
        report.keep(record)
        return record
