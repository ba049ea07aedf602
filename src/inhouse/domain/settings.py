"""The base of every room's settings model: frozen, unknown keys refused. Reading files is the door's work."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Settings(BaseModel):
    """A frozen settings model; an unknown key is an error, so that a typo never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


def parse_share(value: object) -> object:
    """Turn `12%` into 0.12; any other value is left to the field's own rules."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return Decimal(value.strip()[:-1].strip()) / 100
        except InvalidOperation:
            return value
    return Decimal(str(value)) if isinstance(value, float) else value


Share = Annotated[Decimal, BeforeValidator(parse_share)]
"""A share of one, written `0.12` or `12%`."""
