"""Rows a and b: CPU per unstreamed request, every proxy asked at the same rate.

A closed loop asks each proxy as fast as it answers, so that a fast one finds many requests at each waking: one and the
same proxy costs half as much per request at ten thousand requests a second as at one thousand. Like is compared with
like only at one rate: half of the gateway's own peak, with random arrivals.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import peers
from blocks import SETTLE_S, Cost, Sum
from commands import Open
from driver import Driver
from processes import Peer, Place, stop_all
from report import Report
from rows_cpu import FULL, PLAIN, compare, count_failed
from rows_latency import Span, find_peak

SPAN = Span(num_blocks=5, num_slices=6, slice_s=0.8)
QUICK_SPAN = Span(num_blocks=3, num_slices=2, slice_s=0.5, num_peak_requests=2000)


def measure_at_one_rate(directory: Path, report: Report, span: Span, place: Place) -> None:
    """Slices of open loop in turn over all proxies."""
    started: list[Peer | None] = []
    with Driver(directory, place) as driver:
        try:
            upstream = peers.start_canned(directory, place)
            started.append(upstream)
            gateway = peers.start_inhouse(directory, upstream.port, FULL, place)
            started.append(gateway)
            started += [
                peers.start_nginx_proxy(directory, upstream.port, place),
                peers.start_nginx_proxy(directory, upstream.port, place, logs=True),
                peers.start_inhouse(directory, upstream.port, PLAIN, place, signals=False),
                peers.start_sglang_router(directory, upstream.port, place, is_stream=False),
            ]
            rate = find_peak(driver, gateway, span, report) / 2
            targets = [peer for peer in started[1:] if peer is not None]
            costs = _measure(driver, targets, rate, span)
        finally:
            stop_all(started)
    report.add_costs(f"unstreamed, {rate:,.0f} requests/s each", costs, 1, "request")
    words = "CPU per unstreamed request at one rate"
    report.goals += [
        compare(costs, "a", f"{words}, signals off, to nginx", PLAIN, "nginx", 3.0),
        compare(costs, "a", f"{words}, signals off, to sglang-router", PLAIN, "sglang-router", 0.5),
        compare(costs, "b", f"{words}, all free signals, to nginx", FULL, "nginx", 3.5),
        count_failed(costs, "a", PLAIN),
        count_failed(costs, "b", FULL),
    ]


def _measure(driver: Driver, targets: Sequence[Peer], rate: float, span: Span) -> dict[str, Cost]:
    costs = {peer.name: Cost(peer.version) for peer in targets}
    num_requests = max(1, round(rate * span.slice_s))
    for block in range(-1, span.num_blocks):  # the first only warms up
        sums = {peer.name: Sum() for peer in targets}
        for index in range(span.num_slices if block >= 0 else 1):
            turn = index % len(targets)
            seed = block * span.num_slices + index  # the same arrivals for every target
            for peer in (*targets[turn:], *targets[:turn]):
                before_ns = peer.read_cpu_ns()
                reply = driver.run_open(
                    Open(port=peer.port, rate=rate, num_requests=num_requests, is_poisson=True, seed=seed)
                )
                time.sleep(SETTLE_S)
                total = sums[peer.name]
                total.cpu_ns += peer.read_cpu_ns() - before_ns
                total.num_good += len(reply.latencies_us)
                costs[peer.name].num_good += len(reply.latencies_us)
                costs[peer.name].num_bad += reply.num_bad
        if block >= 0:
            for name, total in sums.items():
                costs[name].blocks_us.append(total.cpu_ns / 1e3 / max(1, total.num_good))
    return costs
