"""`inhouse import openai-usage` and its like: read usage exports, keep their records once, say what is in them."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from inhouse.cli.installation import DEFAULT_FILE, JsonOption, find_store_url
from inhouse.cli.terminal import err, out, print_json
from inhouse.cli.usage_files import (
    ReadOptions,
    Report,
    UsageFile,
    UsageFormat,
    example_file,
    parse_mapping,
    read_usage_file,
)
from inhouse.cli.usage_view import FileResult, describe_results, render_imports, show_file, show_summary
from inhouse.domain import ConfigError, StateError, UsageRecord, UsageRow
from inhouse.planning import HourSums
from inhouse.store import ImportCounts, Store, UsageImport, open_store

DEFAULT_STORE = "sqlite:///inhouse-usage.db"
"""Where usage goes when neither a store nor a configuration is named: a file in the working directory."""
_BAR_FROM_BYTES = 5_000_000

FilesArgument = Annotated[
    list[Path] | None, typer.Argument(help="Exports: JSON, JSON lines or CSV, gzipped or not.", show_default=False)
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Keep it in the store of this configuration file.")
]
StoreOption = Annotated[
    str | None, typer.Option("--store", help=f"Keep it in this store: a database URL. Otherwise {DEFAULT_STORE}.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only read and sum up; keep nothing.")]
AccountOption = Annotated[
    str, typer.Option(help="A name for the account, where two of them have equal labels (two organisations).")
]
ExampleOption = Annotated[bool, typer.Option("--example", help="Read the example export in the package.")]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="Which field a column holds, as column=field; may be given several times."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a command was asked to do."""

    files: Sequence[Path]
    format: UsageFormat | None
    config: Path | None
    store: str | None


def import_openai_usage(
    files: FilesArgument = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    dry_run: DryRunOption = False,
    account: AccountOption = "",
    example: ExampleOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read OpenAI's usage: pages of `organization/usage/completions`, or the usage page's CSV export.

    Best grouped by project, key, model, batch and service tier, by the hour. Sends nothing, keeps no key.
    """
    wanted = UsageFormat.OPENAI_USAGE
    _run(_order(wanted, files, config, store, example=example), dry_run, account, as_json)


def import_anthropic_usage(
    files: FilesArgument = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    dry_run: DryRunOption = False,
    account: AccountOption = "",
    example: ExampleOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read Anthropic's usage: pages of `usage_report/messages`, or the console's CSV export.

    It does not count requests. Best grouped by workspace, key, model and service tier, by the hour.
    """
    wanted = UsageFormat.ANTHROPIC_USAGE
    _run(_order(wanted, files, config, store, example=example), dry_run, account, as_json)


def import_litellm_spend(
    files: FilesArgument = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    dry_run: DryRunOption = False,
    example: ExampleOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read LiteLLM's spend logs: `/spend/logs`, or the table LiteLLM_SpendLogs as JSON, JSON lines or CSV."""
    wanted = UsageFormat.LITELLM_SPEND
    _run(_order(wanted, files, config, store, example=example), dry_run, "", as_json)


def import_langfuse(
    files: FilesArgument = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    dry_run: DryRunOption = False,
    example: ExampleOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read Langfuse's observations: exported from its pages or to blob storage, or pages of its API."""
    wanted = UsageFormat.LANGFUSE
    _run(_order(wanted, files, config, store, example=example), dry_run, "", as_json)


def import_csv(
    files: FilesArgument = None,
    mapping: MapOption = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    dry_run: DryRunOption = False,
    account: AccountOption = "",
    example: ExampleOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read a table of one's own: a header with a time, and tokens or an amount (docs/guides/usage-imports.md)."""
    order = _order(UsageFormat.CSV, files, config, store, example=example)
    _run(order, dry_run, account, as_json, parse_mapping(mapping or ()))


def import_usage(
    files: FilesArgument = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    dry_run: DryRunOption = False,
    account: AccountOption = "",
    as_json: JsonOption = False,
) -> None:
    """Read usage exports of any known format, found by their content."""
    _run(_order(None, files, config, store, example=False), dry_run, account, as_json)


def list_imports(config: ConfigOption = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List what was imported, newest first."""
    with _open(find_store(config, store), must_exist=True) as opened:
        rows = opened.usage.imports()
    if as_json:
        print_json(rows)
    elif rows:
        out.print(render_imports(rows))
    else:
        out.print("nothing is imported")


def remove_import(
    import_id: Annotated[int, typer.Argument(help="Its number, from `inhouse import list`.")],
    config: ConfigOption = None,
    store: StoreOption = None,
) -> None:
    """Take one import back. Records that another file held too go with it; import that file again."""
    with _open(find_store(config, store), must_exist=True) as opened:
        num_records = opened.usage.remove(import_id)
    if num_records is None:
        raise StateError(f"There is no import {import_id}.", fix="`inhouse import list` shows those that there are.")
    out.print(f"import {import_id} is taken back: {num_records:,} records removed")
    out.print("undo: import its file again", style="dim")


USAGE_COMMANDS: dict[str, Callable[..., None]] = {
    "openai-usage": import_openai_usage,
    "anthropic-usage": import_anthropic_usage,
    "litellm-spend": import_litellm_spend,
    "langfuse": import_langfuse,
    "csv": import_csv,
    "usage": import_usage,
    "list": list_imports,
    "remove": remove_import,
}
"""The commands by name."""


def find_store(config: Path | None, store: str | None) -> str:
    """The URL of the store to use.

    Raises:
        ConfigError: both are given, or the configuration cannot be read.
    """
    if config is not None and store is not None:
        raise ConfigError("Both --config and --store name a store.", fix="leave one of them out.")
    if store is not None:
        return store
    return find_store_url(config) if config is not None else DEFAULT_STORE


def _order(
    wanted: UsageFormat | None, files: Sequence[Path] | None, config: Path | None, store: str | None, *, example: bool
) -> Order:
    named = [*(files or ())]
    if example and wanted is not None:
        named.append(example_file(wanted))
    if not named:
        hint = ", or --example to try it" if wanted is not None else ""
        raise ConfigError("No file is named.", fix=f"name the exports to read{hint}.")
    return Order(files=named, format=wanted, config=config, store=store)


def _run(
    order: Order,
    is_dry: bool,  # noqa: FBT001 -- the option's value
    account: str,
    as_json: bool,  # noqa: FBT001 -- the option's value
    mapping: dict[str, str] | None = None,
) -> None:
    sums = HourSums()
    results: list[FileResult] = []
    keeping = nullcontext() if is_dry else _open(find_store(order.config, order.store))
    with keeping as store:
        try:
            for path in order.files:
                result = _import_file(path, order.format, ReadOptions(mapping or {}, account), store, sums)
                results.append(result)
        finally:  # what was read before a file that cannot be is said too
            settle_pages(results)
            for result in () if as_json else results:
                show_file(result)
        overlaps = [] if store is None else _find_other_sources(store, results)
        label = None if store is None else store.label
    rows = sums.rows()
    if as_json:
        print_json(describe_results(results, rows, label, overlaps))
        return
    show_summary(results, rows, overlaps)
    _show_next(order, results, rows, label)


def settle_pages(results: Sequence[FileResult | UsageFile]) -> None:
    """Where a page says that more follow, and another file begins where it ends, nothing is missing."""
    starts = {(result.format, result.report.since) for result in results}
    for result in results:
        if (result.format, result.report.until) in starts:
            result.report.has_more = False


def _import_file(
    path: Path, wanted: UsageFormat | None, options: ReadOptions, store: Store | None, sums: HourSums
) -> FileResult:
    with show_progress(path) as advance:
        usage = read_usage_file(path, wanted, ReadOptions(options.mapping, options.account, advance))
        records = _sum_on_the_way(usage.records, sums)
        counts: ImportCounts | None = None
        if store is None:
            for _ in records:
                pass
        else:
            counts = store.usage.add(records, lambda: _describe(usage, options.account))
    return FileResult(path=path, format=usage.format, report=usage.report, counts=counts)


def _sum_on_the_way(records: Iterator[UsageRecord], sums: HourSums) -> Iterator[UsageRecord]:
    for record in records:
        sums.add(record)
        yield record


def _describe(usage: UsageFile, account: str) -> UsageImport:
    report = usage.report
    with usage.path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return UsageImport(
        source=usage.format,
        file=usage.path.name,
        sha256=digest,
        account=account,
        grouped_by=describe_grouping(report),
        imported_at=time.time(),
        since=report.since,
        until=report.until,
    )


def describe_grouping(report: Report) -> str:
    """What the records of a file are grouped by: length of their periods and labels; empty for single requests."""
    widths = sorted(width for width in report.widths if width)
    if not widths or not report.grouped_by:
        return ""
    return f"{'/'.join(f'{width} s' for width in widths)}: {', '.join(sorted(report.grouped_by))}"


def _find_other_sources(store: Store, results: Sequence[FileResult]) -> list[str]:
    """Sources that are imported for the same time: the same traffic may be in both."""
    read = {str(result.format) for result in results}
    sinces = [result.report.since for result in results if result.report.since is not None]
    untils = [result.report.until for result in results if result.report.until is not None]
    if not sinces or not untils:
        return []
    others = {
        row.source
        for row in store.usage.imports()
        if row.since is not None and row.until is not None and row.since < max(untils) and row.until > min(sinces)
    }
    return sorted(others | read) if others - read or len(read) > 1 else []


def _show_next(order: Order, results: Sequence[FileResult], rows: Sequence[UsageRow], label: str | None) -> None:
    quoted = " ".join(shlex.quote(str(path)) for path in order.files)
    out.print()
    if label is None:
        out.print("nothing is kept (--dry-run)")
        if rows:
            out.print(f"next: inhouse decide --from {quoted} --fte 0.5", soft_wrap=True)
        return
    made = [str(result.counts.import_id) for result in results if result.counts and result.counts.import_id is not None]
    flags = f" -c {shlex.quote(str(order.config))}" if order.config else ""
    if order.store is not None:
        flags = ' --store "$STORE"' if "***" in label else f" --store {shlex.quote(order.store)}"
    if made:
        out.print(f"kept in {label} as import {', '.join(made)}", soft_wrap=True)
    else:
        out.print(f"nothing new for {label}: all of it is there already", soft_wrap=True)
    if rows:
        out.print(f"next: inhouse decide --from imported --fte 0.5{flags}", soft_wrap=True)
    if made:
        undo = "; ".join(f"inhouse import remove {number}{flags}" for number in made)
        whole = f"   (all of it: rm {DEFAULT_STORE.removeprefix('sqlite:///')})" if label == DEFAULT_STORE else ""
        out.print(f"undo: {undo}{whole}", style="dim", soft_wrap=True)
    if label == DEFAULT_STORE and DEFAULT_FILE.exists():
        out.print(f"note: -c {DEFAULT_FILE} keeps it beside the traces of that installation", style="dim")


@contextmanager
def _open(url: str, *, must_exist: bool = False) -> Generator[Store]:
    """The store at a URL."""
    path = Path(url.removeprefix("sqlite:///"))
    if must_exist and url.startswith("sqlite:///") and not path.exists():
        raise StateError(f"There is no {path}.", fix="import something first, or name its store with --store or -c.")
    with open_store(url) as store:
        yield store


@contextmanager
def show_progress(path: Path) -> Generator[Callable[[int], None]]:
    """A bar on the error stream, for files that take a while and people who watch."""
    size = path.stat().st_size if path.exists() else 0
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=size < _BAR_FROM_BYTES or not err.is_terminal) as bar:
        task = bar.add_task(path.name, total=size)
        yield lambda num_bytes: bar.update(task, completed=num_bytes)
