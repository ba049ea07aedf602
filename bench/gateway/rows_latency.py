"""Row d: what the gateway adds to a request's latency, open loop, at half of its own peak, beside nginx."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import peers
from commands import Closed, Open
from driver import Driver
from goals import Goal, find_quantile
from processes import APART, Peer, stop_all, undisturbed
from report import Report

MAX_ADDED_P50_MS = 0.3
MAX_ADDED_P99_RATIO = 2.0
_PEAK_CONNECTIONS = 64
_MIN_BUSY = 0.9
_WARM_S = 0.1
_GATEWAY, _NGINX, _DIRECT = "inhouse", "nginx", "direct"


@dataclass(frozen=True)
class Span:
    """How long is measured: blocks of slices in turn over all targets."""

    num_blocks: int = 5
    num_slices: int = 4
    slice_s: float = 1.0
    num_peak_requests: int = 4000


SPAN = Span()
QUICK_SPAN = Span(num_blocks=3, num_slices=2, slice_s=0.5, num_peak_requests=2000)


@dataclass
class Waits:
    """Microseconds of one target: quantiles for each block."""

    p50: list[float] = field(default_factory=list[float])
    p99: list[float] = field(default_factory=list[float])
    late_p99: list[float] = field(default_factory=list[float])
    num_good: int = 0
    num_bad: int = 0


def measure_latency(directory: Path, report: Report, span: Span) -> None:
    """Row d, judged with even gaps between requests; Poisson arrivals are shown beside it.

    With random arrivals at half of its peak, any server's waiting line alone makes a p99 of some four service times,
    and nginx, which is then nearly idle, has no line: that ratio says how busy each is, not what each adds.
    """
    started: list[Peer] = []
    with Driver(directory, APART) as driver:
        try:
            upstream = peers.start_canned(directory, APART)
            started.append(upstream)
            started.append(peers.start_nginx_proxy(directory, upstream.port, APART))
            gateway = peers.start_inhouse(directory, upstream.port, _GATEWAY, APART)
            started.append(gateway)
            rate = find_peak(driver, gateway, span, report) / 2
            pids = [driver.pid, *(process.pid for peer in started for process in peer.processes)]
            with undisturbed(pids) as is_alone:
                if not is_alone:
                    report.add_note("real-time priority is not permitted here: other programs' work is in the p99")
                for is_poisson in (False, True):
                    waits = _measure_arrivals(driver, started, rate, span, is_poisson=is_poisson)
                    _report_arrivals(waits, rate, report, is_poisson=is_poisson)
        finally:
            stop_all(started)


def find_peak(driver: Driver, gateway: Peer, span: Span, report: Report) -> float:
    """Requests a second that the gateway answers at most, closed loop; the median of the blocks."""
    rates: list[float] = []
    shares: list[float] = []
    command = Closed(port=gateway.port, num_requests=span.num_peak_requests, num_connections=_PEAK_CONNECTIONS)
    driver.run_closed(command)
    for _ in range(span.num_blocks):
        before_ns = gateway.read_cpu_ns()
        reply = driver.run_closed(command)
        shares.append((gateway.read_cpu_ns() - before_ns) / 1e9 / reply.seconds)
        rates.append(reply.num_good / reply.seconds)
    peak, busy = statistics.median(rates), statistics.median(shares)
    report.add_figures("peak, closed loop", {_GATEWAY: {"requests/s": peak, "share of its CPU in use": busy}})
    if busy < _MIN_BUSY:
        report.add_note(
            f"the gateway used only {busy:.0%} of its CPU at this peak: the load held it back, or the machine did;"
            f" by its CPU alone the peak would be {peak / busy:,.0f} requests/s, and that one is halved"
        )
        return peak / busy
    return peak


def _measure_arrivals(
    driver: Driver, targets: Sequence[Peer], rate: float, span: Span, *, is_poisson: bool
) -> dict[str, Waits]:
    waits = {peer.name: Waits() for peer in targets}
    num_requests = max(1, round(rate * span.slice_s))
    for block in range(span.num_blocks):
        latencies: dict[str, list[float]] = {peer.name: [] for peer in targets}
        late: dict[str, list[float]] = {peer.name: [] for peer in targets}
        for index in range(span.num_slices):
            turn = index % len(targets)
            for peer in (*targets[turn:], *targets[:turn]):
                seed = block * span.num_slices + index  # the same arrivals for every target
                command = Open(
                    port=peer.port,
                    rate=rate,
                    num_requests=num_requests,
                    is_poisson=is_poisson,
                    seed=seed,
                    num_warm=round(rate * _WARM_S),
                )
                reply = driver.run_open(command)
                latencies[peer.name] += reply.latencies_us
                late[peer.name] += reply.late_us
                waits[peer.name].num_bad += reply.num_bad
        for name, found in waits.items():
            found.num_good += len(latencies[name])
            found.p50.append(find_quantile(latencies[name], 0.5))
            found.p99.append(find_quantile(latencies[name], 0.99))
            found.late_p99.append(find_quantile(late[name], 0.99))
    return waits


def _report_arrivals(waits: Mapping[str, Waits], rate: float, report: Report, *, is_poisson: bool) -> None:
    words = "Poisson arrivals" if is_poisson else "even arrivals"
    rows = {
        name: {
            "p50 µs": statistics.median(found.p50),
            "p99 µs": statistics.median(found.p99),
            "added p50 µs": _find_added(found.p50, waits[_DIRECT].p50),
            "added p99 µs": _find_added(found.p99, waits[_DIRECT].p99),
            "sent late, p99 µs": statistics.median(found.late_p99),
            "requests": found.num_good,
            "failed": found.num_bad,
        }
        for name, found in waits.items()
    }
    report.add_figures(f"latency, open loop, {words}, {rate:,.0f} requests/s", rows)
    own, nginx = rows[_GATEWAY], rows[_NGINX]
    report.goals.append(Goal("d", f"requests that failed (inhouse, {words})", 0, own["failed"], "requests"))
    if is_poisson:
        return
    ratio = own["added p99 µs"] / nginx["added p99 µs"] if nginx["added p99 µs"] > 0 else None
    why = "" if ratio is not None else "nginx added nothing that this machine could show"
    report.goals += [
        Goal("d", f"added p50, {words}", MAX_ADDED_P50_MS, own["added p50 µs"] / 1000, "ms"),
        Goal("d", f"added p99 to nginx's, {words}", MAX_ADDED_P99_RATIO, ratio, why=why),
    ]


def _find_added(values: Sequence[float], direct: Sequence[float]) -> float:
    """The median of the blocks' differences."""
    return statistics.median(one - two for one, two in zip(values, direct, strict=True))
