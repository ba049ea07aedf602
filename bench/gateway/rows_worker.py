"""Row e: what one worker holds: 5,000 streams at once, byte for byte, and its memory."""

from __future__ import annotations

import time
from pathlib import Path

import peers
from commands import Closed, Held
from driver import Driver
from goals import Goal, find_spread
from processes import APART, Peer, raise_open_files, stop_all
from report import Report

NUM_STREAMS = 5000
NUM_EVENTS = 64
MAX_REST_MB = 120.0
MAX_SPREAD_PERCENT = 5.0
NUM_FLAT_REQUESTS = 200_000
NUM_SOAK_REQUESTS = 2_000_000
_FILES_PER_STREAM = 2
_SPARE_FILES = 500
_REST_S = 2.0
_NUM_SAMPLES = 20
_NUM_CONNECTIONS = 64


def measure_streams(directory: Path, report: Report, num_events: int) -> None:
    """The streams, and the memory that they take."""
    words = f"streams open at once ({num_events} events each, one each half second)"
    needed = NUM_STREAMS * _FILES_PER_STREAM + _SPARE_FILES
    limit = raise_open_files()
    if limit < needed:
        why = f"the hard limit of open files is {limit}, and {needed} are needed (ulimit -Hn)"
        report.goals.append(Goal("e", words, NUM_STREAMS, None, "streams", why, is_least=True))
        return
    started: list[Peer] = []
    with Driver(directory, APART) as driver:
        try:
            upstream = peers.start_streamer(directory, APART)
            started.append(upstream)
            gateway = peers.start_inhouse(directory, upstream.port, "inhouse", APART)
            started.append(gateway)
            before_ns = gateway.read_cpu_ns()
            reply = driver.hold(Held(port=gateway.port, num_streams=NUM_STREAMS, num_events=num_events))
            cpu_s = (gateway.read_cpu_ns() - before_ns) / 1e9
            rss_mb = gateway.read_rss_mb()
        finally:
            stop_all(started)
    figures = {
        "open at once": reply.num_at_once,
        "whole": reply.num_whole,
        "bytes checked": reply.num_bytes,
        "seconds": reply.seconds,
        "gateway's CPU s": cpu_s,
        "RSS MB after": rss_mb,
    }
    report.add_figures(f"{NUM_STREAMS} streams of {num_events} events", {"inhouse": figures})
    for fault in reply.faults:
        report.add_note(fault)
    num_broken = NUM_STREAMS - reply.num_whole
    report.goals += [
        Goal("e", words, NUM_STREAMS, reply.num_at_once, "streams", is_least=True),
        Goal("e", "streams with a lost, changed or reordered byte", 0, num_broken, "streams"),
    ]


def measure_memory(directory: Path, report: Report, *, is_soak: bool, num_requests: int | None = None) -> None:
    """Resident memory at rest, and over many requests."""
    number = num_requests or (NUM_SOAK_REQUESTS if is_soak else NUM_FLAT_REQUESTS)
    started: list[Peer] = []
    with Driver(directory, APART) as driver:
        try:
            upstream = peers.start_canned(directory, APART)
            started.append(upstream)
            gateway = peers.start_inhouse(directory, upstream.port, "inhouse", APART)
            started.append(gateway)
            time.sleep(_REST_S)
            rest_mb = gateway.read_rss_mb()
            samples, num_bad = _load_and_watch(driver, gateway, number)
        finally:
            stop_all(started)
    figures = {"at rest": rest_mb, "first": samples[0], "least": min(samples), "most": max(samples), "end": samples[-1]}
    report.add_figures(f"resident memory, MB, over {number:,} requests", {"inhouse": figures})
    words = "resident memory, greatest less least to the first, over {:,} requests"
    report.goals += [
        Goal("e", "resident memory at rest", MAX_REST_MB, rest_mb, "MB"),
        Goal("e", words.format(number), MAX_SPREAD_PERCENT, 100 * find_spread(samples), "%"),
        Goal("e", f"requests that failed (of {number:,})", 0, num_bad, "requests"),
    ]
    if number < NUM_SOAK_REQUESTS:
        why = "it takes --soak"
        report.goals.append(Goal("e", words.format(NUM_SOAK_REQUESTS), MAX_SPREAD_PERCENT, None, "%", why))


def _load_and_watch(driver: Driver, gateway: Peer, num_requests: int) -> tuple[list[float], int]:
    """Memory after the first twentieth of the requests (caches and pools are full then) and after each further one."""
    samples: list[float] = []
    num_bad = 0
    share = num_requests // _NUM_SAMPLES
    for _ in range(_NUM_SAMPLES):
        reply = driver.run_closed(Closed(port=gateway.port, num_requests=share, num_connections=_NUM_CONNECTIONS))
        num_bad += reply.num_bad
        samples.append(gateway.read_rss_mb())
        _drop_finished(gateway.home / "state" / "spool")
    return samples, num_bad


def _drop_finished(spool: Path) -> None:
    """What the shipper would have taken: every spool file but the one that is being written."""
    files = sorted(spool.glob("*.spool"), key=lambda path: path.stat().st_mtime_ns)
    for path in files[:-1]:
        path.unlink()
