"""Reads the small languages of `inhouse decide`: `--gpus 2xH100:ordered` and `--set peak_factor=2..6`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from inhouse.domain import ConfigError
from inhouse.planning.economics import Terms
from inhouse.reports.decision import GpuOrder, TypedRange

_GPUS = re.compile(
    r"(?P<count>[1-9][0-9]{0,4})x(?P<gpu>[A-Za-z0-9-]+):(?P<terms>[a-z_-]+)(?:@(?P<usd>[0-9]+(?:\.[0-9]+)?))?"
    r"(?::until=(?P<until>[0-9]{4}-[0-9]{2}-[0-9]{2}))?"
)
_GPUS_FIX = "Write COUNTxGPU:TERMS, e.g. `2xH100:ordered` or `8xH200:reserved@120000:until=2027-06-30`."
_SET = re.compile(r"(?P<name>[a-z_0-9.]+)=(?P<bounds>.+)")
_SET_FIX = "Write NAME=VALUE, NAME=LOW..HIGH or NAME=LOW..MID..HIGH, e.g. `peak_factor=2..3..5`; shares as 0.8 or 80%."


def read_gpus(text: str) -> GpuOrder:
    """`COUNTxGPU:TERMS[@USD][:until=YYYY-MM-DD]`; the dollars are what is committed in all, until that day.

    Raises:
        ConfigError: it has another form, or there are no such terms.
    """
    found = _GPUS.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"--gpus {text!r} is not understood.", fix=_GPUS_FIX)
    words = found["terms"].replace("-", "_")
    if words not in {item.value for item in Terms}:
        raise ConfigError(f"--gpus: there are no terms {found['terms']!r}.", fix=f"Use one of {', '.join(Terms)}.")
    return GpuOrder(
        count=int(found["count"]),
        gpu=found["gpu"].upper(),
        terms=Terms(words),
        usd=Decimal(found["usd"]) if found["usd"] else None,
        until=_read_day(found["until"], text) if found["until"] else None,
    )


def read_model(text: str | None) -> tuple[str | None, str | None]:
    """`PROVIDER/MODEL`; (None, None) where nothing is given.

    Raises:
        ConfigError: it has another form.
    """
    if text is None:
        return None, None
    provider, slash, model = text.strip().partition("/")
    if not (provider and slash and model):
        raise ConfigError(f"--model {text!r} is not understood.", fix="Write PROVIDER/MODEL, e.g. `openai/gpt-5-mini`.")
    return provider, model


def read_settings(texts: Sequence[str]) -> dict[str, TypedRange]:
    """`NAME=VALUE`, `NAME=LOW..HIGH` (the middle halfway) or `NAME=LOW..MID..HIGH`, by name.

    Raises:
        ConfigError: one has another form, its bounds are out of order, or a name is given twice.
    """
    found: dict[str, TypedRange] = {}
    for text in texts:
        match = _SET.fullmatch(text.strip())
        if match is None:
            raise ConfigError(f"--set {text!r} is not understood.", fix=_SET_FIX)
        if match["name"] in found:
            raise ConfigError(f"--set gives {match['name']} twice.", fix="Keep one.")
        found[match["name"]] = _read_range(match["bounds"], text)
    return found


def _read_range(words: str, text: str) -> TypedRange:
    numbers = [_read_number(part, text) for part in words.split("..")]
    if len(numbers) > 3:
        raise ConfigError(f"--set {text!r} has more than three bounds.", fix=_SET_FIX)
    low, high = numbers[0], numbers[-1]
    mid = numbers[1] if len(numbers) == 3 else (low + high) / 2
    if not low <= mid <= high:
        raise ConfigError(f"--set {text!r}: the bounds are not in order.", fix="Write the lowest first.")
    return TypedRange(low, mid, high)


def _read_number(part: str, text: str) -> float:
    words = part.strip()
    try:
        number = float(words.removesuffix("%"))
    except ValueError:
        raise ConfigError(f"--set {text!r}: {words!r} is no number.", fix=_SET_FIX) from None
    if not math.isfinite(number):
        raise ConfigError(f"--set {text!r}: {words!r} is no finite number.", fix=_SET_FIX)
    return number / 100 if words.endswith("%") else number


def _read_day(words: str, text: str) -> date:
    try:
        return date.fromisoformat(words)
    except ValueError:
        raise ConfigError(f"--gpus {text!r}: {words} is no day.", fix="Write the day as YYYY-MM-DD.") from None
