"""Writes the inhouse file: settings in the order in which people read them, each with the lines that it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from inhouse.cli.litellm.deployments import Price
from inhouse.cli.litellm.endpoints import Address, Model, Provider
from inhouse.cli.litellm.gateway import GatewayValues
from inhouse.cli.litellm.providers import Call
from inhouse.cli.litellm.reading import Item
from inhouse.cli.litellm.routes import TAG_HEADER, Route
from inhouse.domain import EngineKind

DATA_CLASS = "unclassified"
_COLUMN = 58
_PLAIN = re.compile(
    r"[A-Za-z_][A-Za-z0-9_./@-]*$|\$\{[A-Za-z0-9_]+\}$|https?://[A-Za-z0-9._~/%-]+(:\d+)?[A-Za-z0-9._~/%-]*$"
)
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_PLACES_SHOWN = 4
_AZ = (
    '[az, account, get-access-token, --resource, "https://cognitiveservices.azure.com", --query, accessToken, -o, tsv]'
)


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A key of the data port."""

    name: str
    text: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the file says."""

    source: str
    name: str
    providers: Sequence[Provider]
    routes: Mapping[str, Route]
    gateway: GatewayValues
    keys: Sequence[ClientKey]
    ca_file: str | None
    discounts: Mapping[str, str]
    companies: Sequence[str] = ()
    """Whose list prices are known, by the names that providers have here."""


_HEAD = """\
# Written by `inhouse import litellm {source}`; each comment names the lines that a setting comes from.
# `inhouse check {name}` judges it, `inhouse up -c {name}` starts it.
# ${{NAME}} is read from the environment. Every setting: docs/reference/configuration.md.

# NEEDS YOU: who may see what clients send? LiteLLM does not ask; inhouse holds it on every retry and fallback.
# This class admits exactly the providers that LiteLLM sends to now. Name classes of your own (own machines are called
# `own`), give each route its class, and remove this one.
data_classes:
  {data_class}: {{processors: [{processors}]}}

# LiteLLM sends whatever comes. Narrow `modalities` to what a model accepts, and a fallback gets the rest.
providers:
"""


def write_file(plan: Plan) -> str:
    """The file's text."""
    head = _HEAD.format(
        source=plan.source,
        name=plan.name,
        data_class=DATA_CLASS,
        processors=", ".join(_quote(provider.name) for provider in plan.providers),
    )
    lines = [
        *(line for provider in plan.providers for line in _write_provider(provider, plan)),
        "",
        "# What clients call: the `model` of their request.",
        "routes:",
        *_write_routes(plan.routes),
        "",
        *_write_keys(plan.keys),
        "",
        *_write_gateway(plan.gateway),
        "",
    ]
    return head + "\n".join(lines)


def _write_provider(provider: Provider, plan: Plan) -> list[str]:
    row = provider.target.row
    lines = [_line(1, f"{_quote(provider.name)}:", _name_places(one.entry.item for one in provider.deployments))]
    if row.call is not Call.OPENAI:
        lines.append(_line(2, f"dialect: {row.call.value}"))
    if row.engine is not EngineKind.GENERIC:
        lines.append(_line(2, f"engine: {row.engine.value}"))
    lines += _write_access(provider)
    network = ["private: true"] if provider.is_private else []
    network += [f"ca_file: {_quote(plan.ca_file, is_flow=True)}"] if plan.ca_file else []
    if network:
        lines.append(_line(2, f"network: {{{', '.join(network)}}}"))
    if provider.target.prefix in plan.discounts:
        lines.append(_line(2, f"discount: {plan.discounts[provider.target.prefix]}"))
    if _needs_price_book(provider, plan.companies):
        lines.append(_line(2, f"price_book: {provider.target.name}"))
    models = [line for name, model in provider.models.items() for line in _write_model(name, model)]
    return [*lines, _line(2, "models:"), *models]


def _needs_price_book(provider: Provider, companies: Sequence[str]) -> bool:
    """Whether it is one more account at a company whose list prices are known, at the company's own address."""
    row, addresses = provider.target.row, provider.account.addresses
    is_further = provider.target.name in companies and provider.name != provider.target.name
    return is_further and all(address.base_url == row.base_url for address in addresses)


def _write_access(provider: Provider) -> list[str]:
    """Address or regions, key or keys."""
    account = provider.account
    lines: list[str] = []
    has_shared_keys = len({address.keys for address in account.addresses}) == 1
    if not provider.regions:
        lines.append(_line(2, f"base_url: {_quote(account.addresses[0].base_url)}"))
    if account.has_entra_login:
        lines.append(_line(2, f"api_key: {{command: {_AZ}}}"))
    elif has_shared_keys and account.addresses[0].keys:
        lines.append(_line(2, f"api_key: {_write_key_list(account.addresses[0].keys)}"))
    if account.auth is not None:
        lines.append(_line(2, f"auth: {account.auth.value}"))
    if account.api_version is not None:
        lines.append(_line(2, f"api_version: {_quote(account.api_version)}"))
    if provider.regions:
        lines.append(_line(2, "regions:"))
        lines += [_write_region(name, one, has_keys=not has_shared_keys) for name, one in provider.regions.items()]
    return lines


def _write_region(name: str, address: Address, *, has_keys: bool) -> str:
    key = f", api_key: {_write_key_list(address.keys, is_flow=True)}" if has_keys and address.keys else ""
    return _line(3, f"{_quote(name)}: {{base_url: {_quote(address.base_url, is_flow=True)}{key}}}")


def _write_key_list(keys: Sequence[str], *, is_flow: bool = False) -> str:
    if len(keys) == 1:
        return _quote(keys[0], is_flow=is_flow)
    return f"[{', '.join(_quote(key, is_flow=True) for key in keys)}]"


def _write_model(name: str, model: Model) -> list[str]:
    parts = [f"upstream_model: {_quote(model.upstream)}"] if name != model.upstream else []
    parts.append(f"modalities: [{', '.join(modality.value for modality in model.modalities)}]")
    if model.price is not None:
        parts.append(f"price: {_write_price(model.price)}")
    if len(parts) == 1:
        return [_line(3, f"{_quote(name)}: {{{parts[0]}}}")]
    return [_line(3, f"{_quote(name)}:"), *(_line(4, part) for part in parts)]


def _write_price(price: Price) -> str:
    rates = {
        "input_usd_per_mtok": price.input_usd_per_mtok,
        "cache_read_usd_per_mtok": price.cache_read_usd_per_mtok,
        "output_usd_per_mtok": price.output_usd_per_mtok,
    }
    shown = (f"{name}: {rate.normalize():f}" for name, rate in rates.items() if rate is not None)
    return f"{{{', '.join(shown)}}}"


def _write_routes(routes: Mapping[str, Route]) -> list[str]:
    anchors = _name_anchors(route.alias_of for route in routes.values() if route.alias_of is not None)
    lines: list[str] = []
    for route in routes.values():
        places = _name_places(route.items)
        if route.alias_of is not None:
            lines.append(_line(1, f"{_quote(route.name)}: *{anchors[route.alias_of]}", places))
        else:
            anchor = f" &{anchors[route.name]}" if route.name in anchors else ""
            lines += [_line(1, f"{_quote(route.name)}:{anchor}", places), *_write_route(route)]
    return lines


def _write_route(route: Route) -> list[str]:
    lines = [_line(2, f"data_class: {DATA_CLASS}")]
    lines.append(_line(2, "variants:"))
    lines += [
        _line(3, f"{_quote(name)}: {{endpoint: {_quote(choice.endpoint, is_flow=True)}}}")
        for name, choice in route.variants.items()
    ]
    if route.rules:
        lines += [_line(2, "use:"), _line(3, f"default: {_quote(route.default)}"), _line(3, "when:")]
        lines += [
            _line(
                4, f"- {{header: {{{TAG_HEADER}: {_quote(tag, is_flow=True)}}}, use: {_quote(variant, is_flow=True)}}}"
            )
            for tag, variant in route.rules
        ]
    else:
        lines.append(_line(2, f"use: {{default: {_quote(route.default, is_flow=True)}}}"))
    if route.fallback:
        lines.append(_line(2, f"fallback: [{', '.join(_quote(name, is_flow=True) for name in route.fallback)}]"))
    if route.fallback_on:
        lines.append(_line(2, f"fallback_on: [{', '.join(cause.value for cause in route.fallback_on)}]"))
    return lines


def _write_keys(keys: Sequence[ClientKey]) -> list[str]:
    head = "# Clients' keys, each at least 16 characters. Without any, only this machine may call the data port."
    if not keys:
        return [head, "# keys:", '#   my-app: {key: "${MY_APP_KEY}", team: my-team}']
    return [
        head,
        "keys:",
        *(
            _line(1, f"{_quote(key.name)}: {{key: {_quote(key.text, is_flow=True)}}}", _name_places(key.items))
            for key in keys
        ),
    ]


def _write_gateway(gateway: GatewayValues) -> list[str]:
    lines = [
        "# LiteLLM listens on 0.0.0.0:4000. With a key above, `host: 0.0.0.0` opens this port to other machines too.",
        "gateway:",
        _line(1, "host: 127.0.0.1"),
        _line(1, "port: 8080"),
    ]
    for section in dict.fromkeys(path.split(".")[0] for path in gateway.values):
        lines.append(_line(1, f"{section}:"))
        lines += [
            _line(2, f"{path.split('.')[1]}: {value}", _name_places(gateway.sources[path]))
            for path, value in gateway.values.items()
            if path.split(".")[0] == section
        ]
    return lines


def _line(depth: int, text: str, comment: str = "") -> str:
    indented = "  " * depth + text
    return f"{indented:<{_COLUMN}}  # {comment}" if comment else indented


def _name_places(items: Iterable[Item]) -> str:
    """`config.yaml:3, 9`: the lines, the file's name once."""
    lines: dict[str, list[str]] = {}
    for item in sorted(items, key=lambda item: item.location.line or 0):
        shown = lines.setdefault(item.source.name.rsplit("/", 1)[-1], [])
        line = str(item.location.line)
        if line not in shown:
            shown.append(line)
    return "; ".join(f"{name}:{_shorten(numbers)}" for name, numbers in lines.items())


def _shorten(numbers: Sequence[str]) -> str:
    if len(numbers) <= _PLACES_SHOWN:
        return ", ".join(numbers)
    return f"{', '.join(numbers[:_PLACES_SHOWN])} and {len(numbers) - _PLACES_SHOWN} more"


def _name_anchors(names: Iterable[str]) -> dict[str, str]:
    """Route → its YAML anchor, which may hold fewer characters than a name."""
    anchors: dict[str, str] = {}
    for name in dict.fromkeys(names):
        base = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "route"
        taken = set(anchors.values())
        candidates = [base, *(f"{base}-{number}" for number in range(2, len(taken) + 3))]
        anchors[name] = next(candidate for candidate in candidates if candidate not in taken)
    return anchors


def _quote(text: str, *, is_flow: bool = False) -> str:
    """A YAML scalar for a text, in quotes where a plain one would mean something else."""
    is_plain = _PLAIN.match(text) is not None and text.lower() not in _NOT_TEXT
    if is_plain and not (is_flow and ("${" in text or ":" in text)):
        return text
    return json.dumps(text, ensure_ascii=False)
