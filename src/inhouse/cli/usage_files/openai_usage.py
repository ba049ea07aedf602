"""OpenAI's usage: pages of `organization/usage/completions` and `/embeddings`, and the usage page's CSV export.

`input_tokens` holds every input token: cached ones, those written to the cache, and audio; `input_audio_tokens` is
what of the audio no cache held. `output_tokens` holds audio too; reasoning is not told apart.
Source: https://platform.openai.com/docs/api-reference/usage.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from inhouse.cli.usage_files.buckets import Period, PeriodCheck
from inhouse.cli.usage_files.intake import Buckets, make_key
from inhouse.cli.usage_files.labels import clean_label, find_tier, name_model, quote
from inhouse.cli.usage_files.opening import Shape
from inhouse.cli.usage_files.reading import Place, Reading, read_entries
from inhouse.cli.usage_files.values import Count, is_date
from inhouse.domain import DAY_S, ServiceTier, UsageRecord

SOURCE = "openai-usage"
_PROVIDER = "openai"
_LEGACY_WIDTH_S = 300
_COMPLETIONS = "organization.usage.completions.result"
_EMBEDDINGS = "organization.usage.embeddings.result"
_CACHE_OVER_INPUT = "more cached input than input: the cached part was cut to the input"
_AUDIO_OVER_INPUT = "more audio input than uncached input: the audio was cut to it"
_AUDIO_OVER_OUTPUT = "more audio output than output: the audio was cut to it"
_OTHER_TIER = "a service tier that is not known was taken as standard"


class Result(Struct, kw_only=True):
    """One line of a bucket. Labels are null where the export was not grouped by them."""

    object: str = _COMPLETIONS
    input_tokens: Count | None = None
    input_cached_tokens: Count = 0
    input_cache_write_tokens: Count = 0
    output_tokens: Count | None = None
    input_audio_tokens: Count = 0
    output_audio_tokens: Count = 0
    num_model_requests: Count | None = None
    project_id: str | None = None
    user_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    batch: bool | None = None
    service_tier: str | None = None
    api_source: str | None = None


class Bucket(Struct, kw_only=True):
    """A period, or a page of periods: an array may hold either."""

    start_time: int | str | None = None
    end_time: int | str | None = None
    results: list[Result] | None = None
    data: list[Bucket] | None = None
    has_more: bool = False


class Row(Result, kw_only=True):
    """A row of the CSV export: a result with its period. The older activity export has names of its own."""

    start_time: str | None = None
    end_time: str | None = None
    usage_date: str | None = None
    aggregation_timestamp: str | None = None
    old_input: Count | None = field(name="n_context_tokens_total", default=None)
    old_cached: Count = field(name="n_cached_context_tokens_total", default=0)
    old_output: Count | None = field(name="n_generated_tokens_total", default=None)
    old_requests: Count | None = field(name="n_requests", default=None)
    old_model: str | None = field(name="snapshot_id", default=None)


def read_openai_usage(reading: Reading) -> Iterator[UsageRecord]:
    """The records of an export, one for each line of a bucket.

    Raises:
        ConfigError: it is malformed; names file, line or path.
    """
    intake, check = Buckets(reading.report), PeriodCheck(reading)
    for place, period, results in _read_periods(reading, check):
        check.add(period)
        for number, result in enumerate(results):
            within = place if place.line is not None else place.within(f"results[{number}]")
            record = _make_record(reading, within, period, result)
            kept = None if record is None else intake.admit(record)
            if kept is not None:
                yield kept
    check.finish()


def _read_periods(reading: Reading, check: PeriodCheck) -> Iterator[tuple[Place, Period, list[Result]]]:
    if reading.opened.shape is Shape.CSV:
        for place, row in read_entries(reading, Row):
            yield place, _find_row_period(check, place, row), [_modernize(row)]
        return
    for place, page in read_entries(reading, Bucket):
        reading.report.has_more = page.has_more
        if page.data is None:
            yield place, check.find(place, page.start_time, page.end_time), page.results or []
            continue
        for number, bucket in enumerate(page.data):
            within = place.within(f"data[{number}]")
            yield within, check.find(within, bucket.start_time, bucket.end_time), bucket.results or []


def _find_row_period(check: PeriodCheck, place: Place, row: Row) -> Period:
    if row.usage_date is not None and is_date(row.usage_date):
        return check.find(place, row.usage_date, None, width_s=DAY_S)
    if row.aggregation_timestamp is not None:
        started_at = check.parse(place, "aggregation_timestamp", row.aggregation_timestamp)
        return Period(started_at - started_at % _LEGACY_WIDTH_S, _LEGACY_WIDTH_S)
    return check.find(place, row.start_time or row.usage_date, row.end_time)


def _modernize(row: Row) -> Result:
    """The older export's counts under the names of today's."""
    if row.old_input is not None:
        row.input_tokens, row.input_cached_tokens = row.old_input, row.old_cached
        row.output_tokens, row.num_model_requests = row.old_output, row.old_requests
        row.model = row.model or row.old_model
    return row


def _make_record(reading: Reading, place: Place, period: Period, result: Result) -> UsageRecord | None:
    report = reading.report
    if result.object not in {_COMPLETIONS, _EMBEDDINGS}:
        report.skip(f"no tokens in it: {result.object.removeprefix('organization.').removesuffix('.result')}")
        return None
    if result.input_tokens is None and result.output_tokens is None:
        report.skip("a period without usage")
        return None
    labels = {
        "project_id": result.project_id, "user_id": result.user_id, "api_key_id": result.api_key_id,
        "model": result.model, "batch": result.batch, "service_tier": result.service_tier,
        "api_source": result.api_source,
    }  # fmt: skip
    report.grouped_by.update(name for name, value in labels.items() if value is not None)
    provider, model = name_model(_PROVIDER, result.model)
    return UsageRecord(
        SOURCE,
        make_key(reading.account, period.started_at, period.width_s, result.object, *labels.values()),
        period.started_at,
        period.width_s,
        provider,
        model,
        clean_label(result.project_id),
        clean_label(result.api_key_id),
        "embeddings" if result.object == _EMBEDDINGS else None,
        None,
        _find_tier(reading, place, result),
        result.num_model_requests,
        *_split_tokens(reading, place, result),
    )


def _find_tier(reading: Reading, place: Place, result: Result) -> ServiceTier:
    if result.batch:
        return ServiceTier.BATCH
    tier = find_tier(result.service_tier)
    if tier is None:
        reading.report.warn(_OTHER_TIER, f"{place}: {quote(result.service_tier)}")
    return tier or ServiceTier.STANDARD


def _split_tokens(reading: Reading, place: Place, result: Result) -> tuple[int, ...]:
    """The eight buckets; their sum is `input_tokens` + `output_tokens`, whatever the parts say."""
    total, output = result.input_tokens or 0, result.output_tokens or 0
    cached = min(result.input_cached_tokens, total)
    written = min(result.input_cache_write_tokens, total - cached)
    if (cached, written) != (result.input_cached_tokens, result.input_cache_write_tokens):
        reading.report.warn(_CACHE_OVER_INPUT, str(place))
    uncached = total - cached - written
    audio_in = min(result.input_audio_tokens, uncached)
    if audio_in != result.input_audio_tokens:
        reading.report.warn(_AUDIO_OVER_INPUT, str(place))
    audio_out = min(result.output_audio_tokens, output)
    if audio_out != result.output_audio_tokens:
        reading.report.warn(_AUDIO_OVER_OUTPUT, str(place))
    return (uncached - audio_in, cached, written, output - audio_out, 0, 0, audio_in, audio_out)
