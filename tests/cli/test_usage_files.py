"""Usage exports are read as they are: disjoint buckets, exact money, no secrets, and every doubt counted."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inhouse.catalog import load_price_book
from inhouse.cli.usage_files import (
    ReadOptions,
    Report,
    UsageFormat,
    example_file,
    parse_mapping,
    read_usage_file,
)
from inhouse.cli.usage_files.labels import clean_label, find_tier, fingerprint, name_model
from inhouse.cli.usage_files.langfuse import find_bucket
from inhouse.cli.usage_files.values import parse_count, parse_moment, parse_usd
from inhouse.domain import DAY_S, HOUR_S, USAGE_BUCKETS, ConfigError, ServiceTier, UsageRecord
from inhouse.planning import aggregate_hours

NOON = 1_772_366_400
LONG_AFTER = NOON + 400 * DAY_S
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


def write(folder: Path, content: Any, name: str = "export.json") -> Path:
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    os.utime(path, (LONG_AFTER, LONG_AFTER))
    return path


def read(path: Path, wanted: UsageFormat | None = None, **options: Any) -> tuple[list[UsageRecord], Report]:
    usage = read_usage_file(path, wanted, ReadOptions(**options))
    return list(usage.records), usage.report


def table(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def fails(path: Path, wanted: UsageFormat | None = None, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(path, wanted, **options)
    return caught.value


def bucket(hour: int = 0, *results: dict[str, Any], width: int = HOUR_S) -> dict[str, Any]:
    start = NOON + hour * HOUR_S
    return {"object": "bucket", "start_time": start, "end_time": start + width, "results": list(results)}


def openai(**changes: Any) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": 1000,
        "input_cached_tokens": 300,
        "output_tokens": 200,
        "num_model_requests": 7,
        "project_id": "proj_a",
        "api_key_id": "key_a",
        "user_id": None,
        "model": "gpt-5-mini-2025-08-07",
        "batch": False,
        "service_tier": "default",
    } | changes


def page(*buckets: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"object": "page", "data": list(buckets), "has_more": False, "next_page": None} | changes


# --- OpenAI ---------------------------------------------------------------------------------------------------------


def test_openai_input_holds_its_cached_part(tmp_path: Path) -> None:
    (record,), report = read(write(tmp_path, page(bucket(0, openai()))))
    key = record.record_id
    assert record == UsageRecord(
        "openai-usage", key, NOON, HOUR_S, "openai", "gpt-5-mini-2025-08-07", "proj_a", "key_a", None, None,
        ServiceTier.STANDARD, 7, 700, 300, 0, 200, 0, 0, 0, 0,
    )  # fmt: skip
    assert record.num_tokens == 1200
    assert (report.num_read, report.num_kept, report.num_duplicates, dict(report.warnings)) == (1, 1, 0, {})
    assert (report.since, report.until) == (NOON, NOON + HOUR_S)
    assert report.grouped_by == {"project_id", "api_key_id", "model", "batch", "service_tier"}


def test_openai_audio_and_written_cache_are_buckets_of_their_own(tmp_path: Path) -> None:
    result = openai(
        input_cached_tokens=100, input_cache_write_tokens=50, input_uncached_tokens=850, input_audio_tokens=400,
        input_cached_audio_tokens=20, output_audio_tokens=150,
    )  # fmt: skip
    (record,), report = read(write(tmp_path, page(bucket(0, result))))
    assert record.buckets == (450, 100, 50, 50, 0, 0, 400, 150)
    assert not report.warnings


def test_openai_parts_that_contradict_are_cut_and_counted(tmp_path: Path) -> None:
    results = [
        openai(input_tokens=10, input_cached_tokens=30),
        openai(input_cached_tokens=900, input_audio_tokens=500, project_id="b"),
        openai(output_audio_tokens=300, project_id="c"),
    ]
    records, report = read(write(tmp_path, page(bucket(0, *results))))
    assert [record.num_tokens for record in records] == [210, 1200, 1200]
    assert all(min(record.buckets) >= 0 for record in records)
    assert sorted(report.warnings.values()) == [1, 1, 1]
    assert "data[0].results[0]" in str(report.examples)


def test_openai_tiers_and_embeddings(tmp_path: Path) -> None:
    results = [
        openai(batch=True),
        openai(service_tier="flex"),
        openai(service_tier="priority"),
        openai(service_tier="turbo"),
        {"object": "organization.usage.embeddings.result", "input_tokens": 9, "num_model_requests": 1},
        {"object": "organization.usage.images.result", "images": 3, "num_model_requests": 3},
        {"object": "organization.usage.completions.result", "num_model_requests": 0},
    ]
    records, report = read(write(tmp_path, page(bucket(0, *results))))
    assert [record.tier for record in records] == ["batch", "flex", "priority", "standard", "standard"]
    assert records[4].task == "embeddings"
    assert dict(report.skipped) == {"no tokens in it: usage.images": 1, "a period without usage": 1}
    assert report.warnings == {"a service tier that is not known was taken as standard": 1}


@pytest.mark.parametrize("shape", ["page", "pages", "buckets", "lines of pages", "gzip", "lines of buckets", "bom"])
def test_openai_pages_come_in_many_shapes(tmp_path: Path, shape: str) -> None:
    one, two = bucket(0, openai()), bucket(1, openai())
    content, name = {
        "page": (page(one, two), "e.json"),
        "pages": ([page(one, has_more=True), page(two)], "e.json"),
        "buckets": ([one, two], "e.json"),
        "lines of pages": ("\n".join(json.dumps(page(each)) for each in (one, two)) + "\n\n", "e.jsonl"),
        "lines of buckets": ("\n".join(json.dumps(each) for each in (one, two)), "e.jsonl.gz"),
        "gzip": (page(one, two), "e.json.gz"),
        "bom": ("\ufeff" + json.dumps(page(one, two)), "e.json"),
    }[shape]
    records, report = read(write(tmp_path, content, name))
    assert [record.started_at for record in records] == [NOON, NOON + HOUR_S]
    assert not report.has_more
    assert len({record.record_id for record in records}) == 2


def test_a_last_page_with_more_to_come_is_said(tmp_path: Path) -> None:
    _, report = read(write(tmp_path, page(bucket(0, openai()), has_more=True, next_page="x")))
    assert report.has_more


def test_openai_csv_is_the_same_as_the_api(tmp_path: Path) -> None:
    """The usage page's export writes counts as `3.0`, and a row without figures for an empty period."""
    row = {
        "start_time": NOON, "end_time": NOON + HOUR_S, "start_time_iso": "2026-03-01T12:00:00+00:00",
        "end_time_iso": "2026-03-01T13:00:00+00:00", "project_id": "proj_a", "num_model_requests": "7.0",
        "user_id": "", "api_key_id": "key_a", "model": "gpt-5-mini-2025-08-07", "batch": "False",
        "service_tier": "default", "input_tokens": "1000", "input_cached_tokens": "300", "output_tokens": "200",
        "input_uncached_tokens": "700",
    }  # fmt: skip
    empty = dict.fromkeys(row, "") | {"start_time": NOON + HOUR_S, "end_time": NOON + 2 * HOUR_S}
    from_table, report = read(write(tmp_path, table([row, empty]), "usage.csv"))
    from_api, _ = read(write(tmp_path, page(bucket(0, openai()))))
    assert from_table == from_api
    assert dict(report.skipped) == {"a period without usage": 1}


def test_openai_old_activity_export(tmp_path: Path) -> None:
    row = {
        "aggregation_timestamp": str(NOON + 10), "n_requests": "2", "snapshot_id": "gpt-4o-mini-2024-07-18",
        "n_context_tokens_total": "50", "n_cached_context_tokens_total": "20", "n_generated_tokens_total": "5",
        "project_id": "p",
    }  # fmt: skip
    daily = {"usage_date": "2026-03-01", "model": "m", "n_context_tokens_total": "50", "n_generated_tokens_total": "1"}
    (record,), _ = read(write(tmp_path, table([row]), "activity.csv"))
    assert (record.model, record.buckets[:4], record.num_requests) == ("gpt-4o-mini-2024-07-18", (30, 20, 0, 5), 2)
    assert (record.started_at, record.width_s) == (NOON, 300)
    (record,), _ = read(write(tmp_path, table([daily]), "daily.csv"))
    assert (record.width_s, record.num_requests) == (DAY_S, None)


def test_gaps_and_unfinished_periods_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, page(bucket(0, openai()), bucket(3, openai(), width=1800)))
    _, report = read(path)
    assert report.warnings["hours are missing in the middle"] == 2
    assert report.examples["hours are missing in the middle"] == ["first at 2026-03-01T13:00:00+00:00"]
    assert "the period is shorter than the others: it is not whole, an export of it all will replace it" in (
        report.warnings
    )
    path = write(tmp_path, page(bucket(0, openai())))
    os.utime(path, (NOON + 100, NOON + 100))
    _, report = read(path)
    assert any("ends after the file was written" in words for words in report.warnings)


def test_a_cut_period_has_the_key_of_the_whole_one(tmp_path: Path) -> None:
    """So a later export of it replaces it."""
    (cut,), _ = read(write(tmp_path, page(bucket(0, openai(num_model_requests=3), width=600 + 1))))
    (whole,), _ = read(write(tmp_path, page(bucket(0, openai()))))
    assert cut.record_id == whole.record_id
    assert cut.width_s == HOUR_S


def test_duplicates_count_once_and_other_parts_add_up(tmp_path: Path) -> None:
    same, other = openai(), openai(num_model_requests=1)
    records, report = read(write(tmp_path, page(bucket(0, same, same, other, other))))
    assert [record.num_requests for record in records] == [7, 1]
    assert records[1].record_id == f"{records[0].record_id}#2"
    assert report.num_duplicates == 2
    again, _ = read(write(tmp_path, page(bucket(0, same, same, other, other))))
    assert again == records


def test_every_label_and_the_account_are_in_the_key(tmp_path: Path) -> None:
    changes = [{}, {"user_id": "u"}, {"api_key_id": "k"}, {"model": "m"}, {"batch": True}, {"service_tier": "flex"}]
    records, _ = read(write(tmp_path, page(bucket(0, *(openai(**change) for change in changes)))))
    assert len({record.record_id for record in records}) == len(changes)
    other, _ = read(write(tmp_path, page(bucket(0, openai()))), account="second")
    assert other[0].record_id not in {record.record_id for record in records}


# --- Anthropic ------------------------------------------------------------------------------------------------------


def anthropic(**changes: Any) -> dict[str, Any]:
    return {
        "uncached_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
        "cache_read_input_tokens": 40,
        "output_tokens": 50,
        "server_tool_use": {"web_search_requests": 0},
        "workspace_id": "wrkspc_a",
        "api_key_id": "apikey_a",
        "model": "claude-sonnet-5",
        "service_tier": "standard",
        "context_window": "0-200k",
    } | changes


def anthropic_page(*results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    period = {"starting_at": "2026-03-01T12:00:00Z", "ending_at": "2026-03-01T13:00:00Z", "results": list(results)}
    return {"data": [period], "has_more": False, "next_page": None} | changes


def test_anthropic_buckets_are_disjoint_and_requests_are_not_counted(tmp_path: Path) -> None:
    (record,), report = read(write(tmp_path, anthropic_page(anthropic())))
    assert record.buckets == (100, 40, 20, 50, 0, 30, 0, 0)
    assert record.num_requests is None
    assert (record.provider, record.model, record.project, record.key) == (
        "anthropic", "claude-sonnet-5", "wrkspc_a", "apikey_a",
    )  # fmt: skip
    assert (record.started_at, record.width_s) == (NOON, HOUR_S)
    assert report.num_without_requests == 1


def test_anthropic_tiers_tools_and_nulls(tmp_path: Path) -> None:
    results = [
        anthropic(service_tier="batch", cache_creation=None, server_tool_use=None),
        anthropic(service_tier="priority_on_demand", server_tool_use={"web_search_requests": 2}),
        anthropic(service_tier="flex_discount", workspace_id=None),
        anthropic(service_tier="odd", speed="fast"),
    ]
    records, report = read(write(tmp_path, anthropic_page(*results, has_more=True)))
    assert [record.tier for record in records] == ["batch", "priority", "flex", "standard"]
    assert records[0].buckets == (100, 40, 0, 50, 0, 0, 0, 0)
    assert records[2].project is None
    assert len(report.warnings) == 3
    assert report.has_more


def test_anthropic_console_csv(tmp_path: Path) -> None:
    row = {
        "usage_date_utc": "2026-03-01", "model_version": "claude-haiku-4-5-20251001", "api_key": "My App",
        "workspace": "Default", "usage_type": "batch", "context_window": "≤ 200k",
        "usage_input_tokens_no_cache": "100", "usage_input_tokens_cache_write_5m": "20",
        "usage_input_tokens_cache_write_1h": "30", "usage_input_tokens_cache_read": "40", "usage_output_tokens": "50",
        "web_search_count": "0", "inference_geo": "global", "speed": "",
    }  # fmt: skip
    (record,), report = read(write(tmp_path, table([row]), "usage.csv"))
    assert record.buckets == (100, 40, 20, 50, 0, 30, 0, 0)
    assert (record.width_s, record.tier, record.key, record.project) == (DAY_S, "batch", "My App", "Default")
    assert "workspace_id by name" in report.grouped_by
    hourly = [row | {"usage_date_utc": f"2026-03-01T{hour:02}:00:00Z"} for hour in (0, 1)]
    records, _ = read(write(tmp_path, table(hourly), "hourly.csv"))
    assert [record.width_s for record in records] == [HOUR_S, HOUR_S]


# --- LiteLLM --------------------------------------------------------------------------------------------------------


def litellm(request_id: str = "r1", details: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    usage = {
        "prompt_tokens": 120, "completion_tokens": 80, "total_tokens": 200,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_creation_tokens": 20, "audio_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 25, "audio_tokens": 5},
    } | (details or {})  # fmt: skip
    return {
        "request_id": request_id, "call_type": "acompletion", "api_key": "ab" * 32, "spend": 0.000123456789,
        "total_tokens": 200, "prompt_tokens": 120, "completion_tokens": 80, "startTime": "2026-03-01T12:00:01.5Z",
        "endTime": "2026-03-01T12:00:03Z", "model": "openai/gpt-4.1", "custom_llm_provider": "openai", "user": "u",
        "team_id": "team-7", "request_tags": ["User-Agent: x/1", "triage"], "cache_hit": "False", "status": "success",
        "metadata": {"user_api_key_alias": "app", "usage_object": usage},
    } | changes  # fmt: skip


def test_litellm_parts_lie_within_prompt_and_answer(tmp_path: Path) -> None:
    (record,), report = read(write(tmp_path, [litellm()]))
    assert record == UsageRecord(
        "litellm-spend", "r1", NOON + 1, 0, "openai", "gpt-4.1", "team-7", "app", "triage", None,
        ServiceTier.STANDARD, 1, 30, 60, 20, 50, 25, 0, 10, 5, 123_456_789,
    )  # fmt: skip
    assert not report.warnings


@pytest.mark.parametrize(
    ("details", "expected", "num_warnings"),
    [
        # Older versions and some calls count cached tokens beside the prompt.
        ({"prompt_tokens": 31, "cache_creation_input_tokens": 1253, "prompt_tokens_details": {"cached_tokens": 0}},
         (31, 0, 1253, 55, 25, 0, 0, 0 + 0), 1),
        # text_tokens says that the cached ones are beside, although they would fit in.
        ({"prompt_tokens": 500, "prompt_tokens_details": {"cached_tokens": 300, "text_tokens": 500}},
         (500, 300, 0, 55, 25, 0, 0, 0), 1),
        # … or within.
        ({"prompt_tokens": 500, "prompt_tokens_details": {"cached_tokens": 300, "text_tokens": 200}},
         (200, 300, 0, 55, 25, 0, 0, 0), 0),
        # An hour's cache.
        ({"prompt_tokens_details": {"cache_creation_tokens": 20,
                                    "cache_creation_token_details": {"ephemeral_1h_input_tokens": 15}}},
         (100, 0, 5, 55, 25, 15, 0, 0), 0),
        # Parts that contradict the whole.
        ({"prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 100}}, (0, 60, 0, 55, 25, 0, 60, 0), 1),
        ({"completion_tokens_details": {"reasoning_tokens": 90}}, (30, 60, 20, 0, 80, 0, 10, 0), 1),
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, (120, 0, 0, 80, 0, 0, 0, 0), 0),
    ],
)  # fmt: skip
def test_litellm_dialects(
    tmp_path: Path, details: dict[str, Any], expected: tuple[int, ...], num_warnings: int
) -> None:
    usage = {"completion_tokens_details": {"reasoning_tokens": 25}} | details
    (record,), report = read(write(tmp_path, [litellm(details=usage)]))
    assert record.buckets == expected
    assert sum(report.warnings.values()) == num_warnings


def test_litellm_requests_that_used_nothing(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"prompt_tokens": 0, "completion_tokens": 0, "spend": 0, "metadata": {}}
    rows = [
        litellm("a", status="failure", **nothing),
        litellm("b", status=None, prompt_tokens=0, completion_tokens=0, metadata={"status": "failure"}),
        litellm("c", status="failure"),
        litellm("d", cache_hit="True"),
        litellm("e", spend=0),
        litellm("f", spend=None, prompt_tokens=None, completion_tokens=None, metadata=None),
        litellm("g", metadata="{}"),
        litellm("h", metadata="not json"),
    ]
    records, report = read(write(tmp_path, rows))
    assert [record.record_id for record in records] == ["c", "e", "f", "g", "h"]
    assert dict(report.skipped) == {
        "failed requests without usage": 2,
        "answered by LiteLLM's own cache: no provider was called": 1,
    }
    assert [record.stated_pico_usd for record in records][1:3] == [None, None]
    assert records[2].num_tokens is None
    assert records[3].buckets[:4] == (120, 0, 0, 80)
    assert sum(report.warnings.values()) == 4


@pytest.mark.parametrize("shape", ["array", "page", "lines", "table"])
def test_litellm_shapes(tmp_path: Path, shape: str) -> None:
    rows = [litellm("a"), litellm("b"), litellm("a")]
    flat = [row | {"metadata": json.dumps(row["metadata"]), "request_tags": '["triage"]'} for row in rows]
    content, name = {
        "array": (rows, "e.json"),
        "page": ({"data": rows, "total": 9, "page": 1, "total_pages": 3}, "e.json"),
        "lines": ("\n".join(map(json.dumps, rows)), "e.jsonl.gz"),
        "table": (table(flat), "e.csv"),
    }[shape]
    records, report = read(write(tmp_path, content, name))
    expected, _ = read(write(tmp_path, [litellm("a")]))
    assert records[0] == expected[0]
    assert [record.record_id for record in records] == ["a", "b"]
    assert report.num_duplicates == 1
    assert report.has_more is (shape == "page")


def test_litellm_postgres_arrays_are_tags_too(tmp_path: Path) -> None:
    (record,), _ = read(write(tmp_path, [litellm(request_tags="{User-Agent: x,sort}")]))
    assert record.task == "sort"
    (record,), _ = read(write(tmp_path, [litellm(request_tags=["User-Agent: x"])]))
    assert record.task is None


def test_litellm_without_an_id_has_a_stable_one(tmp_path: Path) -> None:
    first, _ = read(write(tmp_path, [litellm(""), litellm("", spend=0.5)]))
    again, _ = read(write(tmp_path, [litellm("", spend=0.5), litellm("")]))
    assert {record.record_id for record in first} == {record.record_id for record in again}
    assert len({record.record_id for record in first}) == 2


# --- Langfuse -------------------------------------------------------------------------------------------------------


def observation(id_: str = "o1", **changes: Any) -> dict[str, Any]:
    return {
        "id": id_, "traceId": "t", "type": "GENERATION", "name": "answer", "startTime": "2026-03-01T12:00:01.000Z",
        "model": "claude-sonnet-5", "promptName": "support", "projectId": "desk", "userId": "somebody@example.com",
        "usageDetails": {"input": 100, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 10, "output": 50,
                         "total": 200},
        "costDetails": {"input": 0.0003, "output": 0.00075, "total": 0.00105}, "level": "DEFAULT",
        "input": "content that is not read",
    } | changes  # fmt: skip


def test_langfuse_kinds_of_usage_are_disjoint(tmp_path: Path) -> None:
    (record,), report = read(write(tmp_path, [observation()]))
    assert record == UsageRecord(
        "langfuse", "o1", NOON + 1, 0, "anthropic", "claude-sonnet-5", "desk", None, "answer", "support",
        ServiceTier.STANDARD, 1, 100, 40, 10, 50, 0, 0, 0, 0, 1_050_000_000,
    )  # fmt: skip
    assert not report.warnings


@pytest.mark.parametrize(
    ("usage", "expected", "num_warnings"),
    [
        ({"input": 100, "input_cached_tokens": 60, "output": 50, "output_reasoning_tokens": 20, "total": 150},
         (40, 60, 0, 30, 20, 0, 0, 0), 1),
        ({"input": 100, "input_cached_tokens": 60, "output": 50}, (100, 60, 0, 50, 0, 0, 0, 0), 0),
        ({"input": 100, "output": 50, "total": 999}, (100, 0, 0, 50, 0, 0, 0, 0), 1),
        ({"input": 10, "input_cached_tokens": 60, "output": 50, "total": 60}, (10, 60, 0, 50, 0, 0, 0, 0), 1),
        ({"input": 1, "input_audio_tokens": 2, "output_audio_tokens": 3, "output": 4, "cache_creation_1h": 5,
          "images": 6, "nothing": 0}, (1, 0, 0, 4, 0, 5, 2, 3), 1),
        ({"input": None, "output": 4}, (0, 0, 0, 4, 0, 0, 0, 0), 0),
    ],
)  # fmt: skip
def test_langfuse_dialects(tmp_path: Path, usage: dict[str, Any], expected: tuple[int, ...], num_warnings: int) -> None:
    (record,), report = read(write(tmp_path, [observation(usageDetails=usage)]))
    assert record.buckets == expected
    assert sum(report.warnings.values()) == num_warnings


def test_langfuse_names_of_kinds() -> None:
    names = {
        "input": "input_uncached", "prompt_tokens": "input_uncached", "input_cache_read": "cache_read",
        "input_cached_audio_tokens": "cache_read", "input_cache_creation": "cache_write",
        "cache_write_input_tokens": "cache_write", "output": "output_visible", "completion_tokens": "output_visible",
        "output_reasoning": "output_reasoning", "thoughts_token_count": "output_reasoning", "units": None,
    }  # fmt: skip
    assert {name: find_bucket(name) for name in names} == names


def test_langfuse_rows_that_are_no_calls(tmp_path: Path) -> None:
    rows = [
        observation("a", type="SPAN"),
        observation("b", level="ERROR", usageDetails={}),
        observation("c", usageDetails={}, costDetails={}),
        observation("d", type="EMBEDDING", costDetails={"total": 0}),
        observation("e", costDetails={"input": 1, "output": 2}),
        observation("f", costDetails=None, totalCost=0.25),
    ]
    records, report = read(write(tmp_path, rows))
    assert [record.record_id for record in records] == ["c", "d", "e", "f"]
    assert [record.stated_pico_usd for record in records] == [None, None, 3 * 10**12, 25 * 10**10]
    assert records[0].num_tokens is None
    assert dict(report.skipped) == {"no call of a model: span": 1, "failed requests without usage": 1}


@pytest.mark.parametrize("shape", ["array", "page", "cursor", "lines", "table", "blob storage"])
def test_langfuse_shapes(tmp_path: Path, shape: str) -> None:
    row = observation()
    flat = row | {"usageDetails": json.dumps(row["usageDetails"]), "costDetails": json.dumps(row["costDetails"])}
    blob = {
        "id": "o1", "type": "GENERATION", "name": "answer", "start_time": "2026-03-01 12:00:01.000",
        "provided_model_name": "claude-sonnet-5", "prompt_name": "support", "project_id": "desk",
        "usage_details": row["usageDetails"], "cost_details": row["costDetails"], "total_cost": 0.00105,
    }  # fmt: skip
    content, name = {
        "array": ([row], "e.json"),
        "page": ({"data": [row], "meta": {"page": 1, "limit": 1, "totalItems": 2, "totalPages": 2}}, "e.json"),
        "cursor": ({"data": [row], "meta": {"cursor": "abc"}}, "e.json"),
        "lines": (json.dumps(row) + "\n" + json.dumps(row), "e.jsonl"),
        "table": (table([flat]), "e.csv"),
        "blob storage": ([blob], "e.json"),
    }[shape]
    records, report = read(write(tmp_path, content, name))
    expected, _ = read(write(tmp_path, [row]))
    assert records == expected
    assert report.has_more is (shape in {"page", "cursor"})


def test_langfuse_plain_counts_of_older_exports(tmp_path: Path) -> None:
    row = {"id": "a", "type": "GENERATION", "startTime": "2026-03-01T12:00:00Z", "traceId": "t", "inputUsage": 3,
           "outputUsage": 4, "totalUsage": 7, "tags": '["nightly"]', "model": "gpt-4.1"}  # fmt: skip
    (record,), _ = read(write(tmp_path, [row]))
    assert (record.buckets[0], record.buckets[3], record.task, record.provider) == (3, 4, "nightly", "openai")
    (record,), _ = read(write(tmp_path, [row | {"tags": "plain"}]))
    assert record.task == "plain"


# --- a table of one's own -------------------------------------------------------------------------------------------


def test_a_table_by_obvious_names(tmp_path: Path) -> None:
    text = (
        "Request ID;Timestamp;Provider;Model;Team;API Key;Task Type;Prompt Name;Service Tier;Input Tokens;"
        "Cached Tokens;Output Tokens;Reasoning Tokens;Cost\n"
        "r1;2026-03-01T12:00:01Z;openai;openai/gpt-5-mini;search;app;rank;v2;flex;100;30;20;5;0.000000123456\n"
    )
    (record,), _ = read(write(tmp_path, text, "own.csv"))
    assert record == UsageRecord(
        "csv", "r1", NOON + 1, 0, "openai", "gpt-5-mini", "search", "app", "rank", "v2", ServiceTier.FLEX, 1,
        70, 30, 0, 15, 5, 0, 0, 0, 123_456,
    )  # fmt: skip


def test_a_table_of_periods_has_keys_that_a_later_export_has_too(tmp_path: Path) -> None:
    first = "time,model,requests,input_uncached,output_visible\n2026-03-01T12:00:00Z,m,3,10,5\n"
    later = first.replace("3,10,5", "4,20,9")
    (before,), _ = read(write(tmp_path, first, "a.csv"))
    (after,), _ = read(write(tmp_path, later, "b.csv"))
    assert before.record_id == after.record_id
    assert (after.width_s, after.num_requests, after.buckets[:4]) == (HOUR_S, 4, (20, 0, 0, 9))


def test_equal_rows_without_an_id_are_requests_of_their_own(tmp_path: Path) -> None:
    """Two equal requests in a second are two; the same file again has the same ids."""
    text = "time\tmodel\tinput\toutput\n" + "2026-03-01T12:00:00Z\tm\t1\t2\n" * 3
    records, report = read(write(tmp_path, text, "a.tsv"))
    again, _ = read(write(tmp_path, text, "b.tsv"))
    assert len({record.record_id for record in records}) == 3
    assert report.num_duplicates == 0
    assert records == again


def test_columns_are_mapped_by_hand(tmp_path: Path) -> None:
    text = "wann,was,rein,raus,bucket_width\n2026-03-01,m,100,50,1d\n"
    mapping = parse_mapping(["wann=time", "was=model", "rein=input_total", "raus=output_total"])
    (record,), _ = read(write(tmp_path, text, "a.csv"), UsageFormat.CSV, mapping=mapping)
    assert (record.width_s, record.model, record.buckets[0], record.buckets[3]) == (DAY_S, "m", 100, 50)


def test_a_bill_by_amounts_alone_has_no_tokens(tmp_path: Path) -> None:
    text = "date,model,project,amount\n2026-03-01,m,p,$12.50\n2026-03-02,m,p,\n"
    records, _ = read(write(tmp_path, text, "bill.csv"))
    assert [record.num_tokens for record in records] == [None, None]
    assert [record.stated_pico_usd for record in records] == [12_500_000_000_000, None]


def test_parts_over_the_whole_are_cut_and_counted(tmp_path: Path) -> None:
    rows = ["10,30,5,9,odd", "10,3,5,2,batch", "10,,5,,"]
    header = "time,input_tokens,cached_tokens,output_tokens,reasoning_tokens,tier"
    text = "\n".join([header, *(f"{NOON},{row}" for row in rows)])
    records, report = read(write(tmp_path, text, "a.csv"))
    assert [record.buckets for record in records] == [
        (0, 10, 0, 0, 5, 0, 0, 0),
        (7, 3, 0, 3, 2, 0, 0, 0),
        (10, 0, 0, 5, 0, 0, 0, 0),
    ]
    assert [record.tier for record in records] == ["standard", "batch", "standard"]
    assert sum(report.warnings.values()) == 3


def test_a_request_count_that_is_not_there_is_not_one(tmp_path: Path) -> None:
    (record,), _ = read(write(tmp_path, "time,requests,input_tokens\n2026-03-01,,5\n", "a.csv"))
    assert (record.num_requests, record.width_s) == (None, DAY_S)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("when,input\n1,2\n", 1, "no column for the time"),
        ("time,note\n2026-03-01,2\n", 1, "no column with tokens or an amount"),
        ("time,input\n2026-03-01,2\nyesterday,3\n", 3, "`time` is no time"),
        ("time,input\n,3\n", 2, "it is empty"),
        ("time,input\n2026-03-01,many\n", 2, "`input` is no whole number"),
        ("time,input\n2026-03-01,-5\n", 2, "is less than zero"),
        ("time,input\n2026-03-01,1.5\n", 2, "is no whole number"),
        ("time,cost\n2026-03-01,free\n", 2, "is no amount in dollars"),
        ("time,cost\n2026-03-01,-1\n", 2, "is no amount between 0 and 1,000,000 dollars"),
        ("time,input\n2026-03-01,1,2\n", 2, "has 3 fields, the header 2"),
        ("time,input,bucket_width\n2026-03-01,1,month\n", 2, "a period is `1m`, `1h` or `1d`"),
        ("time,input\n1999-01-01,1\n", 2, "is no time between 2015 and 2100"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    error = fails(write(tmp_path, text, "a.csv"), UsageFormat.CSV)
    assert error.location is not None
    assert (error.location.file, error.location.line) == (str(tmp_path / "a.csv"), line)
    assert words in error.problem
    assert error.fix


def test_a_mapping_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "time,input\n2026-03-01,1\n", "a.csv")
    assert "names the column `gone`" in fails(path, mapping={"gone": "model"}).problem
    assert "gives two columns for time" in fails(path, mapping={"time": "time", "input": "time"}).problem
    with pytest.raises(ConfigError, match="names no field"):
        parse_mapping(["input=tokens"])
    with pytest.raises(ConfigError, match="names no field"):
        parse_mapping(["input"])


# --- what every format has in common --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "line", "path", "words"),
    [
        (page(bucket(0, openai(), openai(input_tokens="x"))), "e.json", None, "data[0].results[1].input_tokens", "int"),
        ([page(bucket(0, openai(output_tokens=-1)))], "e.json", None, "[0].data[0].results[0].output_tokens", ">= 0"),
        ('{"object": "page", "data": [\n{"num_model_requests" 3}]}', "e.json", 2, "", "malformed"),
        (json.dumps(litellm()) + '\n{"request_id": 3}\n', "e.jsonl", 2, "request_id", "str"),
        (page({"object": "bucket", "end_time": 5, "results": [openai()]}), "e.json", None, "data[0]", "no start_time"),
        (page({"start_time": NOON, "results": [openai()]}), "e.json", None, "data[0]", "no end_time"),
        (page(bucket(0, openai(), width=7 * DAY_S)), "e.json", None, "data[0]", "a minute, an hour or a day"),
        (page({"start_time": "soon", "end_time": 5, "results": [openai()]}), "e.json", None, "data[0].start_time",
         "is no time"),
        ([litellm(startTime=None)], "e.json", None, "[0].startTime", "is no time"),
        ([litellm(spend=-5)], "e.json", None, "[0].spend", "is no amount"),
        ([observation(startTime="")], "e.json", None, "[0].startTime", "is no time"),
        ([observation(usageDetails={"input": -1})], "e.json", None, "[0].usageDetails.input", "whole number"),
        ([observation(usageDetails={"input": 1.5})], "e.json", None, "[0].usageDetails.input", "whole number"),
        ([observation(usageDetails="x")], "e.json", None, "[0].usageDetails", "no JSON object"),
        ([observation(costDetails={"total": -1})], "e.json", None, "[0].totalCost", "is no amount"),
        ("start_time,end_time,num_model_requests,input_tokens\n1772366400,1772370000,2,lots\n", "e.csv", 2,
         "input_tokens", "which is `lots`"),
        ('start_time,end_time,num_model_requests\n"1,2\n', "e.csv", 2, "", "not CSV"),
    ],
)  # fmt: skip
def test_a_malformed_export_is_refused_with_its_place(
    tmp_path: Path, content: Any, name: str, line: int | None, path: str, words: str
) -> None:
    error = fails(write(tmp_path, content, name))
    assert error.location is not None
    assert (error.location.line, error.location.path) == (line, path)
    assert words in error.problem
    assert error.fix


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "It is empty."),
        (b"\n \n", "It is empty."),
        (b"\x00\x01\x02\x03" * 9, "no text in UTF-8"),
        (gzip.compress(b'{"object": "page", "data": []}')[:20], "gzip data end too early"),
        (b'{"what": "ever"}', "no usage export that is known (a JSON document). Looked for openai-usage: "),
        (b"one column\n1\n", "no usage export that is known (a table)"),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    error = fails(path)
    assert words in error.problem
    assert error.location is not None


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in fails(tmp_path / "gone.json").problem


def test_bytes_that_are_no_text_later_in_a_table_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"time,input,model\n" + b"2026-03-01,1,m\n" * 20_000 + b"2026-03-01,1,\xff\n")
    assert "no text in UTF-8" in fails(path).problem


def test_a_file_of_another_format_names_the_command(tmp_path: Path) -> None:
    error = fails(write(tmp_path, [litellm()]), UsageFormat.OPENAI_USAGE)
    assert "looks like litellm-spend" in error.problem
    assert "inhouse import litellm-spend" in error.fix
    assert "This is no table" in fails(write(tmp_path, [litellm()]), UsageFormat.CSV).problem


def test_keys_are_never_kept(tmp_path: Path) -> None:
    """Not in a label, not in an id, not in an error; two keys stay two."""
    digest = "9f" * 32
    contents = [
        (page(bucket(0, openai(api_key_id=SECRET, project_id=f"mine {SECRET}"))), "a.json"),
        ([litellm(api_key=SECRET, metadata={}), litellm("r2", api_key=digest, metadata={})], "b.json"),
        ([observation(name=f"Bearer {SECRET}", tags=[SECRET])], "c.json"),
        (f"time,key,model,input\n2026-03-01,{SECRET},{SECRET},1\n", "d.csv"),
        (f"id,time,key,model,input\n{SECRET},2026-03-01,k,m,1\n", "e.csv"),
    ]
    for content, name in contents:
        records, report = read(write(tmp_path, content, name))
        text = msgspec.json.encode(records).decode() + str(report)
        assert "abcdefgh" not in text, name
        assert digest not in text
    assert clean_label(SECRET) == fingerprint(SECRET)
    assert fingerprint(SECRET).startswith("key:")
    assert clean_label(digest) == "key:9f9f9f9f"
    assert [clean_label(text) for text in ("sk-1234", "aB3" * 12)] == [fingerprint("sk-1234"), fingerprint("aB3" * 12)]
    names = ["task-management-system", "ask_a_question_bot", "desk-support", "proj_AbCdEfGhIjKlMnOpQrStUvWx", "app, EU"]
    assert [clean_label(name) for name in names] == names
    error = fails(write(tmp_path, f"time,input\n{SECRET},1\n", "f.csv"), UsageFormat.CSV)
    assert "abcdefgh" not in str(error)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "openai/gpt-4.1", ("openai", "gpt-4.1")),
        (None, "anthropic/claude-sonnet-5", ("anthropic", "claude-sonnet-5")),
        ("gemini", "gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        ("vertex_ai", "gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        ("azure", "azure/my-deployment", ("azure", "my-deployment")),
        ("hosted_vllm", "meta-llama/Llama-3.3-70B", ("own", "meta-llama/Llama-3.3-70B")),
        (None, "something-of-ours", (None, "something-of-ours")),
        ("acme", "fast-1", ("acme", "fast-1")),
        ("OpenAI", None, ("openai", None)),
        (None, "", (None, None)),
    ],
)
def test_names_are_those_of_the_price_book(
    provider: str | None, model: str | None, expected: tuple[str | None, str | None]
) -> None:
    assert name_model(provider, model) == expected


def test_times_amounts_and_counts() -> None:
    assert parse_moment("2026-03-01 12:00:00") == NOON
    assert parse_moment("2026/03/01") == NOON - 12 * HOUR_S
    assert parse_moment("2026-03-01 13:00:00+01:00") == NOON
    assert parse_moment("2026-03-01 12:00:00.5 UTC") == NOON
    assert parse_moment(str(NOON)) == parse_moment(NOON * 1000) == parse_moment(float(NOON)) == NOON
    assert parse_usd(Decimal("1E-7")) == 100_000
    assert parse_count("3.0") == 3
    for bad in ("", "NaN", "inf"):
        with pytest.raises(ValueError, match="number"):
            parse_count(bad)
    with pytest.raises(ValueError, match="amount"):
        parse_usd("NaN")
    assert find_tier("On Demand") is ServiceTier.STANDARD
    assert find_tier("what") is None


@pytest.mark.parametrize("name", list(UsageFormat))
def test_the_examples_are_found_by_their_content_and_read_without_a_doubt(name: UsageFormat) -> None:
    path = example_file(name)
    usage = read_usage_file(path)
    records = list(usage.records)
    assert usage.format is name
    assert path.name.startswith("example-")
    assert path.stat().st_size < 150_000
    assert records
    assert not usage.report.warnings
    assert all((record.project or "").startswith("example-") for record in records)
    assert usage.report.num_unlabelled == 0


def test_the_openai_example_is_about_22_000_dollars_a_month() -> None:
    """At the list prices of the price book; batch at half of them."""
    book, day = load_price_book(), date(2026, 11, 28)
    total = Decimal(0)
    for row in aggregate_hours(read_usage_file(example_file("openai-usage")).records):
        price = book.token_price(str(row.provider), str(row.model), day)
        assert price is not None
        assert row.usage is not None
        cached = price.cache_read_usd_per_mtok or price.input_usd_per_mtok
        usd = row.usage.input_uncached * price.input_usd_per_mtok + row.usage.cache_read * cached
        usd += row.usage.output_visible * price.output_usd_per_mtok
        total += usd / 1_000_000 / (2 if row.tier is ServiceTier.BATCH else 1)
    assert 20_000 < total < 24_000


tokens = st.integers(0, 10**9)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), tokens, tokens, tokens, tokens, tokens), min_size=1, max_size=8))
def test_openai_buckets_add_up_to_what_was_stated(tmp_path: Path, drawn: list[tuple[int, ...]]) -> None:
    """Whatever the parts say, nothing is negative and the sum is input plus output."""
    results = [
        bucket(hour, openai(input_tokens=total, input_cached_tokens=cached, input_cache_write_tokens=written,
                            input_audio_tokens=audio, output_tokens=output, user_id=str(at)))
        for at, (hour, total, cached, written, audio, output) in enumerate(drawn)
    ]  # fmt: skip
    rows = aggregate_hours(read(write(tmp_path, page(*results)))[0])
    stated = sum(total + output for _, total, _, _, _, output in drawn)
    assert sum(getattr(row.usage, name) for row in rows for name in USAGE_BUCKETS) == stated
    assert all(getattr(row.usage, name) >= 0 for row in rows for name in USAGE_BUCKETS)
