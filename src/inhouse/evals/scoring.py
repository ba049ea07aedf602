"""What a scorer is, and the scorers that compare text. Pure functions of (output, target); they call no model."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from typing import ClassVar, Literal

from msgspec import Struct

_MAX_SEARCHED_CHARS = 20_000
"""Longer outputs are cut before a pattern is searched in them, so that a runaway output cannot hold the run."""
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:[,'\u00a0\u202f]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?|[-+]?\.\d+")


class Score(Struct, frozen=True):
    """The value of one output, 0 (wrong) to 1 (right), with words for a person. None is unscored, never zero."""

    value: float | None
    explanation: str = ""

    @property
    def is_scored(self) -> bool:
        """Whether there is a value."""
        return self.value is not None


class Scorer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every scorer. A scorer's fields are its options; `version` grows with every change that moves a score."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    is_binary: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True

    def find_option_problem(self) -> str | None:
        """What is wrong with the options, beyond their types; None where nothing is."""
        return None

    def find_target_problem(self, target: str) -> str | None:
        """Why this target cannot be scored against; None where it can."""
        return "the target is empty" if self.needs_target and not target.strip() else None

    def score(self, output: str, target: str) -> Score:
        """Score one output."""
        raise NotImplementedError


class Exact(Scorer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 where output and target are the same text, white space at both ends aside."""

    name: ClassVar[str] = "exact"

    def score(self, output: str, target: str) -> Score:
        """Compare the texts."""
        return _right_or_wrong(output.strip() == target.strip(), output, target)


class Label(Scorer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 where output and target are the same label: case, surrounding punctuation and runs of white space aside.

    Args:
        labels: the labels that exist; an output outside them says so in its explanation. Empty: not checked.
    """

    name: ClassVar[str] = "label"
    labels: tuple[str, ...] = ()

    def find_target_problem(self, target: str) -> str | None:
        """The target must be one of the labels, where they are given."""
        if self.labels and _plain(target) not in {_plain(label) for label in self.labels}:
            return f"the target {target!r} is none of the labels {', '.join(self.labels)}"
        return super().find_target_problem(target)

    def score(self, output: str, target: str) -> Score:
        """Compare the labels."""
        found = _plain(output)
        if self.labels and found not in {_plain(label) for label in self.labels}:
            return Score(0.0, f"{_shorten(output)} is none of the labels")
        return _right_or_wrong(found == _plain(target), output, target)


class Choice(Scorer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 where the chosen letter is the target: `B`, `(b)`, `B) because …`, `The answer is B`. The last answer counts.

    Args:
        choices: the letters that exist.
    """

    name: ClassVar[str] = "choice"
    choices: str = "ABCD"

    def find_option_problem(self) -> str | None:
        """Choices are different letters or digits."""
        letters = self.choices.upper()
        if len(letters) < 2 or len(set(letters)) != len(letters) or not letters.isalnum():
            return f"choices is {self.choices!r}: give two or more different letters, for example ABCD"
        return None

    def find_target_problem(self, target: str) -> str | None:
        """The target is one of the choices."""
        letter = target.strip().upper()
        is_choice = len(letter) == 1 and letter in self.choices.upper()
        return None if is_choice else f"the target {target!r} is none of {self.choices}"

    def score(self, output: str, target: str) -> Score:
        """Find the chosen letter and compare it."""
        found = self._find(output[:_MAX_SEARCHED_CHARS])
        if found is None:
            return Score(0.0, f"no choice among {self.choices} in {_shorten(output)}")
        return _right_or_wrong(found == target.strip().upper(), found, target)

    def _find(self, output: str) -> str | None:
        letters = f"[{re.escape(self.choices)}]"
        said = re.findall(rf"(?:answer|choice|option)\s*(?:is|:)?\s*[*(\"']*({letters})(?!\w)", output, re.IGNORECASE)
        if said:
            return said[-1].upper()
        first = re.match(rf"\W*({letters})(?:\W*$|[).:,]|\n)", output, re.IGNORECASE)
        return None if first is None else first.group(1).upper()


class Regex(Scorer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 where a pattern is found in the output: the option's, or else the target.

    Patterns are the suite author's own and run without a time limit; outputs are cut at 20,000 characters.

    Args:
        pattern: Python regular expression; None takes each sample's target as its pattern.
        is_full: the whole output must match, white space at both ends aside.
        ignore_case: compare without case.
    """

    name: ClassVar[str] = "regex"
    needs_target: ClassVar[bool] = False
    pattern: str | None = None
    is_full: bool = False
    ignore_case: bool = False

    def find_option_problem(self) -> str | None:
        """The pattern compiles."""
        return None if self.pattern is None else _find_pattern_problem(self.pattern)

    def find_target_problem(self, target: str) -> str | None:
        """Without a pattern in the options, the target is one."""
        if self.pattern is not None:
            return None
        return _find_pattern_problem(target) if target else "neither an option `pattern` nor a target gives a pattern"

    def score(self, output: str, target: str) -> Score:
        """Search the pattern."""
        pattern = re.compile(target if self.pattern is None else self.pattern, re.IGNORECASE if self.ignore_case else 0)
        text = output[:_MAX_SEARCHED_CHARS]
        found = pattern.fullmatch(text.strip()) if self.is_full else pattern.search(text)
        return Score(1.0) if found else Score(0.0, f"{pattern.pattern} is not in {_shorten(output)}")


class Numeric(Scorer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 where the number in the output is the target's, within the tolerances. `1,234.5` and `1'234.5` are read.

    Args:
        tolerance: allowed absolute difference.
        relative_tolerance: allowed difference as a share of the target.
        take: which number counts where the output has several; `only` makes several numbers wrong.
    """

    name: ClassVar[str] = "numeric"
    tolerance: float = 0.0
    relative_tolerance: float = 0.0
    take: Literal["last", "first", "only"] = "last"

    def find_option_problem(self) -> str | None:
        """Tolerances are not negative."""
        return "a tolerance is negative" if min(self.tolerance, self.relative_tolerance) < 0 else None

    def find_target_problem(self, target: str) -> str | None:
        """The target holds exactly one number."""
        count = len(_NUMBER.findall(target))
        return None if count == 1 else f"the target {target!r} holds {count} numbers, not one"

    def score(self, output: str, target: str) -> Score:
        """Read the number and compare it."""
        numbers = [_read_number(text) for text in _NUMBER.findall(output[:_MAX_SEARCHED_CHARS])]
        if not numbers:
            return Score(0.0, f"no number in {_shorten(output)}")
        if self.take == "only" and len(numbers) > 1:
            return Score(0.0, f"{len(numbers)} numbers in {_shorten(output)}, wanted one")
        found = numbers[0] if self.take == "first" else numbers[-1]
        wanted = _read_number(_NUMBER.findall(target)[0])
        allowed = self.tolerance + self.relative_tolerance * abs(wanted)
        return _right_or_wrong(math.isfinite(found) and abs(found - wanted) <= allowed, f"{found:g}", target)


class TokenF1(Scorer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """F1 of the words that output and target share, case and punctuation aside (as SQuAD does, but articles count)."""

    name: ClassVar[str] = "token_f1"
    is_binary: ClassVar[bool] = False

    def score(self, output: str, target: str) -> Score:
        """Count the shared words."""
        found, wanted = _words(output), _words(target)
        shared = sum((Counter(found) & Counter(wanted)).values())
        value = 2 * shared / (len(found) + len(wanted)) if found or wanted else 0.0
        words = f"{shared} shared words of {len(found)} answered and {len(wanted)} wanted"
        return Score(value, words if value < 1 else "")


def strip_fence(text: str) -> str:
    """The inside of a Markdown code fence where the text has one, else the text; white space at both ends removed."""
    found = re.search(r"```[\w-]*[ \t]*\n(.*?)(?:\n```|$)", text, re.DOTALL)
    return (found.group(1) if found else text).strip()


def _right_or_wrong(
    is_right: bool,  # noqa: FBT001 -- the one thing it is about
    found: str,
    wanted: str,
) -> Score:
    return Score(1.0) if is_right else Score(0.0, f"{_shorten(found)}, wanted {_shorten(wanted)}")


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(string.punctuation + string.whitespace)


def _words(text: str) -> list[str]:
    return [word for part in text.casefold().split() if (word := part.strip(string.punctuation))]


def _shorten(text: str) -> str:
    line = " ".join(text[:400].split())
    return repr(line if len(line) <= 80 else line[:79] + "…")


def _read_number(text: str) -> float:
    return float(re.sub(r"[,'\u00a0\u202f]", "", text))


def _find_pattern_problem(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except re.error as error:
        return f"the pattern {pattern!r} is no regular expression: {error}"
    return None
