"""Cost lines: an hour (or day) of requests with equal labels and what they cost, from our traces or from imports.

Reads no store: it is given the store's rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from inhouse.domain import HOUR_S, OWN_PROCESSOR, ServiceTier, Usage, UsageRow, read_service_tier
from inhouse.reports.pricing import Pricer
from inhouse.store import EVALS_SOURCE, TRACES_SOURCE, SpendRow

OWN_PROVIDER = OWN_PROCESSOR
"""Provider of what ran on machines of one's own; its model is the deployment's name."""


class CostBasis(StrEnum):
    """Where a line's amount comes from."""

    TRACE = "trace"
    """The gateway computed it when the request ended; repriced ones included."""
    COMPUTED = "computed"
    """By the user's rates or list prices of its day, from imported tokens."""
    STATED = "stated"
    """There is no price; the imported source says so itself."""
    UNPRICED = "unpriced"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """Requests of one period with equal labels. All have a cost, or none has. None in a label is "not stated"."""

    source: str
    """`traces`, `evals`, or the format that it was imported from."""
    started_at: int
    """Unix seconds of the period's start, UTC."""
    width_s: int = HOUR_S
    provider: str | None
    model: str | None
    project: str | None
    """The route, for traces."""
    key: str | None
    task: str | None
    tags: tuple[tuple[str, str | None], ...] = ()
    """(name, value) of the tags that were asked for."""
    tier: ServiceTier = ServiceTier.STANDARD
    is_simulated: bool = False
    num_requests: int | None
    """Answered ones; None where the source does not count them."""
    num_failed: int = 0
    num_repriced: int = 0
    is_backdated: bool = False
    """Counted at a list price that is known only from a later day on."""
    usage: Usage | None
    """None where no tokens are stated."""
    usd: Decimal | None
    """Usage-based US dollars; None: unpriced, or (no requests) nothing to price."""
    basis: CostBasis

    @property
    def is_eval(self) -> bool:
        """Whether these are requests of our own evaluations."""
        return self.source == EVALS_SOURCE

    @property
    def is_own(self) -> bool:
        """Whether they ran on machines of one's own, so that `usd` is the busy share alone."""
        return self.provider == OWN_PROVIDER

    @property
    def num_tokens(self) -> int:
        """Prompt and answer; 0 where not stated."""
        return 0 if self.usage is None else self.usage.input_total + self.usage.output_total


def read_spend(rows: Iterable[SpendRow], tags: Sequence[str] = ()) -> Iterator[CostLine]:
    """Lines of our own requests; evaluations are of source `evals`. `tags` are the names that were asked for."""
    for row in rows:
        yield CostLine(
            source=EVALS_SOURCE if row.is_eval else TRACES_SOURCE,
            started_at=row.started_at,
            provider=row.provider,
            model=row.model,
            project=row.route,
            key=row.key,
            task=row.task,
            tags=tuple(zip(tags, row.tags, strict=True)),
            tier=read_service_tier(row.tier),
            is_simulated=row.is_simulated,
            num_requests=row.num_requests,
            num_failed=row.num_failed,
            num_repriced=row.num_repriced,
            usage=row.usage,
            usd=row.cost_usd,
            basis=CostBasis.UNPRICED if row.cost_usd is None else CostBasis.TRACE,
        )


def read_imported(rows: Iterable[UsageRow], pricer: Pricer, tags: Sequence[str] = ()) -> Iterator[CostLine]:
    """Lines of imported usage, priced by the user's rates or list prices of its day, else as the source states it."""
    for row in rows:
        num_backdated = pricer.num_backdated
        usd = pricer.price_row(row).total_usd
        basis = CostBasis.COMPUTED
        if usd is None:
            usd = row.stated_usd
            basis = CostBasis.UNPRICED if usd is None else CostBasis.STATED
        yield CostLine(
            source=row.source,
            started_at=row.started_at,
            width_s=row.width_s,
            provider=row.provider,
            model=row.model,
            project=row.project,
            key=row.key,
            task=row.task,
            tags=tuple((name, None) for name in tags),
            tier=row.tier,
            is_simulated=row.is_simulated,
            num_requests=row.num_requests,
            is_backdated=pricer.num_backdated > num_backdated,
            usage=row.usage,
            usd=usd,
            basis=basis,
        )
