"""Appends changed token prices to the price book from the genai-prices package. Run at release time, read the diff.

Run it in an environment that has inhouse and genai-prices: `python scripts/update_prices.py 2026-11-23`. Rows that are
there are never touched. A model whose price depends on the prompt's length is refused, because a row is a flat price.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib import import_module
from importlib.metadata import version
from typing import Any, cast

from inhouse.catalog import BOOK_FOLDER, TokenPriceRow, load_price_book

# Provider → model → other names of it. Each name must lead genai-prices to the same model.
WANTED: dict[str, dict[str, tuple[str, ...]]] = {
    "openai": {
        "gpt-4o-mini": ("gpt-4o-mini-2024-07-18",),
        "gpt-4.1": ("gpt-4.1-2025-04-14",),
        "gpt-4.1-mini": ("gpt-4.1-mini-2025-04-14",),
        "gpt-5": ("gpt-5-2025-08-07",),
        "gpt-5-mini": ("gpt-5-mini-2025-08-07",),
        "gpt-5.1": ("gpt-5.1-2025-11-13",),
        "gpt-5.4-mini": ("gpt-5.4-mini-2026-03-17",),
        "gpt-5.4-nano": ("gpt-5.4-nano-2026-03-17",),
    },
    "anthropic": {
        "claude-haiku-4-5": ("claude-haiku-4-5-20251001",),
        "claude-sonnet-5": (),
        "claude-sonnet-5-5": (),
        "claude-opus-5": (),
        "claude-opus-5-5": (),
    },
    "mistral": {"mistral-small-2603": (), "mistral-medium-3-5": (), "mistral-large-4": (), "ministral-8b-2512": ()},
    "google": {"gemini-2.5-flash": (), "gemini-2.5-flash-lite": (), "gemini-3.5-flash": (), "gemini-4-argon": ()},
}
RATES = {
    "input_usd_per_mtok": "input_mtok",
    "cache_read_usd_per_mtok": "cache_read_mtok",
    "cache_write_usd_per_mtok": "cache_write_mtok",
    "output_usd_per_mtok": "output_mtok",
}


def main(checked_on: date) -> None:
    """Append every rate that the book does not hold yet."""
    book = load_price_book()
    rows = [row for row in _read_rows(checked_on) if not _is_known(row, book.token_prices)]
    with (BOOK_FOLDER / "token_prices.yaml").open("a", encoding="utf-8") as file:
        file.writelines(_render(row) for row in rows)
    load_price_book()
    sys.stdout.write(f"{len(rows)} rows appended\n")


def _read_rows(checked_on: date) -> Iterator[TokenPriceRow]:
    """Rows of the wanted models: the price in force on the day, and those announced for later."""
    data: Any = import_module("genai_prices.data")
    providers: dict[str, Any] = {provider.id: provider for provider in data.providers}
    for provider_id, models in WANTED.items():
        provider = providers[provider_id]
        for name, also in models.items():
            model = provider.find_model(name)
            if model is None or any(provider.find_model(other) is not model for other in also):
                raise SystemExit(f"genai-prices does not know {provider_id}/{name} by all its names")
            for begins, prices in _read_prices(model.prices, checked_on):
                yield _make_row((provider_id, name), also, prices, begins, checked_on, provider.pricing_urls[0])


def _read_prices(prices: Any, checked_on: date) -> list[tuple[date, Any]]:
    """(first day, price). A price without a known beginning counts from `checked_on`."""
    if not isinstance(prices, list):
        return [(checked_on, prices)]
    conditional = cast("list[Any]", prices)
    dated: list[tuple[date, Any]] = [
        (getattr(item.constraint, "start_date", None) or date.min, item.prices) for item in conditional
    ]
    begun = [item for item in dated if item[0] <= checked_on]
    first, price = begun[-1]
    in_force = (checked_on if first == date.min else first, price)
    return [in_force, *(item for item in dated if item[0] > checked_on)]


def _make_row(
    key: tuple[str, str], also: tuple[str, ...], prices: Any, begins: date, checked_on: date, page: str
) -> TokenPriceRow:
    rates = {ours: getattr(prices, theirs) for ours, theirs in RATES.items()}
    if any(rate is not None and not isinstance(rate, Decimal) for rate in rates.values()):
        raise SystemExit(f"{'/'.join(key)} has a price that depends on the prompt's length")
    announced = ", announced by the provider" if begins > checked_on else ""
    return TokenPriceRow(
        provider=key[0],
        model=key[1],
        also=also,
        **rates,
        effective_from=begins,
        checked_on=checked_on,
        source=page,
        note=f"genai-prices {version('genai-prices')}{announced}",
    )


def _is_known(row: TokenPriceRow, book: tuple[TokenPriceRow, ...]) -> bool:
    """Whether the book holds these rates already: the latest row begun by then says the same."""
    before = [old for old in book if old.key == row.key and old.effective_from <= row.effective_from]
    return bool(before) and all(getattr(before[-1], name) == getattr(row, name) for name in RATES)


def _render(row: TokenPriceRow) -> str:
    lines = [f"provider: {row.provider}", f"model: {row.model}"]
    if row.also:
        lines.append(f"also: [{', '.join(row.also)}]")
    lines += [f'{name}: "{rate}"' for name in RATES if (rate := getattr(row, name)) is not None]
    lines += [f"effective_from: {row.effective_from}", f"checked_on: {row.checked_on}"]
    lines += [f'source: "{row.source}"', f'note: "{row.note}"']
    return "  - " + "\n    ".join(lines) + "\n"


if __name__ == "__main__":
    main(date.fromisoformat(sys.argv[1]))
