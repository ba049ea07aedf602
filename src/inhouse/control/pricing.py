"""What a token costs at an endpoint: the user's own rates first, then the price book, else unpriced (None). Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from inhouse.backends.settings import ProviderPriceSettings, ProviderSettings
from inhouse.catalog import PriceBook
from inhouse.domain import PriceVector, ServiceTier
from inhouse.planning import (
    TokenPrice,
    compile_price_vector,
    make_token_price,
    read_engine_rate,
    read_token_prices,
    self_host_price,
)
from inhouse.serving.settings import DeploymentSettings

SIMULATED_ROWS = "simulated"
"""The price book's provider name for list prices of simulated providers."""


def price_deployment(name: str, settings: DeploymentSettings, book: PriceBook, at: date) -> PriceVector | None:
    """Usage-based price on own machines: what the machine costs, times how long it is busy for a token.

    None where the price book has no engine rate of this model on this machine, or nobody says what the machine costs.
    """
    hardware = settings.hardware
    model = settings.model or settings.served_model or name
    rate = book.engine_rate(model, hardware.machine, at, quantization=settings.quantization)
    if rate is None:
        return None
    usd_per_hour, machine_id = hardware.usd_per_hour, f"own:{name}@{hardware.usd_per_hour}usd/h"
    if usd_per_hour is None:
        machine = book.machine(hardware.machine, at)
        if machine is None:
            return None
        usd_per_hour, machine_id = machine.usd_per_hour, machine.price_id
    price_id = f"{machine_id}+rate:{rate.model}@{rate.effective_from.isoformat()}"
    return compile_price_vector(self_host_price(usd_per_hour, read_engine_rate(rate), price_id=price_id))


def price_provider_model(
    name: str, model: str, settings: ProviderSettings, book: PriceBook, at: date
) -> PriceVector | None:
    """Price of a provider's model: own rates as they are (a contract's), list prices minus the discount.

    List prices are those of the company that the provider names (`price_book`), or that it is called by.
    A simulated provider never takes a real company's list price: its money is simulated like its answers.
    """
    chosen = settings.models[model]
    if chosen.price is not None:
        return compile_price_vector(read_own_rates(f"own:{name}/{model}", chosen.price))
    company = SIMULATED_ROWS if settings.simulated else settings.price_book or name
    return price_list_model(company, chosen.upstream_model or model, book, at, discount=settings.discount)


def price_list_model(
    company: str, model: str, book: PriceBook, at: date, *, discount: Decimal = Decimal(0)
) -> PriceVector | None:
    """A company's list prices of a model, of every tariff and prompt length; None where it has no standard price.

    Args:
        company: as the price book names it.
        model: any of the model's names.
        book: where to look.
        at: the day.
        discount: a share of the list price, 0 up to but not including 1.
    """
    found: dict[ServiceTier, TokenPrice] = {}
    for tier in ServiceTier:
        price = read_token_prices(book.token_prices_at(company, model, at, tier))
        if price is not None:
            found[tier] = _mark_discount(price, discount)
    standard = found.pop(ServiceTier.STANDARD, None)
    if standard is None:
        return None
    return compile_price_vector(standard, discount=discount, tiers={tier.value: found[tier] for tier in found})


def read_own_rates(price_id: str, settings: ProviderPriceSettings) -> TokenPrice:
    """The price in a file's rates. It holds under every tariff."""
    price = make_token_price(
        price_id,
        input_usd_per_mtok=settings.input_usd_per_mtok,
        output_usd_per_mtok=settings.output_usd_per_mtok,
        cache_read_usd_per_mtok=settings.cache_read_usd_per_mtok,
        cache_write_usd_per_mtok=settings.cache_write_usd_per_mtok,
    )
    return replace(
        price,
        cache_write_1h_usd_per_mtok=settings.cache_write_1h_usd_per_mtok,
        input_audio_usd_per_mtok=settings.input_audio_usd_per_mtok,
        output_audio_usd_per_mtok=settings.output_audio_usd_per_mtok,
        usd_per_request=settings.usd_per_request,
    )


def _mark_discount(price: TokenPrice, discount: Decimal) -> TokenPrice:
    """The same price with the discount in its ids, so that a trace tells a contract's cost from a list price."""
    if not discount:
        return price
    longer = tuple((start, _mark_discount(other, discount)) for start, other in price.longer)
    return replace(price, price_id=f"{price.price_id}-{discount.normalize():f}", longer=longer)
