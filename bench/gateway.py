"""CPU of the gateway per unstreamed request and per streamed chunk, beside nginx and peers, in one run.

CPU time by process accounting (/proc), not wall time: other work on the machine does not show in it. Every proxy stands
before the same upstream; blocks are interleaved and the median of the blocks counts. `--setup` installs the peers.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HELPERS = Path(__file__).resolve().parent / "gateway"
sys.path.insert(0, str(HELPERS))

import peers  # noqa: E402  # after the path is set
from peers import Peer  # noqa: E402  # same
from streams import NUM_CHUNKS  # noqa: E402  # same

NUM_BLOCKS = 5
MAX_UNSTREAMED_RATIO = 4.0
MAX_CHUNK_RATIO = 1.5


@dataclass(frozen=True)
class Shape:
    """One kind of load: how many requests a block makes of a fast and of a slow proxy."""

    name: str
    is_stream: bool
    num_requests: int
    num_slow_requests: int


@dataclass
class Measured:
    """CPU microseconds per request, one figure for each block, and what was counted."""

    blocks: list[float]
    num_good: int = 0
    num_bad: int = 0

    @property
    def median_us(self) -> float:
        """The figure that counts."""
        return statistics.median(self.blocks)


def measure_block(peer: Peer, shape: Shape, result: Measured) -> None:
    """One block: CPU before, load in its own process, CPU after."""
    num_requests = shape.num_slow_requests if peer.name.startswith("litellm") else shape.num_requests
    before_s = peers.read_cpu_s(peer.process.pid)
    command = [sys.executable, str(HELPERS / "load.py"), "--port", str(peer.port), "--requests", str(num_requests)]
    if shape.is_stream:
        command.append("--stream")
    counted = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    result.num_good += counted["good"]
    result.num_bad += counted["bad"]
    result.blocks.append((peers.read_cpu_s(peer.process.pid) - before_s) / max(1, counted["good"]) * 1e6)


def measure_shape(shape: Shape, running: list[Peer], num_blocks: int) -> dict[str, Measured]:
    """Interleaved blocks over all proxies, after one warming block each."""
    results = {peer.name: Measured([]) for peer in running}
    for peer in running:
        measure_block(peer, shape, Measured([]))
    for _ in range(num_blocks):
        for peer in running:
            measure_block(peer, shape, results[peer.name])
    return results


def start_proxies(directory: Path, upstream_port: int, shape: Shape) -> list[Peer]:
    """Every proxy that can be started here, nginx and inhouse first."""
    started = [
        peers.start_nginx_proxy(directory, upstream_port, f"nginx-{shape.name}"),
        peers.start_nginx_proxy(directory, upstream_port, f"nginx-log-{shape.name}", logs=True),
        peers.start_inhouse(directory, upstream_port, f"inhouse-{shape.name}"),
        peers.start_sglang_router(directory, upstream_port, f"sglang-router-{shape.name}", is_stream=shape.is_stream),
        peers.start_litellm(directory, upstream_port, f"litellm-{shape.name}", is_stream=shape.is_stream),
    ]
    return [peer for peer in started if peer is not None]


def run_shape(shape: Shape, upstream: Peer, directory: Path, num_blocks: int) -> dict[str, object]:
    """Measure one shape; the upstream itself is the direct baseline."""
    running = start_proxies(directory, upstream.port, shape)
    try:
        results = measure_shape(shape, [Peer("direct", upstream.port, upstream.process, ""), *running], num_blocks)
        per = NUM_CHUNKS if shape.is_stream else 1
        return {
            name.removesuffix(f"-{shape.name}"): {
                "us": measured.median_us / per,
                "blocks_us": [block / per for block in measured.blocks],
                "requests": measured.num_good,
                "failed": measured.num_bad,
                "version": next((peer.version for peer in running if peer.name == name), upstream.version),
            }
            for name, measured in results.items()
        }
    finally:
        for peer in running:
            peer.stop()


def judge(report: dict[str, dict[str, dict[str, float]]]) -> list[dict[str, object]]:
    """The goals, failing ones last."""
    rows: list[dict[str, object]] = []
    for shape, limit, words in (
        ("unstreamed", MAX_UNSTREAMED_RATIO, "CPU per unstreamed request, times nginx"),
        ("streamed", MAX_CHUNK_RATIO, "CPU per streamed chunk, times nginx"),
    ):
        ratio = report[shape]["inhouse"]["us"] / report[shape]["nginx"]["us"]
        num_bad = sum(int(row["failed"]) for name, row in report[shape].items() if name in ("inhouse", "nginx"))
        rows.append({"goal": words, "limit": limit, "measured": ratio, "ok": ratio <= limit and num_bad == 0})
    return sorted(rows, key=lambda row: not row["ok"])


def show(report: dict[str, dict[str, dict[str, float]]], goals: list[dict[str, object]]) -> None:
    for shape, rows in report.items():
        unit = "chunk" if shape == "streamed" else "request"
        print(f"\n{shape}: CPU µs per {unit} (direct: the upstream's own)")
        for name, row in rows.items():
            blocks = ", ".join(f"{block:.1f}" for block in row["blocks_us"])  # type: ignore[attr-defined]
            print(
                f"  {name:<14} {row['us']:>9.1f}   [{blocks}]   {row['requests']} requests, {row['failed']} failed"
                f"   {row['version']}"
            )
    print("\ngoals")
    for row in goals:
        print(f"  {'met   ' if row['ok'] else 'FAILED'} {row['goal']}: {row['measured']:.2f} (at most {row['limit']})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setup", action="store_true", help="install the peers under .bench/ first")
    parser.add_argument("--quick", action="store_true", help="short blocks")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal fails")
    options = parser.parse_args()
    if options.setup:
        peers.setup_peers()
    scale = 1 if options.quick else 5
    shapes = (Shape("unstreamed", False, 2000 * scale, 40 * scale), Shape("streamed", True, 64 * scale, 16 * scale))
    report: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="inhouse-bench-") as folder:
        for shape in shapes:
            directory = Path(folder) / shape.name
            directory.mkdir()
            upstream = peers.start_streamer(directory) if shape.is_stream else peers.start_canned(directory)
            try:
                report[shape.name] = run_shape(shape, upstream, directory, 3 if options.quick else NUM_BLOCKS)  # type: ignore[assignment]
            finally:
                upstream.stop()
    goals = judge(report)
    print(f"Python {platform.python_version()}, {platform.platform()}")
    show(report, goals)
    if options.json:
        options.json.write_text(json.dumps({"figures": report, "goals": goals}, indent=1))
    return 1 if options.check and not all(row["ok"] for row in goals) else 0


if __name__ == "__main__":
    sys.exit(main())
