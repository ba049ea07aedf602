"""LiteLLM's spend logs: `/spend/logs`, `/spend/logs/v2`, or the table LiteLLM_SpendLogs as JSON, JSON lines or CSV.

One record is one request. `metadata.usage_object` says how the prompt's tokens divide. LiteLLM mostly counts cached
tokens within `prompt_tokens`, and for some calls beside them: `text_tokens`, where stated, tells which; without it,
cached tokens that would not fit into the prompt stand beside it.
Source: https://docs.litellm.ai/docs/proxy/cost_tracking and the schema of LiteLLM_SpendLogs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TypeVar

import msgspec
from msgspec import Struct

from inhouse.cli.usage_files.intake import admit_requests, make_key
from inhouse.cli.usage_files.labels import clean_id, clean_label, find_tier, name_model
from inhouse.cli.usage_files.reading import Place, Reading, parse_start, read_entries
from inhouse.cli.usage_files.values import Count, parse_usd
from inhouse.domain import MOMENT_S, ServiceTier, UsageRecord

SOURCE = "litellm-spend"
_BESIDE = "cached tokens stand beside the prompt's, not within: they were added to it"
_CACHE_OVER_PROMPT = "the parts of the prompt are more than the prompt: they were cut to it"
_PARTS_OVER_ANSWER = "the parts of the answer are more than the answer: they were cut to it"
_NO_SPEND = "a spend of 0 with tokens was taken as not stated: LiteLLM writes 0 where it knows no price"
_NO_METADATA = "no usage_object in the metadata: how much of the prompt was cached is not known"
_BAD_METADATA = "the metadata is no JSON of the expected form: how much of the prompt was cached is not known"
_YES = (True, "True", "true", "t")
_OWN_TAGS = ("User-Agent:", "Credential:")

_T = TypeVar("_T")


class CacheLifetimes(Struct, kw_only=True):
    """Tokens written to the cache, by lifetime."""

    ephemeral_1h_input_tokens: Count | None = None


class PromptDetails(Struct, kw_only=True):
    """Parts of the prompt."""

    cached_tokens: Count | None = None
    cache_creation_tokens: Count | None = None
    cache_creation_token_details: CacheLifetimes | None = None
    text_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class AnswerDetails(Struct, kw_only=True):
    """Parts of the answer."""

    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class UsageObject(Struct, kw_only=True):
    """Usage as the provider stated it, in LiteLLM's names."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: AnswerDetails | None = None


class Metadata(Struct, kw_only=True):
    """What is wanted of the metadata."""

    status: str | None = None
    user_api_key_alias: str | None = None
    user_api_key_team_alias: str | None = None
    service_tier: str | None = None
    usage_object: UsageObject | None = None


class Entry(Struct, kw_only=True):
    """A row of the spend logs, or the page that holds rows."""

    request_id: str | None = None
    call_type: str | None = None
    api_key: str | None = None
    spend: Decimal | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    started: str | float | None = msgspec.field(name="startTime", default=None)
    model: str | None = None
    custom_llm_provider: str | None = None
    team_id: str | None = None
    request_tags: list[str] | str | None = None
    metadata: Metadata | str | None = None
    cache_hit: str | bool | None = None
    status: str | None = None
    data: list[Entry] | None = None
    page: int | None = None
    total_pages: int | None = None


class Split(Struct, frozen=True):
    """The eight buckets of a request."""

    tokens: tuple[int | None, ...]
    is_empty: bool


def read_litellm_spend(reading: Reading) -> Iterator[UsageRecord]:
    """The records of an export, one for each request.

    Raises:
        ConfigError: it is malformed; names file, line or path.
    """
    records = (_make_record(reading, place, entry) for place, entry in _read_rows(reading))
    return admit_requests(reading.report, records)


def _read_rows(reading: Reading) -> Iterator[tuple[Place, Entry]]:
    for place, entry in read_entries(reading, Entry):
        if entry.data is None:
            yield place, entry
            continue
        reading.report.has_more = (entry.page or 0) < (entry.total_pages or 0)
        for number, row in enumerate(entry.data):
            yield place.within(f"data[{number}]"), row


def _make_record(reading: Reading, place: Place, entry: Entry) -> UsageRecord | None:
    report = reading.report
    metadata = _read_metadata(reading, place, entry.metadata)
    split = _split_tokens(reading, place, entry, metadata.usage_object)
    if split.is_empty and "failure" in (entry.status, metadata.status):
        report.skip("failed requests without usage")
        return None
    if entry.cache_hit in _YES:
        report.skip("answered by LiteLLM's own cache: no provider was called")
        return None
    provider, model = name_model(entry.custom_llm_provider or None, entry.model)
    started_at = parse_start(reading, place, entry.started if entry.started is not None else "")
    return UsageRecord(
        SOURCE,
        clean_id(entry.request_id)
        if entry.request_id
        else make_key(started_at, entry.model, entry.api_key, entry.spend, split.tokens),
        started_at,
        MOMENT_S,
        provider,
        model,
        clean_label(metadata.user_api_key_team_alias or entry.team_id),
        clean_label(metadata.user_api_key_alias or entry.api_key),
        clean_label(_find_tag(entry.request_tags)),
        None,
        find_tier(metadata.service_tier) or ServiceTier.STANDARD,
        1,
        *split.tokens,
        stated_pico_usd=_find_spend(reading, place, entry, is_empty=split.is_empty),
    )


def _find_spend(reading: Reading, place: Place, entry: Entry, *, is_empty: bool) -> int | None:
    if entry.spend is None:
        return None
    if not entry.spend and not is_empty:
        reading.report.warn(_NO_SPEND, str(place))
        return None
    try:
        return parse_usd(entry.spend)
    except ValueError as error:
        raise reading.refuse(f"spend {error}.", line=place.line, path=place.within("spend").path) from None


def _split_tokens(reading: Reading, place: Place, entry: Entry, usage: UsageObject | None) -> Split:
    report = reading.report
    if usage is None or usage.prompt_tokens is None:
        prompt, answer = entry.prompt_tokens, entry.completion_tokens
        if prompt is None and answer is None:
            return Split((None,) * 8, is_empty=True)
        if prompt:
            report.warn(_NO_METADATA, str(place))
        return Split((prompt or 0, 0, 0, answer or 0, 0, 0, 0, 0), is_empty=not prompt and not answer)
    prompt, answer = usage.prompt_tokens, usage.completion_tokens or 0
    details, parts = usage.prompt_tokens_details or _NO_PROMPT, usage.completion_tokens_details or _NO_ANSWER
    cached = details.cached_tokens or usage.cache_read_input_tokens or 0
    written = details.cache_creation_tokens or usage.cache_creation_input_tokens or 0
    audio_in = details.audio_tokens or 0
    if _stands_beside(details, prompt, cached + written):
        report.warn(_BESIDE, str(place))
        prompt += cached + written
    if cached + written + audio_in > prompt:
        report.warn(_CACHE_OVER_PROMPT, str(place))
        audio_in = min(audio_in, prompt - cached - written)
    reasoning, audio_out = parts.reasoning_tokens or 0, parts.audio_tokens or 0
    if reasoning + audio_out > answer:
        report.warn(_PARTS_OVER_ANSWER, str(place))
        reasoning = min(reasoning, answer)
        audio_out = answer - reasoning
    lifetimes = details.cache_creation_token_details
    hour = min((lifetimes and lifetimes.ephemeral_1h_input_tokens) or 0, written)
    uncached = prompt - cached - written - audio_in
    visible = answer - reasoning - audio_out
    tokens = (uncached, cached, written - hour, visible, reasoning, hour, audio_in, audio_out)
    return Split(tokens, is_empty=not prompt and not answer)


def _stands_beside(details: PromptDetails, prompt: int, num_cache_tokens: int) -> bool:
    """Whether cached tokens are not part of `prompt_tokens`."""
    if not num_cache_tokens:
        return False
    if details.text_tokens:
        others = details.text_tokens + (details.audio_tokens or 0) + (details.image_tokens or 0)
        return others == prompt
    return num_cache_tokens > prompt


def _find_tag(tags: list[str] | str | None) -> str | None:
    """The first tag that people gave: LiteLLM adds some of its own."""
    if isinstance(tags, str):
        found = _decode(tags, list[str])
        tags = found if found is not None else re.findall(r'[^{},"]+', tags)
    for tag in tags or ():
        if not tag.startswith(_OWN_TAGS):
            return tag
    return None


def _read_metadata(reading: Reading, place: Place, metadata: Metadata | str | None) -> Metadata:
    if isinstance(metadata, Metadata):
        return metadata
    if metadata:
        found = _decode(metadata, Metadata)
        if found is not None:
            return found
        reading.report.warn(_BAD_METADATA, str(place))
    return _NO_METADATA_READ


def _decode(text: str, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        return None


_NO_PROMPT = PromptDetails()
_NO_ANSWER = AnswerDetails()
_NO_METADATA_READ = Metadata()
