"""Which column of a table holds which field: by its name, an obvious other name, or what the user says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inhouse.cli.usage_files.labels import quote
from inhouse.cli.usage_files.reading import Reading
from inhouse.domain import USAGE_BUCKETS, ConfigError

COUNT_FIELDS = USAGE_BUCKETS
"""Token fields that are a bucket of their own, in the order of a record."""
TOTAL_FIELDS = ("input_total", "output_total")
"""Token fields that hold several buckets: what is not stated apart is uncached input or visible output."""
LABEL_FIELDS = ("provider", "model", "project", "key", "task", "template", "tier")

FIELDS: dict[str, tuple[str, ...]] = {
    "time": (
        "timestamp", "datetime", "date", "day", "hour", "start_time", "started_at", "starttime", "created_at",
        "usage_date", "start", "period_start",
    ),
    "width": ("bucket_width", "granularity", "period"),
    "id": ("request_id", "record_id", "trace_id", "call_id"),
    "provider": ("vendor", "custom_llm_provider", "llm_provider"),
    "model": ("model_name", "model_id", "model_version"),
    "project": (
        "project_id", "project_name", "workspace", "workspace_id", "team", "team_id", "route",
        "app", "service",
    ),
    "key": ("key_id", "key_name", "api_key", "api_key_id", "api_key_name", "key_alias"),
    "task": ("task_type", "tag", "operation", "feature", "use_case"),
    "template": ("prompt_name", "prompt_template", "template_id"),
    "tier": ("service_tier", "batch"),
    "requests": ("num_requests", "n_requests", "request_count", "num_model_requests", "calls", "count"),
    "input_total": ("input_tokens", "prompt_tokens", "tokens_in", "input"),
    "output_total": ("output_tokens", "completion_tokens", "tokens_out", "output"),
    "input_uncached": ("uncached_input_tokens", "input_uncached_tokens"),
    "cache_read": (
        "cached_tokens", "cached_input_tokens", "input_cached_tokens", "cache_read_tokens", "cache_read_input_tokens",
    ),
    "cache_write": ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"),
    "cache_write_1h": ("cache_write_1h_tokens", "cache_creation_1h_input_tokens"),
    "output_visible": ("visible_output_tokens",),
    "output_reasoning": ("reasoning_tokens", "output_reasoning_tokens"),
    "input_audio": ("input_audio_tokens",),
    "output_audio": ("output_audio_tokens",),
    "usd": ("cost", "cost_usd", "amount_usd", "amount", "spend", "spend_usd", "total_cost"),
}  # fmt: skip
"""Every field of a table, with the other names that its column may have."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Position of each field's column, from 0."""

    time: int
    width: int | None
    id: int | None
    labels: tuple[int | None, ...]
    """In the order of `LABEL_FIELDS`."""
    requests: int | None
    counts: tuple[tuple[int, int], ...]
    """(bucket, column)."""
    totals: tuple[int | None, int | None]
    usd: int | None


def find_columns(reading: Reading, header: Sequence[str]) -> Columns:
    """Positions of the fields in a header; what the user mapped goes before names.

    Raises:
        ConfigError: a mapped column or field is not there, two columns hold one field, or there is no time, or nothing
            to count.
    """
    found = _map_columns(reading, header)
    if "time" not in found:
        raise _refuse(reading, header, "It has no column for the time.", "time")
    counts = tuple((number, found[name]) for number, name in enumerate(COUNT_FIELDS) if name in found)
    totals = (found.get("input_total"), found.get("output_total"))
    if not counts and totals == (None, None) and "usd" not in found:
        raise _refuse(reading, header, "It has no column with tokens or an amount.", "input_total")
    return Columns(
        time=found["time"],
        width=found.get("width"),
        id=found.get("id"),
        labels=tuple(found.get(name) for name in LABEL_FIELDS),
        requests=found.get("requests"),
        counts=counts,
        totals=totals,
        usd=found.get("usd"),
    )


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """`column=field` pairs as a mapping from column to field.

    Raises:
        ConfigError: one has no `=`, or names a field that there is not.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        column, equals, name = pair.rpartition("=")
        if not equals or name not in FIELDS:
            known = ", ".join(FIELDS)
            raise ConfigError(f"--map {quote(pair)} names no field.", fix=f"write column=field; fields are {known}.")
        mapping[column.strip()] = name
    return mapping


def _map_columns(reading: Reading, header: Sequence[str]) -> dict[str, int]:
    names = [name.strip().lower().replace(" ", "_") for name in header]
    found = _map_by_hand(reading, header, reading.mapping)
    taken = set(found.values())
    for name, aliases in FIELDS.items():
        if name in found:
            continue
        at = next((names.index(alias) for alias in (name, *aliases) if alias in names), None)
        if at is not None and at not in taken:
            found[name] = at
            taken.add(at)
    return found


def _map_by_hand(reading: Reading, header: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for column, name in mapping.items():
        if column not in header:
            raise _refuse(reading, header, f"--map names the column {quote(column)}, which is not there.", name)
        if name in found:
            raise _refuse(reading, header, f"--map gives two columns for {name}.", name)
        found[name] = list(header).index(column)
    return found


def _refuse(reading: Reading, header: Sequence[str], problem: str, name: str) -> ConfigError:
    columns = ", ".join(quote(column) for column in header)
    names = ", ".join((name, *FIELDS[name]))
    fix = f"name a column one of {names}, or add `--map COLUMN={name}`; the columns are {columns}."
    return reading.refuse(problem, line=1, fix=fix)
