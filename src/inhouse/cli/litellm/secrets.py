"""Secrets of the LiteLLM file: references stay, and a literal becomes a variable to export. Never shows one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from inhouse.cli.litellm.providers import find_target
from inhouse.cli.litellm.reading import Item, LiteLLMFile, is_reference, list_keys, name_of

_NO_KEY = frozenset({
    "", "none", "null", "empty", "na", "n/a", "no-key", "no-key-needed", "not-needed", "not-required", "none-needed",
    "anything", "dummy", "fake", "fake-key", "test", "token-abc123", "lm-studio", "ollama", "xxx", "placeholder",
})  # fmt: skip
"""Values that people write where a server asks for no key."""
_MENTION = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class KeyText:
    """A secret as the written file names it.

    Args:
        text: `${NAME}`.
        is_literal: the source file holds the secret itself, so that the user must export it under this name.
    """

    text: str
    is_literal: bool = False


@dataclass
class SecretNames:
    """Gives each literal a variable name: the same literal the same one, and never a name that means something else."""

    taken: set[str]
    """Names that the file reads by itself; their values are not known here."""
    aliases: Mapping[str, str]
    """`environment_variables` that only pass another variable on: name → `${OTHER}`."""
    _names: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    def read(self, item: Item, suggestion: str, hint: str = "") -> KeyText | None:
        """A secret of the file under its name; None where it only says that there is no key.

        Args:
            item: where it stands.
            suggestion: the name to give to a literal.
            hint: what tells it from another literal that would get the same name.
        """
        text = item.text
        if text is None or text.lower() in _NO_KEY:
            return None
        if is_reference(text):
            return KeyText(self.resolve(text))
        return KeyText(f"${{{self._name_literal(text, suggestion, hint)}}}", is_literal=True)

    def find(self, item: Item) -> KeyText | None:
        """The name that a literal was given, if it was read before."""
        name = self._names.get(item.text or "")
        return KeyText(f"${{{name}}}", is_literal=True) if name else None

    def resolve(self, reference: str) -> str:
        """`${NAME}` → what `environment_variables` makes of it, else itself."""
        return self.aliases.get(name_of(reference), reference)

    def _name_literal(self, literal: str, suggestion: str, hint: str) -> str:
        if literal not in self._names:
            used = self.taken | set(self._names.values())
            candidates = [suggestion, *([suggest_variable(suggestion, hint)] if hint else [])]
            candidates += [f"{candidates[-1]}_{number}" for number in range(2, len(used) + 3)]
            self._names[literal] = next(name for name in candidates if name not in used)
        return self._names[literal]


def read_secret_names(file: LiteLLMFile) -> SecretNames:
    """Start with what the file says about the environment."""
    variables = file.section("environment_variables")
    aliases = {
        name: item.text for name, item in variables.items() if item.text is not None and is_reference(item.text)
    }  # fmt: skip
    taken = set(_list_mentions(list_keys(file))) | set(_list_unasked(file))
    return SecretNames(taken=taken, aliases=aliases)


def suggest_variable(*parts: str) -> str:
    """A variable's name from words: `openai`, `API_KEY` → `OPENAI_API_KEY`."""
    name = re.sub(r"[^A-Z0-9]+", "_", "_".join(parts).upper()).strip("_")
    return f"_{name}" if name[:1].isdigit() else name


def _list_unasked(file: LiteLLMFile) -> Iterable[str]:
    """Variables that LiteLLM reads for entries without a key."""
    for entry in file.entries:
        if "api_key" not in entry.params:
            target = find_target(entry.params["model"].text or "", None)
            if target is not None and target.row.key is not None:
                yield target.row.key


def _list_mentions(items: Iterable[Item]) -> Iterable[str]:
    for item in items:
        for environ, reference in _MENTION.findall(str(item.value)):
            yield environ or reference
