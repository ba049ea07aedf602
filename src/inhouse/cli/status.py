"""`inhouse status`: is it up, what serves, at which digest, and what the last quarter of an hour looked like."""

from __future__ import annotations

import time
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from inhouse.cli.installation import DEFAULT_FILE, ConfigOption, Installation, JsonOption, open_installation
from inhouse.cli.platform import probe
from inhouse.cli.terminal import ExitCode, out, print_json
from inhouse.domain import ReplicaState, TraceStatus, format_usd
from inhouse.store import Quantiles, ReplicaRow, TraceSummary

_WINDOW_S = 900.0
_STATE_STYLES = {
    ReplicaState.READY: "green",
    ReplicaState.STARTING: "cyan",
    ReplicaState.DRAINING: "yellow",
    ReplicaState.DOWN: "red",
}


def status(
    file: ConfigOption = DEFAULT_FILE,
    as_json: JsonOption = False,
) -> None:
    """Show ports, replicas and the last 15 minutes. Exit code 3 where the data port does not serve."""
    with open_installation(file) as installation:
        ports = _probe_ports(installation)
        replicas = installation.store.replicas.list()
        summary = installation.store.traces.summarize(time.time() - _WINDOW_S)
    if as_json:
        print_json({"ports": ports, "replicas": replicas, "window_s": _WINDOW_S, "traffic": summary.rows})
    else:
        out.print(_render_ports(ports))
        if replicas:
            out.print(_render_replicas(replicas))
        out.print(_render_traffic(summary) if summary.rows else "no requests in the last 15 minutes")
    if ports["data"]["problem"]:
        raise typer.Exit(ExitCode.STATE)


def _probe_ports(installation: Installation) -> dict[str, dict[str, str]]:
    addresses = installation.state.read_addresses()
    ports = {
        "data": (f"{addresses.gateway_url}/v1", f"{addresses.local_url}/readyz"),
        "admin": (addresses.admin_url, f"{addresses.admin_url}/api/healthz"),
        "metrics": (addresses.metrics_url, addresses.metrics_url),
    }
    return {name: {"url": shown, "problem": probe(asked)} for name, (shown, asked) in ports.items()}


def _render_ports(ports: dict[str, dict[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, port in ports.items():
        state = f"[red]{escape(port['problem'])}[/]" if port["problem"] else "[green]ok[/]"
        table.add_row(f"{name} port", port["url"], state)
    return table


def _render_replicas(rows: list[ReplicaRow]) -> Table:
    table = _table("replica", "state", "digest", "restarts", "address", "")
    for row in rows:
        table.add_row(
            escape(row.replica_id),
            f"[{_STATE_STYLES[row.state]}]{row.state}[/]",
            (row.digest or "unknown").removeprefix("sha256:")[:12],
            str(row.num_restarts),
            escape(row.base_url),
            escape(row.detail),
        )
    return table


def _render_traffic(summary: TraceSummary) -> Table:
    table = _table("route", "task", "variant", "endpoint", "requests", "failed", "TTFT p50/p95", "E2E p50/p95", "cost")
    for row in summary.rows:
        bad = row.num_by_status.get(TraceStatus.FAILED, 0) + row.num_by_status.get(TraceStatus.ABORTED, 0)
        unpriced = f" (+{row.num_unpriced} unpriced)" if row.num_unpriced and row.num_priced else ""
        table.add_row(
            escape(row.route),
            escape(row.task or "-"),
            escape(row.variant),
            escape(row.endpoint_id) + (" [magenta]simulated[/]" if row.is_simulated else ""),
            str(row.num_requests),
            str(bad),
            _format_quantiles(row.ttft),
            _format_quantiles(row.e2e),
            format_usd(row.cost_usd) + unpriced,
        )
    return table


def _format_quantiles(values: Quantiles) -> str:
    if values.p50_ms is None or values.p95_ms is None:
        return "-"
    return f"{values.p50_ms:.0f}/{values.p95_ms:.0f} ms (n={values.n})"


def _table(*columns: str) -> Table:
    table: Any = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column in {"digest", "state"})
    return table
