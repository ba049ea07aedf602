"""Reads price lists of GPU clouds (SkyPilot's `vms.csv`, gpuhunt's one file a provider) into rows of machines."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import yaml

from inhouse.catalog.book import SCHEMA_VERSION
from inhouse.catalog.rows import MachineRow, MachineTerms
from inhouse.domain import ConfigError, SourceLocation

SKYPILOT_COLUMNS = frozenset({"InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "SpotPrice", "Region"})
GPUHUNT_COLUMNS = frozenset({"instance_name", "location", "price", "gpu_count", "gpu_name", "gpu_memory", "spot"})
_SOURCES = {
    "skypilot": "https://github.com/skypilot-org/skypilot-catalog",
    "gpuhunt": "https://github.com/dstackai/gpuhunt",
}
_WRITTEN = (
    "machine", "description", "gpu", "num_gpus", "terms", "usd_per_hour", "effective_from", "checked_on", "source",
    "note",
)  # fmt: skip

FindGpu = Callable[[str], str | None]
"""A price list's name of a GPU → its name in the catalog; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuOffer:
    """What one GPU of a machine costs, in US dollars an hour: the machine's price divided by its GPUs."""

    provider: str
    instance: str
    region: str
    gpu: str
    num_gpus: int
    terms: MachineTerms
    usd_per_gpu_hour: Decimal
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferFile:
    """What price lists held: offers, rows that were skipped by reason, and rows that could not be read."""

    offers: tuple[GpuOffer, ...]
    num_rows: int
    skipped: tuple[tuple[str, int], ...]
    """(reason, rows), most frequent first."""
    malformed: tuple[str, ...]
    """`FILE:LINE: problem` for each row that could not be read."""


class _RowError(ValueError):
    """A row that cannot be read; its text says why."""


@dataclass(slots=True)
class _Tally:
    offers: list[GpuOffer]
    skipped: Counter[str]
    malformed: list[str]
    num_rows: int = 0


def read_gpu_offers(path: Path, find_gpu: FindGpu) -> OfferFile:
    """Read a price list, or every CSV file in a folder and below it.

    SkyPilot's lists are told from gpuhunt's by their columns. A SkyPilot list takes its provider's name from its
    folder, a gpuhunt list from the file.

    Args:
        path: file or folder.
        find_gpu: names of price lists → names of the catalog.

    Raises:
        ConfigError: it cannot be read, or is no list of either kind.
    """
    files = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(
            "there is no CSV file in this folder.",
            fix="name a `vms.csv`, or a folder of a provider's price lists.",
            location=SourceLocation(file=str(path)),
        )
    tally = _Tally([], Counter(), [])
    for file in files:
        _read_file(file, find_gpu, tally)
    return OfferFile(
        offers=tuple(tally.offers),
        num_rows=tally.num_rows,
        skipped=tuple(tally.skipped.most_common()),
        malformed=tuple(tally.malformed),
    )


def summarize_offers(offers: Iterable[GpuOffer], checked_on: date) -> tuple[MachineRow, ...]:
    """Two rows for each GPU and terms, the cheapest offer and the median one, each with its provider and region.

    The median of an even number is the dearer of the two in the middle, so that it is an offer that exists.
    """
    groups: dict[tuple[str, MachineTerms], list[GpuOffer]] = {}
    for offer in offers:
        groups.setdefault((offer.gpu, offer.terms), []).append(offer)
    rows: list[MachineRow] = []
    for (gpu, terms), group in sorted(groups.items()):
        ranked = sorted(group, key=lambda offer: (offer.usd_per_gpu_hour, offer.provider, offer.region))
        name = f"{gpu.lower()}-{terms.value.replace('_', '-')}"
        for kind, offer in (("cheapest", ranked[0]), ("median", ranked[len(ranked) // 2])):
            rows.append(_make_row(f"{name}-{kind}", f"{kind} of {len(group)}", offer, checked_on))
    return tuple(rows)


def write_machine_rows(rows: Sequence[MachineRow], path: Path, heading: str) -> None:
    """Write a file of machine rows that `load_catalog(extra_machines=…)` reads.

    Raises:
        ConfigError: the file cannot be written.
    """
    written = [{name: values[name] for name in _WRITTEN} for values in (row.model_dump(mode="json") for row in rows)]
    text = yaml.safe_dump({"schema": SCHEMA_VERSION, "rows": written}, sort_keys=False, allow_unicode=True, width=1000)
    try:
        path.write_text(f"# {heading}\n{text}", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"The file cannot be written: {error.strerror}.",
            fix="name another file with --out.",
            location=SourceLocation(file=str(path)),
        ) from None


def _read_file(path: Path, find_gpu: FindGpu, tally: _Tally) -> None:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            parse = _choose_form(frozenset(reader.fieldnames or ()), path)
            for row in reader:
                tally.num_rows += 1
                _read_row(row, parse, find_gpu, f"{path}:{reader.line_num}", tally)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"The file cannot be read: {error}.", fix="name a CSV file in UTF-8.", location=SourceLocation(str(path))
        ) from None


def _choose_form(columns: frozenset[str], path: Path) -> Callable[[dict[str, str]], Iterator[GpuOffer | str]]:
    if columns >= SKYPILOT_COLUMNS:
        return lambda row: _parse_skypilot(row, path.resolve().parent.name)
    if columns >= GPUHUNT_COLUMNS:
        return lambda row: _parse_gpuhunt(row, path.stem)
    raise ConfigError(
        "It is no price list that inhouse knows: columns are missing.",
        fix=f"give it SkyPilot's columns ({', '.join(sorted(SKYPILOT_COLUMNS))}) or gpuhunt's "
        f"({', '.join(sorted(GPUHUNT_COLUMNS))}).",
        location=SourceLocation(file=str(path), line=1),
    )


def _read_row(
    row: dict[str, str],
    parse: Callable[[dict[str, str]], Iterator[GpuOffer | str]],
    find_gpu: FindGpu,
    place: str,
    tally: _Tally,
) -> None:
    try:
        found = list(parse(row))
    except _RowError as problem:
        tally.malformed.append(f"{place}: {problem}")
        return
    for item in found:
        if isinstance(item, str):
            tally.skipped[item] += 1
            continue
        gpu = _find_name(item.gpu, find_gpu)
        if gpu is None:
            tally.skipped[f"GPU not in the catalog: {item.gpu.partition('/')[0]}"] += 1
        else:
            tally.offers.append(_rename(item, gpu))


def _parse_skypilot(row: dict[str, str], provider: str) -> Iterator[GpuOffer | str]:
    name = _text(row, "AcceleratorName")
    if not name:
        yield "no GPU"
        return
    share = _amount(row, "AcceleratorCount")
    if share is not None and 0 < share < 1:
        yield "part of a GPU"
        return
    num_gpus = _count(row, "AcceleratorCount")
    prices = {MachineTerms.ON_DEMAND: _amount(row, "Price"), MachineTerms.SPOT: _amount(row, "SpotPrice")}
    if not any(prices.values()):
        yield "no price"
    for terms, price in prices.items():
        if price:
            yield GpuOffer(
                provider=provider, instance=_text(row, "InstanceType"), region=_text(row, "Region"), gpu=name,
                num_gpus=num_gpus, terms=terms, usd_per_gpu_hour=price / num_gpus, source=_SOURCES["skypilot"],
            )  # fmt: skip


def _parse_gpuhunt(row: dict[str, str], provider: str) -> Iterator[GpuOffer | str]:
    name = _text(row, "gpu_name")
    if not name or _text(row, "gpu_count") in {"", "0"}:
        yield "no GPU"
        return
    num_gpus, price, memory = _count(row, "gpu_count"), _amount(row, "price"), _amount(row, "gpu_memory")
    if not price:
        yield "no price"
        return
    is_spot = _text(row, "spot").lower()
    if is_spot not in {"true", "false"}:
        raise _RowError(f"spot is {is_spot!r}, not True or False")
    yield GpuOffer(
        provider=provider, instance=_text(row, "instance_name"), region=_text(row, "location"),
        gpu=name if memory is None else f"{name}/{memory:.0f}", num_gpus=num_gpus,
        terms=MachineTerms.SPOT if is_spot == "true" else MachineTerms.ON_DEMAND,
        usd_per_gpu_hour=price / num_gpus, source=_SOURCES["gpuhunt"],
    )  # fmt: skip


def _find_name(listed: str, find_gpu: FindGpu) -> str | None:
    """A list that gives the memory beside the name means the kind with that memory (`A100` with 80 GB)."""
    name, _, memory = listed.partition("/")
    return (find_gpu(f"{name}-{memory}GB") if memory else None) or find_gpu(name)


def _rename(offer: GpuOffer, gpu: str) -> GpuOffer:
    return GpuOffer(
        provider=offer.provider, instance=offer.instance, region=offer.region, gpu=gpu, num_gpus=offer.num_gpus,
        terms=offer.terms, usd_per_gpu_hour=offer.usd_per_gpu_hour, source=offer.source,
    )  # fmt: skip


def _make_row(machine: str, kind: str, offer: GpuOffer, checked_on: date) -> MachineRow:
    return MachineRow(
        machine=machine,
        description=f"one {offer.gpu} at {offer.provider}, {offer.region or 'region not given'} ({kind})",
        gpu=offer.gpu,
        num_gpus=1,
        terms=offer.terms,
        usd_per_hour=offer.usd_per_gpu_hour.quantize(Decimal("0.0001")),
        effective_from=checked_on,
        checked_on=checked_on,
        source=offer.source,
        note=f"{offer.instance}: the machine's price divided by its {offer.num_gpus} GPUs",
    )


def _text(row: dict[str, str], column: str) -> str:
    return (row.get(column) or "").strip()


def _amount(row: dict[str, str], column: str) -> Decimal | None:
    """A number of zero or more; None where the cell is empty."""
    text = _text(row, column)
    if not text:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise _RowError(f"{column} is {text!r}, not a number") from None
    if not amount.is_finite() or amount < 0:
        raise _RowError(f"{column} is {text!r}, not an amount of zero or more")
    return amount


def _count(row: dict[str, str], column: str) -> int:
    amount = _amount(row, column)
    if amount is None or amount < 1 or amount != int(amount):
        raise _RowError(f"{column} is {_text(row, column)!r}, not a whole number of GPUs")
    return int(amount)
