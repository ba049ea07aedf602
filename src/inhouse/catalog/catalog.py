"""The whole catalog: prices, models, GPUs, licences, capacities, and look-ups by name and day. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from inhouse.catalog.book import BOOK_FOLDER, PriceBook, load_price_book, load_rows, pick_row
from inhouse.catalog.hardware_rows import GpuRow
from inhouse.catalog.licence_rows import LicenceRow
from inhouse.catalog.model_rows import ModelRow
from inhouse.catalog.rows import CapacityRow, MachineRow, MachineTerms
from inhouse.domain import ConfigError, SourceLocation


@dataclass(frozen=True, slots=True)
class Catalog:
    """All rows, as read. A look-up that finds nothing returns None or nothing: unknown, never a guess."""

    prices: PriceBook
    models: tuple[ModelRow, ...]
    gpus: tuple[GpuRow, ...]
    licences: tuple[LicenceRow, ...]
    capacity: tuple[CapacityRow, ...]
    own_machines: tuple[MachineRow, ...] = ()
    """The user's own machine prices, which win over the package's."""

    def model(self, name: str) -> ModelRow | None:
        """A model by its name in the catalog, or by a hub repository (also as `hf:OWNER/NAME@REVISION`)."""
        asked = name.removeprefix("hf:").partition("@")[0]
        return next((row for row in reversed(self.models) if asked in row.names), None)

    def gpu(self, name: str) -> GpuRow | None:
        """A GPU by its name or one of its other names; capitals, dashes and blanks do not count."""
        asked = _fold(name)
        return next((row for row in reversed(self.gpus) if asked in {_fold(known) for known in _gpu_names(row)}), None)

    def licence(self, name: str, at: date) -> LicenceRow | None:
        """A licence as it was on a day."""
        return pick_row([row for row in self.licences if row.licence == name], at)

    def capacity_of(self, model: str, at: date) -> tuple[CapacityRow, ...]:
        """Every known capacity of a model on a day, one row for each configuration, in the order of the file."""
        keys = dict.fromkeys(row.key for row in self.capacity if row.model == model)
        found = (pick_row([row for row in self.capacity if row.key == key], at) for key in keys)
        return tuple(row for row in found if row is not None)

    def gpu_usd_per_hour(self, gpu: str, terms: MachineTerms, at: date) -> MachineRow | None:
        """What one GPU costs an hour: the cheapest row of a machine with one GPU, simulated ones left out.

        Where the user's own file has prices of this GPU on these terms, only they count.
        """
        row = self.gpu(gpu)
        wanted = gpu if row is None else row.gpu
        return _cheapest(self.own_machines, wanted, terms, at) or _cheapest(self.prices.machines, wanted, terms, at)


def load_catalog(folder: Path = BOOK_FOLDER, *, extra_machines: Path | None = None) -> Catalog:
    """Read and check the whole catalog. Takes a few hundred milliseconds: keep the result.

    Args:
        folder: where the files of the package lie.
        extra_machines: a file of the user's own machine prices, as `inhouse catalog import-gpus` writes it.

    Raises:
        ConfigError: a file is missing or not as it must be, or a row names something that no row stands for; names
            file, row and fix.
    """
    catalog = Catalog(
        prices=load_price_book(folder),
        models=load_rows(folder / "models.yaml", ModelRow),
        gpus=load_rows(folder / "gpus.yaml", GpuRow),
        licences=load_rows(folder / "licences.yaml", LicenceRow),
        capacity=load_rows(folder / "capacity.yaml", CapacityRow),
        own_machines=() if extra_machines is None else load_rows(extra_machines, MachineRow),
    )
    _check_names(catalog, folder)
    return catalog


def _fold(name: str) -> str:
    return name.lower().translate({ord(character): None for character in " -_"})


def _gpu_names(row: GpuRow) -> tuple[str, ...]:
    return (row.gpu, *row.also)


def _cheapest(rows: tuple[MachineRow, ...], gpu: str, terms: MachineTerms, at: date) -> MachineRow | None:
    named = [row for row in rows if row.gpu == gpu and row.num_gpus == 1 and row.terms is terms]
    real = [row for row in named if "simulated" not in f"{row.source} {row.note}".lower()]
    keys = dict.fromkeys(row.key for row in real)
    in_force = [row for key in keys if (row := pick_row([row for row in real if row.key == key], at)) is not None]
    return min(in_force, key=lambda row: row.usd_per_hour, default=None)


def _check_names(catalog: Catalog, folder: Path) -> None:
    """Every name that a row uses stands for a row, and no name for two models or GPUs."""
    licences = {row.licence for row in catalog.licences}
    models, gpus = {row.model for row in catalog.models}, {row.gpu for row in catalog.gpus}
    for number, model in enumerate(catalog.models):
        _require(model.licences, licences, "licence", (folder / "models.yaml", number))
    for number, capacity in enumerate(catalog.capacity):
        _require((capacity.model,), models, "model", (folder / "capacity.yaml", number))
        _require((capacity.gpu,), gpus, "GPU", (folder / "capacity.yaml", number))
    for number, machine in enumerate(catalog.prices.machines):
        if machine.gpu is not None:
            _require((machine.gpu,), gpus, "GPU", (folder / "machines.yaml", number))
    _refuse_shared([(row.model, row.names) for row in catalog.models], folder / "models.yaml")
    _refuse_shared([(row.gpu, frozenset(map(_fold, _gpu_names(row)))) for row in catalog.gpus], folder / "gpus.yaml")


def _require(names: Iterable[str], known: set[str], kind: str, place: tuple[Path, int]) -> None:
    path, number = place
    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no {kind} {name!r} in the catalog.",
                fix=f"add a row for it first, or use one of: {', '.join(sorted(known))}.",
                location=SourceLocation(file=str(path), path=f"rows[{number}]"),
            )


def _refuse_shared(named: list[tuple[str, frozenset[str]]], path: Path) -> None:
    owners: dict[str, str] = {}
    for number, (owner, names) in enumerate(named):
        for name in sorted(names):
            if owners.setdefault(name, owner) != owner:
                raise ConfigError(
                    f"{name!r} is also a name of {owners[name]}.",
                    fix="let each name stand for one thing.",
                    location=SourceLocation(file=str(path), path=f"rows[{number}]"),
                )
