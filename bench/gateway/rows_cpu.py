"""Rows a, b, c, f and g: CPU per request and per chunk, beside nginx, sglang-router and LiteLLM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import peers
from blocks import Cost, Size, Target, measure_targets
from driver import Driver
from goals import Goal, median_ratio
from payloads import NUM_CHUNKS, Ask
from processes import SPREAD, Peer, Place, read_cpu_ns, stop_all
from report import Report, explain_missing

UNSTREAMED = Size(num_blocks=5, num_slices=20, num_requests=500, num_slow_requests=48)
STREAMED = Size(num_blocks=5, num_slices=10, num_requests=32, num_slow_requests=16)
WORKERS = Size(num_blocks=5, num_slices=10, num_requests=1000, num_slow_requests=0, num_connections=64)
PLAIN, FULL = "inhouse, signals off", "inhouse"
_TRANSLATED = "inhouse, Anthropic in"
_ONE, _TWO = "inhouse, one worker", "inhouse, two workers"


def shrink(size: Size) -> Size:
    """For a short look."""
    return replace(size, num_blocks=3, num_slices=max(2, size.num_slices // 4), slow_every=5)


def measure_unstreamed(directory: Path, report: Report, size: Size, place: Place) -> None:
    """Rows a and b, in a closed loop: LiteLLM takes no other, and it shows each proxy at its best."""
    started: list[Peer | None] = []
    with Driver(directory, place) as driver:
        try:
            upstream = peers.start_canned(directory, place)
            started.append(upstream)
            port = upstream.port
            started += [
                peers.start_nginx_proxy(directory, port, place),
                peers.start_nginx_proxy(directory, port, place, logs=True),
                peers.start_inhouse(directory, port, PLAIN, place, signals=False),
                peers.start_inhouse(directory, port, FULL, place),
                peers.start_sglang_router(directory, port, place, is_stream=False),
                peers.start_litellm(directory, port, place, is_stream=False),
            ]
            targets = [Target(peer.name, peer, is_slow=peer.name == "litellm") for peer in started if peer is not None]
            costs = measure_targets(driver, targets, size)
        finally:
            stop_all(started)
    report.add_costs("unstreamed, each as fast as it can", costs, 1, "request")
    for label in (PLAIN, FULL):
        for other in ("nginx", "sglang-router"):
            if not explain_missing(costs, (label, other)):
                ratio = median_ratio(costs[label].blocks_us, costs[other].blocks_us)
                report.add_note(f"each as fast as it can, {label} costs {ratio:.3g} times {other}")
    report.goals += [
        compare(costs, "a", "CPU per unstreamed request, signals off, to LiteLLM", PLAIN, "litellm", 0.02),
        count_failed(costs, "a", PLAIN),
        count_failed(costs, "b", FULL),
    ]


def measure_streamed(directory: Path, report: Report, size: Size, place: Place) -> None:
    """Rows c and f."""
    started: list[Peer | None] = []
    with Driver(directory, place) as driver:
        try:
            upstream = peers.start_streamer(directory, place)
            started.append(upstream)
            port = upstream.port
            gateway = peers.start_inhouse(directory, port, FULL, place)
            started += [
                peers.start_nginx_proxy(directory, port, place),
                peers.start_nginx_proxy(directory, port, place, logs=True),
                peers.start_inhouse(directory, port, PLAIN, place, signals=False),
                gateway,
                peers.start_sglang_router(directory, port, place, is_stream=True),
                peers.start_litellm(directory, port, place, is_stream=True),
            ]
            targets = [
                Target(peer.name, peer, is_stream=True, is_slow=peer.name == "litellm")
                for peer in started
                if peer is not None
            ]
            targets.append(Target(_TRANSLATED, gateway, is_stream=True, ask=Ask.MESSAGES))
            costs = measure_targets(driver, targets, size)
        finally:
            stop_all(started)
    report.add_costs("streamed", costs, NUM_CHUNKS, "chunk")
    words = "CPU per streamed chunk"
    report.goals += [
        compare(costs, "c", f"{words}, everything on, to nginx", FULL, "nginx", 1.3),
        compare(costs, "c", f"{words}, everything on, to sglang-router", FULL, "sglang-router", 0.9),
        compare(costs, "f", f"{words}, Anthropic in and OpenAI out, to passing through", _TRANSLATED, FULL, 3.0),
        count_failed(costs, "c", FULL),
        count_failed(costs, "f", _TRANSLATED),
    ]


def measure_workers(directory: Path, report: Report, size: Size) -> None:
    """Row g: every process on all CPUs, as the kernel spreads them."""
    started: list[Peer | None] = []
    with Driver(directory, SPREAD) as driver:
        try:
            upstream = peers.start_canned(directory, SPREAD)
            started.append(upstream)
            one = peers.start_inhouse(directory, upstream.port, _ONE, SPREAD)
            started.append(one)
            two = peers.start_inhouse(directory, upstream.port, _TWO, SPREAD, num_workers=2)
            started.append(two)
            costs = measure_targets(driver, [Target(_ONE, one), Target(_TWO, two)], size)
            each_ns = [read_cpu_ns(process.pid) for process in two.processes]
        finally:
            stop_all(started)
    report.add_costs("a second worker", costs, 1, "request")
    report.add_note(f"of the two workers' CPU the first used {each_ns[0] / sum(each_ns):.0%}")
    report.goals += [
        compare(costs, "g", "CPU per request of two workers, to one worker's", _TWO, _ONE, 1.1),
        count_failed(costs, "g", _TWO),
    ]


def compare(costs: Mapping[str, Cost], row: str, words: str, over: str, under: str, limit: float) -> Goal:
    why = explain_missing(costs, (over, under))
    measured = None if why else median_ratio(costs[over].blocks_us, costs[under].blocks_us)
    return Goal(row, words, limit, measured, why=why)


def count_failed(costs: Mapping[str, Cost], row: str, label: str) -> Goal:
    why = explain_missing(costs, (label,))
    return Goal(row, f"requests that failed ({label})", 0, None if why else costs[label].num_bad, "requests", why)
