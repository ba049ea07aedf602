"""Groups cost lines and sums them: requests, tokens, dollars, and beside them what has no price. Exact in Decimal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from inhouse.domain import USAGE_BUCKETS, ConfigError, Usage
from inhouse.reports.costs.lines import CostBasis, CostLine

NOT_STATED = "(not stated)"
"""A label that the source does not have."""
_TOKENS_PER_MTOK = Decimal(1_000_000)
_TAG = "tag:"


class Dimension(StrEnum):
    """What costs can be grouped by, besides `tag:NAME`."""

    ROUTE = "route"
    """The route of a trace, the project or workspace of an import."""
    KEY = "key"
    TASK = "task"
    MODEL = "model"
    """`provider/model`; `own/NAME` for a deployment."""
    PROVIDER = "provider"
    SOURCE = "source"
    TIER = "tier"
    DAY = "day"
    MONTH = "month"


_ALIASES = {"project": Dimension.ROUTE}
DEFAULT_DIMENSIONS: tuple[str, ...] = (Dimension.ROUTE, Dimension.MODEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTotals:
    """Sums of some lines."""

    num_requests: int
    """Answered requests, of the sources that count them."""
    is_counted: bool
    """Whether every source counts its requests."""
    num_failed: int
    usage: Usage
    usd: Decimal
    """Usage-based US dollars of everything that has a price."""
    num_priced_lines: int
    num_unpriced_requests: int
    num_unpriced_tokens: int
    has_unpriced: bool
    """Whether there is anything without a price, even where the source counts neither requests nor tokens."""
    num_repriced: int
    stated_usd: Decimal
    """What of `usd` is as the source states it, since there is no price."""
    on_usd: tuple[Decimal | None, ...] = ()
    """What the same tokens would cost on each other model; None: no price for any of them."""
    on_unpriced_tokens: tuple[int, ...] = ()
    """Tokens that have no price there."""

    @property
    def num_tokens(self) -> int:
        """Prompt and answer."""
        return self.usage.input_total + self.usage.output_total

    @property
    def num_priced_tokens(self) -> int:
        """Tokens that `usd` is for."""
        return self.num_tokens - self.num_unpriced_tokens

    @property
    def known_usd(self) -> Decimal | None:
        """`usd`; None where nothing has a price."""
        return self.usd if self.num_priced_lines else None

    @property
    def usd_per_mtok(self) -> Decimal | None:
        """Usage-based dollars per million priced tokens."""
        tokens = self.num_priced_tokens
        return self.usd * _TOKENS_PER_MTOK / tokens if self.num_priced_lines and tokens else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostGroup:
    """One row of the report: labels in the order of the dimensions. Simulated and real requests never share one."""

    labels: tuple[str, ...]
    is_simulated: bool
    is_eval: bool
    totals: CostTotals


@dataclass(slots=True)
class CostSums:
    """Adds up lines; `finish` gives the totals."""

    num_requests: int = 0
    is_counted: bool = True
    num_failed: int = 0
    tokens: list[int] = field(default_factory=lambda: [0] * len(USAGE_BUCKETS))
    usd: Decimal = Decimal(0)
    num_priced_lines: int = 0
    num_unpriced_requests: int = 0
    num_unpriced_tokens: int = 0
    has_unpriced: bool = False
    num_repriced: int = 0
    stated_usd: Decimal = Decimal(0)
    on: list[OnSums] = field(default_factory=list["OnSums"])

    def add(self, line: CostLine, on: Sequence[Decimal | None] = ()) -> None:
        """Count one line, with what it would cost elsewhere."""
        self.num_failed += line.num_failed
        self.num_repriced += line.num_repriced
        if line.num_requests is None:
            self.is_counted = False
        else:
            self.num_requests += line.num_requests
        if line.usage is not None:
            counts = (getattr(line.usage, name) for name in USAGE_BUCKETS)
            self.tokens = [total + count for total, count in zip(self.tokens, counts, strict=True)]
        if line.usd is not None:
            self.usd += line.usd
            self.num_priced_lines += 1
            if line.basis is CostBasis.STATED:
                self.stated_usd += line.usd
        elif line.num_requests != 0 or line.usage is not None:
            self.has_unpriced = True
            self.num_unpriced_requests += (line.num_requests or 0) + (line.num_failed if line.usage else 0)
            self.num_unpriced_tokens += line.num_tokens
        while len(self.on) < len(on):
            self.on.append(OnSums())
        for sums, usd in zip(self.on, on, strict=True):
            sums.add(usd, line.num_tokens)

    def finish(self) -> CostTotals:
        """The totals of all lines so far."""
        return CostTotals(
            num_requests=self.num_requests,
            is_counted=self.is_counted,
            num_failed=self.num_failed,
            usage=Usage(*self.tokens),
            usd=self.usd,
            num_priced_lines=self.num_priced_lines,
            num_unpriced_requests=self.num_unpriced_requests,
            num_unpriced_tokens=self.num_unpriced_tokens,
            has_unpriced=self.has_unpriced,
            num_repriced=self.num_repriced,
            stated_usd=self.stated_usd,
            on_usd=tuple(sums.usd for sums in self.on),
            on_unpriced_tokens=tuple(sums.num_unpriced_tokens for sums in self.on),
        )


@dataclass(slots=True)
class OnSums:
    """What lines would cost on another model."""

    usd: Decimal | None = None
    num_unpriced_tokens: int = 0

    def add(self, usd: Decimal | None, num_tokens: int) -> None:
        """Count one line."""
        if usd is None:
            self.num_unpriced_tokens += num_tokens
        else:
            self.usd = (self.usd or Decimal(0)) + usd


def parse_dimensions(words: Iterable[str]) -> tuple[str, ...]:
    """The dimensions that words name, each once; `project` is `route`. Without any, the default ones.

    Raises:
        ConfigError: one is not known, or a tag's name holds a quote or backslash.
    """
    found: list[str] = []
    for word in (part.strip() for words_ in words for part in words_.split(",")):
        dimension = _ALIASES.get(word, word)
        if dimension.startswith(_TAG):
            if not dimension.removeprefix(_TAG) or any(letter in dimension for letter in "\"'\\"):
                raise ConfigError(f"--by {word!r} names no tag.", fix="write tag:NAME, e.g. --by tag:feature.")
        elif dimension not in set(Dimension):
            known = ", ".join((*Dimension, "project", "tag:NAME"))
            raise ConfigError(f"--by {word!r} is no label of a cost.", fix=f"choose from {known}.")
        if dimension not in found:
            found.append(str(dimension))
    return tuple(found) or tuple(str(name) for name in DEFAULT_DIMENSIONS)


def list_tags(dimensions: Sequence[str]) -> tuple[str, ...]:
    """Names of the tags among the dimensions."""
    return tuple(name.removeprefix(_TAG) for name in dimensions if name.startswith(_TAG))


def label_line(line: CostLine, dimension: str) -> str:
    """A line's value of a dimension."""
    if dimension.startswith(_TAG):
        return dict(line.tags).get(dimension.removeprefix(_TAG)) or NOT_STATED
    found = _READERS[Dimension(dimension)](line)
    return found or NOT_STATED


def name_model(line: CostLine) -> str:
    """`provider/model` of a line."""
    if line.model is None:
        return f"{line.provider}/{NOT_STATED}" if line.provider else NOT_STATED
    return f"{line.provider or NOT_STATED}/{line.model}"


def _format_day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


_READERS: dict[Dimension, Callable[[CostLine], str | None]] = {
    Dimension.ROUTE: lambda line: line.project,
    Dimension.KEY: lambda line: line.key,
    Dimension.TASK: lambda line: line.task,
    Dimension.MODEL: name_model,
    Dimension.PROVIDER: lambda line: line.provider,
    Dimension.SOURCE: lambda line: line.source,
    Dimension.TIER: lambda line: line.tier.value,
    Dimension.DAY: lambda line: _format_day(line.started_at),
    Dimension.MONTH: lambda line: _format_day(line.started_at)[:7],
}
