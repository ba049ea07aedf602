"""The price book: reads the dated YAML files and answers look-ups by name and day. Decides nothing, fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import ValidationError

from inhouse.catalog.rows import ANY_MODEL, DatedRow, EngineRateRow, MachineRow, TokenPriceRow
from inhouse.domain import ConfigError, SourceLocation

BOOK_FOLDER = Path(__file__).parent / "data"
"""The files in the package: token_prices.yaml, machines.yaml, engine_rates.yaml."""
SCHEMA_VERSION = 1

_DatedRowT = TypeVar("_DatedRowT", bound=DatedRow)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All rows, as read. A look-up that finds nothing returns None: `unpriced`, never zero."""

    token_prices: tuple[TokenPriceRow, ...]
    machines: tuple[MachineRow, ...]
    engine_rates: tuple[EngineRateRow, ...]

    @property
    def companies(self) -> tuple[str, ...]:
        """The names of those whose list prices are known, sorted; the simulated one is none."""
        return tuple(sorted({row.provider for row in self.token_prices if not row.is_simulated}))

    def token_price(self, provider: str, model: str, at: date) -> TokenPriceRow | None:
        """The list price of a provider's model on a day, by its name or one of its other names.

        Names are compared whole: a model that is not in the book is not guessed from a similar name.
        """
        named = [row for row in self.token_prices if row.provider == provider and model in {row.model, *row.also}]
        return pick_row(named, at) or pick_row(
            [row for row in self.token_prices if row.key == (provider, ANY_MODEL)], at
        )

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
    """Read and check the price book. Takes some 20 ms: keep the result.

    Raises:
        ConfigError: a file is missing or not as it must be; names file, row and fix.
    """
    return PriceBook(
        token_prices=load_rows(folder / "token_prices.yaml", TokenPriceRow),
        machines=load_rows(folder / "machines.yaml", MachineRow),
        engine_rates=load_rows(folder / "engine_rates.yaml", EngineRateRow),
    )


def pick_row(rows: Sequence[_DatedRowT], at: date) -> _DatedRowT | None:
    """The row in force: of those that have begun, the latest, if it has not ended."""
    begun = [row for row in rows if row.effective_from <= at]
    latest = max(begun, key=lambda row: row.effective_from, default=None)
    return latest if latest is not None and latest.is_in_force(at) else None


def load_rows(path: Path, kind: type[_DatedRowT]) -> tuple[_DatedRowT, ...]:
    """The rows of one file, in their order.

    Raises:
        ConfigError: the file is missing or not as it must be; names file, row and fix.
    """
    rows: list[_DatedRowT] = []
    for number, raw in enumerate(_read_file(path)):
        location = SourceLocation(file=str(path), path=f"rows[{number}]")
        try:
            row = kind.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(_say(error), fix="mend this row of the price book.", location=location) from None
        _check_order(row, rows, location)
        rows.append(row)
    return tuple(rows)


def _read_file(path: Path) -> list[object]:
    location = SourceLocation(file=str(path))
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
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


def _check_order(row: DatedRow, before: Sequence[DatedRow], location: SourceLocation) -> None:
    """Rows of one key stand in the order of their dates and do not overlap; no name stands for two models."""
    same = [other for other in before if other.key == row.key]
    if same and row.effective_from < (same[-1].effective_until or same[-1].effective_from):
        problem = f"{'/'.join(row.key)} from {row.effective_from} begins before the row above it ends."
        raise ConfigError(problem, fix="append rows in the order of their dates.", location=location)
    if same and row.effective_from == same[-1].effective_from:
        problem = f"{'/'.join(row.key)} from {row.effective_from} stands twice."
        raise ConfigError(problem, fix="keep one of the two.", location=location)
    if isinstance(row, TokenPriceRow):
        names = {row.model, *row.also}
        for other in before:
            if isinstance(other, TokenPriceRow) and other.provider == row.provider and other.key != row.key:
                shared = sorted(names & {other.model, *other.also})
                if shared:
                    problem = f"{shared[0]} is also a name of {other.model}."
                    raise ConfigError(problem, fix="let each name stand for one model.", location=location)


def _say(error: ValidationError) -> str:
    """The first problem, with its field."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    words = first["msg"].removeprefix("Value error, ")
    return f"{field}: {words}." if field else f"{words}."
