"""The base of every room's settings model: frozen, unknown keys refused. Reading files is the door's work."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer


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

_PERIOD = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_period(value: object) -> object:
    """Turn `30d`, `12h`, `45m` or `90s` into a timedelta.

    A bare number is refused: nobody can see whether it means seconds or days.

    Raises:
        ValueError: it has another form.
    """
    if isinstance(value, timedelta):
        return value
    found = _PERIOD.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a period is a whole number and a unit: `45m`, `12h` or `30d`")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def format_period(value: timedelta) -> str:
    """What `parse_period` reads, to the second."""
    return f"{round(value.total_seconds())}s"


Period = Annotated[timedelta, BeforeValidator(parse_period), PlainSerializer(format_period, when_used="json")]
"""A length of time, written `45m`, `12h` or `30d`."""
