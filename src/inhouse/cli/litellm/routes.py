"""Choices → routes: who serves first, who stands in, in which order, and for which endings. Pure but for its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from inhouse.cli.litellm.endpoints import Choice
from inhouse.cli.litellm.reading import Item
from inhouse.domain import FallbackCause

TAG_HEADER = "x-litellm-tags"
"""The header in which LiteLLM's clients send tags."""
DEFAULT_TAG = "default"
ANY_GROUP = "*"


@dataclass(frozen=True, slots=True)
class Chains:
    """Fallbacks of the LiteLLM file: group → targets in order.

    Args:
        general: for all errors; the group `*` stands for groups without a list of their own.
        default: `default_fallbacks`, for groups that `general` does not name.
        context_window: for prompts that are too long.
        content_policy: for answers that a content filter withheld.
        max_targets: how many targets LiteLLM tries at most.
    """

    general: Mapping[str, tuple[str, ...]]
    default: tuple[str, ...]
    context_window: Mapping[str, tuple[str, ...]]
    content_policy: Mapping[str, tuple[str, ...]]
    max_targets: int

    def of(self, group: str) -> list[str]:
        """Targets of a group in the order in which inhouse tries them, without repetition.

        A target's own fallbacks follow it, as LiteLLM goes on from there.
        """
        found: list[str] = []
        self._walk(group, found)
        own = [*self.context_window.get(group, ()), *self.content_policy.get(group, ())]
        found += [target for target in dict.fromkeys(own) if target not in found and target != group]
        return found

    def _walk(self, group: str, found: list[str]) -> None:
        for target in self._direct(group):
            if target not in found and len(found) < self.max_targets:
                found.append(target)
                self._walk(target, found)

    def _direct(self, group: str) -> Sequence[str]:
        return self.general.get(group) or self.general.get(ANY_GROUP) or self.default


@dataclass
class Route:
    """One route of the written file.

    Args:
        name: the public model name.
        variants: variant name → choice, the default first.
        default: the variant that serves.
        fallback: variants in order.
        rules: (tag, variant).
        fallback_on: answers that fall back too.
        items: keys of the source that it comes from.
        alias_of: the route that it is another name of; then nothing else counts.
    """

    name: str
    variants: dict[str, Choice] = field(default_factory=dict[str, Choice])
    default: str = ""
    fallback: tuple[str, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    fallback_on: tuple[FallbackCause, ...] = ()
    items: list[Item] = field(default_factory=list[Item])
    alias_of: str | None = None


def build_routes(choices: Sequence[Choice], chains: Chains, *, by_tag: bool) -> dict[str, Route]:
    """One route for each group, in the file's order."""
    groups: dict[str, list[Choice]] = {}
    for choice in choices:
        groups.setdefault(choice.group, []).append(choice)
    by_id = {
        one.deployment_id: choice for choice in choices for one in choice.deployments if one.deployment_id is not None
    }
    return {name: _build_route(name, groups, by_id, chains, by_tag=by_tag) for name in groups}


def find_target_choices(target: str, groups: Mapping[str, list[Choice]], by_id: Mapping[str, Choice]) -> list[Choice]:
    """What a fallback's name stands for: a group's choices, the preferred first, or one deployment by its id."""
    if target in groups:
        return sorted(groups[target], key=lambda choice: choice.rank)
    return [by_id[target]] if target in by_id else []


def _build_route(
    name: str, groups: Mapping[str, list[Choice]], by_id: Mapping[str, Choice], chains: Chains, *, by_tag: bool
) -> Route:
    route = Route(name, items=[item for choice in groups[name] for item in _name_items(choice)])
    own = sorted(groups[name], key=lambda choice: choice.rank)
    tagged = [choice for choice in own if by_tag and choice.tags and DEFAULT_TAG not in choice.tags]
    plain = [choice for choice in own if choice not in tagged] or own
    names = _add_variants(route, plain)
    tag_names = _add_variants(route, [choice for choice in own if by_tag and choice.tags])
    rules = [(tag, name) for name in tag_names for tag in route.variants[name].tags if tag != DEFAULT_TAG]
    route.rules = tuple({tag: (tag, name) for tag, name in reversed(rules)}.values())[::-1]
    route.default = names[0]
    chain: list[str] = []
    for target in chains.of(name):
        chain += _add_variants(route, find_target_choices(target, groups, by_id), label=target)
    route.fallback = tuple(variant for variant in dict.fromkeys([*names[1:], *chain]) if variant != route.default)
    if name in chains.content_policy and route.fallback:
        route.fallback_on = (FallbackCause.CONTENT_FILTER,)
    return route


def _add_variants(route: Route, choices: Iterable[Choice], label: str | None = None) -> list[str]:
    """Add choices as variants, one of an endpoint that is there already not again; their names in order."""
    names: list[str] = []
    for choice in choices:
        known = next((name for name, other in route.variants.items() if other.endpoint == choice.endpoint), None)
        names.append(known or _name_variant(route, choice, label))
        route.variants[names[-1]] = route.variants.get(names[-1], choice)
    return names


def _name_variant(route: Route, choice: Choice, label: str | None) -> str:
    """A fallback is called by its group, a route's own variant by its provider; what is taken gets the rest as well."""
    candidates = [label, f"{label}-{choice.provider.name}"] if label and "$" not in label else []
    candidates += [choice.provider.name, choice.endpoint.replace("/", "-")]
    candidates += [f"{choice.provider.name}-{number}" for number in range(2, len(route.variants) + 3)]
    return next(name for name in candidates if name not in route.variants)


def _name_items(choice: Choice) -> list[Item]:
    return [one.entry.fields["model_name"] for one in choice.deployments]
