"""What the user's contracts say of prices, out of the file's providers."""

from __future__ import annotations

from inhouse.backends.settings import ProviderSettings
from inhouse.cli.config import Configuration
from inhouse.control.pricing import SIMULATED_ROWS, read_own_rates
from inhouse.reports.pricing import OwnRates


def read_rates(configuration: Configuration | None) -> dict[str, OwnRates]:
    """Own rates and discounts by provider; nothing without a file."""
    if configuration is None:
        return {}
    return {name: _read_rates(name, settings) for name, settings in configuration.settings.providers.items()}


def _read_rates(name: str, settings: ProviderSettings) -> OwnRates:
    """Rates by the name that the file gives a model, and by the provider's own name of it, which exports use."""
    prices = {
        known: read_own_rates(f"own:{name}/{model}", chosen.price)
        for model, chosen in settings.models.items()
        if chosen.price is not None
        for known in dict.fromkeys((model, chosen.upstream_model or model))
    }
    company = SIMULATED_ROWS if settings.simulated else settings.price_book
    return OwnRates(price_book=company, discount=settings.discount, models=prices)
