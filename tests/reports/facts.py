"""Small facts for the tests of reports: a price book with round figures, usage rows, and a question's parts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from inhouse.catalog import CapacityRow, PriceBook, TokenPriceRow
from inhouse.domain import HOUR_S, Usage, UsageRow

DAY = date(2026, 11, 2)
"""A Monday."""
TODAY = date(2026, 11, 28)
"""The day that the facts of the package are asked for."""
START = int(datetime(2026, 11, 2, tzinfo=UTC).timestamp())


def make_price(provider: str, model: str, usd_in: str, usd_out: str, **more: Any) -> TokenPriceRow:
    """A list price that holds from 2026-01-01, dollars per million tokens."""
    begins = date(2026, 1, 1)
    fields: dict[str, Any] = {
        "effective_from": begins,
        "checked_on": begins,
        "source": "assumption: a test's",
        "provider": provider,
        "model": model,
        "input_usd_per_mtok": usd_in,
        "output_usd_per_mtok": usd_out,
        **more,
    }
    return TokenPriceRow.model_validate(fields)


def make_book(*prices: TokenPriceRow) -> PriceBook:
    """A price book of token prices alone."""
    return PriceBook(token_prices=prices, machines=(), engine_rates=())


def make_row(provider: str | None = "acme", model: str | None = "mid", **fields: Any) -> UsageRow:
    """An hour: a thousand requests with a million prompt tokens and 100,000 of answers, unless said otherwise."""
    usual: dict[str, Any] = {
        "source": "csv",
        "started_at": START,
        "width_s": HOUR_S,
        "num_requests": 1_000,
        "usage": Usage(input_uncached=1_000_000, output_visible=100_000),
    }
    row: dict[str, Any] = {**usual, "provider": provider, "model": model, **fields}
    return UsageRow(**row)


def make_capacity(**fields: Any) -> CapacityRow:
    """A replica of gpt-oss-120b on one H200: 20,000 prompt tokens or 12,500 answer tokens a second."""
    known: dict[str, Any] = {
        "model": "gpt-oss-120b", "gpu": "H200", "num_gpus": 1, "engine": "an engine 1.0", "precision": "mxfp4",
        "seconds_per_input_token": "0.00005", "seconds_per_output_token": "0.00008", "relative_error": "0.32",
        "num_points": 2, "basis": "measured", "method": "two points", "effective_from": date(2026, 1, 1),
        "checked_on": date(2026, 1, 1), "source": "assumption: a test's",
    }  # fmt: skip
    return CapacityRow.model_validate({**known, **fields})
