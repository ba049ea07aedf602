"""What own deployments cost over a period, idle time included, beside what was used. Reads no store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from inhouse.planning import Allocation, allocate_machines, pay_machines
from inhouse.reports.costs.grouping import Dimension, label_line
from inhouse.reports.costs.lines import CostLine

_SAME = frozenset({Dimension.MODEL, Dimension.PROVIDER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What a deployment runs on, and for how long it was paid for."""

    deployment: str
    num_replicas: int
    usd_per_hour: Decimal | None
    """Of one replica's machine; None: not stated."""
    price_id: str
    """Whose price that is, or what is missing."""
    up_s: float
    """Seconds of the period that it was up."""
    hours_basis: str
    """How that is known, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentCost:
    """A deployment's machines and who used them."""

    machines: Machines
    allocation: Allocation | None
    """None where the price of the machines is not stated."""
    num_unpriced_requests: int
    """Requests on it without a cost: their part of the used time is not known and looks idle."""
    is_simulated: bool
    """Whether everything that ran on it was simulated."""


def allocate_deployments(
    machines: Iterable[Machines], lines: Iterable[CostLine], dimensions: Sequence[str]
) -> list[DeploymentCost]:
    """Split what each deployment cost by the seconds that it was busy, over the labels of `dimensions`.

    Evaluations use it too, and are in it.
    """
    on_own: dict[str, list[CostLine]] = defaultdict(list)
    for line in lines:
        if line.is_own and line.model is not None:
            on_own[line.model].append(line)
    return [_allocate(one, on_own.get(one.deployment, []), dimensions) for one in machines]


def _allocate(machines: Machines, lines: Sequence[CostLine], dimensions: Sequence[str]) -> DeploymentCost:
    usage: dict[str, Decimal] = {}
    num_tokens = num_unpriced = 0
    for line in lines:
        num_tokens += line.num_tokens
        if line.usd is None:
            num_unpriced += line.num_requests or 0
            continue
        name = _name_user(line, dimensions)
        usage[name] = usage.get(name, Decimal(0)) + line.usd
    allocation = None
    if machines.usd_per_hour is not None:
        paid_usd = pay_machines(machines.usd_per_hour, machines.num_replicas, machines.up_s)
        allocation = allocate_machines(paid_usd, usage, num_tokens)
    return DeploymentCost(
        machines=machines,
        allocation=allocation,
        num_unpriced_requests=num_unpriced,
        is_simulated=bool(lines) and all(line.is_simulated for line in lines),
    )


def _name_user(line: CostLine, dimensions: Sequence[str]) -> str:
    """A line's labels, without those that are the same for the whole deployment; evaluations are one user."""
    if line.is_eval:
        return "(evaluations)"
    words = [label_line(line, dimension) for dimension in dimensions if dimension not in _SAME]
    return " · ".join(words) or "(everything)"
