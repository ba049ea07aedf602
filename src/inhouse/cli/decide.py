"""`inhouse decide`: build or buy, from typed figures, a usage export or the own traces, before anything is deployed."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from inhouse import __version__
from inhouse.catalog import Catalog, load_catalog
from inhouse.cli.config import Configuration
from inhouse.cli.decide_view import render_terminal
from inhouse.cli.deciding.collector import rest_collector
from inhouse.cli.deciding.rates import read_rates
from inhouse.cli.deciding.typed import read_gpus, read_model, read_settings
from inhouse.cli.deciding.usage import read_usage
from inhouse.cli.installation import JsonOption, find_configuration
from inhouse.cli.terminal import out, print_json
from inhouse.domain import ConfigError
from inhouse.planning import CompanyFacts
from inhouse.planning.economics import NUM_DRAWS, SEED
from inhouse.reports.decision import (
    Ask,
    Bill,
    DecisionReport,
    Making,
    Traffic,
    TypedTraffic,
    make_report,
    prepare,
    read_bill,
    render_document,
    render_html,
    type_bill,
)
from inhouse.reports.pricing import Pricer
from inhouse.reports.settings import TeamSettings

_FTE_FIX = (
    "Give the full-time engineers that self-hosting would take, `--fte 0.5`, or `team: {fte_share: 0.5}` in the file: "
    "it changes the answer, so that it has no default."
)
_HELP_TRAFFIC, _HELP_OPTIONS, _HELP_OUTPUT = "Traffic", "What it is decided between", "Output"


def decide(
    spend: Annotated[
        float | None, typer.Option(help="The API bill of a month in dollars, typed.", rich_help_panel=_HELP_TRAFFIC)
    ] = None,
    usage: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="A usage export (several are added up), `example:openai-usage`, `traces` (this installation's own) or "
            "`imported` (what `inhouse import` stored).",
            rich_help_panel=_HELP_TRAFFIC,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="With --spend: what it is paid for, PROVIDER/MODEL.", rich_help_panel=_HELP_TRAFFIC),
    ] = None,
    input_tokens: Annotated[
        float | None, typer.Option(help="With --spend: prompt tokens of a request.", rich_help_panel=_HELP_TRAFFIC)
    ] = None,
    output_tokens: Annotated[
        float | None, typer.Option(help="With --spend: answer tokens of a request.", rich_help_panel=_HELP_TRAFFIC)
    ] = None,
    invoice: Annotated[
        float | None,
        typer.Option(help="With --from: what was invoiced for the same period.", rich_help_panel=_HELP_TRAFFIC),
    ] = None,
    fte: Annotated[
        float | None,
        typer.Option(help="Full-time engineers that self-hosting would take.", rich_help_panel=_HELP_OPTIONS),
    ] = None,
    gpus: Annotated[
        list[str] | None,
        typer.Option(
            help="GPUs: COUNTxGPU:TERMS, e.g. `2xH100:ordered`; terms on_demand, reserved, spot, owned, ordered. With "
            "`@USD:until=DAY` what is committed.",
            rich_help_panel=_HELP_OPTIONS,
        ),
    ] = None,
    open_model: Annotated[
        str, typer.Option(help="The open model of the catalog.", rich_help_panel=_HELP_OPTIONS)
    ] = "gpt-oss-120b",
    hosted: Annotated[
        str | None, typer.Option(help="Whose hosted-open API counts.", rich_help_panel=_HELP_OPTIONS)
    ] = None,
    own_only: Annotated[
        bool, typer.Option("--own-only", help="Content may go to own machines alone.", rich_help_panel=_HELP_OPTIONS)
    ] = False,
    assume: Annotated[
        list[str] | None,
        typer.Option("--set", help="An assumption: NAME=VALUE or NAME=LOW..MID..HIGH.", rich_help_panel=_HELP_OPTIONS),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the page with plots to this file.", rich_help_panel=_HELP_OUTPUT)
    ] = None,
    as_json: JsonOption = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="A file with `team:`, `company:`, own rates; inhouse.yaml if it is there."),
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="With --from traces or imported: the store, where no file names it.")
    ] = None,
) -> None:
    """Build or buy: every option as a range, what decides it, and what it costs to know better.

    Exit code 0 whatever the answer. Starts nothing, sends nothing.
    """
    configuration = find_configuration(config)
    typed = _Typed(spend, model, input_tokens, output_tokens)
    today = datetime.now(UTC).date()
    catalog = load_catalog()
    traffic, bill = _read_traffic(typed, usage or [], configuration, store, _read_usd(invoice), catalog, today)
    team = configuration.settings.team if configuration is not None else TeamSettings()
    company = configuration.settings.company if configuration is not None else None
    ask = Ask(
        traffic=traffic,
        fte_share=_ask_fte(fte, team),
        fte_usd_per_month=team.loaded_usd_per_month,
        orders=tuple(read_gpus(text) for text in gpus or ()),
        open_model=open_model,
        hosted_provider=hosted,
        is_own_only=own_only,
        settings=read_settings(assume or ()),
    )
    making = Making(command=_quote_command(), made_on=today, version=__version__, num_draws=NUM_DRAWS, seed=SEED)
    report = make_report(prepare(ask, catalog, company or CompanyFacts(), today), bill, making)
    _show(report, html=html, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Typed:
    """The options of a typed bill."""

    spend: float | None
    model: str | None
    input_tokens: float | None
    output_tokens: float | None


def _read_traffic(
    typed: _Typed,
    usage: list[str],
    configuration: Configuration | None,
    store: str | None,
    invoice: Decimal | None,
    catalog: Catalog,
    today: date,
) -> tuple[Traffic, Bill]:
    if (typed.spend is None) == (not usage):
        raise ConfigError(
            "Give either a typed bill or a usage export." if usage else "There is no traffic to decide about.",
            fix="`--spend 22000` (dollars a month), or `--from usage.json`, or `--from traces`.",
        )
    pricer = Pricer(catalog.prices, read_rates(configuration))
    if usage:
        _refuse_typed(typed)
        with rest_collector():
            read = read_usage(usage, configuration, store, invoice)
            return read_bill(read.rows, pricer, read.source)
    provider, name = read_model(typed.model)
    spend = _read_usd(typed.spend)
    if not spend:
        raise ConfigError("--spend must be more than nothing.", fix="Give the dollars of a month.")
    return type_bill(
        TypedTraffic(
            usd_per_month=spend,
            provider=provider,
            model=name,
            input_tokens=typed.input_tokens,
            output_tokens=typed.output_tokens,
        ),
        pricer,
        today,
    )


def _refuse_typed(typed: _Typed) -> None:
    """Options that only a typed bill has a meaning for."""
    given = {"--model": typed.model, "--input-tokens": typed.input_tokens, "--output-tokens": typed.output_tokens}
    for option, value in given.items():
        if value is not None:
            raise ConfigError(f"{option} has no effect with --from: the export says it.", fix=f"Remove {option}.")


def _read_usd(value: float | None) -> Decimal | None:
    """Dollars as typed."""
    if value is None:
        return None
    amount = Decimal(str(value))
    if not amount.is_finite() or amount < 0:
        raise ConfigError(f"{value} is no amount of dollars.", fix="Give a number of zero or more.")
    return amount


def _ask_fte(given: float | None, team: TeamSettings) -> float:
    """The engineering share: typed, out of the file, or asked for where somebody sits there."""
    share = given if given is not None else team.fte_share
    if share is None and sys.stdin.isatty() and sys.stdout.isatty():
        share = typer.prompt("How many full-time engineers would self-hosting take (0.5: half of one)?", type=float)
    if share is None:
        raise ConfigError("The engineering share is missing.", fix=_FTE_FIX)
    if not 0 <= float(share) <= 20:
        raise ConfigError(f"--fte {share} is no number of engineers.", fix="Give 0 to 20; 0.5 is half of one.")
    return float(share)


def _quote_command() -> str:
    return shlex.join(["inhouse", *sys.argv[1:]])


def _show(report: DecisionReport, *, html: Path | None, as_json: bool) -> None:
    if html is not None:
        _write(html, render_html(report))
    if as_json:
        print_json(render_document(report))
        return
    out.print(render_terminal(report))
    if html is not None:
        out.print(f"\nwrote [bold]{html}[/]", soft_wrap=True)
    else:
        out.print("\nwith plots, to hand on: the same command with --html decision.html", style="dim")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.", fix="Name another file.") from error
