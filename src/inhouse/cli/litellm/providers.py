"""LiteLLM's provider prefixes: which API stands behind a model string, and at which address. Reads package data."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import yaml

from inhouse.domain import Dialect, EngineKind
from inhouse.domain.settings import Settings

_FILE = Path(__file__).parent / "providers.yaml"
_PRIVATE_SUFFIXES = (".local", ".localhost", ".internal", ".lan", ".svc", ".home.arpa", ".corp", ".intranet")
_MODEL_PREFIXES = ("responses/", "chat/", "o_series/", "gpt5_series/")
"""Parts of a model string that tell LiteLLM how to call it and are not the model's name."""


class Call(StrEnum):
    """How inhouse calls what stands behind a prefix."""

    OPENAI = "openai"
    AZURE_OPENAI = "azure_openai"
    ANTHROPIC = "anthropic"
    NO = "no"


class ProviderRow(Settings):
    """What stands behind one prefix; see the head of providers.yaml for each field."""

    call: Call
    """How inhouse calls it."""
    why: str = ""
    """Why it cannot, and what to do."""
    name: str = ""
    """Its name in the written file."""
    base_url: str | None = None
    """Where LiteLLM sends to without `api_base`."""
    key: str | None = None
    """The variable that LiteLLM takes the key from without `api_key`."""
    base: str | None = None
    """The variable that LiteLLM takes the address from without `api_base`."""
    engine: EngineKind = EngineKind.GENERIC
    """The server behind it."""
    own: bool = False
    """A server that people run themselves."""
    path: str = ""
    """Added to an address without a path."""
    differs: str = ""
    """How the calls differ from LiteLLM's."""

    @property
    def dialect(self) -> Dialect:
        """The dialect of a row that inhouse can call."""
        return Dialect(self.call.value)


class ProviderTable(Settings):
    """All prefixes."""

    source: str
    """Where LiteLLM documents them."""
    checked_on: date
    """When that was read."""
    providers: dict[str, ProviderRow]
    """By prefix."""
    bare: dict[str, tuple[str, ...]]
    """Prefix → patterns of model names that LiteLLM knows without a prefix."""
    modes_not_served: frozenset[str]
    """Values of `mode` that inhouse does not serve."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a model string asks for: the prefix's row, its name in the file, the model's name at the provider."""

    prefix: str
    row: ProviderRow
    model: str

    @property
    def name(self) -> str:
        """The provider's name in the written file, before others of the same name are told apart."""
        return self.row.name or self.prefix.replace("_", "-")


def find_target(model: str, custom_provider: str | None) -> Target | None:
    """What LiteLLM would call for a model string; None where it knows no provider for it."""
    rows = load_table().providers
    prefix, slash, rest = model.partition("/")
    if custom_provider is not None and custom_provider in rows:
        return _make_target(custom_provider, rest if slash and prefix == custom_provider else model)
    if slash and prefix in rows:
        return _make_target(prefix, rest)
    for name, patterns in load_table().bare.items():
        if any(fnmatchcase(model, pattern) for pattern in patterns):
            return _make_target(name, model)
    return None


def _make_target(prefix: str, model: str) -> Target:
    row = load_table().providers[prefix]
    if row.call in {Call.OPENAI, Call.AZURE_OPENAI} and prefix in {"openai", "azure"}:
        for part in _MODEL_PREFIXES:
            model = model.removeprefix(part)
    if prefix == "fireworks_ai" and not model.startswith("accounts/") and "#" not in model:
        model = f"accounts/fireworks/models/{model}"
    return Target(prefix, row, model)


def is_mode_served(mode: str) -> bool:
    """Whether inhouse serves models of this `mode`."""
    return mode not in load_table().modes_not_served


def shape_base_url(row: ProviderRow, given: str) -> str:
    """An `api_base` as inhouse wants it: the root of the API, without a slash or a call's own path at its end."""
    url = given.rstrip("/")
    if row.call is Call.AZURE_OPENAI:
        return url.split("/openai", 1)[0]
    for ending in ("/chat/completions", "/completions", "/embeddings", "/v1/messages", "/api/generate", "/api/chat"):
        url = url.removesuffix(ending)
    url = url.replace("://0.0.0.0", "://127.0.0.1", 1)  # what it means to a client, and what inhouse connects to
    if row.call is Call.ANTHROPIC:
        return url.removesuffix("/v1") + "/v1"
    has_path = "/" in url.removeprefix("https://").removeprefix("http://")
    return url if has_path else url + row.path


def is_fit_url(url: str) -> bool:
    """Whether an address may stand in a file: http(s), a host, and neither a login nor a query that could be secret."""
    parts = _split(url)
    return parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname) and not (
        "@" in parts.netloc or parts.query or parts.fragment
    )  # fmt: skip


def is_private_url(url: str) -> bool:
    """Whether an address leads, by its looks, to this machine or the own network."""
    parts = _split(url)
    host = (parts.hostname or "") if parts else ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(_PRIVATE_SUFFIXES))


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


@cache
def load_table() -> ProviderTable:
    """The table in the package."""
    return ProviderTable.model_validate(yaml.safe_load(_FILE.read_text(encoding="utf-8")))
