"""The command line: one typer application, a module per command, one place where errors become exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from inhouse import __version__
from inhouse.cli.catalog import catalog_app
from inhouse.cli.check import check
from inhouse.cli.costs import costs_app
from inhouse.cli.decide import decide
from inhouse.cli.demo import demo
from inhouse.cli.evals import eval_app
from inhouse.cli.imports import import_app
from inhouse.cli.init import init
from inhouse.cli.invoices import import_invoice
from inhouse.cli.status import status
from inhouse.cli.terminal import ExitCode, err, print_error
from inhouse.cli.traces import traces_app
from inhouse.cli.up import up
from inhouse.domain import InhouseError

app = typer.Typer(
    name="inhouse",
    help="Self-hosted LLM inference, run as a platform.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def show_version(is_asked: bool) -> None:  # noqa: FBT001 -- typer calls it with the option's value
    """Print the version and stop."""
    if is_asked:
        typer.echo(f"inhouse {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Version.")] = False,
) -> None:
    """Serve open models, route hybrid, evaluate before any change, watch quality and cost."""


for command in (decide, demo, up, check, init, status):
    app.command()(command)
import_app.command("invoice")(import_invoice)
app.add_typer(import_app, name="import")
app.add_typer(eval_app, name="eval")
app.add_typer(traces_app, name="traces")
app.add_typer(catalog_app, name="catalog")
app.add_typer(costs_app, name="costs")


def main() -> None:
    """Run the command line; every error of ours becomes a few clear words and its exit code."""
    try:
        app(standalone_mode=True)
    except InhouseError as error:
        sys.exit(print_error(error))
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
