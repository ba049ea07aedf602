"""What a usage import shows: a line for each file, tokens and money by model, every warning with its count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from inhouse.cli.terminal import out
from inhouse.cli.usage_files import Report, UsageFormat
from inhouse.domain import Usage, UsageRow, format_usd
from inhouse.planning import Known, ModelUsage, UsageProfile, UsageTotals, profile_usage
from inhouse.store import ImportCounts, ImportRow

_MAX_MODELS = 20
_MAX_USE_CASES = 10
_BUCKET_COLUMNS = (
    ("input", "input_uncached"),
    ("cache read", "cache_read"),
    ("cache write", "cache_write"),
    ("write 1 h", "cache_write_1h"),
    ("audio in", "input_audio"),
    ("output", "output_visible"),
    ("reasoning", "output_reasoning"),
    ("audio out", "output_audio"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What reading and keeping one file came to."""

    path: Path
    format: UsageFormat
    report: Report
    counts: ImportCounts | None
    """None where nothing was to be kept."""


def show_file(result: FileResult) -> None:
    """A line for a file, and its warnings."""
    report, counts = result.report, result.counts
    parts = [f"{report.num_read:,} read", f"{report.num_kept:,} kept"]
    if counts is not None:
        parts += [f"{counts.num_new:,} new", f"{counts.num_replaced:,} replaced", f"{counts.num_same:,} there already"]
    out.print(Text.assemble((result.path.name, "bold"), f"  {result.format}: {', '.join(parts)}"), soft_wrap=True)
    for words, count in _list_skipped(report):
        out.print(Text(f"  left out: {count:,} × {words}", style="dim"), soft_wrap=True)
    for words, count in list_warnings(result):
        examples = report.examples.get(words, [])
        where = f" ({'; '.join(examples)})" if examples else ""
        out.print(Text.assemble(("  ! ", "yellow"), f"{count:,} × {words}{where}"), soft_wrap=True)


def list_warnings(result: FileResult) -> list[tuple[str, int]]:
    """Everything that may make a file's figures wrong or incomplete, with how often."""
    report = result.report
    found = list(report.warnings.items())
    if report.has_more:
        found.append(("the last page says that more follow: fetch them and import them too", 1))
    if report.num_duplicates:
        found.append(("records that stood in the file twice were counted once", report.num_duplicates))
    if result.counts is not None and result.counts.num_fuller:
        words = "records are stored with more usage than this file has: it is older, and they stay"
        found.append((words, result.counts.num_fuller))
    if report.num_unlabelled:
        found.append(("records without project, key, task or template", report.num_unlabelled))
    if report.num_without_requests:
        found.append(("records whose source does not count requests", report.num_without_requests))
    return found


def show_summary(results: Sequence[FileResult], rows: Sequence[UsageRow], overlaps: Sequence[str]) -> None:
    """Period, tokens and money by model, and the use cases found."""
    profile = profile_usage(rows)
    if profile is None:
        out.print("\nno usage in " + ("it" if len(results) == 1 else "them"))
        return
    out.print()
    out.print(_describe_period(profile), soft_wrap=True)
    out.print(render_models(profile.mix, profile.totals))
    out.print()
    out.print(render_use_cases(profile))
    if overlaps:
        words = f"{', '.join(overlaps)} cover the same time: where the same traffic is in two of them, choose one"
        out.print(Text.assemble(("! ", "yellow"), words), soft_wrap=True)


def render_models(mix: Sequence[ModelUsage], totals: UsageTotals) -> Table:
    """Requests, tokens by bucket and stated money by model; buckets that are empty everywhere have no column."""
    columns = [(name, bucket) for name, bucket in _BUCKET_COLUMNS if _get(totals.usage, bucket)]
    table = _table("model", "tier", "requests", *(name for name, _ in columns), "stated", num_left=2)
    for one in mix[:_MAX_MODELS]:
        table.add_row(
            escape(f"{one.provider or '?'}/{one.model or '?'}"),
            str(one.tier),
            *_list_amounts(one.totals, columns),
        )
    if len(mix) > _MAX_MODELS:
        table.add_row(f"… and {len(mix) - _MAX_MODELS} more")
    table.add_row("all", "", *_list_amounts(totals, columns), style="bold")
    return table


def render_use_cases(profile: UsageProfile) -> Table:
    """The largest use cases: labels, share, size and peak."""
    table = _table("use case", "tokens", "requests", "in/request", "out/request", "peak", "stated", num_left=1)
    for one in profile.use_cases[:_MAX_USE_CASES]:
        totals = one.totals
        share = "" if one.token_share is None else f" ({one.token_share:.0%})"
        table.add_row(
            escape(one.name),
            f"{shorten(totals.num_tokens)}{share}",
            _format_requests(totals),
            "?" if totals.mean_input is None else f"{totals.mean_input:,.0f}",
            "?" if totals.mean_output is None else f"{totals.mean_output:,.0f}",
            "?" if one.peak is None else f"{one.peak.factor:.1f}×",
            _format_stated(totals),
        )
    if len(profile.use_cases) > _MAX_USE_CASES:
        table.add_row(f"… and {len(profile.use_cases) - _MAX_USE_CASES} more")
    return table


def render_imports(rows: Iterable[ImportRow]) -> Table:
    """Imports as a table."""
    table = _table("import", "source", "file", "from", "to", "new", "replaced", "imported", num_left=5)
    for row in rows:
        table.add_row(
            str(row.import_id),
            row.source,
            escape(row.file),
            _format_day(row.since),
            _format_day(row.until),
            f"{row.num_new:,}",
            f"{row.num_replaced:,}",
            datetime.fromtimestamp(row.imported_at, tz=UTC).strftime("%Y-%m-%d %H:%M"),
        )
    return table


def describe_results(
    results: Sequence[FileResult], rows: Sequence[UsageRow], label: str | None, overlaps: Sequence[str]
) -> dict[str, Any]:
    """The same as a JSON document."""
    return {
        "store": label,
        "files": [
            {
                "file": result.path.name,
                "format": result.format,
                "num_read": result.report.num_read,
                "num_kept": result.report.num_kept,
                "skipped": [{"reason": words, "count": count} for words, count in _list_skipped(result.report)],
                "warnings": [
                    {"what": words, "count": count, "where": result.report.examples.get(words, [])}
                    for words, count in list_warnings(result)
                ],
                "since": result.report.since,
                "until": result.report.until,
                "import": result.counts,
            }
            for result in results
        ],
        "sources_of_the_same_time": list(overlaps),
        "profile": profile_usage(rows),
    }


def shorten(count: int) -> str:
    """A count for people: 12.3 M."""
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)


def _describe_period(profile: UsageProfile) -> str:
    since, until = (datetime.fromtimestamp(at, tz=UTC) for at in (profile.since, profile.until))
    days = f"{profile.num_days:.1f} days, {profile.num_active_days} with usage"
    peak = profile.peak
    words = "peaks unknown: known by the day only"
    if peak is not None:
        words = f"peak hour {peak.factor:.1f} × the mean ({peak.basis}, {peak.num_hours} hours)"
    return f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC, {days}; {words}"


def _list_skipped(report: Report) -> list[tuple[str, int]]:
    return report.skipped.most_common()


def _list_amounts(totals: UsageTotals, columns: Sequence[tuple[str, str]]) -> list[str]:
    counts = [shorten(_get(totals.usage, bucket)) if totals.usage is not None else "?" for _, bucket in columns]
    return [_format_requests(totals), *counts, _format_stated(totals)]


def _get(usage: Usage | None, bucket: str) -> int:
    return 0 if usage is None else getattr(usage, bucket)


def _format_requests(totals: UsageTotals) -> str:
    if totals.num_requests is None:
        return "?"
    return ("≥ " if totals.requests_known is Known.PART else "") + shorten(totals.num_requests)


def _format_stated(totals: UsageTotals) -> str:
    if totals.stated_usd is None:
        return "not stated"
    return ("≥ " if totals.usd_known is Known.PART else "") + format_usd(totals.stated_usd)


def _format_day(seconds: int | None) -> str:
    return "?" if seconds is None else datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d")


def _table(*names: str, num_left: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number < num_left else "right", no_wrap=number > 0)
    return table
