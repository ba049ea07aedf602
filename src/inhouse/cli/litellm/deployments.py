"""One `model_list` entry → one deployment with everything that the written file needs of it, or why it is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from inhouse.cli.litellm.keys import note_by_rule
from inhouse.cli.litellm.providers import (
    Call,
    Target,
    find_target,
    is_fit_url,
    is_mode_served,
    shape_base_url,
)
from inhouse.cli.litellm.reading import PARTS, Entry, Item, is_empty, is_reference
from inhouse.cli.litellm.report import Ledger, Outcome
from inhouse.cli.litellm.secrets import KeyText, SecretNames, suggest_variable
from inhouse.domain import AuthScheme, Modality

ENTRA_KEYS = ("azure_ad_token", "azure_ad_token_provider", "tenant_id", "client_id", "client_secret", "azure_scope",
              "azure_username", "azure_password")  # fmt: skip
_ENTRA_LOGINS = frozenset({"azure_ad_token_provider", "tenant_id", "client_id", "client_secret"})
_MODALITY_KEYS = {
    "supports_vision": Modality.IMAGE,
    "supports_audio_input": Modality.AUDIO,
    "supports_pdf_input": Modality.FILE,
}
_MTOK = Decimal(1_000_000)
_V1_VERSIONS = frozenset({"v1", "preview", "latest"})


@dataclass(frozen=True, slots=True)
class Price:
    """Own rates in US dollars per million tokens."""

    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment of LiteLLM.

    Args:
        entry: where it stands.
        group: the model name that clients send.
        target: the API and the model's name there.
        base_url: as it will be written.
        key: its secret's name; None where none is shown.
        has_entra_login: the key is an Entra token that a command fetches.
        auth: how the key is shown, where not as the dialect wants.
        api_version: Azure's; None for the v1 API.
        order, weight: as LiteLLM picks among the deployments of a group.
        tags: for tag routing.
        price: own rates.
        modalities: what may be sent; narrowed only where the file says no.
        region: `region_name`: where the law says something else, addresses stay apart.
        deployment_id: `model_info.id`, which fallbacks may name.
    """

    entry: Entry
    group: str
    target: Target
    base_url: str
    key: KeyText | None = None
    has_entra_login: bool = False
    auth: AuthScheme | None = None
    api_version: str | None = None
    order: float | None = None
    weight: Decimal = Decimal(0)
    tags: tuple[str, ...] = ()
    price: Price | None = None
    modalities: tuple[Modality, ...] = ()
    region: str | None = None
    deployment_id: str | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """An item of `credential_list`."""

    values: Mapping[str, Item]
    keys: tuple[Item, ...]


@dataclass
class Reader:
    """What reading an entry needs beside the entry."""

    ledger: Ledger
    secrets: SecretNames
    credentials: Mapping[str, Credential]
    used_credentials: set[str] = field(default_factory=set[str])

    def read(self, entry: Entry, group: str, model: str) -> Deployment | None:
        """Read one entry; None where inhouse cannot call it, and then every key of it has its line.

        Args:
            entry: the entry.
            group: the model name that clients send: the entry's own, or one that its wildcard stands for.
            model: the same for `litellm_params.model`.
        """
        values = self._join_credential(entry)
        custom = values["custom_llm_provider"].text if "custom_llm_provider" in values else None
        target = find_target(model, custom)
        reason = find_reason(entry, target, model)
        if target is None or reason is not None:
            self._leave_out(entry, reason or "")
            return None
        self._note_infos(entry)
        key, has_entra_login, auth = self._read_key(target, values, group)
        return Deployment(
            entry=entry,
            group=group,
            target=target,
            base_url=self._read_base_url(target, values),
            key=key,
            has_entra_login=has_entra_login,
            auth=auth,
            api_version=_read_api_version(target, values),
            order=_read_order(values, entry.info),
            weight=_read_weight(values),
            tags=tuple(item.text for item in _elements(values, "tags") if item.text),
            price=read_price(entry),
            modalities=_read_modalities(entry),
            region=values["region_name"].text if "region_name" in values else None,
            deployment_id=entry.info["id"].text if "id" in entry.info else None,
        )

    def _join_credential(self, entry: Entry) -> dict[str, Item]:
        """The parameters, with those of the credential that they name below them."""
        name = entry.params["litellm_credential_name"].text if "litellm_credential_name" in entry.params else None
        credential = self.credentials.get(name or "")
        if credential is None:
            return dict(entry.params)
        self.used_credentials.add(name or "")
        return {**credential.values, **entry.params}

    def _leave_out(self, entry: Entry, reason: str) -> None:
        outcome = Outcome.NEEDS_YOU if reason.startswith("Which") else Outcome.DROPPED
        if not self.ledger.is_noted(entry.params["model"]):
            self.ledger.note(entry.params["model"], outcome, reason)
        place = entry.params["model"].place
        self.ledger.note_rest(entry.list_keys(), Outcome.DROPPED, f"Left out with its model ({place}).")

    def _note_infos(self, entry: Entry) -> None:
        """Lines of the keys that decide nothing but what is read here."""
        note = self.ledger.note
        for key, modality in _MODALITY_KEYS.items():
            item = entry.info.get(key)
            if item is not None and not self.ledger.is_noted(item):
                words = (
                    "The route takes it."
                    if not is_empty(item.value)
                    else f"Requests with {modality.value} are kept away."
                )
                note(item, Outcome.CARRIED, words, "modalities")
        mode = entry.info.get("mode")
        if mode is not None and not self.ledger.is_noted(mode):
            note(mode, Outcome.CARRIED, "A route serves every call that its endpoint offers; no mode is needed.")

    def _read_key(
        self, target: Target, values: Mapping[str, Item], group: str
    ) -> tuple[KeyText | None, bool, AuthScheme | None]:
        """The key, whether a command must fetch it, and how it is shown."""
        variable = target.row.key or suggest_variable(target.name, "API_KEY")
        if "api_key" in values and values["api_key"].text:
            return self.secrets.read(values["api_key"], variable, group), False, None
        if target.row.call is Call.AZURE_OPENAI:
            if "azure_ad_token" in values:
                token = self.secrets.read(values["azure_ad_token"], "AZURE_AD_TOKEN", group)
                return token, False, AuthScheme.BEARER
            if _ENTRA_LOGINS & set(values):
                return None, True, AuthScheme.BEARER
        return (KeyText(self.secrets.resolve(f"${{{target.row.key}}}")) if target.row.key else None), False, None

    def _read_base_url(self, target: Target, values: Mapping[str, Item]) -> str:
        """The address; where the file gives none, what LiteLLM takes by itself."""
        given = next((values[key] for key in ("api_base", "base_url") if key in values and values[key].text), None)
        variable = target.row.base or suggest_variable(target.name, "API_BASE")
        if given is None:
            found = target.row.base_url or self.secrets.resolve(f"${{{variable}}}")
            return shape_base_url(target.row, found)
        text = given.text or ""
        if is_reference(text):
            return shape_base_url(target.row, self.secrets.resolve(text))
        if is_fit_url(text):
            return shape_base_url(target.row, text)
        key = self.secrets.read(given, variable)
        return shape_base_url(target.row, key.text) if key else f"${{{variable}}}"


def find_reason(entry: Entry, target: Target | None, model: str) -> str | None:
    """Why an entry is left out, in words; None where it is not."""
    blocked, mode, mock = (entry.info.get("blocked"), entry.info.get("mode"), entry.params.get("mock_response"))
    if blocked is not None and not is_empty(blocked.value):
        return "It is blocked in LiteLLM, so it is left out here."
    if mode is not None and not is_mode_served(mode.text or ""):
        return f"inhouse does not serve models of the mode {mode.text}: let its applications keep calling LiteLLM."
    if mock is not None and not is_empty(mock.value):
        return (
            "LiteLLM makes its answers up (`mock_response`); inhouse would call the real API. For tests, declare a "
            "provider with `simulated: {}`."
        )
    if "${" in model or "${" in (entry.fields["model_name"].text or ""):
        return (
            "Which model is this? Its name stands in the environment, and a route's and a model's name must stand in "
            "the file. Write it there, and run the import again."
        )
    if target is None:
        prefix = f" `{model.partition('/')[0]}/`" if "/" in model else ""
        return (
            f"Which API is this? inhouse knows no provider{prefix} of LiteLLM behind it. Declare it under `providers` "
            "with its OpenAI-compatible `base_url`, and a route for it."
        )
    return target.row.why if target.row.call is Call.NO else None


def read_price(entry: Entry) -> Price | None:
    """Own rates, those of the parameters first; None unless both input and output are given."""
    merged = {**entry.info, **entry.params}
    rates = {key: _read_rate(merged.get(key)) for key in PRICE_KEYS}
    given, back = rates["input_cost_per_token"], rates["output_cost_per_token"]
    if given is None or back is None:
        return None
    return Price(given, back, rates["cache_read_input_token_cost"])


PRICE_KEYS = {
    "input_cost_per_token": "input_usd_per_mtok",
    "output_cost_per_token": "output_usd_per_mtok",
    "cache_read_input_token_cost": "cache_read_usd_per_mtok",
}
"""LiteLLM's price keys that have a counterpart, and its name."""


def _read_rate(item: Item | None) -> Decimal | None:
    """US dollars per token as written → per million tokens, exactly."""
    rate = read_number(item)
    return None if rate is None or rate < 0 else rate * _MTOK


def read_number(item: Item | None) -> Decimal | None:
    """A number, also one that YAML reads as text (`3e-06`); None for anything else, infinities included."""
    if item is None or isinstance(item.value, bool) or item.text is None:
        return None
    try:
        number = Decimal(item.text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def note_entry_by_rule(ledger: Ledger, entry: Entry) -> None:
    """Give the keys of an entry that no code spoke of their lines from the table."""
    for item in entry.list_keys():
        if ledger.is_noted(item):
            continue
        if item.key in PARTS:
            ledger.note(item, Outcome.CARRIED, "Empty here, so nothing is lost.")
        else:
            part = str(item.path[-2])
            note_by_rule(ledger, part if part in PARTS else "model", item)


def _elements(values: Mapping[str, Item], key: str) -> list[Item]:
    return values[key].elements() if key in values else []


def _read_api_version(target: Target, values: Mapping[str, Item]) -> str | None:
    text = values["api_version"].text if "api_version" in values else None
    if target.row.call is not Call.AZURE_OPENAI or text is None or text in _V1_VERSIONS:
        return None
    return text


def _read_order(values: Mapping[str, Item], info: Mapping[str, Item]) -> float | None:
    number = read_number(values.get("order") or info.get("order"))
    return None if number is None else float(number)


def _read_weight(values: Mapping[str, Item]) -> Decimal:
    """What LiteLLM weighs a deployment by: `weight`, else its requests or tokens per minute."""
    numbers = (read_number(values.get(key)) for key in ("weight", "rpm", "tpm"))
    return next((number for number in numbers if number is not None), Decimal(0))


def _read_modalities(entry: Entry) -> tuple[Modality, ...]:
    """What may be sent. LiteLLM sends whatever comes, so only what the file denies is left out."""
    mode = entry.info["mode"].text if "mode" in entry.info else None
    if mode == "embedding":
        return (Modality.TEXT,)
    denied = {modality for key, modality in _MODALITY_KEYS.items() if _says_no(entry.info.get(key))}
    return tuple(modality for modality in Modality if modality not in denied)


def _says_no(item: Item | None) -> bool:
    return item is not None and item.value is not None and is_empty(item.value)
