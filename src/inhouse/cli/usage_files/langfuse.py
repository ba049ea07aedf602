"""Langfuse's observations: the export of its pages (JSON, JSON lines, CSV), of blob storage, or pages of its API.

One record is one generation or embedding. `usageDetails` holds disjoint kinds of tokens by contract; where a stated
`total` shows that input and output already hold the other kinds, these are taken out of them.
Source: https://langfuse.com/docs/observability/features/token-and-cost-tracking.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec
from msgspec import Struct, field

from inhouse.cli.usage_files.intake import admit_requests, make_key
from inhouse.cli.usage_files.labels import clean_id, clean_label, name_model, quote
from inhouse.cli.usage_files.reading import Place, Reading, parse_start, read_entries
from inhouse.cli.usage_files.values import parse_usd
from inhouse.domain import MOMENT_S, USAGE_BUCKETS, ServiceTier, UsageRecord

SOURCE = "langfuse"
_KEPT_TYPES = frozenset({"", "GENERATION", "EMBEDDING"})
_OVERLAP = "input and output held the other kinds of tokens too: these were taken out"
_NOT_THE_TOTAL = "the kinds of tokens do not add up to the stated total: they were taken as they are"
_UNKNOWN_KIND = "a kind of usage that is not known was left out"
_NO_COST = "a cost of 0 with tokens was taken as not stated: Langfuse knows no price of every model"

Amounts = dict[str, Decimal | None]


class Meta(Struct, kw_only=True):
    """Where a page of the API stands among the others."""

    page: int | None = None
    total_pages: int | None = field(name="totalPages", default=None)
    cursor: str | None = None


class Entry(Struct, kw_only=True):
    """An observation in the names of the API and of blob storage, or a page of observations."""

    id: str | None = None
    type: str | None = None
    name: str | None = None
    level: str | None = None
    model: str | None = None
    provided_model: str | None = field(name="providedModelName", default=None)
    provided_model_2: str | None = field(name="provided_model_name", default=None)
    started: str | None = field(name="startTime", default=None)
    started_2: str | None = field(name="start_time", default=None)
    prompt: str | None = field(name="promptName", default=None)
    prompt_2: str | None = field(name="prompt_name", default=None)
    project: str | None = field(name="projectId", default=None)
    project_2: str | None = field(name="project_id", default=None)
    tags: list[str] | str | None = None
    usage: Amounts | str | None = field(name="usageDetails", default=None)
    usage_2: Amounts | str | None = field(name="usage_details", default=None)
    input_count: Decimal | None = field(name="inputUsage", default=None)
    output_count: Decimal | None = field(name="outputUsage", default=None)
    total_count: Decimal | None = field(name="totalUsage", default=None)
    cost: Amounts | str | None = field(name="costDetails", default=None)
    cost_2: Amounts | str | None = field(name="cost_details", default=None)
    total_cost: Decimal | None = field(name="totalCost", default=None)
    total_cost_2: Decimal | None = field(name="total_cost", default=None)
    calculated: Decimal | None = field(name="calculatedTotalCost", default=None)
    data: list[Entry] | None = None
    meta: Meta | None = None


def read_langfuse(reading: Reading) -> Iterator[UsageRecord]:
    """The records of an export, one for each generation or embedding.

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
        meta = entry.meta or Meta()
        reading.report.has_more = bool(meta.cursor) or (meta.page or 0) < (meta.total_pages or 0)
        for number, row in enumerate(entry.data):
            yield place.within(f"data[{number}]"), row


def _make_record(reading: Reading, place: Place, entry: Entry) -> UsageRecord | None:
    kind = (entry.type or "").upper()
    if kind not in _KEPT_TYPES:
        reading.report.skip(f"no call of a model: {(clean_label(kind) or '').lower()}")
        return None
    tokens = _split_tokens(reading, place, entry)
    if not (tokens and any(tokens)) and (entry.level or "").upper() == "ERROR":
        reading.report.skip("failed requests without usage")
        return None
    provider, model = name_model(None, entry.model or entry.provided_model or entry.provided_model_2)
    started_at = parse_start(reading, place, entry.started or entry.started_2 or "")
    return UsageRecord(
        SOURCE,
        clean_id(entry.id) if entry.id else make_key(started_at, model, entry.name, tokens),
        started_at,
        MOMENT_S,
        provider,
        model,
        clean_label(entry.project or entry.project_2),
        None,
        clean_label(_find_task(entry)),
        clean_label(entry.prompt or entry.prompt_2),
        ServiceTier.STANDARD,
        1,
        *(tokens or (None,) * len(USAGE_BUCKETS)),
        stated_pico_usd=_find_cost(reading, place, entry, has_tokens=bool(tokens and any(tokens))),
    )


def _find_task(entry: Entry) -> str | None:
    tags = entry.tags
    if isinstance(tags, str):
        try:
            tags = msgspec.json.decode(tags, type=list[str])
        except msgspec.DecodeError:
            tags = [tags]
    return tags[0] if tags else entry.name


def _split_tokens(reading: Reading, place: Place, entry: Entry) -> tuple[int, ...] | None:
    stated = _read_amounts(reading, place, "usageDetails", entry.usage or entry.usage_2)
    if not stated:
        stated = {"input": entry.input_count, "output": entry.output_count, "total": entry.total_count}
    counts = dict.fromkeys(USAGE_BUCKETS, 0)
    total: int | None = None
    is_stated = False
    for name, amount in stated.items():
        if amount is None:
            continue
        count = _read_count(reading, place, name, amount)
        if name == "total":
            total = count
            continue
        is_stated = True
        bucket = find_bucket(name)
        if bucket is not None:
            counts[bucket] += count
        elif count:
            reading.report.warn(_UNKNOWN_KIND, f"{place}: {quote(name)}")
    if not is_stated:
        return None
    if total is not None and sum(counts.values()) != total:
        _take_apart(reading, place, counts, total)
    return tuple(counts.values())


def find_bucket(name: str) -> str | None:
    """The bucket that a kind of usage belongs to, by its name; None where no name of a bucket is in it."""
    words = name.lower()
    is_output = "output" in words or "completion" in words or "candidates" in words
    if "cache" in words:
        if "creation" in words or "write" in words:
            return "cache_write_1h" if "1h" in words else "cache_write"
        return "cache_read"
    if "reasoning" in words or "thought" in words:
        return "output_reasoning"
    if "audio" in words:
        return "output_audio" if is_output else "input_audio"
    if is_output:
        return "output_visible"
    return "input_uncached" if "input" in words or "prompt" in words else None


def _take_apart(reading: Reading, place: Place, counts: dict[str, int], total: int) -> None:
    """Make the buckets disjoint where input and output alone are the total."""
    inside = counts["cache_read"] + counts["cache_write"] + counts["cache_write_1h"] + counts["input_audio"]
    after = counts["output_reasoning"] + counts["output_audio"]
    is_overlap = counts["input_uncached"] + counts["output_visible"] == total
    if is_overlap and inside <= counts["input_uncached"] and after <= counts["output_visible"]:
        counts["input_uncached"] -= inside
        counts["output_visible"] -= after
        reading.report.warn(_OVERLAP, str(place))
    else:
        reading.report.warn(_NOT_THE_TOTAL, str(place))


def _find_cost(reading: Reading, place: Place, entry: Entry, *, has_tokens: bool) -> int | None:
    costs = _read_amounts(reading, place, "costDetails", entry.cost or entry.cost_2)
    parts = [amount for name, amount in costs.items() if name != "total" and amount is not None]
    known = (costs.get("total"), entry.total_cost, entry.total_cost_2, entry.calculated)
    amount = next((one for one in known if one is not None), sum(parts) if parts else None)
    if amount is None:
        return None
    if not amount and has_tokens:
        reading.report.warn(_NO_COST, str(place))
        return None
    try:
        return parse_usd(Decimal(amount))
    except ValueError as error:
        raise reading.refuse(f"totalCost {error}.", line=place.line, path=place.within("totalCost").path) from None


def _read_count(reading: Reading, place: Place, name: str, amount: Decimal) -> int:
    if amount < 0 or amount != int(amount):
        path = place.within(f"usageDetails.{clean_label(name)}").path
        raise reading.refuse("It is no whole number of zero or more.", line=place.line, path=path)
    return int(amount)


def _read_amounts(reading: Reading, place: Place, name: str, value: Amounts | str | None) -> Amounts:
    if not isinstance(value, str):
        return value or {}
    try:
        return msgspec.json.decode(value, type=Amounts)
    except msgspec.DecodeError:
        problem = f"{name} is no JSON object of numbers."
        raise reading.refuse(problem, line=place.line, path=place.within(name).path) from None
