"""`inhouse catalog`: models, GPUs, prices and licences of the catalog, and the import of GPU price lists."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from inhouse.catalog import (
    Catalog,
    LicenceRow,
    ModelRow,
    load_catalog,
    read_gpu_offers,
    summarize_offers,
    write_machine_rows,
)
from inhouse.cli.catalog_view import (
    describe_gpu,
    describe_licence,
    describe_model,
    describe_price,
    describe_verdict,
    render_gpus,
    render_import,
    render_licences,
    render_models,
    render_prices,
    render_verdict,
)
from inhouse.cli.installation import JsonOption, read_configuration
from inhouse.cli.terminal import ExitCode, out, print_json
from inhouse.domain import ConfigError
from inhouse.planning import CompanyFacts, LicenceVerdict, judge_licence, judge_model

catalog_app = typer.Typer(help="Dated facts: models, licences, GPUs, prices.", no_args_is_help=True)
licenses_app = typer.Typer(help="Licences as conditions on whoever deploys a model.", no_args_is_help=True)
catalog_app.add_typer(licenses_app, name="licenses")

FactsFileOption = Annotated[Path | None, typer.Option("--config", "-c", help="Take `company:` from this file.")]
PricesOption = Annotated[Path | None, typer.Option("--gpu-prices", help="Own prices, as `import-gpus` writes them.")]


@licenses_app.command("check")
def check_licence(
    model: Annotated[str, typer.Argument(help="A model of the catalog, its hub repository, or a licence.")],
    file: FactsFileOption = None,
    internal_use: Annotated[bool | None, typer.Option(help="Only the company's own people use it.")] = None,
    commercial_use: Annotated[bool | None, typer.Option(help="It is used in or for a business.")] = None,
    offers_maas: Annotated[bool | None, typer.Option(help="Others may call the model as a service.")] = None,
    ai_assistant_product: Annotated[bool | None, typer.Option(help="The product is an AI work assistant.")] = None,
    distributes_weights: Annotated[bool | None, typer.Option(help="Weights are passed on to others.")] = None,
    trains_on_outputs: Annotated[bool | None, typer.Option(help="Its outputs train another model.")] = None,
    uses_multimodal: Annotated[bool | None, typer.Option(help="It is given images, audio or video.")] = None,
    mau: Annotated[float | None, typer.Option(help="People who use the products in a month, e.g. 5e6.")] = None,
    mau_at_release: Annotated[
        float | None, typer.Option(help="The same at the model's release, with affiliates.")
    ] = None,
    revenue_year: Annotated[float | None, typer.Option(help="Revenue in a year, US dollars.")] = None,
    revenue_month: Annotated[float | None, typer.Option(help="Revenue in a month, worldwide, US dollars.")] = None,
    group_revenue_year: Annotated[float | None, typer.Option(help="The group's revenue in a year, US dollars.")] = None,
    arr: Annotated[float | None, typer.Option(help="Recurring revenue in a year, US dollars.")] = None,
    eu_based: Annotated[bool | None, typer.Option(help="Its principal place of business is in the EU.")] = None,
    country: Annotated[str | None, typer.Option(help="Country of that place, two letters.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether this company may deploy a model, what to do for it, and which facts are missing to say.

    Facts come from `company:` of a file, and from options, which win. What is not stated is not known. Exit code 0
    where it is allowed, with or without duties; 1 where it is blocked, and where it is unknown, because nothing is
    promoted on an unknown licence. Nothing here is legal advice.
    """
    stated = {
        "internal_use": internal_use,
        "commercial_use": commercial_use,
        "offers_maas": offers_maas,
        "ai_assistant_product": ai_assistant_product,
        "distributes_weights": distributes_weights,
        "trains_on_outputs": trains_on_outputs,
        "uses_multimodal": uses_multimodal,
        "mau": mau,
        "mau_at_release_incl_affiliates": mau_at_release,
        "revenue_year_usd": revenue_year,
        "revenue_month_usd": revenue_month,
        "group_revenue_year_usd": group_revenue_year,
        "arr_usd": arr,
        "eu_based": eu_based,
        "country": country,
    }
    catalog, today = load_catalog(), _today()
    subject = _find_subject(model, catalog, today)
    verdict = _judge(subject, catalog, _collect_facts(file, stated), today)
    rows = [row for name in verdict.licences if (row := catalog.licence(name, today)) is not None]
    if as_json:
        print_json(describe_verdict(subject, verdict, rows))
    else:
        out.print(render_verdict(subject, verdict, rows))
    if not verdict.state.is_allowed:
        raise typer.Exit(ExitCode.FAILED)


@licenses_app.command("list")
def list_licences(as_json: JsonOption = False) -> None:
    """List the licences of the catalog: what they turn on, and how each row was made."""
    catalog, today = load_catalog(), _today()
    rows = [row for row in catalog.licences if row.is_in_force(today)]
    if as_json:
        print_json([describe_licence(row) for row in rows])
    else:
        out.print(render_licences(rows))


@catalog_app.command("models")
def list_models(
    part: Annotated[str, typer.Argument(help="Only models whose name or repository contains this.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List models with open weights: size, context, licence, memory of weights and of each token."""
    rows = [row for row in load_catalog().models if any(part.lower() in name.lower() for name in row.names)]
    if as_json:
        print_json([describe_model(row) for row in rows])
    elif rows:
        out.print(render_models(rows))
    else:
        out.print(f"no model's name contains {part!r}")


@catalog_app.command("gpus")
def list_gpus(prices: PricesOption = None, as_json: JsonOption = False) -> None:
    """List GPUs: memory, bandwidth, dense peak rates, links, power, and the cheapest known price on each terms."""
    catalog, today = load_catalog(extra_machines=prices), _today()
    if as_json:
        print_json([describe_gpu(row, catalog, today) for row in catalog.gpus])
    else:
        out.print(render_gpus(catalog, today))


@catalog_app.command("prices")
def list_prices(
    provider: Annotated[str | None, typer.Argument(help="Only this provider.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the token prices in force today, with the day they were checked."""
    catalog, today = load_catalog(), _today()
    known = sorted({row.provider for row in catalog.prices.token_prices})
    if provider is not None and provider not in known:
        raise ConfigError(f"the catalog has no prices of {provider!r}.", fix=f"Use one of: {', '.join(known)}.")
    begun = [row for row in catalog.prices.token_prices if row.is_in_force(today) and provider in {None, row.provider}]
    latest = {(*row.key, row.tier, row.from_input_tokens): row for row in begun}
    rows = list(latest.values())
    if as_json:
        print_json([describe_price(row) for row in rows])
    else:
        out.print(render_prices(rows))


@catalog_app.command("import-gpus")
def import_gpus(
    source: Annotated[Path, typer.Argument(help="SkyPilot's `vms.csv`, a gpuhunt CSV, or a folder of either.")],
    out_file: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("gpu-prices.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read price lists of GPU clouds, and write the cheapest and the median price of each GPU and terms.

    The price is that of one GPU: the machine's, divided by its GPUs. Rows that are skipped are counted by reason, rows
    that cannot be read are named by line. Exit code 1 where nothing could be taken over.
    """
    if out_file.exists() and not force:
        raise ConfigError(f"{out_file} exists already.", fix="Name another file, or write over it with --force.")
    catalog, today = load_catalog(), _today()

    def find_gpu(name: str) -> str | None:
        row = catalog.gpu(name)
        return None if row is None else row.gpu

    found = read_gpu_offers(source, find_gpu)
    rows = summarize_offers(found.offers, today)
    if rows:
        write_machine_rows(rows, out_file, f"Prices of single GPUs from {source.name}, read on {today}.")
    if as_json:
        counts = {"num_rows": found.num_rows, "num_offers": len(found.offers), "skipped": dict(found.skipped)}
        prices = [row.model_dump(mode="json") for row in rows]
        print_json({"file": str(out_file) if rows else None, **counts, "malformed": found.malformed, "rows": prices})
    else:
        out.print(render_import(found, rows, out_file))
    if not rows:
        raise typer.Exit(ExitCode.FAILED)


def _today() -> date:
    return datetime.now(UTC).date()


def _find_subject(name: str, catalog: Catalog, today: date) -> ModelRow | LicenceRow:
    subject = catalog.model(name) or catalog.licence(name, today)
    if subject is not None:
        return subject
    known = {known.lower(): known for row in catalog.models for known in row.names}
    known |= {row.licence: row.licence for row in catalog.licences}
    close = [known[match] for match in difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)]
    hint = f"Did you mean {' or '.join(close)}? " if close else ""
    raise ConfigError(
        f"there is no model or licence {name!r} in the catalog.",
        fix=f"{hint}`inhouse catalog models` and `inhouse catalog licenses list` list all.",
    )


def _collect_facts(file: Path | None, stated: Mapping[str, object]) -> CompanyFacts:
    """The file's facts, and over them those that were given as options."""
    company = None if file is None else read_configuration(file).settings.company
    facts: dict[str, object] = {} if company is None else company.model_dump(exclude_none=True)
    facts |= {name: value for name, value in stated.items() if value is not None}
    try:
        return CompanyFacts.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"{field}: {problem}." if field else f"{problem}.",
            fix="Mend the option, or `company:` of the file.",
        ) from None


def _judge(subject: ModelRow | LicenceRow, catalog: Catalog, facts: CompanyFacts, today: date) -> LicenceVerdict:
    if isinstance(subject, ModelRow):
        return judge_model(subject, catalog, facts, today)
    return judge_licence(subject, facts, today, is_multimodal=True)
