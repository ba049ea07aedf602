"""Money: exact in Decimal, the same on the hot path, and unpriced where something is unknown."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.catalog import EngineRateRow, RateBasis, TokenPriceRow
from inhouse.domain import USAGE_BUCKETS, PriceVector, Usage
from inhouse.planning import (
    UNPRICED,
    EngineRate,
    TokenPrice,
    compile_price_vector,
    make_token_price,
    price_usage,
    read_engine_rate,
    read_token_price,
    self_host_price,
)

DAY = date(2026, 11, 23)
PRICE = TokenPrice(
    price_id="p",
    input_usd_per_mtok=Decimal(2),
    cache_read_usd_per_mtok=Decimal("0.5"),
    cache_write_usd_per_mtok=Decimal("2.5"),
    output_usd_per_mtok=Decimal(10),
    reasoning_usd_per_mtok=Decimal(12),
    usd_per_request=Decimal("0.001"),
)
USAGE = Usage(input_uncached=1000, cache_read=400, cache_write=200, output_visible=50, output_reasoning=30)

rates = st.decimals(0, 10_000, places=6)
counts = st.integers(0, 10_000_000)


def test_each_bucket_is_priced_once() -> None:
    cost = price_usage(USAGE, PRICE)
    assert dict(cost.buckets_usd) == {
        "input_uncached": Decimal("0.002"),
        "cache_read": Decimal("0.0002"),
        "cache_write": Decimal("0.0005"),
        "output_visible": Decimal("0.0005"),
        "output_reasoning": Decimal("0.00036"),
    }
    assert cost.request_usd == Decimal("0.001")
    assert cost.total_usd == Decimal("0.00456")
    assert cost.price_id == "p"
    assert not cost.is_unpriced


def test_every_bucket_of_a_usage_record_has_a_price() -> None:
    assert tuple(bucket for bucket, _ in PRICE.rates) == USAGE_BUCKETS


def test_a_discount_is_taken_off_everything() -> None:
    assert price_usage(USAGE, PRICE, discount=Decimal("0.25")).total_usd == Decimal("0.00342")


@pytest.mark.parametrize(("usage", "price"), [(None, PRICE), (USAGE, None), (None, None)])
def test_what_is_unknown_is_unpriced_not_free(usage: Usage | None, price: TokenPrice | None) -> None:
    cost = price_usage(usage, price)
    assert cost is UNPRICED
    assert cost.is_unpriced
    assert cost.total_usd is None
    assert cost.buckets_usd == ()


def test_no_tokens_at_a_known_price_cost_nothing() -> None:
    free = make_token_price("p", input_usd_per_mtok=Decimal(2), output_usd_per_mtok=Decimal(10))
    cost = price_usage(Usage(), free)
    assert cost.total_usd == 0
    assert not cost.is_unpriced


@pytest.mark.parametrize("discount", ["-0.01", "1", "12", "NaN", "Infinity"])
def test_a_discount_out_of_range_is_refused(discount: str) -> None:
    with pytest.raises(ValueError, match="0 or more and less than 1"):
        price_usage(USAGE, PRICE, discount=Decimal(discount))
    with pytest.raises(ValueError, match="0 or more and less than 1"):
        compile_price_vector(PRICE, discount=Decimal(discount))


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity"])
def test_a_price_is_zero_or_more(amount: str) -> None:
    with pytest.raises(ValueError, match="p: a price is zero or more"):
        make_token_price("p", input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(amount))


def test_cached_tokens_cost_the_input_rate_where_no_other_is_given() -> None:
    price = make_token_price("p", input_usd_per_mtok=Decimal(2), output_usd_per_mtok=Decimal(10))
    assert dict(price.rates) == {
        "input_uncached": 2,
        "cache_read": 2,
        "cache_write": 2,
        "output_visible": 10,
        "output_reasoning": 10,
    }


def test_a_free_cache_stays_free() -> None:
    price = make_token_price(
        "p", input_usd_per_mtok=Decimal(2), output_usd_per_mtok=Decimal(10), cache_read_usd_per_mtok=Decimal(0)
    )
    assert price.cache_read_usd_per_mtok == 0


def test_a_row_of_the_price_book_becomes_a_price() -> None:
    row = TokenPriceRow(
        provider="openai",
        model="m",
        input_usd_per_mtok=Decimal(2),
        cache_read_usd_per_mtok=Decimal("0.5"),
        cache_write_usd_per_mtok=Decimal("2.5"),
        output_usd_per_mtok=Decimal(10),
        effective_from=DAY,
        checked_on=DAY,
        source="assumption of a test",
    )
    price = read_token_price(row)
    assert price.price_id == "openai/m@2026-11-23"
    assert [rate for _, rate in price.rates] == [2, Decimal("0.5"), Decimal("2.5"), 10, 10]


def test_an_engine_rate_and_a_machine_make_the_price_of_the_busy_share() -> None:
    """At $3.60 per hour a second costs a tenth of a cent: 1 ms per token is $1 per million tokens."""
    row = EngineRateRow(
        model="clerk",
        machine="cpu",
        seconds_per_input_token=Decimal("0.0001"),
        seconds_per_cached_token=Decimal(0),
        seconds_per_output_token=Decimal("0.001"),
        basis=RateBasis.MEASURED,
        method="a test",
        effective_from=DAY,
        checked_on=DAY,
        source="assumption of a test",
    )
    price = self_host_price(Decimal("3.60"), read_engine_rate(row), price_id="machine:cpu@2026-11-23")
    assert price.price_id == "machine:cpu@2026-11-23"
    assert dict(price.rates) == {
        "input_uncached": Decimal("0.1"),
        "cache_read": 0,
        "cache_write": Decimal("0.1"),
        "output_visible": 1,
        "output_reasoning": 1,
    }
    assert price_usage(Usage(input_uncached=1000, output_visible=100), price).total_usd == Decimal("0.0002")


def test_a_machine_that_pays_is_refused() -> None:
    rate = EngineRate(
        seconds_per_input_token=Decimal(1), seconds_per_cached_token=Decimal(0), seconds_per_output_token=Decimal(1)
    )
    with pytest.raises(ValueError, match="zero or more"):
        self_host_price(Decimal(-1), rate, price_id="p")


def test_the_hot_path_vector_names_its_row() -> None:
    assert compile_price_vector(PRICE) == PriceVector(
        price_id="p",
        input_uncached=2e-06,
        cache_read=5e-07,
        cache_write=2.5e-06,
        output_visible=1e-05,
        output_reasoning=1.2e-05,
        per_request=0.001,
    )


@given(
    st.tuples(rates, rates, rates, rates, rates, rates),
    st.tuples(counts, counts, counts, counts, counts),
    st.decimals(0, Decimal("0.99"), places=4),
)
def test_the_hot_path_agrees_with_decimal_arithmetic(
    amounts: tuple[Decimal, ...], tokens: tuple[int, ...], discount: Decimal
) -> None:
    price = TokenPrice(
        price_id="p",
        input_usd_per_mtok=amounts[0],
        cache_read_usd_per_mtok=amounts[1],
        cache_write_usd_per_mtok=amounts[2],
        output_usd_per_mtok=amounts[3],
        reasoning_usd_per_mtok=amounts[4],
        usd_per_request=amounts[5],
    )
    usage = Usage(**dict(zip(USAGE_BUCKETS, tokens, strict=True)))
    exact = price_usage(usage, price, discount=discount).total_usd
    assert exact is not None
    fast = compile_price_vector(price, discount=discount).price(usage)
    assert abs(Decimal(fast) - exact) <= exact * Decimal("1e-12")


@given(st.tuples(counts, counts, counts, counts, counts), st.tuples(counts, counts, counts, counts, counts))
def test_two_requests_cost_what_they_cost_one_by_one(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    def cost(tokens: tuple[int, ...]) -> Decimal:
        total = price_usage(Usage(**dict(zip(USAGE_BUCKETS, tokens, strict=True))), PRICE).total_usd
        assert total is not None
        return total - PRICE.usd_per_request

    both = tuple(one + other for one, other in zip(first, second, strict=True))
    assert cost(both) == cost(first) + cost(second)
