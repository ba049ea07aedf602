"""Fallback lists, aliases and wildcards of a LiteLLM file: what they name, and what becomes of their keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from inhouse.cli.litellm.deployments import read_number
from inhouse.cli.litellm.reading import Entry, Item, LiteLLMFile, is_empty
from inhouse.cli.litellm.report import Ledger, Outcome
from inhouse.cli.litellm.routes import ANY_GROUP, Chains, Route

FALLBACK_KEYS = ("fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_MAX_TARGETS = 5
"""LiteLLM's own bound where `max_fallbacks` does not say another."""
_WORDS = {
    "fallbacks": "Routes name them under `fallback`, tried in order until the first byte of an answer is there.",
    "default_fallbacks": "Each route without a list of its own has them under `fallback`.",
    "context_window_fallbacks": (
        "A prompt that is too long always falls back here. These models stand at the end of `fallback`, so that they "
        "also stand in when the others fail, not only for long prompts."
    ),
    "content_policy_fallbacks": (
        "`fallback_on: [content_filter]` lets withheld answers fall back. These models stand at the end of "
        "`fallback`, so that they also stand in when the others fail; and a withheld answer tries the whole list in "
        "order."
    ),
}


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of a model group."""

    name: str
    target: str
    item: Item


def find_settings(file: LiteLLMFile, key: str) -> tuple[Item | None, list[Item]]:
    """The setting that counts (`router_settings` before `litellm_settings`), and those that it wins over."""
    found = [
        item for name in ("router_settings", "litellm_settings") if (item := file.section(name).get(key)) is not None
    ]
    return (found[0], found[1:]) if found else (None, [])


def read_chains(file: LiteLLMFile) -> Chains:
    """The fallback lists that count."""
    lists = {key: find_settings(file, key)[0] for key in FALLBACK_KEYS}
    maximum = read_number(file.section("router_settings").get("max_fallbacks"))
    default = lists["default_fallbacks"]
    return Chains(
        general=_read_lists(lists["fallbacks"]),
        default=tuple(_read_names(default.elements())) if default else (),
        context_window=_read_lists(lists["context_window_fallbacks"]),
        content_policy=_read_lists(lists["content_policy_fallbacks"]),
        max_targets=int(maximum) if maximum is not None and maximum > 0 else _MAX_TARGETS,
    )


def note_chains(file: LiteLLMFile, chains: Chains, routes: Mapping[str, Route], ledger: Ledger) -> None:
    """Lines of the fallback keys."""
    ids = {
        one.deployment_id
        for route in routes.values()
        for choice in route.variants.values()
        for one in choice.deployments
    }
    known = set(routes) | {name for name in ids if name is not None}
    for key in FALLBACK_KEYS:
        item, beaten = find_settings(file, key)
        for other in beaten:
            ledger.note(other, Outcome.DROPPED, "`router_settings` says it too, and wins in LiteLLM as well.")
        if item is not None:
            _note_list(item, key, known, ledger)
    maximum = file.section("router_settings").get("max_fallbacks")
    if maximum is not None:
        words = f"No route has more than {chains.max_targets} models of `fallbacks` in its list."
        ledger.note(maximum, Outcome.CARRIED, words, "routes.NAME.fallback")


def _note_list(item: Item, key: str, known: set[str], ledger: Ledger) -> None:
    named = dict.fromkeys(_list_named(item, key))
    missing = [name for name in named if name not in known and name != ANY_GROUP]
    if is_empty(item.value):
        ledger.note(item, Outcome.CARRIED, "Empty here, so nothing is lost.")
    elif named and len(missing) == len(named):
        ledger.note(item, Outcome.DROPPED, f"Nothing that it names is in the written file ({', '.join(missing)}).")
    else:
        lost = f" Not in the written file, and left out here: {', '.join(missing)}." if missing else ""
        is_kept = key in {"fallbacks", "default_fallbacks"} and not lost
        outcome = Outcome.CARRIED if is_kept else Outcome.CHANGED
        became = "routes.NAME.fallback_on" if key == "content_policy_fallbacks" else "routes.NAME.fallback"
        ledger.note(item, outcome, _WORDS[key] + lost, became)


def _list_named(item: Item, key: str) -> Iterable[str]:
    if key == "default_fallbacks":
        yield from _read_names(item.elements())
        return
    for group, targets in _read_lists(item).items():
        yield group
        yield from targets


def _read_lists(item: Item | None) -> dict[str, tuple[str, ...]]:
    """`[{a: [b, c]}, {d: e}]` → `{a: (b, c), d: (e,)}`."""
    lists: dict[str, tuple[str, ...]] = {}
    for element in item.elements() if item else []:
        for group, targets in element.children().items():
            lists[group] = tuple(_read_names(targets.elements()))
    return lists


def _read_names(items: Sequence[Item]) -> list[str]:
    """Names of models; a mapping (a call of its own, with its own messages) counts by its `model`."""
    named = (item.children().get("model", item) for item in items)
    return [item.text for item in named if item.text]


def read_aliases(file: LiteLLMFile) -> list[Alias]:
    """`model_group_alias`: name → group, or → `{model: group, hidden: …}`."""
    found, _ = find_settings(file, "model_group_alias")
    aliases: list[Alias] = []
    for name, item in (found.children() if found else {}).items():
        target = item.children().get("model", item).text
        if target:
            aliases.append(Alias(name, target, item))
    return aliases


def add_aliases(file: LiteLLMFile, routes: dict[str, Route], ledger: Ledger) -> None:
    """Each alias becomes a route that says the same as its target, unless a model has its name."""
    item, beaten = find_settings(file, "model_group_alias")
    for other in beaten:
        ledger.note(other, Outcome.DROPPED, "`router_settings` says it too, and wins in LiteLLM as well.")
    if item is None:
        return
    aliases = read_aliases(file)
    lost = [alias.name for alias in aliases if alias.target not in routes or alias.name in routes]
    for alias in aliases:
        if alias.name not in lost:
            routes[alias.name] = Route(alias.name, alias_of=alias.target, items=[alias.item])
    hidden = [alias.name for alias in aliases if not is_empty(_get(alias.item, "hidden"))]
    words = "Each is a route that says the same as the model that it names."
    words += f" Hidden in LiteLLM, but listed at `/v1/models` here: {', '.join(hidden)}." if hidden else ""
    words += f" Without a route here: {', '.join(lost)}." if lost else ""
    if is_empty(item.value):
        ledger.note(item, Outcome.CARRIED, "Empty here, so nothing is lost.")
    elif aliases and len(lost) == len(aliases):
        ledger.note(item, Outcome.DROPPED, f"Nothing that it names is in the written file ({', '.join(lost)}).")
    else:
        outcome = Outcome.CHANGED if hidden or lost else Outcome.CARRIED
        ledger.note(item, outcome, words, "routes")


def expand_wildcard(entry: Entry, wanted: Sequence[str]) -> list[tuple[str, str]]:
    """The wanted models that a wildcard entry stands for, as (name that clients send, model string)."""
    name, model = entry.fields["model_name"].text or "", entry.params["model"].text or ""
    found: list[tuple[str, str]] = []
    for one in wanted:
        if fnmatchcase(one, name):
            head, _, tail = name.partition("*")
            middle = one[len(head) : len(one) - len(tail)] if tail else one[len(head) :]
            found.append((one, model.replace("*", middle, 1)))
    return found


def is_wildcard(entry: Entry) -> bool:
    """Whether an entry stands for many models."""
    return "*" in (entry.fields["model_name"].text or "")


def list_mentioned(file: LiteLLMFile) -> list[str]:
    """Models that fallbacks and aliases name; a wildcard may be what serves them."""
    chains = read_chains(file)
    lists = (chains.general, chains.context_window, chains.content_policy)
    named = [name for one in lists for group, targets in one.items() for name in (group, *targets)]
    named += [*chains.default, *(alias.target for alias in read_aliases(file))]
    return [name for name in dict.fromkeys(named) if name != ANY_GROUP]


def _get(item: Item, key: str) -> object:
    child = item.children().get(key)
    return child.value if child else None
