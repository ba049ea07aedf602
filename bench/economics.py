"""The exactness and speed of money and decisions on this machine. `--setup` installs genai-prices, for comparison.

Rows: a money on the golden replies, b a decision, c a decision from a million usage rows, d the price of a request on
the hot path, e the published break-even table. Times are wall-clock medians of runs; the runs stand beside them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "gateway"))
sys.path.insert(0, str(Path(__file__).resolve().parent / "economics"))

import checks  # after the path is set
import exports  # same
from goals import Goal  # same
from report import Report  # same

from inhouse.catalog import load_price_book  # same
from inhouse.control.pricing import price_list_model  # same
from inhouse.domain import Usage  # same

ROWS = "abcde"
PEER_HOME = Path(__file__).resolve().parent.parent / ".bench" / "genai-prices"
PEER = "genai-prices==0.2.3"
NUM_RUNS = 5
NUM_USAGE_ROWS = 1_000_000
NUM_QUICK_ROWS = 50_000
NUM_CALLS = 200_000
NUM_PEER_CALLS = 2_000
DAY = date(2026, 11, 28)
TYPED = ["decide", "--spend", "22000", "--fte", "0.5", "--gpus", "2xH100:ordered", "--json"]
HEADER = (
    "timestamp",
    "provider",
    "model",
    "project",
    "key",
    "request_id",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
)
MODELS = ("gpt-4.1", "gpt-5.1", "gpt-5-mini")
NUM_PROJECTS = 20
FIRST = 1_793_000_000


def measure_money(report: Report) -> None:
    """Row a: every golden reply of every dialect, unstreamed, through the parser and the price vector."""
    found = checks.check_golden()
    report.add_figures("golden replies", {"all": found})
    report.goals += [
        Goal("a", "largest error on the golden replies", 0.5, found["largest error, micro-dollars"], "µ$"),
        Goal("a", "replies whose buckets do not sum to the provider's total", 0, found["wrong sums"], "replies"),
    ]


def measure_decision(report: Report, num_runs: int) -> None:
    """Row b: the whole question, 10,000 draws over every option, in a process that has loaded everything."""
    decide, num_options, num_draws = checks.make_decision()
    decide()
    times = [_time(decide) for _ in range(num_runs)]
    report.add_figures(
        "decision, seconds",
        {f"{num_draws:,} draws × {num_options} options": {"median": statistics.median(times), "worst": max(times)}},
    )
    report.goals.append(
        Goal("b", f"a decision, {num_draws:,} draws × {num_options} options", 2.0, statistics.median(times), "s")
    )
    command = [_time(lambda: _run(TYPED)) for _ in range(num_runs)]
    report.add_figures("the whole command, seconds", {"inhouse " + " ".join(TYPED): _sum_up(command)})


def measure_import(report: Report, folder: Path, num_rows: int) -> None:
    """Row c: a table of one request a row, from the file to the page's figures; and the same rows into a store."""
    path = folder / "usage.csv"
    write_usage(path, num_rows)
    command = ["decide", "--from", str(path), "--fte", "0.5", "--json"]
    times = [_time(lambda: _run(command)) for _ in range(3)]
    lines = folder / "spend.jsonl"
    with lines.open("w") as file:
        file.writelines(exports.make_lines(num_rows))
    from_lines = _time(lambda: _run(["decide", "--from", str(lines), "--fte", "0.5", "--json"]))
    stored = _time(lambda: _run(["import", "csv", str(path), "--store", f"sqlite:///{folder / 'usage.db'}"]))
    again = _time(lambda: _run(["import", "csv", str(path), "--store", f"sqlite:///{folder / 'usage.db'}"]))
    from_store = [
        "decide",
        "--from",
        "imported",
        "--store",
        f"sqlite:///{folder / 'usage.db'}",
        "--fte",
        "0.5",
        "--json",
    ]
    rows = {
        "decide --from FILE": _sum_up(times),
        "decide --from LITELLM.jsonl": {"once": from_lines},
        "import csv FILE (SQLite)": {"once": stored},
        "import csv FILE, again": {"once": again},
        "decide --from imported": {"once": _time(lambda: _run(from_store))},
    }
    report.add_figures(f"{num_rows:,} rows ({path.stat().st_size / 1e6:.0f} MB), seconds, the whole command", rows)
    is_whole = num_rows >= NUM_USAGE_ROWS
    median = statistics.median(times) if is_whole else None
    report.goals.append(
        Goal("c", "a decision from a file of 10⁶ usage rows", 10.0, median, "s", why="a short look took fewer rows")
    )


def measure_lookup(report: Report) -> None:
    """Row d: what pricing one request costs once its prices are compiled, and what looking a price up costs."""
    book = load_price_book()
    vector = price_list_model("openai", "gpt-5-mini", book, DAY)
    if vector is None:
        raise SystemExit("openai/gpt-5-mini is not in the price book")
    usage = Usage(1200, 800, 0, 300, 100)
    rows = {
        "price a request (compiled)": {"µs": _measure_us(lambda: vector.price(usage))},
        "look a list price up": {"µs": _measure_us(lambda: book.token_price("openai", "gpt-5-mini", DAY))},
    }
    peer = _measure_peer()
    if peer is not None:
        rows[f"{PEER}, calc_price"] = {"µs": peer}
    else:
        report.add_note("genai-prices is not installed here (--setup installs it)")
    report.add_figures("hot path", rows)
    for words in ("price a request (compiled)", "look a list price up"):
        report.goals.append(Goal("d", words, 2.0, rows[words]["µs"], "µs"))


def measure_table(report: Report) -> None:
    """Row e: the published break-even table."""
    found = checks.check_table()
    report.add_figures("published break-even table", {"all": found})
    report.goals.append(
        Goal("e", "cells that differ by more than their rounding", 0, found["cells that differ"], "cells")
    )


def write_usage(path: Path, num_rows: int) -> None:
    """Thirty days of requests, a row each, from a seed."""
    chance = random.Random(7)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for number in range(num_rows):
            at = FIRST + number * 30 * 86_400 // num_rows
            tokens = chance.randrange(100, 4_000)
            project = chance.randrange(NUM_PROJECTS)
            model = MODELS[(project + (number % 5 == 0)) % len(MODELS)]
            labels = ("openai", model, f"project-{project}", f"key-{project}", f"r{number}")
            writer.writerow((at, *labels, tokens, chance.randrange(20, 900), tokens // 3))


def setup_peer() -> None:
    subprocess.run([sys.executable, "-m", "venv", str(PEER_HOME)], check=True)
    subprocess.run([str(PEER_HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", PEER], check=True)


def _measure_peer() -> float | None:
    """Microseconds of genai-prices for a request by name; None where it is not installed."""
    python = PEER_HOME / "bin" / "python"
    if not python.exists():
        return None
    script = (
        "import time; from genai_prices import Usage, calc_price\n"
        "usage = Usage(input_tokens=2000, cache_read_tokens=800, output_tokens=400)\n"
        "calc_price(usage, 'gpt-5-mini', provider_id='openai')\n"
        f"begun = time.perf_counter()\nfor _ in range({NUM_PEER_CALLS}):\n"
        "    calc_price(usage, 'gpt-5-mini', provider_id='openai')\n"
        f"print((time.perf_counter() - begun) / {NUM_PEER_CALLS} * 1e6)"
    )
    found = subprocess.run([str(python), "-c", script], capture_output=True, text=True, check=True)
    return float(found.stdout)


def _measure_us(call: Callable[[], object]) -> float:
    """The median over runs of a call's mean microseconds, the loop's own cost included."""
    runs: list[float] = []
    for _ in range(NUM_RUNS):
        begun = time.perf_counter()
        for _ in range(NUM_CALLS):
            call()
        runs.append((time.perf_counter() - begun) / NUM_CALLS * 1e6)
    return statistics.median(runs)


def _time(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _sum_up(times: list[float]) -> dict[str, float]:
    return {"median": statistics.median(times), "best": min(times), "worst": max(times)}


def _run(arguments: list[str]) -> None:
    """The command line as a user starts it, in a folder without a file of its own."""
    program = Path(sys.executable).parent / "inhouse"
    done = subprocess.run(
        [str(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tempfile.gettempdir(),
        env=os.environ,
    )
    if done.returncode:
        raise SystemExit(f"inhouse {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", action="store_true", help="install genai-prices under .bench/ first")
    parser.add_argument("--quick", action="store_true", help="fewer rows of usage; decides nothing about row c")
    parser.add_argument("--rows", type=lambda text: set(text.split(",")), default=set(ROWS), help="only these, as a,b")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal that was measured does not hold")
    options = parser.parse_args()
    if not options.rows <= set(ROWS):
        parser.error(f"the rows are {', '.join(ROWS)}")
    if options.setup:
        setup_peer()
    report = Report(f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} CPUs")
    print(report.machine)
    with tempfile.TemporaryDirectory(prefix="inhouse-bench-") as folder:
        num_rows = NUM_QUICK_ROWS if options.quick else NUM_USAGE_ROWS
        parts: dict[str, Callable[[], None]] = {
            "a": lambda: measure_money(report),
            "b": lambda: measure_decision(report, NUM_RUNS),
            "c": lambda: measure_import(report, Path(folder), num_rows),
            "d": lambda: measure_lookup(report),
            "e": lambda: measure_table(report),
        }
        for row in sorted(options.rows):
            parts[row]()
    report.show_goals()
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=1))
    return 1 if options.check and report.has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
