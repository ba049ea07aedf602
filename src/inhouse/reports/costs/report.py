"""The cost report as values: groups, totals, deployments with their idle time, notes. Renders nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from inhouse.domain import DAY_S
from inhouse.reports.costs.currency import Currency
from inhouse.reports.costs.elsewhere import Elsewhere
from inhouse.reports.costs.grouping import CostGroup, CostSums, CostTotals, label_line
from inhouse.reports.costs.lines import CostLine
from inhouse.reports.costs.machines import DeploymentCost, Machines, allocate_deployments
from inhouse.reports.pricing import Pricer
from inhouse.store import EVALS_SOURCE, TRACES_SOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPeriod:
    """From the start of a UTC day to a moment, in Unix seconds."""

    since: float
    until: float
    """Exclusive."""

    @property
    def first_day(self) -> date:
        """The first day of it."""
        return datetime.fromtimestamp(self.since, UTC).date()

    @property
    def last_day(self) -> date:
        """The last day of it."""
        return datetime.fromtimestamp(self.until - 1, UTC).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class CostQuestion:
    """What the report is asked for."""

    period: CostPeriod
    dimensions: tuple[str, ...]
    currency: Currency
    elsewhere: tuple[Elsewhere, ...] = ()
    machines: tuple[Machines, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """What was spent over a period. Groups are sorted by cost, simulated ones last; their sums are the totals'."""

    question: CostQuestion
    groups: tuple[CostGroup, ...]
    total: CostTotals
    """Of everything that is not simulated, evaluations included."""
    simulated: CostTotals | None
    """Of what is simulated; None where nothing is."""
    evals: CostTotals | None
    """What of `total` were evaluations; None where there were none."""
    deployments: tuple[DeploymentCost, ...]
    overlaps: tuple[str, ...]
    """Providers that both our traces and an import have usage of, in the same hours: it may count twice."""
    sources: tuple[str, ...]
    own_usd: Decimal
    """What of `total` ran on own machines."""
    num_backdated: int = 0
    """Lines of imported usage that are older than the list price that they are counted at."""

    @property
    def paid_usd(self) -> Decimal | None:
        """Providers' charges and everything paid for own machines, idle time included.

        None where there are no own machines, or the price of one is not known.
        """
        allocations = [one.allocation for one in self.deployments if not one.is_simulated]
        paid = [allocation.paid_usd for allocation in allocations if allocation is not None]
        if not paid or len(paid) < len(allocations):
            return None
        return self.total.usd - self.own_usd + sum(paid)


def report_costs(question: CostQuestion, lines: Iterable[CostLine], pricer: Pricer) -> CostReport:
    """Group lines and sum them; every line is in exactly one group."""
    groups: dict[tuple[tuple[str, ...], bool, bool], CostSums] = {}
    real, simulated, evals = CostSums(), CostSums(), CostSums()
    num_simulated = num_evals = num_backdated = 0
    kept: list[CostLine] = []
    own_usd = Decimal(0)
    overlap, sources = _Overlap(), set[str]()
    for line in lines:
        labels = tuple(label_line(line, dimension) for dimension in question.dimensions)
        on = [other.price(line, pricer).total_usd for other in question.elsewhere]
        groups.setdefault((labels, line.is_simulated, line.is_eval), CostSums()).add(line, on)
        (simulated if line.is_simulated else real).add(line, on)
        num_simulated += line.is_simulated
        num_backdated += line.is_backdated
        if line.is_eval and not line.is_simulated:
            num_evals += 1
            evals.add(line, on)
        if line.is_own:
            kept.append(line)
            own_usd += Decimal(0) if line.usd is None or line.is_simulated else line.usd
        overlap.note(line)
        sources.add(line.source)
    found = (
        CostGroup(labels=labels, is_simulated=is_simulated, is_eval=is_eval, totals=sums.finish())
        for (labels, is_simulated, is_eval), sums in groups.items()
    )
    return CostReport(
        question=question,
        groups=tuple(sorted(found, key=lambda group: (group.is_simulated, -group.totals.usd, group.labels))),
        total=real.finish(),
        simulated=simulated.finish() if num_simulated else None,
        evals=evals.finish() if num_evals else None,
        deployments=tuple(allocate_deployments(question.machines, kept, question.dimensions)),
        overlaps=overlap.providers(),
        sources=tuple(sorted(sources)),
        own_usd=own_usd,
        num_backdated=num_backdated,
    )


class _Overlap:
    """Notices usage that both our traces and an import may hold."""

    def __init__(self) -> None:
        self._traced: set[tuple[str, int]] = set()
        self._imported: set[tuple[str, int]] = set()

    def note(self, line: CostLine) -> None:
        if line.provider is None or line.is_simulated or line.is_own:
            return
        is_ours = line.source in {TRACES_SOURCE, EVALS_SOURCE}
        (self._traced if is_ours else self._imported).add((line.provider, line.started_at // DAY_S))

    def providers(self) -> tuple[str, ...]:
        return tuple(sorted({provider for provider, _ in self._traced & self._imported}))
