"""Opens what costs are read from: the store, the price book, the user's rates and currency. Sums nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from inhouse.catalog import PriceBook, load_price_book
from inhouse.cli.config import Configuration
from inhouse.cli.deciding.rates import read_rates
from inhouse.cli.installation import DEFAULT_FILE, find_configuration
from inhouse.control.pricing import SIMULATED_ROWS, price_deployment, price_list_model, price_provider_model
from inhouse.domain import ConfigError, PriceVector
from inhouse.reports.costs import DOLLARS, CostLine, Currency, read_imported, read_spend
from inhouse.reports.pricing import OwnRates, Pricer
from inhouse.store import TRACES_SOURCE, Store, open_store

CostsConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help=f"The configuration file; {DEFAULT_FILE} where it is there.")
]
CostsStoreOption = Annotated[
    str | None, typer.Option("--store", help="Read this store (a database URL) in place of the file's.")
]
ALL_IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class CostBooks:
    """Where costs come from."""

    store: Store
    book: PriceBook
    configuration: Configuration | None
    """None where only a store was named: then there are no own rates, machines and currency."""
    pricer: Pricer
    """By the user's rates, else list prices."""
    listed: Pricer
    """By list prices alone."""
    currency: Currency

    def lines(
        self, since: float | None, until: float | None, sources: Sequence[str] = (), tags: Sequence[str] = ()
    ) -> Iterator[CostLine]:
        """Cost lines of a period, of `traces`, `imported` or formats of imports; of all where none is named.

        Raises:
            ConfigError: nothing of a named format was imported.
        """
        formats = sorted({found.source for found in self.store.usage.imports()})
        unknown = [name for name in sources if name not in {TRACES_SOURCE, ALL_IMPORTED, *formats}]
        if unknown:
            known = ", ".join((TRACES_SOURCE, ALL_IMPORTED, *formats))
            raise ConfigError(f"--source {unknown[0]}: nothing of it was imported.", fix=f"choose from {known}.")
        wanted = [name for name in formats if not sources or ALL_IMPORTED in sources or name in sources]
        parts: list[Iterator[CostLine]] = []
        if not sources or TRACES_SOURCE in sources:
            parts.append(read_spend(self.store.spend.hours(since, until, tags), tags))
        if wanted:
            parts.append(read_imported(self.store.usage.hours(since, until, wanted), self.pricer, tags))
        return chain.from_iterable(parts)

    def find_vector(
        self,
        endpoint_id: str,
        day: date,
        is_simulated: bool,  # noqa: FBT001 - a key's part
    ) -> PriceVector | None:
        """What the gateway would have priced an endpoint's requests with, by today's rates and that day's prices.

        Simulated requests never get a real price, nor real ones a simulated one.
        """
        name, slash, model = endpoint_id.partition("/")
        settings = None if self.configuration is None else self.configuration.settings
        if not slash:
            deployment = None if settings is None else settings.deployments.get(name)
            return None if deployment is None else price_deployment(name, deployment, self.book, day)
        provider = None if settings is None else settings.providers.get(name)
        if provider is None or model not in provider.models:
            stated = None if provider is None else provider.price_book
            if settings is not None and settings.observe is not None:
                stated = settings.observe.provider
            return price_list_model(SIMULATED_ROWS if is_simulated else stated or name, model, self.book, day)
        if (provider.simulated is not None) != is_simulated:
            return None
        return price_provider_model(name, model, provider, self.book, day)


@contextlib.contextmanager
def open_books(config: Path | None, store: str | None) -> Generator[CostBooks]:
    """Open the store of a file or URL, with the file's rates and currency.

    Raises:
        ConfigError: neither is named and there is no file in the working directory, or one cannot be read.
        StateError: the store cannot be opened.
    """
    configuration = find_configuration(config, store)
    url = store or (None if configuration is None else configuration.store_url)
    if url is None:
        raise ConfigError("No store is named.", fix="name one: `-c inhouse.yaml` or `--store sqlite:///PATH`.")
    book = load_price_book()
    rates = read_rates(configuration)
    listed = {name: OwnRates(price_book=one.price_book) for name, one in rates.items()}
    with contextlib.closing(open_store(url)) as opened:
        yield CostBooks(
            store=opened,
            book=book,
            configuration=configuration,
            pricer=Pricer(book, rates),
            listed=Pricer(book, listed),
            currency=_read_currency(configuration),
        )


def _read_currency(configuration: Configuration | None) -> Currency:
    if configuration is None:
        return DOLLARS
    costs = configuration.settings.costs
    return DOLLARS if costs.usd_rate is None else Currency(costs.currency, costs.usd_rate, costs.rate_as_of)
