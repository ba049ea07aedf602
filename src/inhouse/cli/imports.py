"""`inhouse import litellm`: read another gateway's configuration, write an inhouse file and report on every key.

The other commands of the group read usage exports; they stand in `usage_imports`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from inhouse.cli.config import load_config_text
from inhouse.cli.litellm import (
    Imported,
    import_litellm,
    refuse_nothing,
    render_counts,
    render_markdown,
    render_report,
)
from inhouse.cli.terminal import out
from inhouse.cli.usage_imports import USAGE_COMMANDS
from inhouse.domain import ConfigError

import_app = typer.Typer(help="Take over another gateway's configuration, or usage exports.", no_args_is_help=True)

_SAMPLE_URL = "https://not-read-here.invalid"
_SAMPLE_TEXT = "not-read-here-not-read-here"


@import_app.callback()
def imports() -> None:
    """Take over another gateway's configuration, or usage exports."""


@import_app.command("litellm")
def import_from_litellm(
    config: Annotated[Path, typer.Argument(help="The file that `litellm --config` gets.")],
    out_file: Annotated[Path, typer.Option("--out", "-o", help="The inhouse file to write.")] = Path("inhouse.yaml"),
    report: Annotated[Path | None, typer.Option(help="Write the report to this file too, as Markdown.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model name that clients send through a wildcard (`openai/*`); may be given several times."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over existing files.")] = False,
) -> None:
    """Write an inhouse file from a LiteLLM proxy configuration, and report what was carried, changed and dropped.

    It starts nothing, sends nothing and copies no secret. Exit code 2 where the file is malformed, or nothing of it can
    be carried.
    """
    for path in (out_file, report):
        if path is not None and path.exists() and not force:
            raise ConfigError(f"{path} exists already.", fix="Name another file, or write over it with --force.")
    imported = import_litellm(config, out_name=out_file.name, models=model or ())
    if imported.text is not None:
        load_config_text(imported.text, str(out_file), out_file.resolve().parent, _make_samples(imported.variables))
        _write(out_file, imported.text)
    out.print(render_report(imported.lines))
    if report is not None:
        written = str(out_file) if imported.text is not None else None
        _write(report, render_markdown(imported.lines, source=str(config), written=written))
    if imported.text is None:
        raise refuse_nothing(config)
    _print_next(imported, out_file, report)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.", fix="Name another file.") from error


def _make_samples(variables: Mapping[str, bool]) -> dict[str, str]:
    """Values to check the written file's form with; none of them is used for anything else."""
    return {name: _SAMPLE_URL if is_address else _SAMPLE_TEXT for name, is_address in variables.items()}


def _print_next(imported: Imported, out_file: Path, report: Path | None) -> None:
    counts = f"{_count(imported.num_routes, 'route')}, {_count(imported.num_providers, 'provider')}"
    out.print()
    out.print(Text.assemble("wrote ", (str(out_file), "bold"), f"  {counts}"))
    if report is not None:
        out.print(Text.assemble("wrote ", (str(report), "bold"), "  this report"))
    out.print(render_counts(imported.lines))
    missing = [name for name in imported.variables if not os.environ.get(name)]
    if missing:
        out.print(f"next: export {' '.join(f'{name}=…' for name in missing)}", soft_wrap=True)
    quoted = shlex.quote(str(out_file))
    out.print(f"next: inhouse check {quoted}", soft_wrap=True)
    out.print(f"next: inhouse up -c {quoted}", soft_wrap=True)
    out.print(f"undo: rm {quoted}   (LiteLLM and its file are untouched)", style="dim", soft_wrap=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"


for _name, _command in USAGE_COMMANDS.items():
    import_app.command(_name)(_command)
