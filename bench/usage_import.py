"""How long a million records take: `python bench/usage_import.py [NUM_RECORDS]`. Makes its files in a scratch folder.

Prints CPU seconds of one core for reading and summing up by the hour, and wall seconds for keeping them in SQLite.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from inhouse.cli.usage_files import read_usage_file
from inhouse.planning import HourSums
from inhouse.store import UsageImport, open_store

START = int(datetime(2026, 10, 26, tzinfo=UTC).timestamp())
MONTH_S = 30 * 86_400
HEADER = "request_id,time,provider,model,project,key,task,input_tokens,cached_tokens,output_tokens,cost\n"


def main() -> None:
    """Make both files, then measure each."""
    num_records = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as scratch:
        for name, make in (("requests.csv", make_table), ("spend.jsonl", make_lines)):
            path = Path(scratch) / name
            with path.open("w") as stream:
                stream.writelines(make(num_records))
            print(f"{name}: {num_records:,} records, {path.stat().st_size / 1e6:.0f} MB")
            measure(path, f"sqlite:///{scratch}/{name}.db")


def measure(path: Path, url: str) -> None:
    """Read and sum up; keep; keep again."""
    started = time.process_time()
    sums = HourSums()
    for record in read_usage_file(path).records:
        sums.add(record)
    num_rows = len(sums.rows())
    print(f"  read and summed up into {num_rows:,} rows: {time.process_time() - started:.1f} s of one core")
    with open_store(url) as store:
        for words in ("kept", "kept again"):
            started = time.perf_counter()
            usage = read_usage_file(path)
            about = UsageImport(source=usage.format, file=path.name, sha256="", imported_at=0.0)
            counts = store.usage.add(usage.records, lambda about=about: about)
            print(f"  {words}: {time.perf_counter() - started:.1f} s, {counts.num_new:,} new, {counts.num_same:,} same")
        started = time.perf_counter()
        num_rows = sum(1 for _ in store.usage.hours())
        print(f"  hours from the store: {time.perf_counter() - started:.1f} s, {num_rows:,} rows")


def make_table(num_records: int) -> Iterator[str]:
    """A table of requests."""
    yield HEADER
    for at, moment in draw_moments(num_records):
        case = at % 7
        yield (
            f"req-{at:09d},{moment},openai,gpt-5-mini,project-{case},key-{case % 3},task-{case},"
            f"{1000 + at % 997},{at % 800},{100 + at % 77},{0.000123 + at % 100 / 1e6:.9f}\n"
        )


def make_lines(num_records: int) -> Iterator[str]:
    """LiteLLM's spend logs as JSON lines."""
    encode: Callable[[object], str] = json.dumps
    for at, moment in draw_moments(num_records):
        case = at % 7
        usage = {
            "prompt_tokens": 1000 + at % 997,
            "completion_tokens": 100 + at % 77,
            "prompt_tokens_details": {"cached_tokens": at % 800},
        }
        entry = {
            "request_id": f"chatcmpl-{at:09d}",
            "call_type": "acompletion",
            "api_key": "ab" * 32,
            "spend": 0.000123 + at % 100 / 1e6,
            "prompt_tokens": usage["prompt_tokens"],
            "completion_tokens": usage["completion_tokens"],
            "startTime": moment,
            "endTime": moment,
            "model": "openai/gpt-5-mini",
            "custom_llm_provider": "openai",
            "team_id": f"project-{case}",
            "request_tags": [f"task-{case}"],
            "metadata": {"user_api_key_alias": f"key-{case % 3}", "usage_object": usage},
            "cache_hit": "False",
            "status": "success",
        }
        yield encode(entry) + "\n"


def draw_moments(num_records: int) -> Iterator[tuple[int, str]]:
    """(number, time) of requests spread evenly over a month."""
    for at in range(num_records):
        moment = datetime.fromtimestamp(START + at * MONTH_S // num_records, tz=UTC)
        yield at, moment.strftime("%Y-%m-%dT%H:%M:%S.250Z")


if __name__ == "__main__":
    main()
