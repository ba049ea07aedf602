"""What a token costs: own rates, the price book, or unpriced."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from inhouse.backends.settings import ProviderSettings
from inhouse.catalog import EngineRateRow, MachineRow, PriceBook, RateBasis, TokenPriceRow
from inhouse.control.pricing import price_deployment, price_provider_model
from inhouse.domain import ServiceTier, Usage
from inhouse.serving.settings import DeploymentSettings, HardwareSettings

DAY = date(2026, 11, 23)
_DATES = {"effective_from": date(2026, 1, 1), "checked_on": DAY, "source": "assumption of this test"}


def make_token_row(provider: str, model: str, usd: str, **members: Any) -> TokenPriceRow:
    rates = {"input_usd_per_mtok": Decimal(usd), "output_usd_per_mtok": Decimal(usd) * 4}
    return TokenPriceRow.model_validate({"provider": provider, "model": model, **members, **rates, **_DATES})


BOOK = PriceBook(
    token_prices=(make_token_row("paid", "mid", "2"), make_token_row("simulated", "*", "1", is_simulated=True)),
    machines=(
        MachineRow.model_validate(
            {"machine": "cpu", "description": "a box", "usd_per_hour": Decimal("0.36"), **_DATES}
        ),
    ),
    engine_rates=(
        EngineRateRow.model_validate(
            {
                "model": "clerk",
                "machine": "cpu",
                "seconds_per_input_token": Decimal("0.001"),
                "seconds_per_cached_token": Decimal(0),
                "seconds_per_output_token": Decimal("0.01"),
                "basis": RateBasis.DECLARED,
                "method": "made up",
                **_DATES,
            }
        ),
    ),
)


def test_own_machines_cost_the_machines_price_by_its_busy_seconds() -> None:
    price = price_deployment("desk", DeploymentSettings(model="clerk"), BOOK, DAY)
    assert price is not None
    assert price.input_uncached == pytest.approx(1e-7)
    assert price.output_visible == pytest.approx(1e-6)
    assert price.cache_read == 0
    assert price.price_id == "machine:cpu@2026-01-01+rate:clerk@2026-01-01"


def test_the_users_own_price_of_the_machine_wins() -> None:
    settings = DeploymentSettings(model="clerk", hardware=HardwareSettings(usd_per_hour=Decimal("0.72")))
    price = price_deployment("desk", settings, BOOK, DAY)
    assert price is not None
    assert price.output_visible == pytest.approx(2e-6)
    assert price.price_id == "own:desk@0.72usd/h+rate:clerk@2026-01-01"


@pytest.mark.parametrize(
    "settings",
    [
        DeploymentSettings(model="weights.gguf", hardware=HardwareSettings(usd_per_hour=Decimal(1))),
        DeploymentSettings(model="clerk", hardware=HardwareSettings(machine="h100")),
    ],
)
def test_without_an_engine_rate_own_machines_are_unpriced(settings: DeploymentSettings) -> None:
    assert price_deployment("desk", settings, BOOK, DAY) is None


def test_a_rate_without_a_machine_price_is_unpriced() -> None:
    assert (
        price_deployment("desk", DeploymentSettings(model="clerk"), PriceBook((), (), BOOK.engine_rates), DAY) is None
    )


def test_a_contracts_own_rates_are_taken_as_they_are(provider_of: Callable[..., ProviderSettings]) -> None:
    price = price_provider_model("paid", "mid", provider_of(base_url="https://x", discount="50%"), BOOK, DAY)
    assert price is not None
    assert (price.price_id, price.input_uncached, price.output_visible) == ("own:paid/mid", 2e-6, 1e-5)
    assert price.cache_read == 2e-6


def test_list_prices_lose_the_discount_and_say_so() -> None:
    settings = ProviderSettings.model_validate({"base_url": "https://x", "discount": "12%", "models": {"mid": {}}})
    price = price_provider_model("paid", "mid", settings, BOOK, DAY)
    assert price is not None
    assert price.input_uncached == pytest.approx(1.76e-6)
    assert price.price_id == "paid/mid@2026-01-01-0.12"


def test_a_contracts_own_rates_cover_every_bucket_and_every_tariff() -> None:
    rates = {
        "input_usd_per_mtok": "2",
        "cache_read_usd_per_mtok": "0.2",
        "cache_write_usd_per_mtok": "2.5",
        "cache_write_1h_usd_per_mtok": "4",
        "output_usd_per_mtok": "10",
        "input_audio_usd_per_mtok": "30",
        "output_audio_usd_per_mtok": "60",
        "usd_per_request": "0.001",
    }
    settings = ProviderSettings.model_validate({"base_url": "https://x", "models": {"mid": {"price": rates}}})
    price = price_provider_model("paid", "mid", settings, BOOK, DAY)
    assert price is not None
    usage = Usage(1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000)
    assert price.price(usage) == pytest.approx(0.001 * (2 + 0.2 + 2.5 + 10 + 10 + 4 + 30 + 60 + 1))
    assert price.select(usage, "priority") is price


def test_what_the_contract_gives_no_rate_for_is_unpriced(provider_of: Callable[..., ProviderSettings]) -> None:
    price = price_provider_model("paid", "mid", provider_of(base_url="https://x"), BOOK, DAY)
    assert price is not None
    assert price.price(Usage(input_uncached=1)) is not None
    assert price.price(Usage(input_uncached=1, input_audio=1)) is None


def test_list_prices_of_other_tariffs_and_longer_prompts_come_along_and_lose_the_discount_too() -> None:
    rows = (
        make_token_row("paid", "mid", "2"),
        make_token_row("paid", "mid", "4", from_input_tokens=1001),
        make_token_row("paid", "mid", "1", tier=ServiceTier.FLEX),
        make_token_row("paid", "mid", "3", tier=ServiceTier.FLEX, from_input_tokens=1001),
        make_token_row("paid", "batch-only", "1", tier=ServiceTier.BATCH),
    )
    book = PriceBook(rows, (), ())
    settings = ProviderSettings.model_validate(
        {"base_url": "https://x", "discount": "10%", "models": {"mid": {}, "batch-only": {}}}
    )
    price = price_provider_model("paid", "mid", settings, book, DAY)
    assert price is not None
    short, long = Usage(input_uncached=1000), Usage(input_uncached=1001)
    found = [
        (chosen.price_id, chosen.price(usage))
        for tier in (None, "flex")
        for usage in (short, long)
        if (chosen := price.select(usage, tier)) is not None
    ]
    assert found == [
        ("paid/mid@2026-01-01-0.1", pytest.approx(0.0018)),
        ("paid/mid@2026-01-01+1001-0.1", pytest.approx(0.0036036)),
        ("paid/mid@2026-01-01+flex-0.1", pytest.approx(0.0009)),
        ("paid/mid@2026-01-01+flex+1001-0.1", pytest.approx(0.0027027)),
    ]
    assert price.select(short, "priority") is None
    assert price_provider_model("paid", "batch-only", settings, book, DAY) is None


def test_the_upstream_name_is_looked_up() -> None:
    models = {"fast": {"upstream_model": "mid"}}
    settings = ProviderSettings.model_validate({"base_url": "https://x", "models": models})
    price = price_provider_model("paid", "fast", settings, BOOK, DAY)
    assert price is not None
    assert price.price_id == "paid/mid@2026-01-01"


def test_a_second_account_is_priced_from_its_companys_list() -> None:
    settings = ProviderSettings.model_validate(
        {"base_url": "https://x", "price_book": "paid", "discount": "10%", "models": {"mid": {}}}
    )
    price = price_provider_model("paid-eu", "mid", settings, BOOK, DAY)
    assert price is not None
    assert price.input_uncached == pytest.approx(1.8e-6)
    assert price.price_id == "paid/mid@2026-01-01-0.1"


def test_the_company_that_is_named_counts_not_the_providers_name() -> None:
    settings = ProviderSettings.model_validate({"base_url": "https://x", "price_book": "other", "models": {"mid": {}}})
    assert price_provider_model("paid", "mid", settings, BOOK, DAY) is None


def test_an_unknown_model_is_unpriced_not_free() -> None:
    settings = ProviderSettings.model_validate({"base_url": "https://x", "models": {"huge": {}}})
    assert price_provider_model("paid", "huge", settings, BOOK, DAY) is None


def test_a_simulated_provider_never_takes_a_real_list_price() -> None:
    settings = ProviderSettings.model_validate({"simulated": {}, "models": {"mid": {}}})
    price = price_provider_model("paid", "mid", settings, BOOK, DAY)
    assert price is not None
    assert price.price_id == "simulated/*@2026-01-01"


def test_prices_before_their_first_day_do_not_hold() -> None:
    assert price_deployment("desk", DeploymentSettings(model="clerk"), BOOK, date(2025, 12, 31)) is None
