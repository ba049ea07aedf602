"""Makes the page's values from a report: formats, names, orders. Computes no money."""

from __future__ import annotations

from inhouse.catalog import Unit
from inhouse.planning.economics import Assumption, Decision, Family, Flip, OptionResult, Owner
from inhouse.reports.decision.advice import (
    Finding,
    advise_next,
    find_findings,
    list_gaps,
    say_findings,
    say_trial,
)
from inhouse.reports.decision.figures import money, quantity, ratio, share, spread_gpus, spread_money, spread_share
from inhouse.reports.decision.formats import (
    NOT_KNOWN,
    format_count,
    format_rate,
    format_share,
    format_value,
    period_of,
)
from inhouse.reports.decision.page import (
    SCHEMA,
    AssumptionView,
    BillView,
    BreakEvenView,
    CommitmentRow,
    Figure,
    FindingRow,
    FlipRow,
    Footer,
    Headline,
    LineRow,
    ModelView,
    NextStepView,
    OptionRow,
    Page,
    SavingRow,
    TornadoRow,
    TrialView,
    UseCaseRow,
)
from inhouse.reports.decision.report import DecisionReport, UseCaseLine
from inhouse.reports.decision.terms import (
    explain_exclusion,
    explain_owner,
    explain_reason,
    has_figures,
    moves_everything,
    name_answer,
    name_fact,
    name_family,
    name_line,
    name_option,
    name_saving,
    sort_lines,
)
from inhouse.reports.decision.words import (
    say_amounts,
    say_basis,
    say_break_even,
    say_change,
    say_commitment,
    say_decision,
    say_licence_gap,
    say_nearness,
    say_reconciliation,
    say_requests_per_second,
    say_scope,
    say_short,
    say_taken,
    say_threshold,
    say_tornado,
)

_EXAMPLE = "Example figures: made up to show the page. They are nobody's bill."
_SIMULATED = "Some of this traffic went to a simulated provider: its tokens were never bought."


def compose_page(report: DecisionReport) -> Page:
    """Everything that the page says, from a report."""
    decision = report.decision
    items = {item.name: item for item in decision.assumptions}
    flips = [flip for flip in decision.flips if flip.flips_at is not None]
    return Page(
        schema=SCHEMA,
        title=report.scope.title,
        banners=_list_banners(report),
        headline=_compose_headline(report),
        options=tuple(_compose_option(report, item) for item in decision.options),
        options_note=_note_options(items["movable_share"], is_full=moves_everything(decision)),
        break_even=_compose_break_even(report, items["spend_usd_per_month"]),
        break_even_sentences=say_break_even(report),
        use_cases=tuple(_compose_use_case(line) for line in report.use_cases),
        bill=_compose_bill(report),
        assumptions=tuple(_compose_assumption(item) for item in sorted(decision.assumptions, key=_rank_owner)),
        tornado=_compose_tornado(decision, items),
        tornado_note=say_tornado(decision),
        flips=tuple(_compose_flip(items[flip.name], flip) for flip in flips),
        self_host_flips=tuple(
            _compose_flip(items[flip.name], flip) for flip in decision.self_host_flips if flip.flips_at is not None
        ),
        num_never=len(decision.flips) - len(flips),
        savings=_compose_savings(decision),
        coverage=_list_coverage(report),
        coverage_notes=report.coverage.notes,
        commitments=tuple(
            CommitmentRow(
                what=item.what,
                usd=money(item.usd, "not stated"),
                until=None if item.until is None else item.until.isoformat(),
                sentence=say_commitment(item),
            )
            for item in report.commitments
        ),
        findings=tuple(_compose_finding(item) for item in find_findings(report)),
        findings_note=say_findings(report),
        gaps=list_gaps(report),
        model=_compose_model(report),
        trial=_compose_trial(report),
        next_step=_compose_next(report),
        footer=_compose_footer(report),
    )


def _list_banners(report: DecisionReport) -> tuple[str, ...]:
    scope = report.scope
    return (*((_EXAMPLE,) if scope.is_example else ()), *((_SIMULATED,) if scope.is_simulated else ()))


def _compose_headline(report: DecisionReport) -> Headline:
    chosen = report.decision.chosen
    return Headline(
        family=chosen.family.value,
        option=str(chosen),
        option_name=name_option(chosen, is_full=moves_everything(report.decision)),
        short=say_short(report),
        sentence=say_decision(report),
        scope=" ".join((say_scope(report.scope), *say_licence_gap(report))),
        amounts=say_amounts(report.decision),
        basis=say_basis(report.decision),
        changes=say_change(report),
    )


def _compose_option(report: DecisionReport, item: OptionResult) -> OptionRow:
    code = item.excluded_because
    is_full = moves_everything(report.decision)
    is_shown = has_figures(item.option, code, report.open_model)
    lines = [
        LineRow(line=line, name=name_line(line), usd=spread_money(item.lines_usd[line]))
        for line in sort_lines(item.lines_usd)
    ]
    return OptionRow(
        option=str(item.option),
        family=item.option.family.value,
        name=name_option(item.option, is_full=is_full),
        is_chosen=item.option == report.decision.chosen,
        is_choosable=code is None,
        reason_code=code,
        reason=None if code is None else explain_exclusion(code),
        has_figures=is_shown,
        is_twin=item.option.moves and item.option.is_hybrid == is_full,
        total_usd=spread_money(item.total_usd) if is_shown else None,
        saving_usd=spread_money(item.saving_usd) if is_shown else None,
        chance_cheapest=share(item.chance_cheapest if code is None else None, "may not be chosen"),
        chance_saves=share(item.chance_saves if is_shown else None),
        num_gpus=None if item.num_gpus is None or not is_shown else spread_gpus(item.num_gpus),
        utilisation=None if item.utilisation is None or not is_shown else spread_share(item.utilisation),
        lines=tuple(lines) if is_shown else (),
    )


def _note_options(movable: Assumption, *, is_full: bool) -> str:
    if is_full:
        return "All of the traffic moves; nothing is left at today's API."
    return (
        "“Hosted-open API” and “self-host” move the share that passes your evaluation "
        f"({say_taken(movable)}); the rest stays at today's API. Money that is committed already is in none of them."
    )


def _compose_break_even(report: DecisionReport, spend: Assumption) -> BreakEvenView | None:
    found = report.decision.break_even
    if found is None:
        return None
    none = "none up to 1,000×"
    is_only = set(report.decision.best_by_family) == {Family.SELF_HOST}
    beside_hosted = None if report.open_model.hosted_usd_per_mtok is None else found.utilisation_beside_hosted
    return BreakEvenView(
        option_name=name_option(found.option, is_full=moves_everything(report.decision)),
        spend_now=money(spend.mid),
        spend_beside_stay=money(found.spend_usd_beside_stay, none),
        spend_beside_best=money(found.spend_usd_beside_best, "nothing else may be chosen" if is_only else none),
        utilisation_now=spread_share(found.utilisation_now),
        utilisation_beside_api=spread_share(found.utilisation_beside_api),
        utilisation_beside_hosted=None if beside_hosted is None else spread_share(beside_hosted),
    )


def _compose_use_case(line: UseCaseLine) -> UseCaseRow:
    return UseCaseRow(
        name=line.name,
        labels=tuple(line.labels.items()),
        models=line.models,
        usd_per_month=money(line.usd_per_month, "unpriced"),
        stated_usd_per_month=money(line.stated_usd_per_month, "not stated"),
        share_of_bill=share(line.share_of_bill),
        requests_per_month=quantity(line.requests_per_month),
        input_tokens_per_request=quantity(line.input_tokens_per_request),
        output_tokens_per_request=quantity(line.output_tokens_per_request),
        cached_share=share(line.cached_share),
        peak_factor=ratio(line.peak_factor),
        moved_saving_usd=None if line.moved_saving_usd is None else spread_money(line.moved_saving_usd),
        is_candidate=line.is_candidate,
        reasons=tuple(explain_reason(code) for code in line.reasons),
    )


def _compose_bill(report: DecisionReport) -> BillView:
    bill = report.reconciliation
    return BillView(
        computed_usd=money(bill.computed_usd),
        stated_usd=money(bill.stated_usd, "not stated"),
        invoice_usd=money(bill.invoice_usd, "not given"),
        unexplained_share=share(bill.unexplained_share),
        sentence=say_reconciliation(bill),
    )


def _compose_assumption(item: Assumption) -> AssumptionView:
    return AssumptionView(
        name=item.name,
        label=item.label,
        value=_value(item.mid, item.unit),
        low=_value(item.low, item.unit),
        high=_value(item.high, item.unit),
        unit=item.unit.value,
        period=period_of(item.unit).strip(),
        owner=item.owner.value,
        owner_text=explain_owner(item.owner),
        source=item.source,
    )


def _rank_owner(item: Assumption) -> int:
    """The user's own figures first, those that nobody has confirmed last."""
    return list(Owner).index(item.owner)


def _compose_tornado(decision: Decision, items: dict[str, Assumption]) -> tuple[TornadoRow, ...]:
    return tuple(
        TornadoRow(
            name=bar.name,
            label=items[bar.name].label,
            low_value=_value(bar.low_value, items[bar.name].unit),
            high_value=_value(bar.high_value, items[bar.name].unit),
            low_usd=money(bar.low_usd),
            high_usd=money(bar.high_usd),
        )
        for bar in decision.tornado
    )


def _compose_flip(item: Assumption, flip: Flip) -> FlipRow:
    return FlipRow(
        name=flip.name,
        label=item.label,
        taken=say_taken(item).removeprefix("taken: "),
        flips_at=Figure(_value(flip.flips_at, item.unit).value, say_threshold(item, flip)),
        to_family=None if flip.flips_to is None else flip.flips_to.value,
        to=NOT_KNOWN if flip.flips_to is None else name_family(flip.flips_to),
        nearness=say_nearness(item, flip),
        distance=None if flip.distance is None else float(f"{flip.distance:.3g}"),
    )


def _compose_savings(decision: Decision) -> tuple[SavingRow, ...]:
    rows = sorted(decision.quick_savings_usd.items(), key=lambda item: -item[1].p50)
    return tuple(SavingRow(saving=code, name=name_saving(code), usd=spread_money(usd)) for code, usd in rows)


def _list_coverage(report: DecisionReport) -> tuple[tuple[str, str], ...]:
    coverage = report.coverage
    return (
        ("Known from", f"{report.scope.basis.value}: {', '.join(report.scope.sources) or NOT_KNOWN}"),
        ("Days", format_count(coverage.num_days)),
        ("Requests", format_count(coverage.num_requests)),
        ("Unpriced", format_share(coverage.unpriced_share)),
        ("Without labels", format_share(coverage.unlabelled_share)),
    )


def _compose_finding(item: Finding) -> FindingRow:
    verdicts = {None: NOT_KNOWN, True: "worth it", False: "costs more than it is worth"}
    return FindingRow(
        name=item.name,
        label=item.label,
        usd_per_month=money(item.usd_per_month),
        usd_over_horizon=money(item.usd_over_horizon),
        usd=money(item.usd),
        hours=quantity(item.hours),
        how=item.how or "nothing but waiting is known",
        verdict=verdicts[item.is_worth_it],
    )


def _compose_model(report: DecisionReport) -> ModelView:
    model = report.open_model
    gpus = NOT_KNOWN if model.gpu is None else f"{model.gpus_per_replica or '?'} × {model.gpu} a replica"
    return ModelView(
        model=model.model,
        facts=(
            ("Hosted-open price", _say_hosted_price(report)),
            ("On own GPUs", ", ".join(part for part in (gpus, model.engine, model.precision) if part)),
            ("One replica, saturated", say_requests_per_second(model.requests_per_second)),
            ("Known from", model.capacity_basis or NOT_KNOWN),
        ),
        licence=model.licence,
        answer=model.licence_answer,
        answer_text=name_answer(model.licence_answer),
        duties=model.duties,
        missing_facts=tuple(name_fact(code) for code in model.missing_facts),
        other_models=model.other_models,
    )


def _say_hosted_price(report: DecisionReport) -> str:
    rates = report.open_model.hosted_usd_per_mtok
    if rates is None:
        return NOT_KNOWN
    provider = report.open_model.hosted_provider or "provider not stated"
    return f"{format_rate(rates[0])} in, {format_rate(rates[1])} out per M tokens ({provider})"


def _compose_trial(report: DecisionReport) -> TrialView:
    trial = report.decision.trial
    return TrialView(
        advice=say_trial(report),
        is_advised=trial is not None and trial.is_worth_it,
        cost_usd=None if trial is None else spread_money(trial.cost_usd),
        gain_usd=money(None if trial is None else trial.expected_gain_usd),
        chance_go=share(None if trial is None else trial.chance_go),
    )


def _compose_next(report: DecisionReport) -> NextStepView:
    found = advise_next(report)
    return NextStepView(step=found.step, cap_usd=money(found.cap_usd), cap=found.cap, stop=found.stop)


def _compose_footer(report: DecisionReport) -> Footer:
    decision = report.decision
    made_on = report.made_on.isoformat()
    return Footer(
        command=report.command,
        version=report.version,
        made_on=made_on,
        num_draws=decision.num_draws,
        seed=decision.seed,
        text=f"inhouse {report.version}, {made_on}, {decision.num_draws:,} draws, seed {decision.seed}",
    )


def _value(value: float | None, unit: Unit) -> Figure:
    return Figure(None if value is None else float(f"{value:.6g}"), format_value(value, unit))
