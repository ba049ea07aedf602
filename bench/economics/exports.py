"""Large exports to measure with: LiteLLM's spend logs, spread evenly over a month."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

START = int(datetime(2026, 10, 26, tzinfo=UTC).timestamp())
MONTH_S = 30 * 86_400


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
