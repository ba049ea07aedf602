"""The table of LiteLLM keys that need no code: what becomes of each, and the words for it. Reads package data."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import yaml

from inhouse.cli.litellm.reading import Item, is_empty
from inhouse.cli.litellm.report import Ledger, Outcome
from inhouse.domain.settings import Settings

_FILE = Path(__file__).parent / "keys.yaml"
_CODED = {
    "litellm_params": (
        "model", "api_key", "api_base", "api_version", "custom_llm_provider", "timeout", "stream_timeout",
        "max_retries", "num_retries", "weight", "order", "tags", "cooldown_time", "input_cost_per_token",
        "output_cost_per_token", "azure_ad_token", "litellm_credential_name",
    ),
    "model_info": (
        "id", "mode", "supports_vision", "supports_audio_input", "supports_pdf_input", "blocked",
        "input_cost_per_token", "output_cost_per_token",
    ),
    "router_settings": (
        "routing_strategy", "num_retries", "timeout", "stream_timeout", "allowed_fails", "cooldown_time",
        "disable_cooldowns", "fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks",
        "model_group_alias", "retry_policy", "retry_after", "max_fallbacks", "enable_tag_filtering",
    ),
    "litellm_settings": (
        "request_timeout", "num_retries", "allowed_fails", "cooldown_time", "fallbacks", "ssl_verify",
        "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "cost_discount_config",
    ),
    "general_settings": (
        "master_key", "database_url", "store_model_in_db", "max_request_size_mb",
    ),
    "top": (
        "model_list", "litellm_settings", "router_settings", "general_settings", "environment_variables", "include",
        "credential_list",
    ),
}  # fmt: skip
"""Keys that code looks at, for suggestions: the table holds all others."""
_NOTHING_LOST = "Off or empty here, so nothing is lost."


class KeyRule(Settings):
    """What becomes of some keys."""

    keys: tuple[str, ...]
    """Names; a `*` at the end stands for a family."""
    why: str
    """What the user loses, and what to do instead."""
    outcome: Outcome = Outcome.DROPPED
    """What becomes of them where they ask for something."""
    when_off: str = _NOTHING_LOST
    """The words where they ask for nothing."""
    always: bool = False
    """The value makes no difference."""


class KeyTable(Settings):
    """All rules by section."""

    source: str
    """Where LiteLLM documents its keys."""
    checked_on: date
    """When that was read."""
    sections: dict[str, tuple[KeyRule, ...]]
    """Rules by section; `prices` counts for parameters and model infos alike."""


@dataclass(frozen=True, slots=True)
class _Match:
    length: int
    rule: KeyRule


def find_rule(section: str, key: str) -> KeyRule | None:
    """The rule of a key: the one that names it, else the longest family; None for a key that is not known."""
    names = (section, "prices") if section in {"litellm_params", "model_info"} else (section,)
    rules = [rule for name in names for rule in load_table().sections[name]]
    exact = next((rule for rule in rules if key in rule.keys), None)
    if exact is not None:
        return exact
    families = [
        _Match(len(name), rule) for rule in rules for name in rule.keys if "*" in name and fnmatchcase(key, name)
    ]
    return max(families, key=lambda match: match.length).rule if families else None


def note_by_rule(ledger: Ledger, section: str, item: Item) -> None:
    """Give a key the line that the table has for it, or say that it is not known."""
    rule = find_rule(section, item.key)
    if rule is None:
        ledger.note(
            item,
            Outcome.UNKNOWN,
            "This key is not in LiteLLM's documentation as this version knows it; nothing was made of it. "
            + _suggest(section, item.key),
        )
    elif not rule.always and is_empty(item.value):
        ledger.note(item, Outcome.CARRIED, rule.when_off)
    else:
        below = ", ".join(item.children())
        ledger.note(item, rule.outcome, f"{rule.why} (Stands for all below it: {below}.)" if below else rule.why)


def _suggest(section: str, key: str) -> str:
    """What was probably meant."""
    names = [name for rule in load_table().sections[section] for name in rule.keys if "*" not in name]
    close = difflib.get_close_matches(key, [*names, *_CODED.get(section, ())], n=1, cutoff=0.8)
    return f"Is `{close[0]}` meant?" if close else "A typing mistake, or newer than this version."


@cache
def load_table() -> KeyTable:
    """The table in the package."""
    return KeyTable.model_validate(yaml.safe_load(_FILE.read_text(encoding="utf-8")))
