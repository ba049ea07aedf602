"""Deployments → providers with their addresses, keys and models, and the choices that routes have among them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import urlsplit

from inhouse.cli.litellm.deployments import Deployment, Price
from inhouse.cli.litellm.providers import Target, is_private_url, load_table
from inhouse.cli.litellm.reading import is_reference, name_of
from inhouse.domain import OWN_PROCESSOR, AuthScheme, Modality

_NOISE = re.compile(r"_?(API|BASE|URL|KEY|ENDPOINT|HOST|ADDRESS)(?=_|$)")


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a provider with the keys that are used in turn there."""

    base_url: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a provider."""

    upstream: str
    price: Price | None
    modalities: tuple[Modality, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """What makes two deployments belong to one provider of the written file."""

    target_name: str
    api_version: str | None
    auth: AuthScheme | None
    has_entra_login: bool
    addresses: tuple[Address, ...]


@dataclass
class Provider:
    """A provider of the written file."""

    name: str
    account: Account
    target: Target
    is_private: bool
    regions: dict[str, Address]
    models: dict[str, Model] = field(default_factory=dict[str, Model])
    deployments: list[Deployment] = field(default_factory=list[Deployment])


@dataclass
class Choice:
    """Deployments of one group that are one endpoint here: one model at one provider, perhaps at several addresses."""

    group: str
    deployments: list[Deployment]
    provider: Provider
    model: str

    @property
    def endpoint(self) -> str:
        """`PROVIDER/MODEL`."""
        return f"{self.provider.name}/{self.model}"

    @property
    def rank(self) -> tuple[float, Decimal]:
        """Sorts as LiteLLM prefers: the lowest order first (none at all last), then the heaviest."""
        orders = [one.order for one in self.deployments if one.order is not None]
        return (min(orders, default=float("inf")), -sum((one.weight for one in self.deployments), Decimal(0)))

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of all its deployments."""
        return tuple(dict.fromkeys(tag for one in self.deployments for tag in one.tags))


def build_choices(deployments: Sequence[Deployment], *, by_tag: bool) -> tuple[list[Provider], list[Choice]]:
    """Put deployments together.

    Deployments of one group with the same model at the same kind of API become one endpoint: their addresses regions of
    one provider, their keys used in turn. What differs in priority, price or tag stays apart.

    Args:
        deployments: in the file's order.
        by_tag: tags decide which deployment serves, so that different ones stay apart.

    Returns:
        The providers in the order in which they first appear, and the choices in the file's order.
    """
    registry = _Registry()
    choices: list[Choice] = []
    for bucket in _bucket(deployments, by_tag=by_tag):
        first = bucket[0]
        provider = registry.provide(first, _list_addresses(bucket))
        model = _add_model(provider, Model(first.target.model, first.price, first.modalities))
        provider.deployments += bucket
        choices.append(Choice(first.group, list(bucket), provider, model))
    registry.name_all()
    return registry.providers, choices


def _bucket(deployments: Iterable[Deployment], *, by_tag: bool) -> list[list[Deployment]]:
    buckets: dict[tuple[object, ...], list[Deployment]] = {}
    for one in deployments:
        key = (
            one.group, one.target.name, one.target.model, one.api_version, one.auth, one.has_entra_login, one.order,
            one.price, one.modalities, one.region, one.tags if by_tag else (),
        )  # fmt: skip
        buckets.setdefault(key, []).append(one)
    return list(buckets.values())


def _list_addresses(bucket: Sequence[Deployment]) -> tuple[Address, ...]:
    keys: dict[str, list[str]] = {}
    for one in bucket:
        at = keys.setdefault(one.base_url, [])
        if one.key is not None and one.key.text not in at:
            at.append(one.key.text)
    return tuple(Address(base_url, tuple(names)) for base_url, names in keys.items())


def _add_model(provider: Provider, model: Model) -> str:
    """The model's name at the provider; one that differs in price or modalities gets a name of its own."""
    name, number = model.upstream, 2
    while provider.models.get(name, model) != model:
        name, number = f"{model.upstream}-{number}", number + 1
    provider.models[name] = model
    return name


class _Registry:
    """Providers by what makes them one."""

    def __init__(self) -> None:
        self.providers: list[Provider] = []

    def provide(self, one: Deployment, addresses: tuple[Address, ...]) -> Provider:
        account = Account(one.target.name, one.api_version, one.auth, one.has_entra_login, addresses)
        found = next((provider for provider in self.providers if provider.account == account), None)
        if found is not None:
            return found
        provider = Provider(
            name="",
            account=account,
            target=one.target,
            is_private=one.target.row.own or any(is_private_url(address.base_url) for address in addresses),
            regions=_name_regions(addresses) if len(addresses) > 1 else {},
        )
        self.providers.append(provider)
        return provider

    def name_all(self) -> None:
        """Give each a name of its own; the account with the company's usual key gets its name and list prices."""
        taken = {OWN_PROCESSOR}
        for provider in sorted(self.providers, key=lambda provider: not _has_usual_key(provider)):
            provider.name = next(name for name in _list_names(provider, len(taken)) if name not in taken)
            taken.add(provider.name)


def _has_usual_key(provider: Provider) -> bool:
    keys = provider.account.addresses[0].keys
    return keys == (f"${{{provider.target.row.key}}}",)


def _list_names(provider: Provider, num_taken: int) -> list[str]:
    """Names for a provider, the best first."""
    row, address = provider.target.row, provider.account.addresses[0]
    host = _describe_url(address.base_url)
    base = provider.target.name
    if row.base_url is not None and not row.own and address.base_url != row.base_url:
        base = _free_of_rows(
            host, base
        )  # `openai/` also means "OpenAI-compatible": then it has not OpenAI's name and prices
    words = set(base.split("-"))
    key = address.keys[0] if address.keys else ""
    hints = [host, _describe_variable(key, words) if is_reference(key) else ""]
    if address.base_url == row.base_url:
        hints.reverse()
    named = [base, *(f"{base}-{hint}" for hint in hints if hint and hint != base)]
    return [*named, *(f"{base}-{number}" for number in range(2, num_taken + 3))]


def _free_of_rows(host: str, target_name: str) -> str:
    """A name from the host that no company's row has, because names decide list prices."""
    rows = {row.name or prefix for prefix, row in load_table().providers.items()}
    if not host:
        return f"{target_name}-compatible"
    return f"{host}-compatible" if host in rows else host


def _describe_url(url: str) -> str:
    """A short name from an address: `http://gpu-1.lan:8000/v1` → `gpu-1`, `${TEAM_LLM_API_BASE}` → `team-llm`."""
    if url.startswith("${"):
        return _describe_variable(url.split("}", 1)[0] + "}", set())
    host = urlsplit(url).hostname or ""
    if re.fullmatch(r"[\d.]+|.*:.*", host):
        return ""
    labels = [label for label in host.split(".") if label not in {"api", "www"}]
    return _slug(labels[0]) if labels else ""


def _describe_variable(reference: str, known: set[str]) -> str:
    """What a variable's name says beyond `API_KEY` and the provider: `${OPENAI_API_KEY_TEAM_B}` → `team-b`."""
    words = _slug(_NOISE.sub("", name_of(reference))).split("-")
    return "-".join(word for word in words if word and word not in known)


def _name_regions(addresses: Sequence[Address]) -> dict[str, Address]:
    """Addresses by what tells them apart, in their order."""
    described = [_describe_url(address.base_url) or f"address-{index + 1}" for index, address in enumerate(addresses)]
    words = [name.split("-") for name in described]
    common = set(words[0]).intersection(*words[1:])
    short = ["-".join(word for word in name if word not in common) for name in words]
    is_telling = all(name and not name.isdigit() for name in short) and len(set(short)) == len(short)
    chosen = short if is_telling else described
    names = [name if chosen.count(name) == 1 else f"{name}-{index + 1}" for index, name in enumerate(chosen)]
    return dict(zip(names, addresses, strict=True))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
