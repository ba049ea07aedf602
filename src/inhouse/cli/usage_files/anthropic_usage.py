"""Anthropic's usage: pages of `usage_report/messages`, and the console's CSV export.

The buckets are disjoint as they come; requests are not counted. A null workspace is the default workspace.
Source: https://platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from inhouse.cli.usage_files.buckets import Period, PeriodCheck
from inhouse.cli.usage_files.intake import Buckets, make_key
from inhouse.cli.usage_files.labels import clean_label, find_tier, name_model, quote
from inhouse.cli.usage_files.opening import Shape
from inhouse.cli.usage_files.reading import Place, Reading, read_entries
from inhouse.cli.usage_files.values import Count
from inhouse.domain import DAY_S, HOUR_S, ServiceTier, UsageRecord

SOURCE = "anthropic-usage"
_PROVIDER = "anthropic"
_MIDNIGHTS = ("", "00:00", "00:00:00", "00:00:00Z", "00:00:00+00:00", "00:00Z")
_TOOLS = "web searches are billed apart from tokens; they are not in these figures"
_FAST = "fast mode has prices of its own; it was taken as standard"
_OTHER_TIER = "a service tier that is not known was taken as standard"


class CacheCreation(Struct, kw_only=True):
    """Tokens written to the cache, by lifetime."""

    ephemeral_5m_input_tokens: Count = 0
    ephemeral_1h_input_tokens: Count = 0


class ToolUse(Struct, kw_only=True):
    """Calls of the provider's own tools."""

    web_search_requests: Count = 0


class Result(Struct, kw_only=True):
    """One line of a bucket. Labels are null where the report was not grouped by them."""

    uncached_input_tokens: Count = 0
    cache_creation: CacheCreation | None = None
    cache_read_input_tokens: Count = 0
    output_tokens: Count = 0
    server_tool_use: ToolUse | None = None
    workspace_id: str | None = None
    account_id: str | None = None
    service_account_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    context_window: str | None = None
    inference_geo: str | None = None
    speed: str | None = None


class Bucket(Struct, kw_only=True):
    """A period, or a page of periods: an array may hold either."""

    starting_at: str | None = None
    ending_at: str | None = None
    results: list[Result] | None = None
    data: list[Bucket] | None = None
    has_more: bool = False


class Row(Struct, kw_only=True):
    """A row of the console's CSV export: keys and workspaces by their names."""

    usage_date_utc: str = ""
    model_version: str | None = None
    api_key: str | None = None
    workspace: str | None = None
    usage_type: str | None = None
    context_window: str | None = None
    usage_input_tokens_no_cache: Count = 0
    usage_input_tokens_cache_write: Count = 0
    usage_input_tokens_cache_write_5m: Count = 0
    usage_input_tokens_cache_write_1h: Count = 0
    usage_input_tokens_cache_read: Count = 0
    usage_output_tokens: Count = 0
    web_search_count: Count = 0
    inference_geo: str | None = None
    speed: str | None = None


def read_anthropic_usage(reading: Reading) -> Iterator[UsageRecord]:
    """The records of an export, one for each line of a bucket.

    Raises:
        ConfigError: it is malformed; names file, line or path.
    """
    intake, check = Buckets(reading.report), PeriodCheck(reading)
    is_table = reading.opened.shape is Shape.CSV
    for place, period, result in _read_rows(reading, check) if is_table else _read_pages(reading, check):
        check.add(period)
        if result is not None:
            kept = intake.admit(_make_record(reading, place, period, result, by_name=is_table))
            if kept is not None:
                yield kept
    check.finish()


def _read_pages(reading: Reading, check: PeriodCheck) -> Iterator[tuple[Place, Period, Result | None]]:
    for place, page in read_entries(reading, Bucket):
        reading.report.has_more = page.has_more
        buckets = [(place, page)] if page.data is None else None
        for within, bucket in buckets or [(place.within(f"data[{at}]"), one) for at, one in enumerate(page.data or [])]:
            period = check.find(within, bucket.starting_at, bucket.ending_at)
            yield within, period, None
            for number, result in enumerate(bucket.results or []):
                yield within.within(f"results[{number}]"), period, result


def _read_rows(reading: Reading, check: PeriodCheck) -> Iterator[tuple[Place, Period, Result | None]]:
    """The table's rows: by day where every time is a midnight, else by hour."""
    rows = list(read_entries(reading, Row))
    is_daily = all(row.usage_date_utc.strip()[11:] in _MIDNIGHTS for _, row in rows)
    for place, row in rows:
        period = check.find(place, row.usage_date_utc or None, None, width_s=DAY_S if is_daily else HOUR_S)
        written = row.usage_input_tokens_cache_write_5m + row.usage_input_tokens_cache_write
        cache = CacheCreation(
            ephemeral_5m_input_tokens=written, ephemeral_1h_input_tokens=row.usage_input_tokens_cache_write_1h
        )
        yield place, period, Result(
            uncached_input_tokens=row.usage_input_tokens_no_cache,
            cache_creation=cache,
            cache_read_input_tokens=row.usage_input_tokens_cache_read,
            output_tokens=row.usage_output_tokens,
            server_tool_use=ToolUse(web_search_requests=row.web_search_count),
            workspace_id=row.workspace,
            api_key_id=row.api_key,
            model=row.model_version,
            service_tier=row.usage_type,
            context_window=row.context_window,
            inference_geo=row.inference_geo,
            speed=row.speed,
        )  # fmt: skip


def _make_record(reading: Reading, place: Place, period: Period, result: Result, *, by_name: bool) -> UsageRecord:
    report = reading.report
    labels = {
        "workspace_id": result.workspace_id, "account_id": result.account_id, "api_key_id": result.api_key_id,
        "service_account_id": result.service_account_id, "model": result.model, "service_tier": result.service_tier,
        "context_window": result.context_window, "inference_geo": result.inference_geo, "speed": result.speed,
    }  # fmt: skip
    suffix = " by name" if by_name else ""
    report.grouped_by.update(name + suffix for name, value in labels.items() if value is not None)
    if result.server_tool_use is not None and result.server_tool_use.web_search_requests:
        report.warn(_TOOLS, str(place))
    cache = result.cache_creation or CacheCreation()
    provider, model = name_model(_PROVIDER, result.model)
    return UsageRecord(
        SOURCE,
        make_key(reading.account, period.started_at, period.width_s, *labels.values()),
        period.started_at,
        period.width_s,
        provider,
        model,
        clean_label(result.workspace_id),
        clean_label(result.api_key_id),
        None,
        None,
        _find_tier(reading, place, result),
        None,
        result.uncached_input_tokens,
        result.cache_read_input_tokens,
        cache.ephemeral_5m_input_tokens,
        result.output_tokens,
        0,
        cache.ephemeral_1h_input_tokens,
        0,
        0,
    )


def _find_tier(reading: Reading, place: Place, result: Result) -> ServiceTier:
    if result.speed == "fast":
        reading.report.warn(_FAST, str(place))
    tier = find_tier(result.service_tier)
    if tier is None:
        reading.report.warn(_OTHER_TIER, f"{place}: {quote(result.service_tier)}")
    return tier or ServiceTier.STANDARD
