"""The scorers by name, and making one from a name and options. How each scores stands in its own module."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from inhouse.domain import InhouseError
from inhouse.evals.json_scoring import JsonFields, JsonValid
from inhouse.evals.scoring import Choice, Exact, Label, Numeric, Regex, Scorer, TokenF1
from inhouse.evals.sql_scoring import SqlRows

SCORERS: Mapping[str, type[Scorer]] = MappingProxyType(
    {kind.name: kind for kind in (Choice, Exact, JsonFields, JsonValid, Label, Numeric, Regex, SqlRows, TokenF1)}
)
"""Name → scorer; the fields of a scorer are its options."""


class ScorerError(InhouseError):
    """A scorer cannot be made from this name and these options."""


def make_scorer(name: str, options: Mapping[str, object]) -> Scorer:
    """The scorer called `name` with these options.

    Raises:
        ScorerError: no such scorer, or an option that it does not know or cannot use.
    """
    if name not in SCORERS:
        raise ScorerError(f"there is no scorer {name!r}; there are {', '.join(sorted(SCORERS))}")
    try:
        scorer = msgspec.convert(dict(options), SCORERS[name])
    except msgspec.ValidationError as error:
        known = ", ".join(SCORERS[name].__struct_fields__) or "none"
        raise ScorerError(f"scorer {name}: {error}; its options: {known}") from None
    problem = scorer.find_option_problem()
    if problem is not None:
        raise ScorerError(f"scorer {name}: {problem}")
    return scorer
