"""Decides, and puts everything that the page says into one report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from inhouse.catalog import TokenPriceRow
from inhouse.domain import ConfigError
from inhouse.planning import LicenceVerdict
from inhouse.planning.economics import (
    Band,
    Decision,
    Family,
    OptionId,
    Terms,
    UseCaseTraffic,
    Values,
    decide,
    measure_moves,
    measure_requests_per_second,
)
from inhouse.reports.decision.assume import pick_host
from inhouse.reports.decision.inputs import DAYS_PER_MONTH, GpuOrder
from inhouse.reports.decision.prepare import Prepared
from inhouse.reports.decision.report import (
    Commitment,
    Coverage,
    DecisionReport,
    OpenModelFacts,
    Reconciliation,
    Scope,
    UseCaseLine,
)

_HARD_REASONS = frozenset({"audio", "mixed_templates", "long_prompts", "unpriced", "small"})
"""Codes of use cases that are no good beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What is known of the traffic's money beside the assumptions."""

    scope: Scope
    use_cases: tuple[UseCaseLine, ...]
    """Without the worth of moving them."""
    traffic: tuple[UseCaseTraffic | None, ...]
    """For each use case what moving it is judged by; None: not known."""
    reconciliation: Reconciliation
    coverage: Coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How the page was made."""

    command: str
    made_on: date
    version: str
    num_draws: int
    seed: int


def make_report(prepared: Prepared, bill: Bill, making: Making) -> DecisionReport:
    """Decide the question and gather what the page says.

    Raises:
        ConfigError: every option is ruled out.
    """
    _refuse_nothing_left(prepared)
    decision = decide(prepared.question, num_draws=making.num_draws, seed=making.seed)
    values = prepared.question.assumptions.draw(making.num_draws, making.seed)
    return DecisionReport(
        decision=decision,
        scope=bill.scope,
        use_cases=_judge_use_cases(prepared, decision, bill, values),
        reconciliation=bill.reconciliation,
        open_model=_describe_model(prepared, values),
        commitments=tuple(_describe_commitment(order) for order in prepared.committed),
        coverage=replace(bill.coverage, notes=(*bill.coverage.notes, *_list_endings(prepared, making.made_on))),
        learn=prepared.learn,
        command=making.command,
        made_on=making.made_on,
        version=making.version,
    )


def _refuse_nothing_left(prepared: Prepared) -> None:
    question = prepared.question
    if any(question.exclusion(option) is None for option in question.options):
        return
    because = question.excluded.get(Family.SELF_HOST)
    if because == "licence":
        raise ConfigError(
            f"Content may go to own machines alone, and the licence of {prepared.model.model} forbids to serve it.",
            fix="Name another model with --open-model.",
        )
    missing = "no price of a GPU for it" if because == "no_gpu_price" else "no throughput of it on these GPUs"
    raise ConfigError(
        f"Content may go to own machines alone, and {missing} is known ({prepared.model.model}).",
        fix="Name other GPUs with --gpus, or another model with --open-model.",
    )


def find_moving_option(decision: Decision) -> OptionId | None:
    """The option whose open weights use cases would move to: the chosen one if it moves, else the cheapest such."""
    if decision.chosen.moves:
        return decision.chosen
    moving = [decision.best_by_family.get(family) for family in (Family.HOSTED_OPEN, Family.SELF_HOST)]
    found = [option for option in moving if option is not None]
    return min(found, key=lambda option: decision.result(option).total_usd.mean, default=None)


def _judge_use_cases(prepared: Prepared, decision: Decision, bill: Bill, values: Values) -> tuple[UseCaseLine, ...]:
    """The use cases with what moving each saves; the one that saves most, of those that may move, is the candidate."""
    option = find_moving_option(decision)
    known = [item for item in bill.traffic if item is not None]
    if option is None or not known:
        return bill.use_cases
    bands = measure_moves(values, prepared.question.fleet, option, known, decision.num_draws)
    by_name = {item.name: band for item, band in zip(known, bands, strict=True)}
    lines = [replace(line, moved_saving_usd=by_name.get(line.name)) for line in bill.use_cases]
    best = _find_candidate(lines)
    return tuple(
        replace(line, is_candidate=True, reasons=("largest_saving", *line.reasons)) if line is best else line
        for line in lines
    )


def _find_candidate(lines: Sequence[UseCaseLine]) -> UseCaseLine | None:
    """The largest median saving among use cases of one kind of request; a mixture only where there is nothing else."""
    worth = [line for line in lines if line.moved_saving_usd is not None and line.moved_saving_usd.p50 > 0]
    plain = [line for line in worth if not _HARD_REASONS.intersection(line.reasons)] or worth
    return max(plain, key=lambda line: line.moved_saving_usd.p50 if line.moved_saving_usd else 0.0, default=None)


def _describe_model(prepared: Prepared, values: Values) -> OpenModelFacts:
    capacity, licence, hosted = prepared.capacity, prepared.licence, prepared.hosted
    rate: Band | None = None
    basis: str | None = None
    if capacity is not None:
        rate = measure_requests_per_second(values)
        basis = f"{capacity.basis}: {capacity.method}; P90 of the error {float(capacity.relative_error):.0%}"
        basis += "; of a nominal request, as none is counted" if prepared.is_request_nominal else ""
    return OpenModelFacts(
        model=prepared.model.model,
        licence=" and ".join(licence.licences),
        licence_answer=licence.state.value,
        duties=_say_duties(licence),
        missing_facts=tuple(fact.value for fact in licence.missing),
        hosted_provider=pick_host(hosted).provider if hosted else None,
        hosted_usd_per_mtok=_read_rates(pick_host(hosted)) if hosted else None,
        gpu=capacity.gpu if capacity else None,
        gpus_per_replica=capacity.num_gpus if capacity else None,
        engine=capacity.engine if capacity else None,
        precision=capacity.precision if capacity else None,
        requests_per_second=rate,
        capacity_basis=basis,
        other_models=prepared.other_models,
    )


def _read_rates(row: TokenPriceRow) -> tuple[Decimal, Decimal]:
    return row.input_usd_per_mtok, row.output_usd_per_mtok


def _say_duties(licence: LicenceVerdict) -> tuple[str, ...]:
    """Duties that are due or may be; what is known not to be due is left out."""
    return tuple(
        duty.words if duty.is_due else f"{duty.words} (if it applies: a fact is missing)"
        for duty in licence.duties
        if duty.is_due is not False
    )


def _describe_commitment(order: GpuOrder) -> Commitment:
    words = {Terms.ORDERED: "ordered", Terms.OWNED: "owned"}.get(
        order.terms, f"{order.terms.value.replace('_', ' ')}, under contract"
    )
    return Commitment(what=f"{order.count} × {order.gpu}, {words}", usd=order.usd, until=order.until)


def _list_endings(prepared: Prepared, today: date) -> Iterator[str]:
    """Commitments that end while set-up is still spread over the months."""
    months = prepared.question.assumptions["horizon_months"].mid
    end = today + timedelta(days=months * DAYS_PER_MONTH)
    for order in prepared.committed:
        if order.until is not None and order.until < end:
            yield (
                f"{order.count} × {order.gpu} are committed until {order.until} only; after it, for the rest of the "
                f"{months:g} months, they count as rented on demand"
            )
