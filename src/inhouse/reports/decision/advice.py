"""What to do next and what it may cost: the trial, the next step with cap and stop rule, what is worth finding out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inhouse.planning.economics import Assumption, Decision, Family, Flip, Owner, Trial
from inhouse.reports.decision.formats import format_dollars, format_factor, format_share, format_value
from inhouse.reports.decision.report import Basis, DecisionReport
from inhouse.reports.decision.terms import (
    explain_exclusion,
    find_self_host_exclusion,
    name_fact,
    name_saving,
    name_terms,
)
from inhouse.reports.decision.words import say_threshold

_MAX_STOPS = 3
_MAX_DISTANCE = 4.0
"""A stop rule further from what is taken than this many ranges would never be met."""
_HOURS_PER_MONTH_OF_WORK = 160.0
_CAPACITY = ("capacity_factor", "traffic_realism")
_SPEND_CAP_SHARE = 0.9
_LEAST_WORTH_SHARE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """What to do now."""

    step: str
    cap_usd: float
    """The most to spend on it, dollars: the P90 of its cost; 0: nothing is to be spent."""
    cap: str
    """The same as a sentence."""
    stop: str
    """When to stop early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What finding out one unknown is worth, beside what it takes."""

    name: str
    label: str
    usd_per_month: float
    usd_over_horizon: float
    how: str | None
    """None: nothing but waiting helps."""
    usd: float | None
    hours: float | None
    is_worth_it: bool | None
    """Whether the worth over the horizon exceeds dollars and hours; None where it is not known what it takes."""


def say_trial(report: DecisionReport) -> str:
    """Whether a trial of self-hosting is advised, and its price either way."""
    decision, trial = report.decision, report.decision.trial
    if trial is None:
        code = find_self_host_exclusion(decision, report.open_model)
        if code is not None:
            return f"No trial of self-hosting: {explain_exclusion(code)}."
        return "No trial is needed to choose: nothing but self-hosting may be chosen."
    cost = _say_cost(trial)
    months = _find(decision, "trial_months")
    length = format_value(months.mid, months.unit)
    gain = format_dollars(trial.expected_gain_usd)
    chance = f"self-hosting is the cheaper one in {format_share(trial.chance_go)} of draws"
    if not trial.is_worth_it:
        return (
            f"Don't run a trial of self-hosting: {length} cost {cost}, and what it can be expected to gain over the "
            f"rest of the horizon is {gain}, as {chance}."
        )
    rule = say_stop(report, decision.self_host_flips, wants_self_host=True)
    return (
        f"A trial of self-hosting ({name_terms(trial.option.terms)}) pays: {length} cost {cost}, and it can "
        f"be expected to gain {gain} over the rest of the horizon, as {chance}. "
        f"Spend cap: {format_dollars(trial.cost_usd.p90)}. {rule}"
    )


def advise_next(report: DecisionReport) -> NextStep:
    """The next step of the chosen family, with a spend cap and a stop rule."""
    family = report.decision.chosen.family
    if family is Family.STAY:
        return _advise_stay(report.decision)
    if family is Family.CHEAPER:
        return _advise_cheaper(report.decision)
    found = _advise_hosted(report) if family is Family.HOSTED_OPEN else _advise_self_host(report)
    if report.open_model.licence_answer != "unknown":
        return found
    return replace(found, step=f"Settle the licence of {report.open_model.model} first. {found.step}")


def say_stop(report: DecisionReport, flips: tuple[Flip, ...], *, wants_self_host: bool) -> str:
    """A stop rule from the flips of what one week can measure.

    Args:
        report: the report.
        flips: those of the answer that the step is about.
        wants_self_host: whether the step tries self-hosting; else only shares count, not throughput.
    """
    is_current = not wants_self_host or report.decision.chosen.is_self_host
    texts: list[str] = []
    for flip in flips:
        text = _say_one_stop(report, flip, is_current=is_current, wants_self_host=wants_self_host)
        if text is not None and not any(text.split(" than ")[0] == other.split(" than ")[0] for other in texts):
            texts.append(text)
    if not texts:
        return "Stop when the cap is spent or your evaluation says not approved."
    return f"Stop in week 1 if {' or '.join(texts[:_MAX_STOPS])}."


def find_findings(report: DecisionReport) -> tuple[Finding, ...]:
    """What is worth finding out, dearest first, beside the dollars and hours that it takes."""
    decision = report.decision
    months = _find(decision, "horizon_months").mid
    hour_usd = _find(decision, "fte_usd_per_month").mid / _HOURS_PER_MONTH_OF_WORK
    found: list[Finding] = []
    for worth in decision.worth:
        if worth.usd_per_month < find_least_worth(decision):
            continue
        learn = report.learn.get(worth.name)
        total = worth.usd_per_month * months
        takes = None if learn is None else float(learn.usd) + float(learn.hours) * hour_usd
        found.append(
            Finding(
                name=worth.name,
                label=_find(decision, worth.name).label,
                usd_per_month=worth.usd_per_month,
                usd_over_horizon=total,
                how=None if learn is None else learn.how,
                usd=None if learn is None else float(learn.usd),
                hours=None if learn is None else float(learn.hours),
                is_worth_it=None if takes is None else total > takes,
            )
        )
    return tuple(found)


def find_least_worth(decision: Decision) -> float:
    """Dollars a month below which knowing better is not worth a line: half a per cent of what is chosen."""
    return decision.result(decision.chosen).total_usd.p50 * _LEAST_WORTH_SHARE


def say_findings(report: DecisionReport) -> str:
    """How many unknowns are worth a line, or that none is."""
    num = len(find_findings(report))
    least = format_dollars(find_least_worth(report.decision))
    if num == 0:
        return f"Knowing any one assumption exactly would hardly change the choice: none is worth {least} a month."
    return "What knowing one assumption exactly would be worth, because it could change the choice."


def say_finding(finding: Finding) -> str:
    """One unknown: what knowing it is worth and what finding out takes."""
    worth = (
        f"{format_dollars(finding.usd_per_month)} a month, {format_dollars(finding.usd_over_horizon)} over the horizon"
    )
    return f"{finding.label}: knowing it is worth {worth}; {say_effort(finding)}."


def say_effort(finding: Finding) -> str:
    """What finding out takes: `$150 and 24 hours: run your suite …`."""
    if finding.how is None or finding.usd is None or finding.hours is None:
        return "what finding out takes is not known"
    return f"{format_dollars(finding.usd)} and {finding.hours:.3g} hours: {finding.how}"


def list_gaps(report: DecisionReport) -> tuple[str, ...]:
    """What is not known and has no price: missing invoice, traffic, licence facts, throughput."""
    model, bill, coverage = report.open_model, report.reconciliation, report.coverage
    gaps: list[str] = []
    if coverage.num_requests is None:
        gaps.append(
            "The traffic itself: no usage was imported, so volume and mix follow from the bill and assumptions."
        )
    if bill.invoice_usd is None:
        gaps.append("The invoice: none was given, so the bill is not reconciled.")
    if model.requests_per_second is None:
        gaps.append(f"The throughput of {model.model} on the GPUs asked for.")
    if model.hosted_usd_per_mtok is None:
        gaps.append(f"A hosted-open price of {model.model}.")
    if model.missing_facts:
        gaps.append(f"For the licence: {', '.join(name_fact(code) for code in model.missing_facts)}.")
    if report.scope.basis is not Basis.MEASURED and _find(report.decision, "movable_share").owner is Owner.ASSUMED:
        gaps.append("Which share of your traffic the open model answers as well: no evaluation has been run.")
    return tuple(gaps)


def _advise_stay(decision: Decision) -> NextStep:
    spend = next((flip for flip in decision.flips if flip.name == "spend_usd_per_month"), None)
    when = "in three months, or when a price changes"
    if spend is not None and spend.flips_at is not None and spend.flips_at > spend.now:
        when += f", or when the bill reaches {format_dollars(spend.flips_at)} a month"
    return NextStep(
        step=f"Change nothing. Run this command again {when}.",
        cap_usd=0.0,
        cap="Nothing: no trial is advised.",
        stop="Nothing was started, so there is nothing to stop.",
    )


def _advise_cheaper(decision: Decision) -> NextStep:
    savings = sorted(decision.quick_savings_usd.items(), key=lambda item: -item[1].p50)
    names = "; ".join(f"{_lower(name_saving(code))} ({format_dollars(usd.p50)} a month)" for code, usd in savings)
    cap = _find(decision, "cheaper_setup_usd").at(_SPEND_CAP_SHARE)
    names_by_flip = ("cheaper_share", "cacheable_share", "batchable_share")
    stops = [
        f"“{_find(decision, flip.name).label}” turns out to be {say_threshold(_find(decision, flip.name), flip)}"
        for flip in decision.flips
        if flip.name in names_by_flip and flip.flips_at is not None and flip.flips_at < flip.now
    ]
    rule = f"Stop if {stops[0]}, or if" if stops else "Stop a change if"
    return NextStep(
        step=f"Change the calls, largest saving first: {names}.",
        cap_usd=cap,
        cap=f"{format_dollars(cap)}, the P90 of the changes at the callers.",
        stop=f"{rule} your evaluation shows more than the allowed loss.",
    )


def _advise_hosted(report: DecisionReport) -> NextStep:
    decision, model = report.decision, report.open_model
    setup = _find(decision, "hosted_setup_usd").at(_SPEND_CAP_SHARE)
    where = f"a hosted-open API ({model.hosted_provider})" if model.hosted_provider else "a hosted-open API"
    return NextStep(
        step=(
            f"Run your suite on {model.model} at {where} for {_name_first(report)}. Where it is approved, move that "
            "use case first: shadow, canary, ramp, full."
        ),
        cap_usd=setup,
        cap=f"{format_dollars(setup)}, the P90 of the move.",
        stop=say_stop(report, decision.flips, wants_self_host=False),
    )


def _advise_self_host(report: DecisionReport) -> NextStep:
    decision, trial = report.decision, report.decision.trial
    flips = decision.self_host_flips
    terms = name_terms(decision.chosen.terms)
    if trial is not None and trial.is_worth_it:
        months = _find(decision, "trial_months")
        length = format_value(months.mid, months.unit)
        step = f"Run the trial on {terms}, {length}, with {_name_first(report)} first."
        cap, what = trial.cost_usd.p90, "the P90 of the trial's cost"
    else:
        step = f"Serve {_name_first(report)} first on {terms}. Where it is approved, move the next."
        cap, what = _find(decision, "setup_usd").at(_SPEND_CAP_SHARE), "the P90 of the first build"
    return NextStep(
        step=step,
        cap_usd=cap,
        cap=f"{format_dollars(cap)}, {what}.",
        stop=say_stop(report, flips, wants_self_host=True),
    )


def _say_one_stop(report: DecisionReport, flip: Flip, *, is_current: bool, wants_self_host: bool) -> str | None:
    """One condition; None where the flip is none, too far, not measurable in a week, or on the other side.

    Where the step's option is the answer already, the flip is where it stops being one; else it is where it begins.
    """
    if flip.flips_at is None or flip.distance is None or flip.distance > _MAX_DISTANCE:
        return None
    is_below = (flip.flips_at < flip.now) == is_current
    if flip.name in {"movable_share", "fallback_share"}:
        return _say_share_stop(flip.name, format_share(flip.flips_at), is_below=is_below)
    pace = report.open_model.requests_per_second
    if not wants_self_host or pace is None:
        return None
    if flip.name in _CAPACITY and is_below:
        return f"one replica serves fewer than {pace.p50 * flip.flips_at / flip.now:.2g} requests/s"
    if flip.name == "peak_factor" and not is_below:
        return f"the busiest hour has more than {format_factor(flip.flips_at)} the mean hour's traffic"
    return None


def _say_share_stop(name: str, at: str, *, is_below: bool) -> str | None:
    if name == "movable_share":
        return f"your evaluation certifies less than {at} of the traffic" if is_below else None
    return None if is_below else f"more than {at} of the moved requests fall back"


def _say_cost(trial: Trial) -> str:
    cost = trial.cost_usd
    return (
        f"{format_dollars(cost.p50)} (P10 {format_dollars(cost.p10)} to P90 {format_dollars(cost.p90)}; people "
        f"{format_dollars(trial.people_usd)}, GPUs {format_dollars(trial.gpus_usd)}, "
        f"labels {format_dollars(trial.labels_usd)})"
    )


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def _name_first(report: DecisionReport) -> str:
    candidate = next((item for item in report.use_cases if item.is_candidate), None)
    return "your dearest task type" if candidate is None else candidate.name


def _find(decision: Decision, name: str) -> Assumption:
    return next(item for item in decision.assumptions if item.name == name)
