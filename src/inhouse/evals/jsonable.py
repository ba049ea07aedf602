"""Runs, summaries and comparisons as plain JSON values, for pages and `--json`. Renders nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from inhouse.evals.compare import Comparison


def to_jsonable(value: Struct) -> dict[str, Any]:
    """Plain JSON values of any result of this room; money is text, so that no digit is lost.

    A comparison's `flips` also say `is_lost`, and a paired result its `flip_rate`, since both are for readers.
    """
    plain: dict[str, Any] = msgspec.to_builtins(value, str_keys=True)
    if isinstance(value, Comparison):
        for row, flip in zip(plain["flips"], value.flips, strict=True):
            row["is_lost"] = flip.is_lost
        for row, compared in zip([plain["total"], *plain["tasks"]], [value.total, *value.tasks], strict=True):
            if compared.result is not None:
                row["result"]["flip_rate"] = compared.result.flip_rate
    return plain
