"""The sentences of a decision: what to do, for what it holds, what would change it. Pure; computes no money."""

from __future__ import annotations

from decimal import Decimal

from inhouse.planning.economics import (
    STAY,
    Assumption,
    Band,
    Decision,
    Family,
    Flip,
    OptionResult,
    Owner,
)
from inhouse.reports.decision.formats import (
    NOT_KNOWN,
    format_count,
    format_dollars,
    format_share,
    format_value,
    format_with_unit,
)
from inhouse.reports.decision.gaps import say_days
from inhouse.reports.decision.report import Basis, Commitment, DecisionReport, Reconciliation, Scope
from inhouse.reports.decision.terms import (
    explain_exclusion,
    find_self_host_exclusion,
    is_unknown,
    name_fact,
    name_family,
    name_terms,
)

_JUST_OUTSIDE = 1.5
_BASES = {
    Basis.TYPED: "known from typed figures only, none of it measured",
    Basis.IMPORTED: "imported from a usage export",
    Basis.MEASURED: "measured by this installation",
}


def say_decision(report: DecisionReport) -> str:
    """The decision in one sentence, two where self-hosting is ruled out by something else than its price.

    "Don't self-host. Move the share that passes your evaluation to gpt-oss-120b at a hosted-open API: $8.8k a month
    instead of $19.4k (P10 $6.7k to P90 $11.6k), cheapest in 98 % of 10,000 draws."
    """
    decision = report.decision
    chosen = decision.result(decision.chosen)
    money = f"{format_dollars(chosen.total_usd.p50)} a month{_say_instead(decision, chosen)} ({say_band(chosen)})"
    return f"{_say_self_host(report)} {_say_action(report, chosen)}: {money}, {say_chance(decision)}."


def say_short(report: DecisionReport) -> str:
    """The decision in a headline, such as `Don't self-host. Move to a hosted-open API` with its full stop."""
    family = report.decision.chosen.family
    if family is Family.SELF_HOST:
        return _say_self_host(report)
    name = name_family(family)
    return f"{_say_self_host(report)} {name[0].upper()}{name[1:]}."


def say_band(result: OptionResult) -> str:
    """An option's interval: `P10 $6.7k to P90 $11.6k`."""
    return f"P10 {format_dollars(result.total_usd.p10)} to P90 {format_dollars(result.total_usd.p90)}"


def say_chance(decision: Decision) -> str:
    """In how many draws the chosen option is the cheapest, and its family where that is more."""
    own = decision.result(decision.chosen).chance_cheapest
    family = [item for item in decision.options if item.option.family is decision.chosen.family]
    of_family = sum(item.chance_cheapest for item in family)
    text = f"cheapest in {format_share(own)} of {decision.num_draws:,} draws"
    if format_share(of_family) == format_share(own):
        return text
    return f"{text} (self-hosting on any terms: {format_share(of_family)})"


def say_scope(scope: Scope) -> str:
    """For what the decision holds: title, days, and what the traffic is known from."""
    text = f"Holds for {scope.title}"
    if scope.first_day is not None and scope.last_day is not None:
        text += f", {scope.first_day.isoformat()} to {scope.last_day.isoformat()}"
    if scope.num_days is not None:
        text += f" ({say_days(scope.num_days)})"
    return f"{text}: {_BASES[scope.basis]}. A changed mix, price or model needs a new decision."


def say_licence_gap(report: DecisionReport) -> tuple[str, ...]:
    """One sentence where traffic is to move to a model whose licence is not settled; else none."""
    model = report.open_model
    if not report.decision.chosen.moves or model.licence_answer != "unknown":
        return ()
    facts = ", ".join(name_fact(code) for code in model.missing_facts) or "its terms"
    return (f"Whether the licence of {model.model} allows it is not known yet; missing: {facts}.",)


def say_amounts(decision: Decision) -> str:
    """What every amount is, and what today's bill is beside it."""
    by_name = _by_name(decision)
    months = format_value(by_name["horizon_months"].mid, by_name["horizon_months"].unit)
    today = format_dollars(by_name["spend_usd_per_month"].mid)
    return (
        f"Amounts are dollars a month averaged over {months}, in which volume and prices change: "
        f"today's bill of {today} is {format_dollars(decision.result(STAY).total_usd.p50)} on that average."
    )


def say_basis(decision: Decision) -> str:
    """Whose the assumptions are, and that prices are dated facts."""
    assumed = sum(item.owner is Owner.ASSUMED for item in decision.assumptions)
    return (
        f"{assumed} of {len(decision.assumptions)} assumptions are inhouse's own reference ranges (marked assumed). "
        "List prices and GPU prices are dated facts of the catalog, not quotes: your contract may differ."
    )


def say_change(report: DecisionReport) -> tuple[str, ...]:
    """What would change the answer, and what would change the answer to self-hosting."""
    if len(report.decision.best_by_family) == 1:
        return ("Nothing else may be chosen, so no assumption changes the answer.",)
    return (_say_nearest(report.decision), _say_self_host_flip(report))


def say_flip(item: Assumption, flip: Flip) -> str:
    """Where one assumption flips the answer: `46 % or less for “share” (taken: 80 %, range 50 % to 90 %)`."""
    at = say_threshold(item, flip)
    return f"{at} for “{item.label}” ({say_taken(item)})"


def say_threshold(item: Assumption, flip: Flip) -> str:
    """`46 % or less`, `$2.0M a month or more`."""
    if flip.flips_at is None:
        low, high = format_value(flip.searched_low, item.unit), format_value(flip.searched_high, item.unit)
        return f"nothing from {low} to {high}"
    side = "or more" if flip.flips_at > flip.now else "or less"
    return f"{format_with_unit(flip.flips_at, item.unit)} {side}"


def say_taken(item: Assumption) -> str:
    """What an assumption is taken to be: `taken: 80 %, range 50 % to 90 %`, or `taken: $22.0k a month, exact`."""
    taken = f"taken: {format_with_unit(item.mid, item.unit)}"
    if item.is_exact:
        return f"{taken}, exact"
    return f"{taken}, range {format_value(item.low, item.unit)} to {format_value(item.high, item.unit)}"


def say_nearness(item: Assumption, flip: Flip) -> str:
    """How near a flip is, beside the assumption's own range, or as a factor where the value is exact."""
    if flip.flips_at is None or flip.distance is None:
        return "no value searched flips it"
    return _say_factor(flip.now, flip.flips_at) if item.is_exact else _say_ranges(item, flip.flips_at, flip.distance)


def say_break_even(report: DecisionReport) -> tuple[str, ...]:
    """Where self-hosting begins to pay: by spend, then by utilisation. One sentence where nothing is known."""
    found = report.decision.break_even
    if found is None:
        code = find_self_host_exclusion(report.decision, report.open_model) or "no_capacity"
        return (f"No break-even can be said: {explain_exclusion(code)}.",)
    spend = _by_name(report.decision)["spend_usd_per_month"]
    beside_stay = _say_from(found.spend_usd_beside_stay, "staying")
    if set(report.decision.best_by_family) == {Family.SELF_HOST}:
        beside_best = "nothing else may be chosen"
    else:
        beside_best = _say_from(found.spend_usd_beside_best, "the best other option")
    band = found.utilisation_beside_hosted
    hosted = f" and as much as the hosted-open API at {_say_shares(band)}" if band is not None else ""
    return (
        (
            f"With today's mix, self-hosting ({name_terms(found.option.terms)}) costs {beside_stay}, "
            f"and {beside_best}. Today's bill: {format_with_unit(spend.mid, spend.unit)}."
        ),
        (
            f"Its GPUs are busy {_say_shares(found.utilisation_now)} of the time on average. Alone, without people and "
            f"set-up, they cost as much as today's API at {_say_shares(found.utilisation_beside_api)}"
            f"{hosted}."
        ),
    )


def say_tornado(decision: Decision) -> str:
    """What the tornado shows: whether any single assumption, from its P10 to its P90, carries it across $0."""
    if not decision.tornado:
        return "No comparison: self-hosting, or everything else, may not be chosen."
    ends = [usd for bar in decision.tornado for usd in (bar.low_usd, bar.high_usd)]
    crossing = sum(min(bar.low_usd, bar.high_usd) < 0 < max(bar.low_usd, bar.high_usd) for bar in decision.tornado)
    start = (
        "What self-hosting saves a month beside the best other option, as one assumption goes from its P10 to its P90."
    )
    if crossing:
        return f"{start} {crossing} of {len(decision.tornado)} carry it across $0."
    side = "pays" if min(ends) >= 0 else "costs more"
    return f"{start} None carries it across $0: self-hosting {side} at every end."


def say_commitment(commitment: Commitment) -> str:
    """One piece of committed money: `2 × H100, ordered: not avoidable, amount not stated, cancellable: not stated`."""
    amount = "amount not stated" if commitment.usd is None else format_dollars(commitment.usd)
    until = "not stated" if commitment.until is None else f"from {commitment.until.isoformat()}"
    return f"{commitment.what}: not avoidable, {amount}, cancellable or ended: {until}"


def say_reconciliation(bill: Reconciliation) -> str:
    """The bill from tokens and prices beside what was billed."""
    billed, name = (bill.invoice_usd, "invoice") if bill.invoice_usd is not None else (bill.stated_usd, "export")
    if bill.computed_usd is None and billed is None:
        return "Nothing to reconcile: no usage was priced and no invoice was given."
    unpriced = "" if not bill.num_unpriced_requests else f" {bill.num_unpriced_requests:,} requests are unpriced."
    if bill.computed_usd is None:
        return f"The {name} says {_say_exact(billed)}; no usage was priced, so it is not reconciled.{unpriced}"
    computed = f"Tokens at the price book's rates come to {_say_exact(bill.computed_usd)}"
    share = bill.unexplained_share
    if share is None:
        return f"{computed}; no invoice was given, so it is not reconciled.{unpriced}"
    side = "not explained" if share >= 0 else "more than was billed"
    return f"{computed}, the {name} says {_say_exact(billed)}: {format_share(abs(share))} {side}.{unpriced}"


def _say_self_host(report: DecisionReport) -> str:
    if report.decision.chosen.is_self_host:
        because = report.decision.result(STAY).excluded_because
        return "Self-host." if because is None else f"Self-host: {explain_exclusion(because)}."
    code = find_self_host_exclusion(report.decision, report.open_model)
    if code is None:
        return "Don't self-host."
    if is_unknown(code):
        return f"Whether to self-host {report.open_model.model} is not known: {explain_exclusion(code)}."
    return f"Don't self-host {report.open_model.model}: {explain_exclusion(code)}."


def _say_action(report: DecisionReport, chosen: OptionResult) -> str:
    option, model = chosen.option, report.open_model
    if option.family is Family.STAY:
        return "Stay at the API as it is"
    if option.family is Family.CHEAPER:
        return "Stay at the API and use it more cheaply"
    share = "the share that passes your evaluation" if option.is_hybrid else "all of the traffic"
    if option.family is Family.HOSTED_OPEN:
        return f"Move {share} to {model.model} at a hosted-open API"
    return f"Serve {share} with {model.model} on {_say_gpus(report, chosen)} ({name_terms(option.terms)})"


def _say_gpus(report: DecisionReport, chosen: OptionResult) -> str:
    gpu = report.open_model.gpu or "GPUs"
    if chosen.num_gpus is None:
        return gpu
    low, high = round(chosen.num_gpus.p10), round(chosen.num_gpus.p90)
    return f"{low} × {gpu}" if low == high else f"{low} to {high} × {gpu}"


def _say_instead(decision: Decision, chosen: OptionResult) -> str:
    if chosen.option == STAY:
        return ""
    stay = decision.result(STAY)
    usd = format_dollars(stay.total_usd.p50)
    is_choice = stay.excluded_because is None and chosen.saving_usd.mean >= 0
    return f" instead of {usd}" if is_choice else f", where staying would cost {usd}"


def _say_nearest(decision: Decision) -> str:
    flip = _first(decision.flips)
    if flip is None or flip.flips_to is None:
        return "No single assumption changes the answer, moved alone as far as was searched."
    item = _by_name(decision)[flip.name]
    return (
        f"The nearest change: at {say_flip(item, flip)} the answer becomes: {name_family(flip.flips_to)}. "
        f"That is {say_nearness(item, flip)}."
    )


def _say_self_host_flip(report: DecisionReport) -> str:
    decision = report.decision
    code = find_self_host_exclusion(decision, report.open_model)
    if code is not None:
        start = "Whether self-hosting could win is not known" if is_unknown(code) else "Self-hosting may not be chosen"
        return f"{start}: {explain_exclusion(code)}."
    flip = _first(decision.self_host_flips)
    is_chosen = decision.chosen.is_self_host
    if flip is None:
        if is_chosen:
            return "Self-hosting stays the answer: no single assumption, moved alone as far as was searched, ends it."
        return (
            "Self-hosting does not win: no single assumption, moved alone as far as was searched, makes it the answer."
        )
    item = _by_name(decision)[flip.name]
    verb = "Self-hosting stops paying" if is_chosen else "Self-hosting wins"
    nearest = _first(decision.flips)
    is_same = nearest is not None and (nearest.name, nearest.flips_at) == (flip.name, flip.flips_at)
    where = "there too" if is_same else f"at {say_flip(item, flip)}, {say_nearness(item, flip)}"
    return f"{verb} {where}. {_count_inside(decision)}"


def _count_inside(decision: Decision) -> str:
    items = _by_name(decision)
    num = sum(_is_inside(items[flip.name], flip) for flip in decision.self_host_flips)
    if num == 0:
        return "No single assumption within its stated range does it."
    does = "1 assumption does it" if num == 1 else f"{num} of {len(items)} assumptions do it, each alone"
    return f"{does} within its stated range."


def _say_factor(now: float, at: float) -> str:
    return "stated exactly" if at <= 0 or now <= 0 else f"a factor of {max(at / now, now / at):.2g} away"


def _say_ranges(item: Assumption, at: float, distance: float) -> str:
    if item.low <= at <= item.high:
        return "inside its range"
    if distance <= _JUST_OUTSIDE:
        return "just outside its range"
    has_side = item.mid not in (item.low, item.high)
    return f"{distance:.2g} × its range away" if has_side else "outside its range"


def _first(flips: tuple[Flip, ...]) -> Flip | None:
    return flips[0] if flips and flips[0].flips_at is not None else None


def _is_inside(item: Assumption, flip: Flip) -> bool:
    return flip.flips_at is not None and item.low <= flip.flips_at <= item.high


def _by_name(decision: Decision) -> dict[str, Assumption]:
    return {item.name: item for item in decision.assumptions}


def _say_from(usd: float | None, what: str) -> str:
    if usd is None:
        return f"more than {what} up to 1,000 times today's bill"
    return f"no more than {what} from {format_dollars(usd)} a month"


def _say_exact(value: Decimal | None) -> str:
    return NOT_KNOWN if value is None else f"${value:,.0f}"


def _say_shares(band: Band) -> str:
    return f"{format_share(band.p50)} ({format_share(band.p10)} to {format_share(band.p90)})"


def say_requests_per_second(band: Band | None) -> str:
    """One saturated replica's throughput: `5.7 requests/s (4.4 to 7.1)`."""
    if band is None:
        return NOT_KNOWN
    return f"{format_count(band.p50)} requests/s ({format_count(band.p10)} to {format_count(band.p90)})"
