"""Appends changed token prices to the price book from the genai-prices package. Run at release time, read the diff.

Run it in an environment that has inhouse and genai-prices: `python scripts/update_prices.py 2026-11-28`. Rows that are
there are never touched. A model whose price cannot be said in rows (by the hour of the day, by request, by a kind of
token that is not counted) is refused, and named. Run again, it appends nothing.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from inhouse.catalog import BOOK_FOLDER, TokenPriceRow, load_price_book
from inhouse.domain import ServiceTier

# Companies whose own chat models are all taken, and what is left out of each: other kinds of models, retired ones, and
# names under which another company's models stand.
COMPANIES: dict[str, str] = {
    "openai": r"ada|babbage|curie|davinci|text-|tts|ft:|.*\.ft-|gpt-3|gpt-4$|gpt-4-|gpt-4\.5|gpt-4o:|chatgpt|codex|"
    r"computer|o1-p|.*(realtime|live|transcribe|whisper|-tts|image|moderation|embedding|search|research|gpt-oss)",
    "anthropic": r"claude-(2|v1|3)",
    "google": r"claude|gemma|gemini-1|gemini-flash-1|gemini-pro|.*(embedding|image|tts|live|robotics|omni|banana)",
    "mistral": r".*(:free|embed|ocr|transcribe|moderation)|deepseek|zai-|mistral-tiny|mistral-medium-2312|pixtral|"
    r"mistral-7b|mistral-saba|mistral-small-(24b|3\.)|ministral-[38]b$",
    "deepseek": r"deepseek-v3",
    "x-ai": r"grok-[23]|.*voice",
    "cohere": r"embed|command-light|command$|c4ai",
}
# Names that genai-prices knows only by their beginning.
ALSO: dict[str, tuple[str, ...]] = {
    "claude-haiku-4-5": ("claude-haiku-4-5-20251001",),
    "claude-opus-4-0": ("claude-opus-4-20250514",),
    "claude-opus-4-1": ("claude-opus-4-1-20250805",),
    "claude-opus-4-5": ("claude-opus-4-5-20251101",),
    "claude-sonnet-4-0": ("claude-sonnet-4-20250514",),
    "claude-sonnet-4-5": ("claude-sonnet-4-5-20250929",),
}
# Open weights by the companies that host them: model of the catalog → names there, as patterns over the whole name in
# lower case. Fine-tunes, dearer fast lanes and regions are no list price of the weights, and are not matched.
HOSTS = (
    *("aws", "baseten", "cerebras", "cloudflare", "databricks", "fireworks", "groq"),
    *("mistral", "moonshotai", "novita", "ovhcloud", "together", "zai"),
)
_ANY = r"(?:.*/|databricks-|openai\.|google\.|meta\.|mistral\.|qwen\.|deepseek\.)?"
OPEN_WEIGHTS: dict[str, str] = {
    "gpt-oss-20b": r"gpt-oss-20b(-1:0)?",
    "gpt-oss-120b": r"gpt-oss-120b(-1:0)?",
    "llama-3.1-8b": r"(meta-)?llama-?v?3[.p-]1-8b-(instruct|instant|instruct-turbo|instruct-v1:0|instruct-fp8)",
    "llama-3.1-70b": r"(meta-)?llama-?v?3[.p-]1-70b-(instruct|instruct-turbo|instruct-v1:0|instruct-fp8-fast)",
    "llama-3.1-405b": r"(meta-)?llama-?v?3[.p-]1-405b-(instruct|instruct-turbo|instruct-v1:0)",
    "llama-3.3-70b": r"(meta-)?llama-?v?3[._p-]3-70b-(versatile|instruct(-turbo|-v1:0|-fp8-fast)?)",
    "llama-4-scout": r"llama-?4-scout(-17b)?(-16e)?(-instruct)?(-v1:0)?",
    "llama-4-maverick": r"llama-?4-maverick(-17b)?(-128e)?(-instruct)?(-fp8|-basic|-v1:0)?",
    "mixtral-8x7b": r"mixtral-8x7b(-instruct-v0[.:]1)?",
    "mixtral-8x22b": r"mixtral-8x22b-instruct(-v0\.1)?",
    "mistral-small-3": r"mistral-small-24b-instruct-2501",
    "mistral-small-3.1": r"mistral-small-3\.1-24b-instruct",
    "mistral-small-4": r"mistral-small-2603",
    "deepseek-v3": r"deepseek_v3",
    "deepseek-v3-0324": r"deepseek-v3-0324",
    "deepseek-v3.1": r"deepseek-v3[.p]1(-terminus)?",
    "deepseek-v3.2": r"deepseek-v3[.p]2",
    "deepseek-v4-flash": r"deepseek-v4-flash(-0731)?",
    "deepseek-v4-pro": r"deepseek-v4-pro(-0813)?",
    "deepseek-r1": r"(deepseek-r1(-0528|-turbo)?|r1-v1:0)",
    "qwen3-30b-a3b": r"qwen3-30b-a3b(-fp8|-instruct-2507)?",
    "qwen3-32b": r"qwen-?3-32b(-v1:0)?",
    "qwen3-235b-a22b": r"qwen3-235b-a22b(-instruct-2507|-thinking-2507|-2507)?",
    "qwen3.5-397b-a17b": r"qwen3\.5-397b-a17b",
    "gemma-3-4b": r"gemma-3-4b-it",
    "gemma-3-12b": r"gemma-3-12b(-it)?",
    "gemma-3-27b": r"gemma-3-27b-it",
    "kimi-k2": r"kimi-k2(-instruct|-0905)?",
    "kimi-k2.5": r"kimi-k2[.p]5",
    "glm-4.7": r"glm-4[.p]7",
    "glm-5": r"glm-5",
}
# Rows of genai-prices that are no longer sold, without being marked so.
GONE = {"groq": {"mixtral-8x7b-32768"}, "novita": {"deepseek/deepseek-r1", "deepseek/deepseek_v3"}}

RATES = {
    "input_usd_per_mtok": "input_mtok",
    "cache_read_usd_per_mtok": "cache_read_mtok",
    "cache_write_usd_per_mtok": "cache_write_mtok",
    "cache_write_1h_usd_per_mtok": "cache_write_1h_mtok",
    "output_usd_per_mtok": "output_mtok",
    "input_audio_usd_per_mtok": "input_audio_mtok",
    "output_audio_usd_per_mtok": "output_audio_mtok",
}
# Fees of tools, and cached audio, which no dialect here tells apart: what they cost is in no row.
IGNORED = {"web_searches_kcount", "storage_searches_kcount", "cache_audio_read_mtok"}
# The same tokens at another name, where they cost what the rate beside them says.
SAME_AS = {"output_reasoning_mtok": "output_mtok", "input_video_mtok": "input_mtok", "input_image_mtok": "input_mtok"}
CONTEXTS: dict[ServiceTier, dict[str, str]] = {
    ServiceTier.STANDARD: {},
    ServiceTier.BATCH: {"processing": "batch"},
    ServiceTier.FLEX: {"service_tier": "flex"},
    ServiceTier.PRIORITY: {"service_tier": "priority"},
}


class RefusedError(Exception):
    """The model's price cannot be said in rows."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A model that is wanted, under its names."""

    provider: str
    page: str
    model: Any
    names: tuple[str, ...]
    open_model: str | None


def main(checked_on: date, folder: Path = BOOK_FOLDER) -> int:
    """Append every rate that the book does not hold yet; returns how many rows that were."""
    known: defaultdict[tuple[str, ...], list[TokenPriceRow]] = defaultdict(list)
    for row in load_price_book(folder).token_prices:
        known[row.key].append(row)
    added: list[TokenPriceRow] = []
    refused: list[str] = []
    for listing in list_models():
        try:
            rows = list(read_rows(listing, checked_on))
        except RefusedError as error:
            refused.append(f"{listing.provider}/{listing.model.id}: {error}")
            continue
        for row in (*rows, *_level_steps(rows, known)):
            fresh = _place(row, known[row.key], checked_on)
            if fresh is not None:
                known[row.key].append(fresh)
                added.append(fresh)
    _append("".join(_render(row) for row in added), folder)
    sys.stdout.write(f"{len(added)} rows appended, {len(refused)} models refused\n")
    sys.stdout.writelines(f"  refused {line}\n" for line in refused)
    return len(added)


def list_models() -> Iterator[Listing]:
    """The companies' own chat models, then open weights by host; deprecated ones are left out."""
    data: Any = import_module("genai_prices.data")
    providers: dict[str, Any] = {provider.id: provider for provider in data.providers}
    for provider_id in dict.fromkeys((*COMPANIES, *HOSTS)):
        provider = providers.get(provider_id)
        if provider is None:
            continue
        for model in provider.models:
            open_model = _find_open(model.id) if provider_id in HOSTS else None
            is_wanted = open_model is not None
            if provider_id in COMPANIES:
                is_wanted = not re.match(COMPANIES[provider_id], model.id)
            names = _list_names(provider, model)
            if is_wanted and names and not model.deprecated and model.id not in GONE.get(provider_id, ()):
                yield Listing(provider_id, provider.pricing_urls[0], model, names, open_model)


def read_rows(listing: Listing, checked_on: date) -> Iterator[TokenPriceRow]:
    """The rows of a model: each tariff and length, in force on the day and announced for later.

    Raises:
        RefusedError: the price cannot be said in rows; names the form.
    """
    variants: list[Any] = listing.model.price_variants or []
    prices = listing.model.prices
    conditional = cast("list[Any]", prices) if isinstance(prices, list) else []
    if any(item.constraint and not hasattr(item.constraint, "start_date") for item in (*variants, *conditional)):
        raise RefusedError("priced by the hour of the day")
    for tier, context in CONTEXTS.items():
        dated = [item for item in variants if item.when == context] if context else conditional
        if context and not dated:
            continue
        starts: list[date] = [item.constraint.start_date if item.constraint else date.min for item in dated]
        begun = max((start for start in starts if start <= checked_on), default=None if context else date.min)
        if begun is not None:
            yield from _make_rows(listing, tier, checked_on if begun == date.min else begun, checked_on)
        for start in sorted(start for start in starts if start > checked_on):
            yield from _make_rows(listing, tier, start, checked_on)


def _make_rows(listing: Listing, tier: ServiceTier, begins: date, checked_on: date) -> Iterator[TokenPriceRow]:
    """A row for each prompt length at which a rate changes."""
    noon = datetime.combine(max(begins, checked_on), time(12), UTC)
    prices = _read_fields(listing.model.get_prices(noon, CONTEXTS[tier] or None))
    steps: list[Any] = [step for price in prices.values() for step in getattr(price, "tiers", [])]
    for start in sorted({0, *(step.start + 1 for step in steps)}):
        rates: dict[str, Any] = {ours: _rate_at(prices.get(theirs), start) for ours, theirs in RATES.items()}
        announced = ", announced by the provider" if begins > checked_on else ""
        yield TokenPriceRow(
            provider=listing.provider,
            model=listing.names[0],
            also=listing.names[1:],
            **rates,
            tier=tier,
            from_input_tokens=start,
            open_model=listing.open_model,
            effective_from=begins,
            checked_on=checked_on,
            source=listing.page,
            note=f"genai-prices {version('genai-prices')}{announced}",
        )


def _read_fields(prices: Any) -> dict[str, Any]:
    """The prices that are stated, by genai-prices' names."""
    members = cast("dict[str, Any]", vars(prices))
    stated = {name: price for name, price in members.items() if price is not None and name not in IGNORED}
    for name, same in SAME_AS.items():
        if name in stated and stated[name] == stated.get(same):
            del stated[name]
    strange = sorted(set(stated) - set(RATES.values()))
    if strange:
        raise RefusedError(f"priced by {', '.join(strange)}")
    if "input_mtok" not in stated or "output_mtok" not in stated:
        raise RefusedError("no rate of input or of output tokens")
    return stated


def _rate_at(price: Any, num_input: int) -> Decimal | None:
    """The rate for a prompt of `num_input` tokens: a step's rate holds for more tokens than its start."""
    if price is None or isinstance(price, Decimal):
        return price
    reached = [step.price for step in price.tiers if num_input > step.start]
    return reached[-1] if reached else price.base


def _find_open(name: str) -> str | None:
    return next((model for model, names in OPEN_WEIGHTS.items() if re.fullmatch(_ANY + names, name.lower())), None)


def _list_names(provider: Any, model: Any) -> tuple[str, ...]:
    """The model's names that are known whole and that lead genai-prices to it, its own first.

    Those that write a dash for the dot of a version are left out.
    """
    clauses: list[Any] = getattr(model.match, "or_", [model.match])
    names: list[str] = [model.id, *(clause.equals for clause in clauses if hasattr(clause, "equals"))]
    names += ALSO.get(model.id, ())
    dashed = model.id.replace(".", "-") if "." in model.id else None
    return tuple(
        name
        for name in dict.fromkeys(names)
        if provider.find_model(name) is model and (dashed is None or dashed not in name)
    )


def _place(row: TokenPriceRow, known: Sequence[TokenPriceRow], checked_on: date) -> TokenPriceRow | None:
    """The row as it is to be appended, or None where the book says the same already.

    What changed since the last row, at a time that is not known, counts from the day on which it was read.
    """
    if known and row.effective_from <= known[-1].effective_from <= checked_on:
        row = row.model_copy(update={"effective_from": checked_on})
    before = [old for old in known if old.effective_from <= row.effective_from]
    if not before:
        return row
    is_same = all(getattr(before[-1], name) == getattr(row, name) for name in (*RATES, "open_model"))
    return None if is_same and set(row.also) <= set(before[-1].also) else row


def _level_steps(rows: Sequence[TokenPriceRow], known: Mapping[tuple[str, ...], object]) -> Iterator[TokenPriceRow]:
    """Steps that the book has and the provider has no more: they go on with the rates of the shortest prompts."""
    keys = {row.key for row in rows}
    for base in rows:
        for key in list(known):
            if base.from_input_tokens == 0 and key not in keys and key[:-1] == base.key and key[-1].isdigit():
                yield base.model_copy(update={"from_input_tokens": int(key[-1])})


def _append(text: str, folder: Path) -> None:
    """Append to the book's file, if what comes of it is a sound book."""
    with TemporaryDirectory() as trial:
        shutil.copytree(folder, trial, dirs_exist_ok=True)
        with (Path(trial) / "token_prices.yaml").open("a", encoding="utf-8") as file:
            file.write(text)
        load_price_book(Path(trial))
        shutil.copy(Path(trial) / "token_prices.yaml", folder / "token_prices.yaml")


def _render(row: TokenPriceRow) -> str:
    lines = [f"provider: {row.provider}", f'model: "{row.model}"']
    if row.also:
        lines.append(f"also: [{', '.join(f'{chr(34)}{name}{chr(34)}' for name in row.also)}]")
    if row.tier is not ServiceTier.STANDARD:
        lines.append(f"tier: {row.tier.value}")
    if row.from_input_tokens:
        lines.append(f"from_input_tokens: {row.from_input_tokens}")
    if row.open_model:
        lines.append(f"open_model: {row.open_model}")
    lines += [f'{name}: "{rate}"' for name in RATES if (rate := getattr(row, name)) is not None]
    lines += [f"effective_from: {row.effective_from}", f"checked_on: {row.checked_on}"]
    lines += [f'source: "{row.source}"', f'note: "{row.note}"']
    return "  - " + "\n    ".join(lines) + "\n"


if __name__ == "__main__":
    main(date.fromisoformat(sys.argv[1]))
