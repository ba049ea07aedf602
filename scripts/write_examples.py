"""Write the example exports in src/inhouse/cli/examples: made-up figures in each format, the same at every run."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "src" / "inhouse" / "cli" / "examples"
NOTE = "Example figures, made up by scripts/write_examples.py: no company's usage."
HOUR_S = 3600
MONDAY = int(datetime(2026, 10, 26, tzinfo=UTC).timestamp())
NUM_HOURS = 30 * 24
SEED = 20261026


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCase:
    """One made-up use of a model: requests per day, tokens per request, and when they come."""

    project: str
    key: str
    model: str
    per_day: int
    num_input: int
    cached_share: float
    num_output: int
    rhythm: str
    """`office` (weekdays, days), `public` (every day, evenings), `night` (a few hours, can wait)."""
    is_batch: bool = False


OPENAI = (
    UseCase(
        project="example-support-triage", key="example-triage-eu", model="gpt-4.1-2025-04-14", per_day=42_000,
        num_input=1_100, cached_share=0.42, num_output=90, rhythm="office",
    ),
    UseCase(
        project="example-support-triage", key="example-triage-us", model="gpt-4.1-2025-04-14", per_day=21_000,
        num_input=1_100, cached_share=0.42, num_output=90, rhythm="public",
    ),
    UseCase(
        project="example-assistant", key="example-assistant-web", model="gpt-5.1-2025-11-13", per_day=51_000,
        num_input=3_000, cached_share=0.55, num_output=450, rhythm="public",
    ),
    UseCase(
        project="example-extraction", key="example-extraction", model="gpt-4.1-2025-04-14", per_day=12_000,
        num_input=8_000, cached_share=0.05, num_output=700, rhythm="night", is_batch=True,
    ),
    UseCase(
        project="example-search", key="example-search-rewrite", model="gpt-5-mini-2025-08-07", per_day=150_000,
        num_input=600, cached_share=0.3, num_output=60, rhythm="public",
    ),
    UseCase(
        project="example-code-review", key="example-code-review", model="gpt-5.1-2025-11-13", per_day=6_000,
        num_input=6_000, cached_share=0.2, num_output=900, rhythm="office",
    ),
    UseCase(
        project="example-nightly-checks", key="example-checks", model="gpt-5-mini-2025-08-07", per_day=900,
        num_input=2_000, cached_share=0.1, num_output=300, rhythm="night",
    ),
)  # fmt: skip
ANTHROPIC = (
    UseCase(
        project="example-contract-review", key="example-contracts", model="claude-sonnet-5-5", per_day=3_000,
        num_input=9_000, cached_share=0.6, num_output=1_100, rhythm="office",
    ),
    UseCase(
        project="example-summaries", key="example-summaries", model="claude-haiku-4-5-20251001", per_day=20_000,
        num_input=2_200, cached_share=0.15, num_output=250, rhythm="public",
    ),
)  # fmt: skip


def main() -> None:
    """Write all five files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_json("example-openai-usage.json.gz", {"example": NOTE, **make_openai_page()})
    write_json("example-anthropic-usage.json.gz", {"example": NOTE, **make_anthropic_page()})
    write_json("example-litellm-spend.json.gz", {"example": NOTE, "data": list(make_litellm_rows(400))})
    write_json("example-langfuse.json.gz", {"example": NOTE, "data": list(make_observations(400))})
    write_bytes("example-usage.csv.gz", make_table())


def make_openai_page() -> dict[str, Any]:
    """A page of `organization/usage/completions`, by the hour, grouped by all that the API groups by."""
    source = random.Random(SEED)
    buckets = [
        {
            "object": "bucket",
            "start_time": start,
            "end_time": start + HOUR_S,
            "results": [
                {
                    "object": "organization.usage.completions.result",
                    "input_tokens": total,
                    "input_cached_tokens": cached,
                    "output_tokens": output,
                    "num_model_requests": requests,
                    "project_id": case.project,
                    "api_key_id": case.key,
                    "model": case.model,
                    "batch": case.is_batch,
                    "service_tier": "default",
                }
                for case, requests, total, cached, output in draw_hour(OPENAI, start, source)
            ],
        }
        for start in list_hours()
    ]
    return {"object": "page", "data": buckets, "has_more": False, "next_page": None}


def make_anthropic_page() -> dict[str, Any]:
    """A page of `usage_report/messages`, by the hour; like the real one it counts no requests."""
    source = random.Random(SEED + 1)
    buckets = [
        {
            "starting_at": write_time(start),
            "ending_at": write_time(start + HOUR_S),
            "results": [
                {
                    "uncached_input_tokens": total - cached - cached // 9,
                    "cache_creation": {"ephemeral_5m_input_tokens": cached // 9, "ephemeral_1h_input_tokens": 0},
                    "cache_read_input_tokens": cached,
                    "output_tokens": output,
                    "workspace_id": case.project,
                    "api_key_id": case.key,
                    "model": case.model,
                    "service_tier": "standard",
                    "context_window": "0-200k",
                }
                for case, _, total, cached, output in draw_hour(ANTHROPIC, start, source)
            ],
        }
        for start in list_hours()
    ]
    return {"data": buckets, "has_more": False, "next_page": None}


def make_litellm_rows(number: int) -> Iterator[dict[str, Any]]:
    """Rows of LiteLLM_SpendLogs; one in forty failed."""
    source = random.Random(SEED + 2)
    for place in range(number):
        case = source.choice(OPENAI)
        start = MONDAY + 9 * HOUR_S + place * 173
        total, cached, output = draw_request(case, source)
        has_failed = place % 40 == 39
        details = {"cached_tokens": cached, "text_tokens": None, "audio_tokens": None}
        usage = {"prompt_tokens": total, "completion_tokens": output, "prompt_tokens_details": details}
        yield {
            "request_id": f"example-{place:04}",
            "call_type": "acompletion",
            "api_key": f"{source.getrandbits(256):064x}",
            "spend": 0 if has_failed else round((total - cached) * 2e-6 + cached * 5e-7 + output * 8e-6, 9),
            "total_tokens": 0 if has_failed else total + output,
            "prompt_tokens": 0 if has_failed else total,
            "completion_tokens": 0 if has_failed else output,
            "startTime": write_time(start),
            "endTime": write_time(start + 2),
            "model": f"openai/{case.model}",
            "custom_llm_provider": "openai",
            "team_id": case.project,
            "request_tags": ["User-Agent: example", case.key],
            "metadata": {
                "status": "failure" if has_failed else "success",
                "user_api_key_alias": case.key,
                "usage_object": None if has_failed else usage,
            },
            "cache_hit": "False",
            "status": "failure" if has_failed else "success",
        }


def make_observations(number: int) -> Iterator[dict[str, Any]]:
    """Observations of Langfuse: two generations for each span around them."""
    source = random.Random(SEED + 3)
    for place in range(number):
        case = OPENAI[place % 3]
        total, cached, output = draw_request(case, source)
        is_span = place % 3 == 0
        usage = {"input": total - cached, "input_cached_tokens": cached, "output": output, "total": total + output}
        cost = {"total": round((total - cached) * 2e-6 + cached * 5e-7 + output * 8e-6, 9)}
        yield {
            "id": f"example-{place:04}",
            "traceId": f"example-trace-{place // 3:04}",
            "type": "SPAN" if is_span else "GENERATION",
            "name": "handle-ticket" if is_span else ("classify", "answer")[place % 3 - 1],
            "startTime": write_time(MONDAY + 8 * HOUR_S + place * 211),
            "model": None if is_span else case.model,
            "promptName": None if is_span else f"example-{('classify', 'answer')[place % 3 - 1]}",
            "projectId": "example-desk",
            "usageDetails": {} if is_span else usage,
            "costDetails": {} if is_span else cost,
            "level": "DEFAULT",
        }


def make_table() -> bytes:
    """A table of one's own: hourly sums for a week."""
    source = random.Random(SEED + 4)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["time", "provider", "model", "project", "key", "task", "requests", "input_tokens", "cached_tokens",
         "output_tokens"]
    )  # fmt: skip
    for start in list_hours()[: 7 * 24]:
        for case, requests, total, cached, output in draw_hour(OPENAI[:4], start, source):
            task = "batch" if case.is_batch else "live"
            row = [write_time(start), "openai", case.model, case.project, case.key, task]
            writer.writerow([*row, requests, total, cached, output])
    return text.getvalue().encode()


def list_hours() -> list[int]:
    """The starts of all hours, in Unix seconds."""
    return [MONDAY + hour * HOUR_S for hour in range(NUM_HOURS)]


def draw_hour(
    cases: tuple[UseCase, ...], start: int, source: random.Random
) -> Iterator[tuple[UseCase, int, int, int, int]]:
    """(use case, requests, input tokens, cached ones of them, output tokens) of one hour, where there were any."""
    for case in cases:
        mean = case.per_day * measure_rhythm(case.rhythm, start)
        requests = max(0, round(source.gauss(mean, math.sqrt(mean) + 0.06 * mean)))
        if requests:
            total = round(requests * case.num_input * source.uniform(0.95, 1.05))
            cached = round(total * case.cached_share * source.uniform(0.9, 1.1))
            yield case, requests, total, cached, round(requests * case.num_output * source.uniform(0.93, 1.07))


def draw_request(case: UseCase, source: random.Random) -> tuple[int, int, int]:
    """(input tokens, cached ones of them, output tokens) of one request."""
    total = max(20, round(source.lognormvariate(math.log(case.num_input), 0.35)))
    cached = 128 * int(total * case.cached_share * source.uniform(0.6, 1.2) / 128)
    return total, cached, max(1, round(source.lognormvariate(math.log(case.num_output), 0.45)))


def measure_rhythm(rhythm: str, start: int) -> float:
    """Share of a day's requests that come in this hour."""
    hour, weekday = start // HOUR_S % 24, (start - MONDAY) // (24 * HOUR_S) % 7
    if rhythm == "night":
        return 0.25 if 1 <= hour < 5 else 0.0
    if rhythm == "office":
        day = 1.3 if weekday < 5 else 0.25
        return day * _bell(hour, 13.5, 3.4)
    return (0.94 if weekday < 5 else 1.15) * (0.35 / 24 + 0.65 * _bell(hour, 18.5, 3.8))


def _bell(hour: int, middle: float, width: float) -> float:
    distance = min(abs(hour - middle), 24 - abs(hour - middle))
    return math.exp(-0.5 * (distance / width) ** 2) / (width * math.sqrt(2 * math.pi))


def write_time(seconds: int) -> str:
    """A moment as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_json(name: str, document: dict[str, Any]) -> None:
    """Write a document, one element of its data a line."""
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in document["data"])
    head = {key: value for key, value in document.items() if key != "data"}
    text = json.dumps(head, separators=(",", ":"))[:-1] + ',"data":[\n' + rows + "\n]}\n"
    write_bytes(name, text.encode())


def write_bytes(name: str, data: bytes) -> None:
    """Compress without name and time, so that the same data are the same file."""
    stream = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=stream, mode="wb", compresslevel=9, mtime=0) as packed:
        packed.write(data)
    (FOLDER / name).write_bytes(stream.getvalue())


if __name__ == "__main__":
    main()
