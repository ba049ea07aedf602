"""Observe mode's upstream as the snapshot holds it: address, network, and list prices by model name. Pure."""

from __future__ import annotations

from datetime import date

from inhouse.backends.networks import build_network
from inhouse.backends.settings import ObserveSettings
from inhouse.backends.target import parse_target
from inhouse.catalog import PriceBook
from inhouse.control.pricing import price_list_model
from inhouse.domain import Dialect, Observed, PriceVector

KNOWN_COMPANIES = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "api.mistral.ai": "mistral",
    "generativelanguage.googleapis.com": "google",
    "api.cerebras.ai": "cerebras",
    "api.cohere.com": "cohere",
    "api.fireworks.ai": "fireworks",
    "api.groq.com": "groq",
    "api.novita.ai": "novita",
    "api.together.xyz": "together",
    "api.x.ai": "x-ai",
}
"""Host of a company's API → the name that the price book knows it by."""
_ANTHROPIC = "anthropic"


def compile_observed(settings: ObserveSettings, book: PriceBook, at: date) -> Observed:
    """The upstream of observe mode.

    The one address that the operator names may be private, whatever its name resolves to: a proxy or engine of their
    own. A company's API may not.

    Args:
        settings: the file's.
        book: list prices.
        at: the day whose prices apply.
    """
    root_url = settings.base_url.rstrip("/").removesuffix("/v1")
    target = parse_target(root_url)
    company = KNOWN_COMPANIES.get(target.host)
    provider = settings.provider or company
    return Observed(
        endpoint_id=company or target.host_header,
        root_url=root_url,
        dialect=Dialect.ANTHROPIC if company == _ANTHROPIC else Dialect.OPENAI,
        network=build_network(settings.network, is_private=company is None),
        prices={} if provider is None else _price_models(provider, book, at),
    )


def _price_models(provider: str, book: PriceBook, at: date) -> dict[str, PriceVector]:
    """Every model of the provider in the book, under each of its names."""
    names = {name for row in book.token_prices if row.provider == provider for name in (row.model, *row.also)}
    found: dict[str, PriceVector] = {}
    for name in sorted(names):
        price = price_list_model(provider, name, book, at)
        if price is not None:
            found[name] = price
    return found
