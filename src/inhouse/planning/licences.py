"""Whether a company may deploy a model, decided from its licence and what the company says of itself. Pure.

Three-valued: a question whose fact is not stated has no answer, and where the answer could change the verdict, the
verdict is `unknown` and names the fact. What is decided stays decided, whatever else is stated later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from inhouse.catalog import (
    Catalog,
    Commercial,
    CompanyFact,
    Confidence,
    DutyTrigger,
    LicenceCondition,
    LicenceDuty,
    LicenceEffect,
    LicenceRow,
    ModelRow,
    RegionExclusion,
    RegionScope,
)
from inhouse.planning.company import CompanyFacts, all_true, any_true

RECHECK_AFTER = timedelta(days=90)
"""Users and revenue grow: an answer that turns on them is asked again by then."""
_TRUST = (Confidence.PRIMARY, Confidence.SECONDARY, Confidence.MEMORY)
_BLOCKING = frozenset({LicenceEffect.BLOCKED, LicenceEffect.NEED_LICENCE})


class LicenceState(StrEnum):
    """The answer."""

    ALLOWED = "allowed"
    ALLOWED_WITH_DUTIES = "allowed_with_duties"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    """Facts are missing, or somebody has to read the licence. Nothing is promoted on it."""

    @property
    def is_allowed(self) -> bool:
        """Whether the model may be deployed."""
        return self in {LicenceState.ALLOWED, LicenceState.ALLOWED_WITH_DUTIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDuty:
    """Something to do, and whether it is due as things stand; None where a fact is missing to say."""

    licence: str
    kind: str
    words: str
    trigger: DutyTrigger
    is_due: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceReason:
    """What speaks against it (`holds`), or might (`holds` is None, with the facts that would tell)."""

    licence: str
    words: str
    holds: bool | None
    missing: tuple[CompanyFact, ...] = ()
    is_unsettled: bool = False
    """Facts do not help: somebody has to read the licence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceVerdict:
    """Whether a model may be deployed, why, what to do, and what is missing to say."""

    state: LicenceState
    licences: tuple[str, ...]
    reasons: tuple[LicenceReason, ...]
    duties: tuple[DueDuty, ...]
    missing: tuple[CompanyFact, ...]
    """Facts to state, where the answer is unknown. Empty there too where only reading the licence helps."""
    remarks: tuple[str, ...]
    thresholds: tuple[tuple[CompanyFact, Decimal], ...]
    """The numbers at which the answer may change."""
    recheck_by: date | None
    """When to ask again; None where no number is in it."""
    confidence: Confidence | None
    """The weakest basis of the rows that it rests on; None where the licence is not in the catalog."""


@dataclass(frozen=True, slots=True)
class _Finding:
    """One question of one licence: does it hold, and what follows if so."""

    licence: str
    effect: LicenceEffect
    words: str
    holds: bool | None
    missing: tuple[CompanyFact, ...]
    is_unsettled: bool = False


def judge_model(model: ModelRow, catalog: Catalog, facts: CompanyFacts, at: date) -> LicenceVerdict:
    """Whether a company may deploy a model on a day: under its own licence and that of the model it was made from.

    Blocked where one thing that blocks is certain. Unknown where something that blocks, or a duty that turns on a fact,
    is neither certain nor ruled out, and where a licence is not in the catalog.
    """
    found = {name: catalog.licence(name, at) for name in model.licences}
    rows = tuple(row for row in found.values() if row is not None)
    findings = [finding for row in rows for finding in _examine(row, facts, is_multimodal=model.is_multimodal)]
    findings += [_unread(name) for name, row in found.items() if row is None]
    return _conclude(model.licences, rows, findings, facts, at)


def judge_licence(row: LicenceRow, facts: CompanyFacts, at: date, *, is_multimodal: bool = False) -> LicenceVerdict:
    """The same for one licence; `is_multimodal`: whether its model reads more than text."""
    return _conclude((row.licence,), (row,), list(_examine(row, facts, is_multimodal=is_multimodal)), facts, at)


def _examine(row: LicenceRow, facts: CompanyFacts, *, is_multimodal: bool) -> Iterator[_Finding]:
    if row.commercial is Commercial.UNKNOWN:
        yield _unread(row.licence)
    if row.commercial is Commercial.FORBIDDEN:
        yield _ask(row, CompanyFact.COMMERCIAL_USE, "it is not for use in or for a business", facts)
    if row.outputs_must_not_train:
        words = "what the model writes must not be used to improve other models"
        yield _ask(row, CompanyFact.TRAINS_ON_OUTPUTS, words, facts)
    for condition in row.conditions:
        yield _examine_condition(row, condition, facts)
    for exclusion in row.regions_excluded:
        yield from _examine_region(row, exclusion, facts, is_multimodal=is_multimodal)


def _ask(row: LicenceRow, fact: CompanyFact, words: str, facts: CompanyFacts) -> _Finding:
    holds = facts.is_true(fact)
    return _Finding(row.licence, LicenceEffect.BLOCKED, words, holds, (fact,) if holds is None else ())


def _examine_condition(row: LicenceRow, condition: LicenceCondition, facts: CompanyFacts) -> _Finding:
    asked = [(test.fact, facts.passes(test)) for test in condition.when]
    if row.is_internal_use_exempt:
        is_internal = facts.is_true(CompanyFact.INTERNAL_USE)
        asked.append((CompanyFact.INTERNAL_USE, None if is_internal is None else not is_internal))
    holds = all_true(tuple(answer for _, answer in asked))
    missing = tuple(fact for fact, answer in asked if answer is None) if holds is None else ()
    return _Finding(row.licence, condition.effect, condition.words, holds, missing)


def _examine_region(
    row: LicenceRow, exclusion: RegionExclusion, facts: CompanyFacts, *, is_multimodal: bool
) -> Iterator[_Finding]:
    is_there = facts.is_based_in(exclusion.region)
    missing = (CompanyFact.COUNTRY,) if is_there is None else ()
    if exclusion.scope is RegionScope.ALL:
        yield _Finding(row.licence, LicenceEffect.BLOCKED, exclusion.words, is_there, missing)
    elif is_multimodal and is_there is not False:
        sees = facts.is_true(CompanyFact.USES_MULTIMODAL)
        missing += (CompanyFact.USES_MULTIMODAL,) if sees is None else ()
        if sees is not False:
            yield _Finding(row.licence, LicenceEffect.BLOCKED, exclusion.words, all_true((is_there, sees)), missing)
            return
        words = f"{exclusion.words}; whether such a model may be used for text alone has to be read and settled"
        yield _Finding(row.licence, LicenceEffect.BLOCKED, words, None, missing, is_unsettled=True)


def _unread(licence: str) -> _Finding:
    words = "its terms are not in the catalog: somebody has to read them"
    return _Finding(licence, LicenceEffect.BLOCKED, words, None, (), is_unsettled=True)


def _conclude(
    names: tuple[str, ...],
    rows: tuple[LicenceRow, ...],
    findings: list[_Finding],
    facts: CompanyFacts,
    at: date,
) -> LicenceVerdict:
    blocking = [finding for finding in findings if finding.effect in _BLOCKING and finding.holds]
    open_ones = [finding for finding in findings if finding.holds is None]
    duties = (*_conditional_duties(findings), *(duty for row in rows for duty in _standing_duties(row, facts)))
    thresholds = tuple(dict.fromkeys(pair for row in rows for pair in row.thresholds))
    shown = blocking or open_ones
    is_unread = any(name not in {row.licence for row in rows} for name in names)
    return LicenceVerdict(
        state=_pick_state(blocking, open_ones, duties),
        licences=names,
        reasons=tuple(_make_reason(finding) for finding in shown),
        duties=duties,
        missing=() if blocking else tuple(dict.fromkeys(fact for finding in open_ones for fact in finding.missing)),
        remarks=tuple(dict.fromkeys(remark for row in rows for remark in row.remarks)),
        thresholds=thresholds,
        recheck_by=at + RECHECK_AFTER if thresholds else None,
        confidence=None if is_unread else max((row.confidence for row in rows), key=_TRUST.index),
    )


def _pick_state(blocking: list[_Finding], open_ones: list[_Finding], duties: tuple[DueDuty, ...]) -> LicenceState:
    if blocking:
        return LicenceState.BLOCKED
    if open_ones:
        return LicenceState.UNKNOWN
    return LicenceState.ALLOWED_WITH_DUTIES if duties else LicenceState.ALLOWED


def _make_reason(finding: _Finding) -> LicenceReason:
    return LicenceReason(
        licence=finding.licence, words=finding.words, holds=finding.holds,
        missing=finding.missing, is_unsettled=finding.is_unsettled,
    )  # fmt: skip


def _conditional_duties(findings: list[_Finding]) -> Iterator[DueDuty]:
    for finding in findings:
        if finding.holds and finding.effect not in _BLOCKING:
            kind = finding.effect.value.removeprefix("need_")
            yield DueDuty(
                licence=finding.licence, kind=kind, words=finding.words, trigger=DutyTrigger.ALWAYS, is_due=True
            )


def _standing_duties(row: LicenceRow, facts: CompanyFacts) -> Iterator[DueDuty]:
    duties = row.duties
    if row.outputs_must_not_train:
        duties += (LicenceDuty(kind="outputs", words="keep what the model writes out of training data"),)
    for duty in duties:
        is_due = _is_due(duty.trigger, facts)
        yield DueDuty(licence=row.licence, kind=duty.kind, words=duty.words, trigger=duty.trigger, is_due=is_due)


def _is_due(trigger: DutyTrigger, facts: CompanyFacts) -> bool | None:
    passes_on = facts.is_true(CompanyFact.DISTRIBUTES_WEIGHTS)
    if trigger is DutyTrigger.ALWAYS:
        return True
    if trigger is DutyTrigger.OUTSIDE:
        is_internal = facts.is_true(CompanyFact.INTERNAL_USE)
        return None if is_internal is None else not is_internal
    if trigger is DutyTrigger.DISTRIBUTION:
        return passes_on
    if trigger is DutyTrigger.DISTRIBUTION_OR_API:
        return any_true((passes_on, facts.is_true(CompanyFact.OFFERS_MAAS)))
    trains = facts.is_true(CompanyFact.TRAINS_ON_OUTPUTS)
    return all_true((passes_on, True if trains else None))
