"""The gateway's speed, beside nginx, sglang-router and LiteLLM, in one run. `--setup` installs the peers.

CPU is read from process accounting (/proc), not from a clock on the wall. Every proxy stands before the same endpoint.
Short slices go round over all proxies and add up to blocks; the median of the blocks counts. Rows: a unstreamed, b with
all signals, c streamed, d latency, e one worker, f translated, g a second worker.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "gateway"))

import peers  # after the path is set
import rows_cpu  # same
import rows_latency  # same
import rows_rate  # same
import rows_worker  # same
from processes import APART, SPREAD, Place, raise_open_files  # same
from report import Report  # same

ROWS = "abcdefg"
_NUM_QUICK_EVENTS = 8
_NUM_QUICK_REQUESTS = 20_000

Part = Callable[[Path, Report], None]


def plan_parts(rows: set[str], place: Place, *, is_quick: bool, is_soak: bool) -> dict[str, Part]:
    """The measurements that the rows need, in order, by name."""
    unstreamed, streamed, workers = (
        rows_cpu.shrink(size) if is_quick else size
        for size in (rows_cpu.UNSTREAMED, rows_cpu.STREAMED, rows_cpu.WORKERS)
    )
    span = rows_latency.QUICK_SPAN if is_quick else rows_latency.SPAN
    rate_span = rows_rate.QUICK_SPAN if is_quick else rows_rate.SPAN
    num_events = _NUM_QUICK_EVENTS if is_quick else rows_worker.NUM_EVENTS
    num_requests = _NUM_QUICK_REQUESTS if is_quick and not is_soak else None
    parts: dict[str, tuple[str, Part]] = {
        "rate": ("ab", lambda folder, out: rows_rate.measure_at_one_rate(folder, out, rate_span, place)),
        "unstreamed": ("ab", lambda folder, out: rows_cpu.measure_unstreamed(folder, out, unstreamed, place)),
        "streamed": ("cf", lambda folder, out: rows_cpu.measure_streamed(folder, out, streamed, place)),
        "workers": ("g", lambda folder, out: rows_cpu.measure_workers(folder, out, workers)),
        "latency": ("d", lambda folder, out: rows_latency.measure_latency(folder, out, span)),
        "streams": ("e", lambda folder, out: rows_worker.measure_streams(folder, out, num_events)),
        "memory": (
            "e",
            lambda folder, out: rows_worker.measure_memory(folder, out, is_soak=is_soak, num_requests=num_requests),
        ),
    }
    return {name: part for name, (served, part) in parts.items() if rows & set(served)}


def read_rows(text: str) -> set[str]:
    """`a,b,c`.

    Raises:
        argparse.ArgumentTypeError: there is no such row.
    """
    rows = {word.strip() for word in text.split(",")}
    if not rows <= set(ROWS):
        raise argparse.ArgumentTypeError(f"the rows are {', '.join(ROWS)}")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", action="store_true", help="install the peers under .bench/ first")
    parser.add_argument(
        "--quick", action="store_true", help="a short look: fewer, shorter blocks; decide nothing by it"
    )
    parser.add_argument("--soak", action="store_true", help="row e over two million requests")
    parser.add_argument("--rows", type=read_rows, default=set(ROWS), help="only these, as a,b,c")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal that was measured does not hold")
    parser.add_argument("--pin", action="store_true", help="rows a, b, c, f: proxies on one CPU, the load on another")
    options = parser.parse_args()
    place = APART if options.pin else SPREAD
    if options.setup:
        peers.setup_peers()
    raise_open_files()
    report = Report(f"Python {platform.python_version()}, {platform.platform()}, {len(SPREAD.proxy)} CPUs")
    print(report.machine)
    with tempfile.TemporaryDirectory(prefix="inhouse-bench-") as folder:
        for name, part in plan_parts(options.rows, place, is_quick=options.quick, is_soak=options.soak).items():
            directory = Path(folder) / name
            directory.mkdir()
            part(directory, report)
    report.goals = [goal for goal in report.goals if goal.row in options.rows]
    report.show_goals()
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=1))
    return 1 if options.check and report.has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
