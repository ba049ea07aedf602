"""Several files of usage as one: what stands in two of them counts once. Reads no file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from inhouse.cli.usage_files import UsageFile
from inhouse.cli.usage_imports import describe_grouping
from inhouse.domain import UsageRecord


@dataclass(slots=True)
class Union:
    """Records of several files by their ids, as imports keep them: of two with one id the fuller counts.

    A period of an older export that was still going on gives way to the same period of a newer one.
    """

    records: dict[tuple[str, str], UsageRecord] = field(default_factory=dict[tuple[str, str], UsageRecord])
    num_repeated: int = 0

    def add(self, record: UsageRecord) -> None:
        """Add one record of a file; an id stands once in each."""
        key = record.source, record.record_id
        known = self.records.get(key)
        if known is not None:
            self.num_repeated += 1
        if known is None or _measure(record) >= _measure(known):
            self.records[key] = record

    def list_notes(self, files: Sequence[UsageFile]) -> Iterator[str]:
        """What was left out, and what may count twice all the same. `files` are those that were added, read whole."""
        if self.num_repeated:
            yield f"{self.num_repeated:,} records stood in another of the files already and counted once"
        for one, other in combinations(files, 2):
            if (
                one.format is other.format
                and _overlap(one, other)
                and describe_grouping(one.report) != describe_grouping(other.report)
            ):
                yield (
                    f"{one.path.name} and {other.path.name} cover the same time by other labels: what stands in both "
                    "counts twice"
                )


def _measure(record: UsageRecord) -> int:
    return (record.num_requests or 0) + sum(record.buckets)


def _overlap(one: UsageFile, other: UsageFile) -> bool:
    first, second = one.report, other.report
    if first.since is None or first.until is None or second.since is None or second.until is None:
        return False
    return first.since < second.until and second.since < first.until
