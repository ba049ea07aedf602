"""Settings beside models, routes and gateway (keys, authorities, discounts), and the lines of all keys left."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from inhouse.cli.litellm.accounts import explain_literal
from inhouse.cli.litellm.deployments import read_number
from inhouse.cli.litellm.endpoints import Choice, Provider
from inhouse.cli.litellm.fallbacks import find_settings
from inhouse.cli.litellm.keys import note_by_rule
from inhouse.cli.litellm.reading import SECTIONS, Item, LiteLLMFile, is_empty, is_reference, name_of
from inhouse.cli.litellm.report import Ledger, Outcome
from inhouse.cli.litellm.secrets import SecretNames
from inhouse.cli.litellm.writing import ClientKey

_MASTER = "litellm-master"
_NOTHING = "Empty here, so nothing is lost."


class Sections:
    """Reads the settings that stand beside the models, and writes the lines of all keys left."""

    def __init__(self, file: LiteLLMFile, ledger: Ledger, secrets: SecretNames) -> None:
        self._file = file
        self._ledger = ledger
        self._secrets = secrets

    def read_client_keys(self) -> list[ClientKey]:
        """`master_key` as a client key."""
        item = self._file.section("general_settings").get("master_key")
        key = self._secrets.read(item, "LITELLM_MASTER_KEY") if item is not None else None
        if item is None or key is None:
            if item is not None:
                self._note(item, Outcome.CARRIED, _NOTHING)
            return []
        words = (
            "Clients that use it stay; it opens nothing else here (the admin port listens on this machine only). At "
            "least 16 characters. Give each application a key of its own soon."
        )
        if key.is_literal:
            self._note(item, Outcome.NEEDS_YOU, f"{explain_literal(key, item.place)} {words}", f"keys.{_MASTER}")
        else:
            self._note(item, Outcome.CHANGED, words, f"keys.{_MASTER}")
        return [ClientKey(_MASTER, key.text, (item,))]

    def read_ca_file(self) -> str | None:
        """`ssl_verify` as a bundle of authorities."""
        item = self._file.section("litellm_settings").get("ssl_verify")
        if item is None:
            return None
        if item.value is None or item.value is True:
            self._note(item, Outcome.CARRIED, "Certificates are always verified.")
        elif isinstance(item.value, str) and not is_empty(item.value) and not is_reference(item.text):
            self._note(
                item, Outcome.CARRIED, "Every provider trusts these authorities.", "providers.NAME.network.ca_file"
            )
            return item.text
        else:
            words = (
                "Certificates are always verified here. If a provider has one of your own authority, name its bundle."
            )
            self._note(item, Outcome.NEEDS_YOU, words, "providers.NAME.network.ca_file")
        return None

    def read_discounts(self, providers: Sequence[Provider]) -> dict[str, str]:
        """`cost_discount_config`: prefix → share as text."""
        item = self._file.section("litellm_settings").get("cost_discount_config")
        if item is None:
            return {}
        known = {provider.target.prefix for provider in providers}
        rates = {name: read_number(child) for name, child in item.children().items() if name in known}
        shares = {name: rate for name, rate in rates.items() if rate is not None and 0 <= rate < 1}
        if is_empty(item.value):
            self._note(item, Outcome.CARRIED, _NOTHING)
        elif not shares:
            self._note(item, Outcome.DROPPED, "It names no provider of the written file.")
        else:
            words = "Taken off list prices only; a `price` of your own counts as it is."
            self._note(item, Outcome.CHANGED, words, "providers.NAME.discount")
        return {name: f"{(share * Decimal(100)).normalize():f}%" for name, share in shares.items()}

    def note_rest(self, variables: set[str], choices: Sequence[Choice], *, by_tag: bool) -> None:
        """Everything that nobody spoke of yet.

        Args:
            variables: environment variables that the written file reads.
            choices: what routes choose from.
            by_tag: routes have rules for tags.
        """
        self._note_routing(choices, by_tag=by_tag)
        self._note_database()
        self._note_environment(variables)
        for item in self._file.includes:
            self._note(
                item, Outcome.CARRIED, "Read along; what it holds stands in this report with its own file and line."
            )
        for item in self._file.replaced:
            for child in item.children().values() or [item]:
                words = "An included file has the same section, which replaces this one in LiteLLM as well."
                self._note(child, Outcome.DROPPED, words)
        for section in self._file.sections():
            self._note_section(section)

    def _note_section(self, section: Item) -> None:
        name = section.key
        if name == "credential_list":
            if not section.elements():
                self._note(section, Outcome.CARRIED, _NOTHING)
            return
        if name in SECTIONS and (section.children() or is_empty(section.value)):
            if not section.children():
                self._note(section, Outcome.CARRIED, _NOTHING)
            for item in section.children().values():
                if not self._ledger.is_noted(item):
                    note_by_rule(self._ledger, name, item)
            return
        note_by_rule(self._ledger, "top", section)

    def _note_routing(self, choices: Sequence[Choice], *, by_tag: bool) -> None:
        is_spread = any(len([other for other in choices if other.group == choice.group]) > 1 for choice in choices)
        strategy, beaten = find_settings(self._file, "routing_strategy")
        for item in [strategy, *beaten] if strategy else beaten:
            words = (
                "inhouse has one way: addresses and keys of one provider are used in turn, one that fails is left out."
            )
            words += " Where a name has several endpoints, one serves and the others stand in." if is_spread else ""
            self._note(item, Outcome.CHANGED, words)
        tags, beaten = find_settings(self._file, "enable_tag_filtering")
        for item in [tags, *beaten] if tags else beaten:
            if by_tag:
                self._note(item, Outcome.CHANGED, "Routes have a rule for each tag.", "routes.NAME.use.when")
            else:
                self._note(item, Outcome.CARRIED, "Off here, so nothing is lost.")

    def _note_database(self) -> None:
        general = self._file.section("general_settings")
        url, stored = general.get("database_url"), general.get("store_model_in_db")
        if url is not None and not is_empty(url.value):
            words = (
                "LiteLLM's virtual keys, teams and budgets live in this database, which inhouse neither reads nor "
                "uses. Write a line under `keys` for each application (`/key/list` names them): existing tokens can "
                "stay, as `${VARIABLE}`."
            )
            self._note(url, Outcome.NEEDS_YOU, words, "keys")
        elif url is not None:
            self._note(url, Outcome.CARRIED, _NOTHING)
        if stored is not None and not is_empty(stored.value):
            words = (
                "Models and settings may live in LiteLLM's database, and win over this file there. Compare `GET "
                "/model/info` with the written routes."
            )
            self._note(stored, Outcome.NEEDS_YOU, words, "routes")
        elif stored is not None:
            self._note(stored, Outcome.CARRIED, "Off here: this file is all there is.")

    def _note_environment(self, variables: set[str]) -> None:
        for name, item in self._file.section("environment_variables").items():
            if is_reference(item.text):
                words = f"Where it was meant, the file reads {name_of(item.text or '')} itself."
                self._note(item, Outcome.CARRIED, words)
            elif name in variables:
                words = f"Export {name} before `inhouse up`; its value (at {item.place}) was not copied."
                self._note(item, Outcome.NEEDS_YOU, words)
            else:
                self._note(item, Outcome.DROPPED, "Nothing in the written file reads it.")

    def _note(self, item: Item, outcome: Outcome, words: str, became: str = "") -> None:
        """One line, unless the key has one: entries of a wildcard are looked at once for each model."""
        if not self._ledger.is_noted(item):
            self._ledger.note(item, outcome, words, became)
