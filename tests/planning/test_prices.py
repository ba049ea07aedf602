"""Money: exact in Decimal, the same on the hot path, and unpriced where something is unknown."""

from __future__ import annotations

from dataclasses import replace
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
    read_token_prices,
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
    cache_write_1h_usd_per_mtok=Decimal(4),
    input_audio_usd_per_mtok=Decimal(40),
    output_audio_usd_per_mtok=Decimal(80),
    usd_per_request=Decimal("0.001"),
)
USAGE = Usage(1000, 400, 200, 50, 30, cache_write_1h=100, input_audio=20, output_audio=10)
FLAT = make_token_price("flat", input_usd_per_mtok=Decimal(2), output_usd_per_mtok=Decimal(10))
LONG = make_token_price("long", input_usd_per_mtok=Decimal(4), output_usd_per_mtok=Decimal(15))
LONGEST = make_token_price("longest", input_usd_per_mtok=Decimal(8), output_usd_per_mtok=Decimal(30))
STEPPED = replace(FLAT, longer=((200_001, LONG), (1_000_001, LONGEST)))

rates = st.decimals(0, 10_000, places=6)
some_rates = st.none() | rates
counts = st.integers(0, 10_000_000)
rare_counts = st.just(0) | counts
usages = st.builds(Usage, *[counts] * 5, *[rare_counts] * 3)


def test_each_bucket_is_priced_once() -> None:
    cost = price_usage(USAGE, PRICE)
    assert dict(cost.buckets_usd) == {
        "input_uncached": Decimal("0.002"),
        "cache_read": Decimal("0.0002"),
        "cache_write": Decimal("0.0005"),
        "output_visible": Decimal("0.0005"),
        "output_reasoning": Decimal("0.00036"),
        "cache_write_1h": Decimal("0.0004"),
        "input_audio": Decimal("0.0008"),
        "output_audio": Decimal("0.0008"),
    }
    assert cost.request_usd == Decimal("0.001")
    assert cost.total_usd == Decimal("0.00656")
    assert cost.price_id == "p"
    assert not cost.is_unpriced


def test_every_bucket_of_a_usage_record_has_a_price() -> None:
    assert tuple(bucket for bucket, _ in PRICE.rates) == USAGE_BUCKETS


def test_a_discount_is_taken_off_everything() -> None:
    assert price_usage(USAGE, PRICE, discount=Decimal("0.25")).total_usd == Decimal("0.00492")


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
        "cache_write_1h": None,
        "input_audio": None,
        "output_audio": None,
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
    assert [rate for _, rate in price.rates] == [2, Decimal("0.5"), Decimal("2.5"), 10, 10, None, None, None]


def test_the_rows_of_all_lengths_become_one_price() -> None:
    common = {"provider": "google", "model": "m", "effective_from": DAY, "checked_on": DAY, "source": "assumption"}
    base = TokenPriceRow.model_validate(
        {
            **common,
            "input_usd_per_mtok": "1",
            "output_usd_per_mtok": "5",
            "cache_write_1h_usd_per_mtok": "2",
            "input_audio_usd_per_mtok": "3",
            "output_audio_usd_per_mtok": "9",
        }
    )
    long = TokenPriceRow.model_validate(
        {**common, "input_usd_per_mtok": "2", "output_usd_per_mtok": "8", "from_input_tokens": 200_001}
    )
    price = read_token_prices((base, long))
    assert price is not None
    assert [rate for _, rate in price.rates] == [1, 1, 1, 5, 5, 2, 3, 9]
    assert price.longer == ((200_001, read_token_price(long)),)
    assert price.longer[0][1].price_id == "google/m@2026-11-23+200001"
    assert read_token_prices(()) is None
    with pytest.raises(ValueError, match="stand in the order of their lengths"):
        read_token_prices((base, base))


@pytest.mark.parametrize("longer", [((5, LONG), (5, LONG)), ((9, LONG), (5, LONG)), ((0, LONG),), ((9, STEPPED),)])
def test_lengths_ascend_and_have_none_of_their_own(longer: tuple[tuple[int, TokenPrice], ...]) -> None:
    with pytest.raises(ValueError, match="flat: prices of longer prompts stand in the order of their lengths"):
        replace(FLAT, longer=longer)


@pytest.mark.parametrize(
    ("num_input", "price_id", "usd"),
    [
        (200_000, "flat", "0.401"),
        (200_001, "long", "0.801504"),
        (1_000_000, "long", "4.0015"),
        (1_000_001, "longest", "8.003008"),
    ],
)
def test_the_whole_request_costs_the_rate_of_the_length_that_its_prompt_reaches(
    num_input: int, price_id: str, usd: str
) -> None:
    usage = Usage(input_uncached=num_input - 3000, cache_read=1000, cache_write=2000, output_visible=100)
    cost = price_usage(usage, STEPPED)
    assert (cost.price_id, cost.total_usd) == (price_id, Decimal(usd))
    vector = compile_price_vector(STEPPED)
    assert vector.price(usage) == pytest.approx(float(usd), rel=1e-12)
    chosen = vector.select(usage, None)
    assert chosen is not None
    assert chosen.price_id == price_id


@pytest.mark.parametrize("bucket", ["cache_write_1h", "input_audio", "output_audio"])
def test_tokens_of_a_kind_without_a_rate_are_unpriced_and_never_taken_for_another_kind(bucket: str) -> None:
    """Audio is not text, and an hour in the cache is not five minutes. None of them is no reason."""
    usage = Usage(input_uncached=10, **{bucket: 1})
    assert price_usage(usage, FLAT) is UNPRICED
    assert compile_price_vector(FLAT).price(usage) is None
    assert price_usage(Usage(input_uncached=10), FLAT).total_usd == Decimal("0.00002")


def test_a_tariff_has_its_own_price_or_none() -> None:
    vector = compile_price_vector(STEPPED, tiers={"flex": LONG}, discount=Decimal("0.5"))
    usage = Usage(input_uncached=1_000_000)
    flex = vector.select(usage, "flex")
    assert flex is not None
    assert (flex.price_id, flex.price(usage)) == ("long", 2.0)
    assert vector.select(usage, "priority") is None
    own = compile_price_vector(FLAT)
    assert own.select(usage, "priority") is own


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
        "cache_write_1h": Decimal("0.1"),
        "input_audio": None,
        "output_audio": None,
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
        cache_write_1h=4e-06,
        input_audio=4e-05,
        output_audio=8e-05,
        per_request=0.001,
    )


def build_price(price_id: str, amounts: tuple[Decimal, ...], rare: tuple[Decimal | None, ...]) -> TokenPrice:
    return TokenPrice(
        price_id=price_id,
        input_usd_per_mtok=amounts[0],
        cache_read_usd_per_mtok=amounts[1],
        cache_write_usd_per_mtok=amounts[2],
        output_usd_per_mtok=amounts[3],
        reasoning_usd_per_mtok=amounts[4],
        usd_per_request=amounts[5],
        cache_write_1h_usd_per_mtok=rare[0],
        input_audio_usd_per_mtok=rare[1],
        output_audio_usd_per_mtok=rare[2],
    )


prices = st.builds(build_price, st.text(), st.tuples(*[rates] * 6), st.tuples(*[some_rates] * 3))
steps = st.lists(st.integers(1, 40_000_000), max_size=3, unique=True).map(sorted)


@given(prices, steps, st.data(), usages, st.decimals(0, Decimal("0.99"), places=4))
def test_the_hot_path_agrees_with_decimal_arithmetic(
    price: TokenPrice, starts: list[int], data: st.DataObject, usage: Usage, discount: Decimal
) -> None:
    price = replace(price, longer=tuple((start, data.draw(prices)) for start in starts))
    exact = price_usage(usage, price, discount=discount)
    vector = compile_price_vector(price, discount=discount)
    fast = vector.price(usage)
    if exact.total_usd is None:
        assert fast is None
        return
    assert fast is not None
    assert abs(Decimal(fast) - exact.total_usd) <= exact.total_usd * Decimal("1e-12")
    chosen = vector.select(usage, None)
    assert chosen is not None
    assert (chosen.price_id, chosen.price(usage)) == (exact.price_id, fast)


@given(usages, usages)
def test_two_requests_cost_what_they_cost_one_by_one(first: Usage, second: Usage) -> None:
    def cost(usage: Usage) -> Decimal:
        total = price_usage(usage, PRICE).total_usd
        assert total is not None
        return total - PRICE.usd_per_request

    both = Usage(*(getattr(first, bucket) + getattr(second, bucket) for bucket in USAGE_BUCKETS))
    assert cost(both) == cost(first) + cost(second)
