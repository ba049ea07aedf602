"""What reading a file came to: counts, and every reason why a figure may be too small. Decides nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from inhouse.domain import DAY_S, HOUR_S, UsageRecord

_NUM_EXAMPLES = 3


@dataclass(slots=True)
class Report:
    """Counts of one file; they grow while its records are read, and are whole when there are no more."""

    num_read: int = 0
    """Records of the file."""
    num_kept: int = 0
    """Records given out."""
    num_duplicates: int = 0
    """Records that stood in the file already."""
    num_unlabelled: int = 0
    """Kept records without project, key, task and template."""
    num_without_requests: int = 0
    """Kept records whose source does not count requests."""
    skipped: Counter[str] = field(default_factory=Counter[str])
    """Records left out on purpose, by reason."""
    warnings: Counter[str] = field(default_factory=Counter[str])
    """What may make the figures wrong, and how often."""
    examples: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """For a warning: the first places where it was met."""
    since: int | None = None
    """Unix seconds: start of the first period or request."""
    until: int | None = None
    """Unix seconds: end of the last one."""
    has_more: bool = False
    """Whether the last page says that another follows."""
    grouped_by: set[str] = field(default_factory=set[str])
    """Labels of the source that any record states."""
    widths: set[int] = field(default_factory=set[int])
    """Lengths of the periods, in seconds."""

    def skip(self, reason: str) -> None:
        """Count a record that is left out."""
        self.num_read += 1
        self.skipped[reason] += 1

    def warn(self, words: str, place: str = "") -> None:
        """Count a warning and remember where."""
        self.warnings[words] += 1
        if place and len(self.examples.setdefault(words, [])) < _NUM_EXAMPLES:
            self.examples[words].append(place)

    def keep(self, record: UsageRecord) -> None:
        """Count a record that is given out."""
        self.num_kept += 1
        if record.num_requests is None:
            self.num_without_requests += 1
        if not (record.project or record.key or record.task or record.template):
            self.num_unlabelled += 1
        started_at, width_s = record.started_at, record.width_s
        if self.since is None or self.until is None or started_at < self.since or width_s not in self.widths:
            self.cover(started_at, width_s)
        elif started_at + width_s > self.until:  # most often: exports are in the order of time
            self.until = started_at + width_s

    def cover(self, started_at: int, width_s: int) -> None:
        """Note that a period was in the file, with records or without."""
        if self.since is None or self.until is None:
            self.since, self.until = started_at, started_at + width_s
        else:
            self.since = min(self.since, started_at)
            self.until = max(self.until, started_at + width_s)
        self.widths.add(width_s)


def count_missing(starts: set[int], width_s: int) -> int:
    """How many periods are missing between the first and the last one."""
    if not starts or width_s <= 0:
        return 0
    return (max(starts) - min(starts)) // width_s + 1 - len(starts)


def name_width(width_s: int) -> str:
    """`hour`, `day`, `minute`, or the seconds."""
    return {HOUR_S: "hour", DAY_S: "day", 60: "minute"}.get(width_s, f"{width_s} s")
