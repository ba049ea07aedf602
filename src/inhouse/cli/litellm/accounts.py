"""Lines of what was put together: where each key of a deployment and of a credential ended."""

from __future__ import annotations

from collections.abc import Container, Sequence

from inhouse.cli.litellm.deployments import (
    ENTRA_KEYS,
    PRICE_KEYS,
    Deployment,
    note_entry_by_rule,
)
from inhouse.cli.litellm.endpoints import Choice, Provider
from inhouse.cli.litellm.fallbacks import is_wildcard
from inhouse.cli.litellm.providers import Call
from inhouse.cli.litellm.reading import Item, LiteLLMFile, is_reference, name_of
from inhouse.cli.litellm.report import Ledger, Outcome
from inhouse.cli.litellm.secrets import KeyText, SecretNames


def explain_literal(key: KeyText, place: str) -> str:
    """The words for a secret that stood in the file itself."""
    return (
        f"The secret stands in the file itself; it was not copied. Export it as {name_of(key.text)} (its value is at "
        f"{place}) and take it out of files."
    )


class Accounts:
    """Writes the lines of deployments and credentials."""

    def __init__(
        self,
        file: LiteLLMFile,
        ledger: Ledger,
        secrets: SecretNames,
        choices: Sequence[Choice],
        credentials: Container[str],
        *,
        by_tag: bool,
    ) -> None:
        self._credentials = credentials
        self._file = file
        self._ledger = ledger
        self._secrets = secrets
        self._choices = choices
        self._by_tag = by_tag

    def note_deployments(self) -> None:
        """The keys of each deployment that was carried."""
        for choice in self._choices:
            rivals = [other for other in self._choices if other.group == choice.group]
            for one in choice.deployments:
                self._note_names(one, choice, rivals)
                self._note_access(one, choice.provider)
                self._note_picking(one, choice, rivals)
                self._note_prices(one, choice)
        for choice in self._choices:
            for one in choice.deployments:
                note_entry_by_rule(self._ledger, one.entry)

    def _note_names(self, one: Deployment, choice: Choice, rivals: Sequence[Choice]) -> None:
        route = f"routes.{one.group}"
        name = one.entry.fields["model_name"]
        if is_wildcard(one.entry):
            words = "A route for each model that was named; any other name is answered 404 here."
            self._note(name, Outcome.CHANGED, words, "routes")
        elif len(rivals) > 1:
            first = min(rivals, key=lambda other: other.rank)
            has_order = any(other.deployments[0].order is not None for other in rivals)
            words = (
                "LiteLLM takes those with the lowest `order` first; so does this route: "
                if has_order
                else ("LiteLLM spreads this name over its deployments; here ")
            )
            words += (
                "this one serves and the others stand in."
                if first is choice
                else (f"{first.endpoint} serves and this one stands in.")
            )
            self._note(name, Outcome.CARRIED if has_order else Outcome.CHANGED, words, route)
        elif len(choice.deployments) > 1:
            words = f"One route; its {len(choice.deployments)} deployments are addresses or keys of one provider."
            self._note(name, Outcome.CARRIED, words, route)
        else:
            self._note(name, Outcome.CARRIED, "The name that clients send.", route)
        differs = [one.target.row.differs] if one.target.row.differs else []
        if (
            one.target.row.call is Call.AZURE_OPENAI
            and one.api_version is None
            and "api_version" not in one.entry.params
        ):
            differs.append(
                "Without `api_version` inhouse calls Azure's v1 API; LiteLLM has a version of its own for this case."
            )
        where = f"providers.{choice.provider.name}.models.{choice.model}"
        if differs:
            self._note(one.entry.params["model"], Outcome.CHANGED, " ".join(differs), where)
        else:
            self._note(one.entry.params["model"], Outcome.CARRIED, "The model at its provider.", where)

    def _note_access(self, one: Deployment, provider: Provider) -> None:
        where, params = f"providers.{provider.name}", one.entry.params
        at = f"{where}.regions" if provider.regions else where
        for key in ("api_base", "base_url"):
            if key in params:
                self._note_base_url(params[key], one, f"{at}.base_url" if not provider.regions else at)
        if "api_key" in params:
            self._note_key(params["api_key"], one.key, f"{where}.api_key")
        if "custom_llm_provider" in params:
            self._note(params["custom_llm_provider"], Outcome.CARRIED, "It decides the dialect and address.", where)
        self._note_entra(one, where)
        version = params.get("api_version")
        if version is not None and one.target.row.call is Call.AZURE_OPENAI:
            words = "The v1 API has no version." if one.api_version is None else "Sent as it is."
            self._note(version, Outcome.CARRIED, words, f"{where}.api_version")
        elif version is not None:
            self._note(version, Outcome.DROPPED, "Only Azure has an `api-version`; LiteLLM ignores it here too.")
        name = params.get("litellm_credential_name")
        if name is not None and (name.text or "") in self._credentials:
            self._note(name, Outcome.CARRIED, "Its values are written at the provider.", where)
        elif name is not None:
            words = "No credential of this name is in the file (in LiteLLM's database?). Write address and key here."
            self._note(name, Outcome.NEEDS_YOU, words, where)
        if "id" in one.entry.info:
            words = "Fallbacks may name it; clients reach a single endpoint only with an evaluation key."
            self._note(one.entry.info["id"], Outcome.CHANGED, words, where)

    def _note_base_url(self, item: Item, one: Deployment, where: str) -> None:
        text = item.text
        if text is None:
            self._note(item, Outcome.CARRIED, "Empty here, so nothing is lost.")
        elif is_reference(text) or text.rstrip("/") == one.base_url:
            self._note(item, Outcome.CARRIED, "The API's address.", where)
        elif is_reference(one.base_url):
            words = (
                "This is no plain http(s) address (a placeholder, or it holds a login or query); it was not copied. "
                f"Export {name_of(one.base_url)} with the API's root."
            )
            self._note(item, Outcome.NEEDS_YOU, words, where)
        else:
            self._note(item, Outcome.CARRIED, "The same address, written as the API's root.", where)

    def _note_key(self, item: Item, key: KeyText | None, where: str) -> None:
        if key is None:
            self._note(item, Outcome.CARRIED, "A placeholder; no key is sent.")
        elif key.is_literal:
            self._note(item, Outcome.NEEDS_YOU, explain_literal(key, item.place), where)
        else:
            self._note(item, Outcome.CARRIED, f"Read from {name_of(key.text)} in the environment.", where)

    def _note_entra(self, one: Deployment, where: str) -> None:
        params = one.entry.params
        token = params.get("azure_ad_token")
        if token is not None and one.key is not None and not one.has_entra_login and one.auth is not None:
            literal = f" {explain_literal(one.key, token.place)}" if one.key.is_literal else ""
            words = (
                "An Entra token runs out within the hour. Replace `api_key` with a command that prints a fresh one: "
                f"`api_key: {{command: [az, account, get-access-token, …]}}`.{literal}"
            )
            self._note(token, Outcome.NEEDS_YOU, words, f"{where}.api_key")
        for key in ENTRA_KEYS:
            if key not in params:
                continue
            if one.has_entra_login:
                words = (
                    "The written file asks the Azure CLI for a token and runs it again by itself. Log the gateway's "
                    "user in (`az login --service-principal …`, or a managed identity); no secret of it was copied."
                )
                self._note(params[key], Outcome.NEEDS_YOU, words, f"{where}.api_key")
            else:
                self._note(params[key], Outcome.DROPPED, "Not needed: the deployment has a key.")

    def _note_picking(self, one: Deployment, choice: Choice, rivals: Sequence[Choice]) -> None:
        params, route = one.entry.params, f"routes.{one.group}"
        is_alone = len(rivals) == 1 and len(choice.deployments) == 1
        if "weight" in params:
            if is_alone:
                self._note(params["weight"], Outcome.CARRIED, "The only deployment of its name; nothing to weigh.")
            elif len(rivals) == 1:
                words = "Addresses and keys of one provider are used evenly, whatever their weight."
                self._note(params["weight"], Outcome.CHANGED, words, f"providers.{choice.provider.name}")
            else:
                words = (
                    "This version does not split traffic by weight: the heaviest serves, the others stand in when it "
                    "fails. To try one on part of the traffic, use a rule (`use. when`)."
                )
                self._note(params["weight"], Outcome.CHANGED, words, f"{route}.fallback")
        for item in (part["order"] for part in (params, one.entry.info) if "order" in part):
            words = (
                "The lowest order serves; the others are `fallback`, in order."
                if len(rivals) > 1
                else "Nothing to order."
            )
            self._note(item, Outcome.CARRIED, words, f"{route}.fallback" if len(rivals) > 1 else "")
        if "tags" in params:
            self._note_tags(params["tags"], route)

    def _note_tags(self, item: Item, route: str) -> None:
        if self._by_tag:
            words = (
                "A rule compares the header `x-litellm-tags` with each tag alone. Tags in a request's metadata, or of "
                "a key or team, are not looked at."
            )
            self._note(item, Outcome.CHANGED, words, f"{route}.use.when")
        else:
            words = "Without `enable_tag_filtering` they only label costs; clients say `x-inhouse-tags` for that."
            self._note(item, Outcome.DROPPED, words)

    def _note_prices(self, one: Deployment, choice: Choice) -> None:
        where = f"providers.{choice.provider.name}.models.{choice.model}.price"
        for key, name in PRICE_KEYS.items():
            for part in (one.entry.params, one.entry.info):
                item = part.get(key)
                if item is None:
                    continue
                if item.value is None:
                    self._note(item, Outcome.CARRIED, "Empty here, so nothing is lost.")
                elif part is one.entry.info and key in one.entry.params:
                    self._note(item, Outcome.DROPPED, "`litellm_params` says it too, and wins in LiteLLM as well.")
                elif one.price is None:
                    words = "A price needs input and output, each a number. Give both below the model (`price`)."
                    self._note(item, Outcome.NEEDS_YOU, words, where)
                else:
                    self._note(item, Outcome.CARRIED, f"`{name}`, in dollars per million tokens.", where)

    def note_credentials(self, used: set[str]) -> None:
        """The keys of `credential_list`."""
        for element in self._file.credentials():
            fields = element.children()
            name = fields["credential_name"].text if "credential_name" in fields else None
            for item in fields.values() or [element]:
                if self._ledger.is_noted(item):
                    continue
                if item.key == "credential_info":
                    self._note(item, Outcome.DROPPED, "A note; nothing depends on it.")
                elif name not in used:
                    self._note(item, Outcome.DROPPED, "No model that was carried uses this credential.")
                elif item.key == "credential_name":
                    self._note(item, Outcome.CARRIED, "Its values stand at the providers that use it.", "providers")
                elif item.key == "credential_values":
                    self._note_credential_values(item)

    def _note_credential_values(self, item: Item) -> None:
        literals = [
            f"{child.key} as {name_of(key.text)}"
            for child in item.children().values()
            if _is_secret(child.key) and (key := self._secrets.find(child)) is not None and key.is_literal
        ]
        if literals:
            words = f"Secrets stand in the file itself; they were not copied. Export {', '.join(literals)}."
            self._note(item, Outcome.NEEDS_YOU, words, "providers")
        else:
            self._note(item, Outcome.CARRIED, "Written at each provider that uses it.", "providers")

    def _note(self, item: Item, outcome: Outcome, words: str, became: str = "") -> None:
        """One line, unless the key has one: entries of a wildcard are looked at once for each model."""
        if not self._ledger.is_noted(item):
            self._ledger.note(item, outcome, words, became)


def _is_secret(key: str) -> bool:
    return any(word in key for word in ("key", "token", "secret", "password"))
