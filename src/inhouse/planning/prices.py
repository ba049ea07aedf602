"""Usage → money, in Decimal: token rates, what one request cost, the vector for the hot path. Looks nothing up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

from inhouse.catalog import EngineRateRow, TokenPriceRow
from inhouse.domain import PriceVector, Usage

_TOKENS_PER_MTOK = Decimal(1_000_000)
_ZERO = Decimal(0)
_SECONDS_PER_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """What a token of each usage bucket costs, in US dollars per million, before any discount.

    `price_id` is kept with every trace that is priced from it. `usd_per_request` is added to each request. A rate of
    None is no price: a request with tokens in that bucket is unpriced.
    """

    price_id: str
    input_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal
    cache_write_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    reasoning_usd_per_mtok: Decimal
    cache_write_1h_usd_per_mtok: Decimal | None = None
    input_audio_usd_per_mtok: Decimal | None = None
    output_audio_usd_per_mtok: Decimal | None = None
    usd_per_request: Decimal = Decimal(0)
    longer: tuple[tuple[int, TokenPrice], ...] = ()
    """(from how many prompt tokens on, the price of the whole request then), ascending; these have none themselves."""

    def __post_init__(self) -> None:
        amounts = [rate for _, rate in self.rates if rate is not None] + [self.usd_per_request]
        if not all(amount.is_finite() and amount >= 0 for amount in amounts):
            raise ValueError(f"{self.price_id}: a price is zero or more")
        starts = [0, *(start for start, _ in self.longer)]
        is_ascending = all(earlier < later for earlier, later in pairwise(starts))
        if not is_ascending or any(price.longer for _, price in self.longer):
            raise ValueError(f"{self.price_id}: prices of longer prompts stand in the order of their lengths")

    @property
    def rates(self) -> tuple[tuple[str, Decimal | None], ...]:
        """(usage bucket, US dollars per million tokens)."""
        return (
            ("input_uncached", self.input_usd_per_mtok),
            ("cache_read", self.cache_read_usd_per_mtok),
            ("cache_write", self.cache_write_usd_per_mtok),
            ("output_visible", self.output_usd_per_mtok),
            ("output_reasoning", self.reasoning_usd_per_mtok),
            ("cache_write_1h", self.cache_write_1h_usd_per_mtok),
            ("input_audio", self.input_audio_usd_per_mtok),
            ("output_audio", self.output_audio_usd_per_mtok),
        )

    def reach(self, num_input: int) -> TokenPrice:
        """The price of a request whose prompt has `num_input` tokens, cached ones and audio included."""
        reached = [price for start, price in self.longer if start <= num_input]
        return reached[-1] if reached else self


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRate:
    """How many seconds a machine is busy for one token, at the load at which it was measured.

    With several requests at once these are the machine's seconds divided by all tokens made in them, not the time that
    one client waits for a token.
    """

    seconds_per_input_token: Decimal
    seconds_per_cached_token: Decimal
    seconds_per_output_token: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CostBreakdown:
    """What one request cost by usage bucket, in US dollars, discount taken off. Unpriced is a state, not zero.

    `price_id` names the price that the prompt's length led to.
    """

    price_id: str | None
    buckets_usd: tuple[tuple[str, Decimal], ...]
    request_usd: Decimal | None

    @property
    def is_unpriced(self) -> bool:
        """Whether usage or a price of it is unknown; then there is no total."""
        return self.request_usd is None

    @property
    def total_usd(self) -> Decimal | None:
        """The sum; None where unpriced."""
        if self.request_usd is None:
            return None
        return sum((amount for _, amount in self.buckets_usd), self.request_usd)


UNPRICED = CostBreakdown(price_id=None, buckets_usd=(), request_usd=None)
"""The cost of a request whose usage or price is unknown."""


def make_token_price(
    price_id: str,
    *,
    input_usd_per_mtok: Decimal,
    output_usd_per_mtok: Decimal,
    cache_read_usd_per_mtok: Decimal | None = None,
    cache_write_usd_per_mtok: Decimal | None = None,
) -> TokenPrice:
    """A price from the rates that providers state: cached tokens cost the input rate where no other is given.

    Reasoning tokens cost the output rate. Audio and the hour's cache have no price; `dataclasses.replace` gives them
    one.

    Raises:
        ValueError: a rate is negative or no number.
    """
    return TokenPrice(
        price_id=price_id,
        input_usd_per_mtok=input_usd_per_mtok,
        cache_read_usd_per_mtok=_or_else(cache_read_usd_per_mtok, input_usd_per_mtok),
        cache_write_usd_per_mtok=_or_else(cache_write_usd_per_mtok, input_usd_per_mtok),
        output_usd_per_mtok=output_usd_per_mtok,
        reasoning_usd_per_mtok=output_usd_per_mtok,
    )


def read_token_price(row: TokenPriceRow) -> TokenPrice:
    """The price in one row of the price book, whatever the prompt's length."""
    price = make_token_price(
        row.price_id,
        input_usd_per_mtok=row.input_usd_per_mtok,
        output_usd_per_mtok=row.output_usd_per_mtok,
        cache_read_usd_per_mtok=row.cache_read_usd_per_mtok,
        cache_write_usd_per_mtok=row.cache_write_usd_per_mtok,
    )
    return replace(
        price,
        cache_write_1h_usd_per_mtok=row.cache_write_1h_usd_per_mtok,
        input_audio_usd_per_mtok=row.input_audio_usd_per_mtok,
        output_audio_usd_per_mtok=row.output_audio_usd_per_mtok,
    )


def read_token_prices(rows: Sequence[TokenPriceRow]) -> TokenPrice | None:
    """The price in the rows of one model and tariff, as `PriceBook.token_prices` gives them: ascending from length 0.

    Returns:
        None for no rows.

    Raises:
        ValueError: the rows are not in the order of their lengths.
    """
    if not rows:
        return None
    longer = tuple((row.from_input_tokens, read_token_price(row)) for row in rows[1:])
    return replace(read_token_price(rows[0]), longer=longer)


def read_engine_rate(row: EngineRateRow) -> EngineRate:
    """The rate in a row of the price book."""
    return EngineRate(
        seconds_per_input_token=row.seconds_per_input_token,
        seconds_per_cached_token=row.seconds_per_cached_token,
        seconds_per_output_token=row.seconds_per_output_token,
    )


def self_host_price(machine_usd_per_hour: Decimal, rate: EngineRate, *, price_id: str) -> TokenPrice:
    """The usage-based price of tokens on one's own machine: dollars per second times seconds per token.

    It is the busy share only: what the machine costs while it stands idle is in no request's cost, so this price must
    not be compared with a provider's. Tokens written to the prefix cache cost what other input costs, however long
    they stay. Audio has no price: the rate was measured on text.

    Raises:
        ValueError: the machine's price or a rate is negative or no number.
    """
    usd_per_second = machine_usd_per_hour / _SECONDS_PER_HOUR
    price = make_token_price(
        price_id,
        input_usd_per_mtok=usd_per_second * rate.seconds_per_input_token * _TOKENS_PER_MTOK,
        output_usd_per_mtok=usd_per_second * rate.seconds_per_output_token * _TOKENS_PER_MTOK,
        cache_read_usd_per_mtok=usd_per_second * rate.seconds_per_cached_token * _TOKENS_PER_MTOK,
    )
    return replace(price, cache_write_1h_usd_per_mtok=price.input_usd_per_mtok)


def price_usage(usage: Usage | None, price: TokenPrice | None, *, discount: Decimal = Decimal(0)) -> CostBreakdown:
    """What one request cost.

    Args:
        usage: its tokens; None where the endpoint reported none.
        price: the endpoint's price; None where there is none.
        discount: contract discount as a share of the list price, 0 up to but not including 1.

    Returns:
        The breakdown by the price that the prompt's length leads to, or `UNPRICED` where usage or price is None, or
        there are tokens in a bucket that has no price.

    Raises:
        ValueError: the discount is out of range.
    """
    factor = _discount_factor(discount)
    if usage is None or price is None:
        return UNPRICED
    reached = price.reach(usage.input_total)
    buckets: list[tuple[str, Decimal]] = []
    for bucket, rate in reached.rates:
        num_tokens: int = getattr(usage, bucket)
        if not num_tokens:
            buckets.append((bucket, _ZERO))
        elif rate is None:
            return UNPRICED
        else:
            buckets.append((bucket, num_tokens * rate * factor / _TOKENS_PER_MTOK))
    request_usd = reached.usd_per_request * factor
    return CostBreakdown(price_id=reached.price_id, buckets_usd=tuple(buckets), request_usd=request_usd)


def compile_price_vector(
    price: TokenPrice, *, discount: Decimal = Decimal(0), tiers: Mapping[str, TokenPrice] | None = None
) -> PriceVector:
    """US dollars per token as floats for the hot path; agrees with `price_usage` to 1e-12 relative.

    Args:
        price: the price under the standard tariff.
        discount: contract discount as a share of the list price, 0 up to but not including 1.
        tiers: the prices under other tariffs; None where `price` holds under all of them.

    Raises:
        ValueError: the discount is out of range.
    """
    factor = _discount_factor(discount)
    rates = {bucket: None if rate is None else float(rate * factor / _TOKENS_PER_MTOK) for bucket, rate in price.rates}
    return PriceVector(
        price_id=price.price_id,
        **rates,  # pyright: ignore[reportArgumentType] - those of the first five buckets are never None
        per_request=float(price.usd_per_request * factor),
        longer=tuple((start, compile_price_vector(other, discount=discount)) for start, other in price.longer),
        tiers=None
        if tiers is None
        else {tier: compile_price_vector(other, discount=discount) for tier, other in tiers.items()},
    )


def _discount_factor(discount: Decimal) -> Decimal:
    if not (discount.is_finite() and 0 <= discount < 1):
        raise ValueError(f"a discount is a share of 0 or more and less than 1, got {discount}")
    return 1 - discount


def _or_else(value: Decimal | None, default: Decimal) -> Decimal:
    return default if value is None else value
