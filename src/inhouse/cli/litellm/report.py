"""What became of each key of the LiteLLM file: exactly one line a key, none left out. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from inhouse.cli.litellm.reading import Item
from inhouse.domain import SourceLocation


class Outcome(StrEnum):
    """What became of a key, from nothing to do to something to do."""

    CARRIED = "carried"
    """The written file does the same."""
    CHANGED = "changed"
    """The written file does something near it; the words say what is different."""
    DROPPED = "dropped"
    """inhouse has nothing like it; the words say what that means and what to do instead."""
    UNKNOWN = "unknown"
    """Not in LiteLLM's documentation as this version of inhouse knows it."""
    NEEDS_YOU = "needs_you"
    """A question that only the user can answer."""

    @property
    def label(self) -> str:
        """As people read it: `needs you`."""
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Line:
    """One key's fate.

    Args:
        outcome: which of the five.
        location: file, line and path of the key; a question that no key stands for has the place that raised it.
        words: what it means, in one or two sentences; never a value that could be secret.
        became: the path in the written file, where there is one.
    """

    outcome: Outcome
    location: SourceLocation
    words: str
    became: str = ""

    @property
    def place(self) -> str:
        """`config.yaml:12`."""
        return f"{self.location.file}:{self.location.line}"


class Ledger:
    """Collects the lines, and holds that each key has one."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, tuple[str | int, ...]], Line] = {}
        self._questions: list[Line] = []

    def note(self, item: Item, outcome: Outcome, words: str, became: str = "") -> None:
        """Say what became of a key.

        Raises:
            ValueError: it was said already; two parts of the import both think that the key is theirs.
        """
        key = (item.source.name, item.path)
        if key in self._lines:
            raise ValueError(f"{item.place} has its line already")
        self._lines[key] = Line(outcome, item.location, words, became)

    def note_rest(self, items: Iterable[Item], outcome: Outcome, words: str) -> None:
        """Say the same of every key that has no line yet."""
        for item in items:
            if not self.is_noted(item):
                self.note(item, outcome, words)

    def is_noted(self, item: Item) -> bool:
        """Whether the key has its line."""
        return (item.source.name, item.path) in self._lines

    def ask(self, location: SourceLocation, words: str, became: str) -> None:
        """Add a question that no single key stands for."""
        self._questions.append(Line(Outcome.NEEDS_YOU, location, words, became))

    def lines(self) -> tuple[Line, ...]:
        """Every line in the order of the file, questions without a key first."""
        noted = sorted(self._lines.values(), key=lambda line: (line.location.file, line.location.line or 0))
        return (*self._questions, *noted)


def group_lines(lines: Iterable[Line]) -> dict[Outcome, list[Line]]:
    """Lines by outcome, every outcome present, from nothing to do to something to do."""
    groups: dict[Outcome, list[Line]] = {outcome: [] for outcome in Outcome}
    for line in lines:
        groups[line.outcome].append(line)
    return groups
