"""Scorers of JSON answers: is it an object, which of its fields are right. Pure functions of (output, target)."""

from __future__ import annotations

import json
from typing import ClassVar, NoReturn, cast

from inhouse.evals.scoring import Score, Scorer, strip_fence

JsonObject = dict[str, object]


class JsonValid(Scorer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 where the output is one JSON object, in a code fence or bare.

    Args:
        keys: keys that it must have.
    """

    name: ClassVar[str] = "json_valid"
    needs_target: ClassVar[bool] = False
    keys: tuple[str, ...] = ()

    def score(self, output: str, target: str) -> Score:  # noqa: ARG002 -- every scorer takes a target
        """Parse the output."""
        found = read_object(output)
        if isinstance(found, str):
            return Score(0.0, found)
        missing = [key for key in self.keys if key not in found]
        return Score(0.0, f"keys are missing: {', '.join(missing)}") if missing else Score(1.0)


class JsonFields(Scorer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """F1 over the top-level fields of two JSON objects: a field is right where key and value are equal.

    Values are compared as JSON (1 and 1.0 are equal, 1 and "1" are not), text without white space at both ends.

    Args:
        fields: only these keys count; empty: all of the target's and the output's.
        ignore_case: compare text values without case.
    """

    name: ClassVar[str] = "json_fields"
    is_binary: ClassVar[bool] = False
    fields: tuple[str, ...] = ()
    ignore_case: bool = False

    def find_target_problem(self, target: str) -> str | None:
        """The target is a JSON object with the fields that count."""
        wanted = read_object(target)
        if isinstance(wanted, str):
            return f"the target is no JSON object: {wanted}"
        missing = [field for field in self.fields if field not in wanted]
        if missing:
            return f"the target has no field {', '.join(missing)}"
        return None if wanted else "the target has no fields"

    def score(self, output: str, target: str) -> Score:
        """Count the equal fields."""
        found, wanted = read_object(output), read_object(target)
        if isinstance(wanted, str):
            return Score(None, f"the target is no JSON object: {wanted}")
        if isinstance(found, str):
            return Score(0.0, found)
        if self.fields:
            found = {key: value for key, value in found.items() if key in self.fields}
            wanted = {key: value for key, value in wanted.items() if key in self.fields}
        wrong = [key for key in wanted if key not in found or self._plain(found[key]) != self._plain(wanted[key])]
        extra = [key for key in found if key not in wanted]
        num_right = len(wanted) - len(wrong)
        words = f"wrong or missing: {', '.join(wrong)}; " * bool(wrong) + f"not wanted: {', '.join(extra)}" * bool(
            extra
        )
        return Score(2 * num_right / (len(found) + len(wanted)), words.removesuffix("; ")[:500])

    def _plain(self, value: object) -> object:
        if not isinstance(value, str):
            return (isinstance(value, bool), value)
        return value.strip().casefold() if self.ignore_case else value.strip()


def read_object(text: str) -> JsonObject | str:
    """The JSON object in `text`, or what is wrong with it, in words."""
    try:
        value: object = json.loads(strip_fence(text), parse_constant=_refuse_constant)
    except RecursionError:
        return "the JSON is nested too deeply"
    except ValueError as error:
        return f"no valid JSON: {error}"[:200]
    if not isinstance(value, dict):
        return f"JSON of type {type(value).__name__}, wanted an object"
    return cast("JsonObject", value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
