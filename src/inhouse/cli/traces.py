"""`inhouse traces`: the last requests as a table, and everything about one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from inhouse.cli.installation import DEFAULT_FILE, ConfigOption, JsonOption, open_installation
from inhouse.cli.terminal import ExitCode, err, out, print_json
from inhouse.domain import Trace, TraceClose, TraceStatus, UsageBasis, format_usd
from inhouse.store import Store
from inhouse.telemetry import list_signals

traces_app = typer.Typer(help="Look at requests: the last ones, or one in full.", invoke_without_command=True)

SHORT_ID = 12
"""Characters of an id's end that the table shows: the random part."""
_NUM_SEARCHED = 10_000

STATUS_STYLES = {
    TraceStatus.COMPLETE: "green",
    TraceStatus.OPEN: "cyan",
    TraceStatus.FAILED: "red",
    TraceStatus.ABORTED: "red",
    TraceStatus.CLIENT_CLOSED: "yellow",
}


@traces_app.callback()
def list_traces(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many.")] = 20,
    route: Annotated[str | None, typer.Option(help="Only this route.")] = None,
    status: Annotated[TraceStatus | None, typer.Option(help="Only requests that ended so.")] = None,
    with_evals: Annotated[bool, typer.Option("--with-evals", help="Evaluation requests too.")] = False,
    file: ConfigOption = DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """List the newest requests."""
    if context.invoked_subcommand is not None:
        return
    with open_installation(file) as installation:
        is_eval = None if with_evals else False
        traces = installation.store.traces.list(limit, route=route, status=status, is_eval=is_eval)
    if as_json:
        print_json(traces)
    elif traces:
        out.print(render_table(traces))
    else:
        out.print("no requests yet; `inhouse status` shows where to send one")


@traces_app.command("show")
def show_trace(
    trace_id: Annotated[
        str, typer.Argument(help="Id from the reply header x-inhouse-trace, or its last 12 characters.")
    ],
    file: ConfigOption = DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """Show one request: the decision with its reasons, attempts, timings, usage, cost, digests."""
    with open_installation(file) as installation:
        trace = _find_trace(installation.store, trace_id.removeprefix("…"))
    if trace is None:
        err.print(f"there is no trace {trace_id} (a request appears within a second of its end)")
        raise typer.Exit(ExitCode.FAILED)
    if as_json:
        print_json(trace)
        return
    out.print(render_trace(trace))


def _find_trace(store: Store, trace_id: str) -> Trace | None:
    """The trace of a whole id, or the newest one whose id ends so, among the last that the list would show."""
    found = store.traces.get(trace_id)
    if found is None and len(trace_id) >= SHORT_ID:
        recent = store.traces.list(_NUM_SEARCHED)
        found = next((trace for trace in recent if trace.open.trace_id.endswith(trace_id)), None)
    return found


def render_table(traces: list[Trace]) -> Table:
    """Traces as a table, newest first."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify in (
        ("time", "left"), ("trace", "left"), ("route", "left"), ("task", "left"), ("endpoint", "left"),
        ("status", "left"), ("in/out", "right"), ("cost", "right"), ("E2E", "right"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=name in {"time", "trace", "status"})  # type: ignore[arg-type]
    for trace in traces:
        close = trace.close
        table.add_row(
            datetime.fromtimestamp(trace.open.started_at, tz=UTC).astimezone().strftime("%H:%M:%S"),
            f"…{trace.open.trace_id[-SHORT_ID:]}",
            escape(trace.open.route or "(eval)"),
            escape(trace.open.task or "-"),
            escape((close or trace.open).endpoint_id) + (" [magenta]simulated[/]" if _is_simulated(trace) else ""),
            f"[{STATUS_STYLES[trace.status]}]{trace.status}[/]",
            _format_tokens(close),
            format_usd(close.cost_usd) if close else "",
            _format_ms(close.e2e_ms if close else None),
        )
    return table


def render_trace(trace: Trace) -> Table:
    """Everything about one request, as name and value."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _describe(trace):
        table.add_row(name, escape(value))
    return table


def _describe(trace: Trace) -> list[tuple[str, str]]:
    start, close = trace.open, trace.close
    rows = [
        ("trace", start.trace_id),
        ("started", datetime.fromtimestamp(start.started_at, tz=UTC).astimezone().isoformat(timespec="milliseconds")),
        ("status", str(trace.status)),
        ("route", start.route or "(pinned by an evaluation)"),
        ("decision", "\n".join(start.reasons) or "no reason recorded"),
        ("first choice", f"{start.variant or '-'} → {start.endpoint_id} ({start.replica_id})"),
        ("key / team", f"{start.key_id} / {start.team or '-'}"),
        ("task / user", f"{start.task or '-'} / {start.user or '-'}"),
        ("tags", ", ".join(f"{name}={value}" for name, value in start.tags.items()) or "-"),
        ("snapshot", f"version {start.snapshot_version}"),
    ]
    if close is None:
        rows.append(("under way for", f"{time.time() - start.started_at:.1f} s"))
        return rows
    return rows + _describe_close(trace, close)


def _describe_close(trace: Trace, close: TraceClose) -> list[tuple[str, str]]:
    simulated = "  (simulated)" if _is_simulated(trace) else ""
    attempts = [
        f"{attempt.endpoint_id} ({attempt.replica_id})  {attempt.duration_ms:.1f} ms  "
        + (f"{attempt.code} {attempt.status or ''}".strip() if attempt.code else "ok")
        for attempt in close.attempts
    ]
    usage = close.usage
    buckets = {name: getattr(usage, name) for name in usage.__struct_fields__} if usage else {}
    tokens = ", ".join(f"{name} {count}" for name, count in buckets.items() if count)
    return [
        ("served by", f"{close.variant or '-'} → {close.endpoint_id} ({close.replica_id}){simulated}"),
        ("attempts", "\n".join(attempts) or "-"),
        ("HTTP status", str(close.http_status) if close.http_status else "unknown"),
        ("error", close.error_code or "-"),
        ("finish reason", close.finish_reason or "-"),
        ("usage", f"{tokens or 'unknown'}  ({close.usage_basis})"),
        *([("service tier", close.tier)] if close.tier else []),
        ("cost", f"{format_usd(close.cost_usd)}" + (f"  by {close.price_id}" if close.price_id else "")),
        ("TTFT / TPOT / E2E", " / ".join(_format_ms(x) for x in (close.ttft_ms, close.tpot_ms, close.e2e_ms))),
        ("gateway's share", _format_ms(close.overhead_ms)),
        ("signals", _format_signals(close)),
        ("deployment digest", close.endpoint_digest or "unknown"),
        ("variant digest", close.variant_digest or "unknown"),
        *(("content " + name, text) for name, text in (close.content or {}).items()),
    ]


def _format_signals(close: TraceClose) -> str:
    """A line for each signal that was measured; a raised one is marked."""
    if close.signals is None:
        return "not measured"
    return "\n".join(
        f"{'! ' if line.is_raised else '  '}{line.name}: {line.value}" for line in list_signals(close.signals)
    )


def _is_simulated(trace: Trace) -> bool:
    return trace.close.is_simulated if trace.close else trace.open.is_simulated


def _format_tokens(close: TraceClose | None) -> str:
    if close is None or close.usage is None:
        return "-"
    mark = "≈" if close.usage_basis is UsageBasis.ESTIMATED else ""
    return f"{mark}{close.usage.input_total}/{close.usage.output_total}"


def _format_ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < 1000 else f"{value / 1000:.2f} s"
