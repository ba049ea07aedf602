"""The formats that can be read, and how each is known by its content. Parses nothing."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from inhouse.cli.usage_files.opening import OpenedFile, Shape, split_header
from inhouse.domain import ConfigError, SourceLocation


class UsageFormat(StrEnum):
    """What a file of usage may be; the value is the source name of its rows, and of the command that reads it."""

    OPENAI_USAGE = "openai-usage"
    ANTHROPIC_USAGE = "anthropic-usage"
    LITELLM_SPEND = "litellm-spend"
    LANGFUSE = "langfuse"
    CSV = "csv"


DESCRIPTIONS: dict[UsageFormat, str] = {
    UsageFormat.OPENAI_USAGE: "OpenAI: pages of organization/usage/completions (`input_tokens`, `num_model_requests`), "
    "or the usage page's CSV export",
    UsageFormat.ANTHROPIC_USAGE: "Anthropic: pages of usage_report/messages (`uncached_input_tokens`), or the "
    "console's CSV export (`usage_input_tokens_no_cache`)",
    UsageFormat.LITELLM_SPEND: "LiteLLM: spend logs (`request_id`, `startTime`, `prompt_tokens`, `spend`)",
    UsageFormat.LANGFUSE: "Langfuse: exported observations (`type`, `startTime`, `usageDetails`)",
    UsageFormat.CSV: "a CSV table whose header names a time and tokens or an amount",
}
"""What each is recognised by, in words."""


def detect_format(opened: OpenedFile) -> UsageFormat:
    """Which format a file has.

    Raises:
        ConfigError: it is none of them; lists what was looked for.
    """
    found = find_format(opened)
    if found is None:
        looked_for = "; ".join(f"{name}: {text}" for name, text in DESCRIPTIONS.items())
        raise ConfigError(
            f"It is no usage export that is known ({opened.shape}). Looked for {looked_for}.",
            fix="export it again in one of these, or write a CSV with a header (docs/guides/usage-imports.md).",
            location=SourceLocation(file=str(opened.path)),
        )
    return found


def check_format(opened: OpenedFile, wanted: UsageFormat) -> None:
    """Refuse a file that is plainly another format than the one that was asked for.

    Raises:
        ConfigError: names the command that reads it.
    """
    found = find_format(opened)
    if found is None or found is wanted or wanted is UsageFormat.CSV or found is UsageFormat.CSV:
        return
    raise ConfigError(
        f"This is no {wanted} export; it looks like {found}.",
        fix=f"read it with `inhouse import {found} {opened.path}`.",
        location=SourceLocation(file=str(opened.path)),
    )


def find_format(opened: OpenedFile) -> UsageFormat | None:
    """Which format a file has; None where it is none that is known."""
    if opened.shape is Shape.CSV:
        header = {name.strip().lower() for name in split_header(opened.head)}
        return next((known for known, fits in _HEADERS if fits(header)), None)
    return next((known for known, fits in _DOCUMENTS if fits(opened.head)), None)


def _has(*words: str) -> Callable[[str], bool]:
    return lambda head: all(f'"{word}"' in head for word in words)


_DOCUMENTS: tuple[tuple[UsageFormat, Callable[[str], bool]], ...] = (
    (UsageFormat.OPENAI_USAGE, lambda head: '"organization.usage.' in head or _has("num_model_requests")(head)),
    (UsageFormat.ANTHROPIC_USAGE, _has("uncached_input_tokens")),
    (UsageFormat.LITELLM_SPEND, _has("request_id", "startTime", "prompt_tokens")),
    (UsageFormat.LANGFUSE, _has("usageDetails")),
    (UsageFormat.LANGFUSE, _has("usage_details", "start_time")),
    (UsageFormat.LANGFUSE, _has("traceId", "startTime", "type")),
    (UsageFormat.ANTHROPIC_USAGE, _has("starting_at", "results")),
    (UsageFormat.OPENAI_USAGE, _has("start_time", "results")),
    (UsageFormat.OPENAI_USAGE, lambda head: _has("object", "data")(head) and '"page"' in head),
)

_HEADERS: tuple[tuple[UsageFormat, Callable[[set[str]], bool]], ...] = (
    (UsageFormat.ANTHROPIC_USAGE, lambda names: "usage_input_tokens_no_cache" in names),
    (UsageFormat.OPENAI_USAGE, lambda names: {"start_time", "num_model_requests"} <= names),
    (UsageFormat.OPENAI_USAGE, lambda names: {"start_time", "start_time_iso", "end_time_iso"} <= names),
    (UsageFormat.OPENAI_USAGE, lambda names: "n_context_tokens_total" in names),
    (UsageFormat.LITELLM_SPEND, lambda names: {"request_id", "starttime", "prompt_tokens"} <= names),
    (UsageFormat.LANGFUSE, lambda names: bool({"usagedetails", "usage_details"} & names)),
    (UsageFormat.LANGFUSE, lambda names: {"traceid", "starttime", "type"} <= names),
    (UsageFormat.CSV, lambda names: len(names) > 1),
)
