"""Rows of usage are priced to the last digit: by contract, by list of the day, tariff and length, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.domain import DAY_S, USAGE_BUCKETS, ServiceTier, Usage, UsageRow
from inhouse.planning import TokenPrice, make_token_price
from inhouse.reports.pricing import OwnRates, Pricer
from reports.facts import START, make_book, make_price, make_row

BOOK = make_book(
    make_price("acme", "mid", "2", "10", also=("mid-2026-01-01",), cache_read_usd_per_mtok="0.2",
               cache_write_usd_per_mtok="2.5", cache_write_1h_usd_per_mtok="4",
               input_audio_usd_per_mtok="32", output_audio_usd_per_mtok="64"),
    make_price("acme", "mid", "1", "5", tier=ServiceTier.BATCH),
    make_price("acme", "text", "2", "10"),
    make_price("acme", "long", "3", "15", cache_read_usd_per_mtok="0.3"),
    make_price("acme", "long", "6", "22.5", cache_read_usd_per_mtok="0.6", from_input_tokens=200_001),
    make_price("acme", "new", "4", "20", effective_from=date(2026, 11, 10), checked_on=date(2026, 11, 10)),
    make_price("acme", "new", "3", "18", effective_from=date(2026, 11, 20), checked_on=date(2026, 11, 20)),
    make_price("acme", "gone", "4", "20", effective_until=date(2026, 10, 1)),
    make_price("acme", "fresh-batch", "4", "20"),
    make_price("acme", "fresh-batch", "2", "10", tier=ServiceTier.BATCH,
               effective_from=date(2026, 11, 10), checked_on=date(2026, 11, 10)),
)  # fmt: skip
OWN = make_token_price("own:acme/mid", input_usd_per_mtok=Decimal("1.5"), output_usd_per_mtok=Decimal(7))
MILLION = Usage(input_uncached=1_000_000, output_visible=1_000_000)


def price(row: UsageRow, own: dict[str, OwnRates] | None = None) -> Decimal | None:
    return Pricer(BOOK, own).price_row(row).total_usd


def test_each_bucket_costs_its_own_rate() -> None:
    usage = Usage(
        input_uncached=1_234_567, cache_read=2_345_678, cache_write=345_678, output_visible=456_789,
        output_reasoning=56_789, cache_write_1h=67_891, input_audio=7_891, output_audio=891,
    )  # fmt: skip
    cost = Pricer(BOOK).price_row(make_row(usage=usage))
    assert dict(cost.buckets_usd) == {
        "input_uncached": Decimal("2.469134"),
        "cache_read": Decimal("0.4691356"),
        "cache_write": Decimal("0.864195"),
        "output_visible": Decimal("4.56789"),
        "output_reasoning": Decimal("0.56789"),
        "cache_write_1h": Decimal("0.271564"),
        "input_audio": Decimal("0.252512"),
        "output_audio": Decimal("0.057024"),
    }
    assert cost.total_usd == Decimal("9.5193446")


def test_a_name_that_the_book_knows_otherwise_is_the_same_model() -> None:
    assert price(make_row(model="mid-2026-01-01")) == price(make_row()) == Decimal(3)


def test_own_rates_win_over_the_list_and_take_no_discount() -> None:
    own = {"acme": OwnRates(discount=Decimal("0.5"), models={"mid": OWN})}
    assert price(make_row(usage=MILLION), own) == Decimal("8.5")


def test_a_discount_is_taken_off_list_prices_of_that_provider_alone() -> None:
    own = {"acme": OwnRates(discount=Decimal("0.12"))}
    assert price(make_row(usage=MILLION), own) == Decimal("10.56")
    assert price(make_row(usage=MILLION), {"other": OwnRates(discount=Decimal("0.12"))}) == Decimal(12)


def test_a_provider_of_another_name_is_priced_by_the_company_that_it_names() -> None:
    own = {"our-acme": OwnRates(price_book="acme", discount=Decimal("0.1"))}
    assert price(make_row("our-acme", usage=MILLION), own) == Decimal("10.8")
    assert price(make_row("our-acme", usage=MILLION)) is None


def test_a_tariff_has_its_own_price_and_without_one_is_unpriced() -> None:
    assert price(make_row(usage=MILLION, tier=ServiceTier.BATCH)) == Decimal(6)
    assert price(make_row(usage=MILLION, tier=ServiceTier.PRIORITY)) is None
    assert price(make_row(model="text", usage=MILLION, tier=ServiceTier.BATCH)) is None


def test_own_rates_hold_under_every_tariff() -> None:
    own = {"acme": OwnRates(models={"mid": OWN})}
    assert price(make_row(usage=MILLION, tier=ServiceTier.BATCH), own) == Decimal("8.5")


@pytest.mark.parametrize(
    ("num_requests", "usd"),
    [
        (5, "0.72"),  # 200,000 tokens a prompt, cached ones among them: the short price
        (4, "1.365"),  # 250,000: the long one, for the whole of it
    ],
)
def test_a_price_by_length_is_taken_at_the_rows_mean_prompt(num_requests: int, usd: str) -> None:
    usage = Usage(input_uncached=100_000, cache_read=900_000, output_visible=10_000)
    assert price(make_row(model="long", num_requests=num_requests, usage=usage)) == Decimal(usd)


def test_the_threshold_itself_is_long_and_one_token_less_is_short() -> None:
    short, long = (make_row(model="long", num_requests=1, usage=Usage(input_uncached=n)) for n in (200_000, 200_001))
    assert price(short) == Decimal("0.6")
    assert price(long) == Decimal("1.200006")


def test_where_requests_are_not_counted_the_short_price_counts() -> None:
    usage = Usage(input_uncached=1_000_000)
    assert price(make_row(model="long", num_requests=None, usage=usage)) == Decimal(3)


def test_own_rates_may_depend_on_the_length_too() -> None:
    longer = replace(OWN, price_id="own:acme/mid+1000", input_usd_per_mtok=Decimal(3))
    own = {"acme": OwnRates(models={"mid": replace(OWN, longer=((1_000, longer),))})}
    assert price(make_row(num_requests=1_001), own) == Decimal("2.2")
    assert price(make_row(num_requests=1_000), own) == Decimal("3.7")


def test_a_fee_for_each_request_is_multiplied_and_never_left_out_silently() -> None:
    own = {"acme": OwnRates(models={"mid": replace(OWN, usd_per_request=Decimal("0.002"))})}
    assert price(make_row(num_requests=1_000), own) == Decimal("4.2")  # 1.5 + 0.7 + 2
    assert price(make_row(num_requests=0, usage=Usage()), own) == 0
    assert price(make_row(num_requests=None), own) is None


@pytest.mark.parametrize(
    "row",
    [
        make_row(usage=None),
        make_row(provider=None),
        make_row(model=None),
        make_row(model="mid-2"),
        make_row("other"),
        make_row(model="gone"),
        make_row(model="text", usage=Usage(input_uncached=5, input_audio=1)),
        make_row(model="text", usage=Usage(input_uncached=5, output_audio=1)),
        make_row(model="text", usage=Usage(input_uncached=5, cache_write_1h=1)),
    ],
)
def test_what_is_not_known_is_unpriced_and_not_free(row: UsageRow) -> None:
    cost = Pricer(BOOK).price_row(row)
    assert cost.is_unpriced
    assert cost.total_usd is None


def test_rows_without_a_rate_for_their_cache_read_it_at_the_input_rate() -> None:
    assert price(make_row(model="text", usage=Usage(cache_read=1_000_000, cache_write=1_000_000))) == Decimal(4)


def test_each_day_has_the_price_in_force_and_what_is_older_takes_the_first_and_is_counted() -> None:
    pricer = Pricer(BOOK)
    costs = [
        pricer.price_row(make_row(model="new", started_at=START + (day - 2) * DAY_S, usage=MILLION)).total_usd
        for day in (2, 9, 10, 19, 20, 21)
    ]
    assert costs == [24, 24, 24, 24, 21, 21]
    assert pricer.num_backdated == 2  # the 2nd and the 9th


def test_the_last_second_of_a_day_is_of_that_day() -> None:
    midnight = START + 18 * DAY_S  # the 20th
    assert price(make_row(model="new", started_at=midnight - 1, usage=MILLION)) == 24
    assert price(make_row(model="new", started_at=midnight, usage=MILLION)) == 21


def test_a_tariff_is_backdated_by_its_own_first_day() -> None:
    pricer = Pricer(BOOK)
    assert pricer.price_row(make_row(model="fresh-batch", usage=MILLION)).total_usd == 24
    assert pricer.num_backdated == 0
    assert pricer.price_row(make_row(model="fresh-batch", usage=MILLION, tier=ServiceTier.BATCH)).total_usd == 12
    assert pricer.num_backdated == 1


def test_only_what_was_priced_is_counted_as_backdated() -> None:
    pricer = Pricer(BOOK)
    assert pricer.price_row(make_row(model="new", usage=Usage(input_audio=1))).is_unpriced
    assert pricer.num_backdated == 0


def test_the_price_of_a_length_can_be_asked_for() -> None:
    pricer = Pricer(BOOK)
    for length, usd in ((0, 3), (200_000, 3), (200_001, 6)):
        found = pricer.find_price("acme", "long", ServiceTier.STANDARD, START, length)
        assert found is not None
        assert found.input_usd_per_mtok == usd
    assert pricer.find_price("acme", "nothing", ServiceTier.STANDARD, START, 0) is None


COUNT = st.integers(0, 10**9)
RATE = st.decimals(0, 1000, places=6, allow_nan=False, allow_infinity=False)


@given(
    parts=st.lists(st.tuples(st.tuples(*[COUNT] * 8), st.integers(0, 10**6)), min_size=1, max_size=6),
    rates=st.tuples(*[RATE] * 8),
    fee=RATE,
)
def test_the_parts_of_a_row_cost_what_the_row_costs(
    parts: list[tuple[tuple[int, ...], int]], rates: tuple[Decimal, ...], fee: Decimal
) -> None:
    flat = TokenPrice(
        price_id="own:acme/flat",
        input_usd_per_mtok=rates[0],
        cache_read_usd_per_mtok=rates[1],
        cache_write_usd_per_mtok=rates[2],
        output_usd_per_mtok=rates[3],
        reasoning_usd_per_mtok=rates[4],
        cache_write_1h_usd_per_mtok=rates[5],
        input_audio_usd_per_mtok=rates[6],
        output_audio_usd_per_mtok=rates[7],
        usd_per_request=fee,
    )
    pricer = Pricer(BOOK, {"acme": OwnRates(models={"flat": flat})})
    rows = [make_row(model="flat", usage=Usage(*tokens), num_requests=requests) for tokens, requests in parts]
    whole = make_row(
        model="flat",
        usage=Usage(*(sum(tokens[place] for tokens, _ in parts) for place in range(8))),
        num_requests=sum(requests for _, requests in parts),
    )
    by_hand = sum(
        (
            getattr(row.usage, bucket) * rate / 1_000_000
            for row in rows
            for bucket, rate in zip(USAGE_BUCKETS, rates, strict=True)
        ),
        Decimal(0),
    ) + sum((fee * (row.num_requests or 0) for row in rows), Decimal(0))
    costs = [pricer.price_row(row).total_usd for row in rows]
    assert sum(cost for cost in costs if cost is not None) == pricer.price_row(whole).total_usd == by_hand
