"""What a check of the configuration finds: a place, what is wrong there, and the fix. Finds nothing itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]
"""Keys and list indexes down to a value, outermost first."""


@dataclass(frozen=True, slots=True)
class ReferenceProblem:
    """One thing for the user to mend, or to know.

    Args:
        keys: where it stands: `("routes", "support", "fallback", 0)`. Exact even where a name has a dot (`gpt-4.1`).
        problem: what is wrong, one sentence.
        fix: what to do about it, one sentence in the imperative.
        is_warning: True where the platform runs all the same.
    """

    keys: KeyPath
    problem: str
    fix: str
    is_warning: bool = False

    @property
    def path(self) -> str:
        """The place as users read it: `routes.support.fallback[0]`."""
        text = ""
        for key in self.keys:
            text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
        return text


def suggest_name(given: str, known: Iterable[str], *, kind: str) -> str:
    """The fix for an unknown name: the nearest known one, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    if not names:
        return f"Declare a {kind} first; there is none."
    return f"Use one of: {', '.join(names)}."
