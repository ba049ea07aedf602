"""Prices rows of usage, exactly: own rates first, then list prices less the discount, else unpriced. Reads no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal

from inhouse.catalog import PriceBook
from inhouse.domain import DAY_S, ServiceTier, UsageRow
from inhouse.planning import UNPRICED, CostBreakdown, TokenPrice, price_usage, read_token_price

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRates:
    """What a contract with one provider says."""

    price_book: str | None = None
    """The company whose list prices apply; None: the provider's own name."""
    discount: Decimal = _ZERO
    """On list prices, as a share."""
    models: Mapping[str, TokenPrice] = field(default_factory=dict[str, TokenPrice])
    """Own prices by model, as they are."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The price of one model, tariff and day, by the prompt length that each part begins at, ascending."""

    lengths: tuple[tuple[int, TokenPrice], ...]
    is_backdated: bool = False

    def reach(self, mean_input: int) -> TokenPrice | None:
        """The price of prompts of this length; None where nothing is known."""
        reached = [price for start, price in self.lengths if start <= mean_input]
        return reached[-1] if reached else None


class Pricer:
    """Prices usage rows; each price is looked up once for a provider, model, tariff and day.

    A row of the price book often begins on the day on which it was first read. Usage from before is priced by that
    first row too, and counted in `num_backdated`: the price was not checked for its day.
    """

    def __init__(self, book: PriceBook, own: Mapping[str, OwnRates] | None = None) -> None:
        self._book = book
        self._own = own or {}
        self._found: dict[tuple[str, str, ServiceTier, int], _Found] = {}
        self.num_backdated = 0
        """Rows that were priced by a list price that is known only from a later day on."""

    def price_row(self, row: UsageRow) -> CostBreakdown:
        """What the requests of one row cost by list or contract, to the last digit.

        A price that depends on the prompt's length is taken at the row's mean length, since single lengths are not in
        a row; at the shortest, where the row does not count its requests. Unpriced where tokens, provider, model or a
        needed rate are not known, or where each request has a fee and their number is not.
        """
        if row.usage is None or row.provider is None or row.model is None:
            return UNPRICED
        mean_input = row.usage.input_total // row.num_requests if row.num_requests else 0
        found = self._find(row.provider, row.model, row.tier, row.started_at)
        price = found.reach(mean_input)
        if price is None:
            return UNPRICED
        cost = price_usage(row.usage, price, discount=self._discount(row.provider, row.model))
        if cost.request_usd is None or (cost.request_usd and row.num_requests is None):
            return UNPRICED
        self.num_backdated += found.is_backdated
        return replace(cost, request_usd=cost.request_usd * (row.num_requests or 0))

    def find_price(self, provider: str, model: str, tier: ServiceTier, at: float, mean_input: int) -> TokenPrice | None:
        """The price of prompts of `mean_input` tokens at a Unix second, before any discount; None: not known."""
        return self._find(provider, model, tier, at).reach(mean_input)

    def find_rates(
        self, provider: str, model: str, at: float, mean_input: int
    ) -> tuple[Decimal, Decimal, Decimal] | None:
        """(input, cached input, output) in dollars per million tokens, discount taken off, under the standard tariff.

        For prompts of `mean_input` tokens at a Unix second; None: no price is known.
        """
        price = self.find_price(provider, model, ServiceTier.STANDARD, at, mean_input)
        if price is None:
            return None
        factor = 1 - self._discount(provider, model)
        rates = (price.input_usd_per_mtok, price.cache_read_usd_per_mtok, price.output_usd_per_mtok)
        return (rates[0] * factor, rates[1] * factor, rates[2] * factor)

    def _find(self, provider: str, model: str, tier: ServiceTier, at: float) -> _Found:
        key = (provider, model, tier, int(at) // DAY_S)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._look_up(provider, model, tier, datetime.fromtimestamp(at, UTC).date())
        return found

    def _look_up(self, provider: str, model: str, tier: ServiceTier, day: date) -> _Found:
        own = self._own.get(provider)
        if own is not None and model in own.models:
            price = own.models[model]
            return _Found(((0, replace(price, longer=())), *price.longer))
        company = own.price_book if own is not None and own.price_book else provider
        first = self._book.first_day(company, model, tier)
        is_backdated = first is not None and day < first
        rows = self._book.token_prices_at(company, model, first if first is not None and is_backdated else day, tier)
        return _Found(tuple((row.from_input_tokens, read_token_price(row)) for row in rows), is_backdated=is_backdated)

    def _discount(self, provider: str, model: str) -> Decimal:
        own = self._own.get(provider)
        return _ZERO if own is None or model in own.models else own.discount
