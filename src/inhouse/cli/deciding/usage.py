"""Where `--from` leads: files of usage, shipped examples, the own traces, or what was imported. Prices nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from inhouse.cli.config import Configuration
from inhouse.cli.deciding.union import Union
from inhouse.cli.usage_files import ReadOptions, Report, UsageFile, UsageFormat, example_file, read_usage_file
from inhouse.cli.usage_imports import DEFAULT_STORE, settle_pages, show_progress
from inhouse.domain import ConfigError, UsageRow
from inhouse.planning import HourSums
from inhouse.reports.decision import Basis, Source
from inhouse.store import EVALS_SOURCE, TRACES_SOURCE, open_store

FROM_TRACES = "traces"
FROM_IMPORTS = "imported"
_EXAMPLE = "example:"
_STORES = ("sqlite:///", "postgresql://")


@dataclass(frozen=True, slots=True)
class Read:
    """Usage rows and what is known of where they come from."""

    rows: Sequence[UsageRow]
    source: Source


def read_usage(
    names: Sequence[str], configuration: Configuration | None, store_url: str | None, invoice_usd: Decimal | None
) -> Read:
    """The usage that `--from` names: one kind of place, one or several files.

    Raises:
        ConfigError: a file is malformed or not there, or places are mixed.
        StateError: the store cannot be opened.
    """
    urls = [name for name in names if name.startswith(_STORES)]
    places = {FROM_TRACES, FROM_IMPORTS, *urls}.intersection(names)
    if places and len(names) > 1:
        raise ConfigError(
            f"--from {' '.join(names)}: the same traffic would count twice.",
            fix="Name files, or `traces`, or `imported`, or the store of an import.",
        )
    if urls:
        return _read_store(FROM_IMPORTS, configuration, urls[0], invoice_usd)
    if places:
        return _read_store(names[0], configuration, store_url, invoice_usd)
    return _read_files(names, invoice_usd)


def _read_store(name: str, configuration: Configuration | None, store_url: str | None, invoice: Decimal | None) -> Read:
    url = store_url or (configuration.store_url if configuration is not None else None)
    if url is None and name == FROM_IMPORTS and Path(DEFAULT_STORE.removeprefix("sqlite:///")).exists():
        url = DEFAULT_STORE
    if url is None:
        raise ConfigError(
            f"--from {name} needs a store.", fix="Name the file of the installation with -c, or the store with --store."
        )
    with open_store(url) as store:
        is_traces = name == FROM_TRACES
        known = list(store.usage.hours(sources=[TRACES_SOURCE] if is_traces else None))
    rows = known if is_traces else [row for row in known if row.source not in {TRACES_SOURCE, EVALS_SOURCE}]
    if not rows:
        words = "inhouse has recorded no request yet" if is_traces else "nothing was imported into it yet"
        fix = "Send traffic through it first." if is_traces else "`inhouse import --help` lists the formats."
        raise ConfigError(f"--from {name}: {words}.", fix=fix)
    basis = Basis.MEASURED if is_traces else Basis.IMPORTED
    return Read(
        rows, Source(basis=basis, names=("own traces" if is_traces else "imported usage",), invoice_usd=invoice)
    )


def _read_files(names: Sequence[str], invoice: Decimal | None) -> Read:
    sums = HourSums()
    union = Union() if len(names) > 1 else None
    files = [_add_file(_find_file(name), sums if union is None else union) for name in names]
    settle_pages(files)
    notes = [note for file in files for note in _list_notes(file.report)]
    if union is not None:
        for record in union.records.values():
            sums.add(record)
        notes += union.list_notes(files)
    is_example = any(name.startswith(_EXAMPLE) or Path(name).name.startswith("example-") for name in names)
    labels = tuple(Path(name).name for name in names)
    source = Source(basis=Basis.IMPORTED, names=labels, is_example=is_example, invoice_usd=invoice, notes=tuple(notes))
    return Read(sums.rows(), source)


def _find_file(name: str) -> Path:
    if not name.startswith(_EXAMPLE):
        return Path(name)
    example = name.removeprefix(_EXAMPLE)
    if example not in set(UsageFormat):
        raise ConfigError(
            f"--from {name}: there is no example {example!r}.", fix=f"Use one of {', '.join(UsageFormat)}."
        )
    return example_file(example)


def _add_file(path: Path, into: HourSums | Union) -> UsageFile:
    """Add a file's records, each once; returns the file, read whole."""
    with show_progress(path) as advance:
        file = read_usage_file(path, options=ReadOptions(advance=advance))
        for record in file.records:
            into.add(record)
    return file


def _list_notes(report: Report) -> list[str]:
    notes = [f"{count:,} records left out: {reason}" for reason, count in report.skipped.items()]
    notes += [f"{count:,} × {words}" for words, count in report.warnings.items()]
    if report.num_duplicates:
        notes.append(f"{report.num_duplicates:,} duplicates within the file counted once")
    if report.has_more:
        notes.append("the export says that more pages follow: it is not whole")
    return notes
