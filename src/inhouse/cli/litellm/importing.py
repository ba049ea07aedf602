"""The whole import as one sentence: read, understand, put together, write, and account for every key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.catalog import load_price_book
from inhouse.cli.litellm.accounts import Accounts
from inhouse.cli.litellm.deployments import Credential, Deployment, Reader
from inhouse.cli.litellm.endpoints import build_choices
from inhouse.cli.litellm.fallbacks import (
    add_aliases,
    expand_wildcard,
    find_settings,
    is_wildcard,
    list_mentioned,
    note_chains,
    read_chains,
)
from inhouse.cli.litellm.gateway import GatewayMapper
from inhouse.cli.litellm.reading import Entry, Item, LiteLLMFile, is_empty, list_keys, read_litellm
from inhouse.cli.litellm.report import Ledger, Line, Outcome
from inhouse.cli.litellm.routes import Route, build_routes
from inhouse.cli.litellm.secrets import read_secret_names
from inhouse.cli.litellm.sections import Sections
from inhouse.cli.litellm.writing import DATA_CLASS, Plan, write_file
from inhouse.domain import ConfigError, SourceLocation


@dataclass(frozen=True, slots=True)
class Imported:
    """The result.

    Args:
        text: the inhouse file's text; None where nothing of the source can be carried.
        lines: what became of each key.
        variables: the environment variables that the file reads, in its order; true for those that hold an address.
        num_routes: routes in the file.
        num_providers: providers in the file.
    """

    text: str | None
    lines: tuple[Line, ...]
    variables: Mapping[str, bool]
    num_routes: int
    num_providers: int


def import_litellm(path: Path, *, out_name: str, models: Sequence[str] = ()) -> Imported:
    """Turn a LiteLLM proxy configuration into an inhouse file and an account of every key.

    Args:
        path: the LiteLLM file.
        out_name: the inhouse file's name, as its own comments show it.
        models: names that clients send and that a wildcard entry (`openai/*`) serves.

    Raises:
        ConfigError: the file cannot be read, or has not the form of a LiteLLM configuration.
    """
    file = read_litellm(path)
    ledger = Ledger()
    secrets = read_secret_names(file)
    reader = Reader(ledger, secrets, _read_credentials(file))
    deployments = _read_deployments(file, reader, models)
    by_tag = not is_empty(_value(find_settings(file, "enable_tag_filtering")[0]))
    providers, choices = build_choices(deployments, by_tag=by_tag)
    chains = read_chains(file)
    routes = build_routes(choices, chains, by_tag=by_tag)
    note_chains(file, chains, routes, ledger)
    add_aliases(file, routes, ledger)
    gateway = GatewayMapper(file, deployments, ledger).read(_count_places(routes))
    accounts = Accounts(file, ledger, secrets, choices, reader.credentials, by_tag=by_tag)
    accounts.note_deployments()
    accounts.note_credentials(reader.used_credentials)
    sections = Sections(file, ledger, secrets)
    plan = Plan(
        source=file.name.rsplit("/", 1)[-1],
        name=out_name,
        providers=providers,
        routes=routes,
        gateway=gateway,
        keys=sections.read_client_keys(),
        ca_file=sections.read_ca_file(),
        discounts=sections.read_discounts(providers),
        companies=load_price_book().companies,
    )
    text = write_file(plan) if routes else None
    variables = _list_variables(text or "")
    sections.note_rest(set(variables), choices, by_tag=by_tag)
    if routes:
        _ask_data_class(file, ledger, [provider.name for provider in providers if provider.is_private])
    return Imported(text, ledger.lines(), variables, len(routes), len(providers))


def list_all_keys(path: Path) -> list[Item]:
    """Every key that a report must speak of; for checks of its completeness."""
    return list(list_keys(read_litellm(path)))


def _read_deployments(file: LiteLLMFile, reader: Reader, models: Sequence[str]) -> list[Deployment]:
    plain = {entry.fields["model_name"].text for entry in file.entries if not is_wildcard(entry)}
    wanted = [name for name in dict.fromkeys([*models, *list_mentioned(file)]) if name not in plain]
    found: list[Deployment] = []
    for entry in file.entries:
        pairs = (
            expand_wildcard(entry, wanted)
            if is_wildcard(entry)
            else [(entry.fields["model_name"].text or "", entry.params["model"].text or "")]
        )
        if not pairs:
            _ask_wildcard(entry, reader.ledger)
        found += [one for group, model in pairs if (one := reader.read(entry, group, model)) is not None]
    return found


def _ask_wildcard(entry: Entry, ledger: Ledger) -> None:
    name = entry.fields["model_name"]
    ledger.note(
        name,
        Outcome.NEEDS_YOU,
        "Routes have exact names here. Which models do clients send through this wildcard? Run the import again with "
        "`--model NAME` for each (LiteLLM's spend log knows them), or write a route for each.",
    )
    ledger.note_rest(
        entry.list_keys(), Outcome.DROPPED, f"Left out until the wildcard's models are named ({name.place})."
    )


def _read_credentials(file: LiteLLMFile) -> dict[str, Credential]:
    credentials: dict[str, Credential] = {}
    for element in file.credentials():
        fields = element.children()
        name = fields["credential_name"].text if "credential_name" in fields else None
        if name:
            values = fields["credential_values"].children() if "credential_values" in fields else {}
            credentials[name] = Credential(values, tuple(fields.values()))
    return credentials


def _count_places(routes: Mapping[str, Route]) -> int:
    """The most addresses that one request may try."""
    counts = [
        sum(len(route.variants[name].provider.account.addresses) for name in (route.default, *route.fallback))
        for route in routes.values()
        if route.alias_of is None
    ]
    return max(counts, default=1)


def _list_variables(text: str) -> dict[str, bool]:
    """Variables that the file reads, comments aside; true where an address is read."""
    found: dict[str, bool] = {}
    for line in text.splitlines():
        setting = line.split("  # ", 1)[0]
        if setting.lstrip().startswith("#"):
            continue
        for before, name in re.findall(r"(base_url: \"?)?\$\{([A-Za-z_][A-Za-z0-9_]*)\}", setting):
            found[name] = found.get(name, False) or bool(before)
    return found


def _ask_data_class(file: LiteLLMFile, ledger: Ledger, private: Sequence[str]) -> None:
    place = file.top.get("model_list")
    own = (
        f" Machines of your own ({', '.join(private)}, by the looks of it) can move under `deployments` with "
        "`engine: external` and `url`; the class `own` then covers them."
    )
    ledger.ask(
        place.location if place else SourceLocation(file.name, 1, "model_list"),
        f"Who may see what clients send? LiteLLM does not ask. Every route has the class `{DATA_CLASS}`, which admits "
        "exactly the providers that LiteLLM sends to now. Name classes of your own before you put personal data on a "
        "route." + (own if private else ""),
        "data_classes",
    )


def _value(item: Item | None) -> object:
    return item.value if item is not None else None


def refuse_nothing(path: Path) -> ConfigError:
    """The error for a file of which nothing can be carried."""
    return ConfigError(
        "nothing in this file can be carried: it has no model that inhouse can call, so no file was written.",
        fix="Read the report above; name a wildcard's models with `--model NAME`, or begin with `inhouse init`.",
        location=SourceLocation(str(path), 1, "model_list"),
    )
