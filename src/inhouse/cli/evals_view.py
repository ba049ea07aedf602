"""How evaluation runs and comparisons look on a terminal. Computes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from inhouse.domain import format_usd
from inhouse.evals import (
    ComparedScore,
    Comparison,
    EvalRun,
    Flip,
    Interval,
    LatencySummary,
    Metric,
    Verdict,
    VerdictKind,
)
from inhouse.store import EvalRunRow, EvalRunStatus

_VERDICT_STYLES = {
    VerdictKind.APPROVED: "bold green",
    VerdictKind.NOT_APPROVED: "bold red",
    VerdictKind.NOT_ENOUGH_DATA: "bold yellow",
}
_STATUS_STYLES = {
    EvalRunStatus.COMPLETE: "green",
    EvalRunStatus.RUNNING: "cyan",
    EvalRunStatus.FAILED: "red",
    EvalRunStatus.CANCELLED: "yellow",
}
SIMULATED = "[magenta]simulated[/]"


def render_run(run: EvalRun) -> RenderableType:
    """One run: scores with intervals, what failed, times and cost."""
    summary = run.summary
    table = new_table("task", "scorer", "score", "95 %", "n", "failed", "unscored")
    for task in summary.tasks:
        for position, metric in enumerate(task.metrics):
            table.add_row(escape(task.task) if position == 0 else "", *_metric_cells(metric))
    table.add_section()
    table.add_row("[bold]total[/]", *_metric_cells(summary.score))
    tag = f"  {SIMULATED}" if summary.is_simulated else ""
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="dim")
    facts.add_row("run", f"{run.row.run_id}{tag}")
    facts.add_row("endpoint", f"{escape(run.row.endpoint_id)}   digest {short_digest(summary.endpoint_digest)}")
    facts.add_row("suite", f"{escape(run.row.suite)}   digest {short_digest(run.row.suite_digest)}")
    facts.add_row("TTFT / TPOT", f"{_format_latency(summary.ttft)} / {_format_latency(summary.tpot)}   (p50/p95)")
    cost = summary.cost
    unpriced = f", {cost.num_unpriced} unpriced" if cost.num_unpriced else ""
    missing = f", {cost.num_missing} traces missing" if cost.num_missing else ""
    facts.add_row("cost", f"{format_usd(cost.usd_per_request)} a request (n={cost.n}{unpriced}{missing})")
    if summary.errors_by_code:
        facts.add_row("errors", ", ".join(f"{code}: {count}" for code, count in summary.errors_by_code.items()))
    return Group(facts, table)


def render_runs(rows: Iterable[EvalRunRow]) -> Table:
    """Runs, newest first."""
    table = new_table("run", "started", "suite", "endpoint", "digest", "status", "score", "n")
    for row in rows:
        score = (row.summary or {}).get("score", {})
        value = score.get("value")
        table.add_row(
            row.run_id,
            datetime.fromtimestamp(row.started_at, tz=UTC).astimezone().strftime("%d %b %H:%M"),
            escape(row.suite),
            escape(row.endpoint_id) + (f" {SIMULATED}" if row.is_simulated else ""),
            short_digest(row.endpoint_digest or (row.summary or {}).get("endpoint_digest")),
            f"[{_STATUS_STYLES[row.status]}]{row.status}[/]",
            "-" if value is None else f"{value:.1%}",
            str(score.get("n", row.num_samples)),
        )
    return table


def render_comparison(comparison: Comparison, *, num_flips: int = 2) -> RenderableType:
    """Candidate against baseline: the change by task, the verdict, and some flipped answers side by side."""
    before, after = comparison.baseline.endpoint_id, comparison.candidate.endpoint_id
    table = new_table("task", before, after, "change", "95 %, pp", "lost", "won", "n", "")
    for row in comparison.tasks:
        table.add_row(escape(row.name), *_compared_cells(row))
    table.add_section()
    table.add_row("[bold]total[/]", *_compared_cells(comparison.total))
    parts: list[RenderableType] = [table]
    if comparison.verdict is not None:
        parts.append(render_verdict(comparison.verdict))
    if comparison.is_simulated:
        parts.append(Text.from_markup(f"at least one side is {SIMULATED}"))
    parts.extend(render_flip(flip, before, after) for flip in pick_flips(comparison, num_flips))
    return Group(*parts)


def pick_flips(comparison: Comparison, num_flips: int) -> list[Flip]:
    """Lost answers from the tasks that lost most."""
    losses = {row.name: row.result.difference if row.result else 0.0 for row in comparison.tasks}
    lost = [flip for flip in comparison.flips if flip.is_lost]
    return sorted(lost, key=lambda flip: losses.get(flip.task, 0.0))[:num_flips]


def render_verdict(verdict: Verdict) -> Text:
    """The verdict's word and its reason."""
    return Text(f"{verdict.kind}", style=_VERDICT_STYLES[verdict.kind]) + Text(f": {verdict.reason}", style="none")


def render_flip(flip: Flip, before: str, after: str) -> RenderableType:
    """One flipped sample: the prompt, and both answers side by side."""
    answers = Table.grid(expand=True, padding=(0, 2))
    answers.add_column(ratio=1)
    answers.add_column(ratio=1)
    answers.add_row(
        _render_answer(before, flip.baseline_output, flip.baseline_error, flip.baseline_value),
        _render_answer(after, flip.candidate_output, flip.candidate_error, flip.candidate_value),
    )
    parts = (Text(flip.prompt, style="dim"), Text(f"right: {flip.target}", style="dim"), answers)
    title = escape(f"{flip.sample_id} ({flip.task})")
    return Panel(Group(*parts), title=title, title_align="left", border_style="dim")


def short_digest(digest: str | None) -> str:
    """Twelve hex digits of a digest, or the word unknown."""
    return digest.removeprefix("sha256:")[:12] if digest else "unknown"


def format_interval(interval: Interval | None, *, is_signed: bool = False) -> str:
    """`91.2 to 97.0` in percent (or points), or a dash where there is none."""
    if interval is None:
        return "-"
    if is_signed:
        return f"{interval.low * 100:+.1f} to {interval.high * 100:+.1f}"
    return f"{interval.low * 100:.1f} to {interval.high * 100:.1f}"


def new_table(*columns: str) -> Table:
    """A plain table that fits eighty columns: one space between them, numbers to the right, nothing ever cut off."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    numbers = {"n", "score", "lost", "won", "change", "failed", "unscored", "requests"}
    for column in columns:
        justify = "right" if column in numbers else "left"
        table.add_column(escape(column), justify=justify, overflow="fold", no_wrap=not column)
    return table


def _render_answer(name: str, output: str | None, error: str | None, value: float) -> RenderableType:
    text = Text(output if output is not None else f"(no answer: {error})")
    mark = Text(" right" if value >= 1 else f" scores {value:.2f}", style="green" if value >= 1 else "red")
    return Group(Text(name, style="bold") + mark, text)


def _metric_cells(metric: Metric) -> list[str]:
    return [
        metric.scorer,
        "-" if metric.value is None else f"{metric.value:.1%}",
        format_interval(metric.interval),
        str(metric.n),
        str(metric.num_errors) if metric.num_errors else "",
        str(metric.num_unscored) if metric.num_unscored else "",
    ]


def _compared_cells(row: ComparedScore) -> list[str]:
    result = row.result
    if result is None:
        return ["-", "-", "-", "-", "-", "-", "0", "not enough data"]
    verdict = row.verdict
    return [
        "-" if row.baseline is None else f"{row.baseline:.1%}",
        "-" if row.candidate is None else f"{row.candidate:.1%}",
        f"{result.difference * 100:+.1f}",
        format_interval(row.interval, is_signed=True),
        str(result.num_lost),
        str(result.num_won),
        str(result.n),
        f"[{_VERDICT_STYLES[verdict.kind]}]{verdict.kind}[/]" if verdict else "",
    ]


def _format_latency(latency: LatencySummary) -> str:
    if latency.p50_ms is None or latency.p95_ms is None:
        return "-"
    return f"{latency.p50_ms:.1f}/{latency.p95_ms:.1f} ms (n={latency.n})"
