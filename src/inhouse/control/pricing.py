"""What a token costs at an endpoint: the user's own rates first, then the price book, else unpriced (None). Pure."""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from inhouse.backends.settings import ProviderSettings
from inhouse.catalog import PriceBook
from inhouse.domain import PriceVector
from inhouse.planning import (
    compile_price_vector,
    make_token_price,
    read_engine_rate,
    read_token_price,
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
        return compile_price_vector(
            make_token_price(
                f"own:{name}/{model}",
                input_usd_per_mtok=chosen.price.input_usd_per_mtok,
                output_usd_per_mtok=chosen.price.output_usd_per_mtok,
                cache_read_usd_per_mtok=chosen.price.cache_read_usd_per_mtok,
            )
        )
    company = SIMULATED_ROWS if settings.simulated else settings.price_book or name
    row = book.token_price(company, chosen.upstream_model or model, at)
    if row is None:
        return None
    vector = compile_price_vector(read_token_price(row), discount=settings.discount)
    return (
        replace(vector, price_id=f"{row.price_id}-{settings.discount.normalize():f}") if settings.discount else vector
    )
