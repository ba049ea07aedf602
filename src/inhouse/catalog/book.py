"""The price book: reads the dated YAML files and answers look-ups by name and day. Decides nothing, fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import ValidationError

from inhouse.catalog.rows import ANY_MODEL, DatedRow, EngineRateRow, MachineRow, TokenPriceRow
from inhouse.domain import ConfigError, ServiceTier, SourceLocation

BOOK_FOLDER = Path(__file__).parent / "data"
"""The files in the package: token_prices.yaml, machines.yaml, engine_rates.yaml."""
SCHEMA_VERSION = 1

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader, in C where PyYAML was built with it: ten times as fast."""
_DatedRowT = TypeVar("_DatedRowT", bound=DatedRow)


_Lengths = dict[int, list[TokenPriceRow]]
"""Rows of one model and tariff by the prompt length that they begin at, each list in the order of its dates."""
_Tariffs = dict[ServiceTier, _Lengths]


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All rows, as read. A look-up that finds nothing returns None: `unpriced`, never zero."""

    token_prices: tuple[TokenPriceRow, ...]
    machines: tuple[MachineRow, ...]
    engine_rates: tuple[EngineRateRow, ...]
    _tariffs: dict[tuple[str, str], _Tariffs] = field(init=False, repr=False, compare=False)
    """By provider and each name of a model."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tariffs", _index_rows(self.token_prices))

    @property
    def companies(self) -> tuple[str, ...]:
        """The names of those whose list prices are known, sorted; the simulated one is none."""
        return tuple(sorted({row.provider for row in self.token_prices if not row.is_simulated}))

    def token_price(
        self, provider: str, model: str, at: date, tier: ServiceTier = ServiceTier.STANDARD
    ) -> TokenPriceRow | None:
        """The list price of a provider's model on a day, by its name or one of its other names. Takes about 1 µs.

        It is the price of the shortest prompts, see `token_prices_at`. Names are compared whole: a model that is
        not in the book is not guessed from a similar name.
        """
        for name in (model, ANY_MODEL):
            tariffs = self._tariffs.get((provider, name))
            lengths = None if tariffs is None else tariffs.get(tier)
            row = None if lengths is None else pick_row(lengths.get(0, ()), at)
            if row is not None:
                return row
        return None

    def token_prices_at(
        self, provider: str, model: str, at: date, tier: ServiceTier = ServiceTier.STANDARD
    ) -> tuple[TokenPriceRow, ...]:
        """The list prices of a provider's model on a day, ascending by the prompt length that they begin at.

        The first begins at 0; empty where that one is not in the book.
        """
        base = self.token_price(provider, model, at, tier)
        if base is None:
            return ()
        lengths = self._tariffs[(base.provider, base.model)][tier]
        longer = (pick_row(rows, at) for start, rows in sorted(lengths.items()) if start)
        return (base, *(row for row in longer if row is not None))

    def first_day(self, provider: str, model: str, tier: ServiceTier = ServiceTier.STANDARD) -> date | None:
        """The first day on which the list price of a provider's model is known; None where it never is."""
        for name in (model, ANY_MODEL):
            rows = self._tariffs.get((provider, name), {}).get(tier, {}).get(0)
            if rows:
                return rows[0].effective_from
        return None

    def hosted_open(self, open_model: str, at: date) -> tuple[TokenPriceRow, ...]:
        """The standard list prices at which providers host a catalog model's open weights, cheapest first.

        Compared at five tokens of prompt to one of answer.
        """
        names = {(row.provider, row.model) for row in self.token_prices if row.open_model == open_model}
        rows = (self.token_price(provider, model, at) for provider, model in names)
        found = (row for row in rows if row is not None and row.open_model == open_model)
        return tuple(sorted(found, key=lambda row: (_blend(row), row.provider, row.model)))

    def machine(self, name: str, at: date) -> MachineRow | None:
        """What a machine costs on a day."""
        return pick_row([row for row in self.machines if row.machine == name], at)

    def engine_rate(
        self, model: str, machine: str, at: date, *, quantization: str | None = None
    ) -> EngineRateRow | None:
        """How long a machine is busy per token; the quantization's own row, else the model's."""
        named = [row for row in self.engine_rates if row.model == model and row.machine == machine]
        own = pick_row([row for row in named if row.quantization == quantization], at)
        return own or pick_row([row for row in named if row.quantization is None], at)


def load_price_book(folder: Path = BOOK_FOLDER) -> PriceBook:
    """Read and check the price book. Takes some 40 ms: keep the result.

    Raises:
        ConfigError: a file is missing or not as it must be; names file, row and fix.
    """
    return PriceBook(
        token_prices=load_rows(folder / "token_prices.yaml", TokenPriceRow),
        machines=load_rows(folder / "machines.yaml", MachineRow),
        engine_rates=load_rows(folder / "engine_rates.yaml", EngineRateRow),
    )


def _index_rows(rows: Sequence[TokenPriceRow]) -> dict[tuple[str, str], _Tariffs]:
    found: dict[tuple[str, str], _Tariffs] = {}
    for row in sorted(rows, key=lambda row: row.effective_from):
        tariffs = found.setdefault((row.provider, row.model), {})
        tariffs.setdefault(row.tier, {}).setdefault(row.from_input_tokens, []).append(row)
    for row in rows:
        for name in row.also:
            found.setdefault((row.provider, name), found[(row.provider, row.model)])
    return found


def _blend(row: TokenPriceRow) -> Decimal:
    return 5 * row.input_usd_per_mtok + row.output_usd_per_mtok


def pick_row(rows: Sequence[_DatedRowT], at: date) -> _DatedRowT | None:
    """The row in force: of those that have begun, the latest, if it has not ended. The rows are in date order."""
    for row in reversed(rows):
        if row.effective_from <= at:
            return row if row.is_in_force(at) else None
    return None


def load_rows(path: Path, kind: type[_DatedRowT]) -> tuple[_DatedRowT, ...]:
    """Read one file of dated rows.

    Raises:
        ConfigError: it is missing or not as it must be; names file, row and fix.
    """
    rows: list[_DatedRowT] = []
    latest: dict[tuple[str, ...], DatedRow] = {}
    names: dict[tuple[str, str], str] = {}
    for number, raw in enumerate(_read_file(path)):
        location = SourceLocation(file=str(path), path=f"rows[{number}]")
        try:
            row = kind.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(_say(error), fix="mend this row of the price book.", location=location) from None
        _check_order(row, latest.get(row.key), location)
        if isinstance(row, TokenPriceRow):
            _check_names(row, names, location)
        latest[row.key] = row
        rows.append(row)
    return tuple(rows)


def _read_file(path: Path) -> list[object]:
    location = SourceLocation(file=str(path))
    try:
        content: Any = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - it is a safe loader
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The file cannot be read: {error}.", fix="put it there, in UTF-8.", location=location
        ) from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"It is not YAML: {problem}.", fix="mend the YAML.", location=location) from None
    if not isinstance(content, dict):
        raise ConfigError("It is not a mapping.", fix="give it the keys `schema` and `rows`.", location=location)
    mapping = cast("dict[str, object]", content)
    if mapping.get("schema") != SCHEMA_VERSION:
        raise ConfigError(
            f"Its schema is {mapping.get('schema')!r}, and this inhouse reads {SCHEMA_VERSION}.",
            fix="take the file that came with this inhouse.",
            location=location,
        )
    rows = mapping.get("rows")
    if not isinstance(rows, list):
        raise ConfigError("It has no list of rows.", fix="write the rows under `rows:`.", location=location)
    return cast("list[object]", rows)


def _check_order(row: DatedRow, before: DatedRow | None, location: SourceLocation) -> None:
    """Rows of one key stand in the order of their dates and do not overlap."""
    if before is None:
        return
    if row.effective_from < (before.effective_until or before.effective_from):
        problem = f"{'/'.join(row.key)} from {row.effective_from} begins before the row above it ends."
        raise ConfigError(problem, fix="append rows in the order of their dates.", location=location)
    if row.effective_from == before.effective_from:
        problem = f"{'/'.join(row.key)} from {row.effective_from} stands twice."
        raise ConfigError(problem, fix="keep one of the two.", location=location)


def _check_names(row: TokenPriceRow, models: dict[tuple[str, str], str], location: SourceLocation) -> None:
    """No name of a provider's stands for two models; notes the row's names in `models`."""
    for name in (row.model, *row.also):
        model = models.setdefault((row.provider, name), row.model)
        if model != row.model:
            problem = f"{name} is also a name of {model}."
            raise ConfigError(problem, fix="let each name stand for one model.", location=location)


def _say(error: ValidationError) -> str:
    """The first problem, with its field."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    words = first["msg"].removeprefix("Value error, ")
    return f"{field}: {words}." if field else f"{words}."
