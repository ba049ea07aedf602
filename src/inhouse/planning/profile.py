"""Usage rows → what a company uses models for: period, volume, peaks, coverage, and the use cases found in it.

Pure arithmetic on what sources state. It prices nothing: money here is what the sources say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from inhouse.domain import DAY_S, UsageRow
from inhouse.planning.peaks import Peak, find_peak, shape_week
from inhouse.planning.totals import Known, ModelUsage, UsageTotals, count_tokens, split_by_model, sum_rows

LEVELS = ("project", "task", "template", "key")
"""Labels that tell use cases apart, the broadest first. The key comes last: it names a caller, not a use."""
UNLABELLED = "(unlabelled)"
OTHER = "other"
_OWN_SOURCES = frozenset({"traces", "evals"})
_MAX_VALUES = 20
"""A label with more values than that within a group names callers or versions, not uses."""
_DEFAULT_MIN_SHARE = 0.01

Labels = tuple[tuple[str, str | None], ...]
"""(label, value) for each label that a use case was told apart by; None is "not stated"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What of the tokens cannot be said exactly. Shares are of all tokens; None where no row states any."""

    unlabelled_share: float | None
    """Without project, key, task and template."""
    without_requests_share: float | None
    """Where the source does not count requests."""
    without_model_share: float | None
    """Where the source does not name the model."""
    daily_share: float | None
    """Known by the day only."""
    unpriced_share: float | None
    """Of own requests: without a cost. None where there are none of one's own."""
    simulated_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseUsage:
    """One use case: rows that agree in the labels that tell it apart."""

    name: str
    labels: Labels
    """Empty for the pool of small ones."""
    num_pooled: int
    """Use cases in it: 1, or more for the pool."""
    totals: UsageTotals
    mix: tuple[ModelUsage, ...]
    """By provider, model and tariff, the most tokens first."""
    peak: Peak | None
    token_share: float | None
    usd_share: float | None
    """Of all stated money; None where not all of it is stated."""
    usd_rank: int | None
    """1 for the most stated money; None where it states none."""
    token_rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageProfile:
    """What the rows come to. Times are Unix seconds, UTC."""

    sources: tuple[str, ...]
    since: int
    until: int
    """End of the last period."""
    num_days: float
    """From the first period's start to the last one's end, in days."""
    num_active_days: int
    """Days with a row."""
    totals: UsageTotals
    mix: tuple[ModelUsage, ...]
    peak: Peak | None
    hour_of_week: tuple[float | None, ...] | None
    """168 hours from Monday 00:00 UTC, 1 being the mean hour."""
    coverage: Coverage
    use_cases: tuple[UseCaseUsage, ...]
    """By stated money where all of it is stated, else by tokens; the pool of small ones last."""


def profile_usage(
    rows: Iterable[UsageRow], *, min_share: float = _DEFAULT_MIN_SHARE, max_use_cases: int = _MAX_VALUES
) -> UsageProfile | None:
    """The profile of rows; None where there are none.

    Args:
        rows: of one period; which sources may be added up is the caller's business.
        min_share: a use case with a smaller share (of money, or of tokens) is pooled with the others of its kind.
        max_use_cases: so many are told apart at the most, the largest.
    """
    known = list(rows)
    if not known:
        return None
    since = min(row.started_at for row in known)
    until = max(row.started_at + row.width_s for row in known)
    totals = sum_rows(known)
    return UsageProfile(
        sources=tuple(sorted({row.source for row in known})),
        since=since,
        until=until,
        num_days=(until - since) / DAY_S,
        num_active_days=len({row.started_at // DAY_S for row in known}),
        totals=totals,
        mix=split_by_model(known),
        peak=find_peak(known),
        hour_of_week=shape_week(known),
        coverage=_measure_coverage(known),
        use_cases=_find_use_cases(known, totals, min_share, max_use_cases),
    )


def group_use_cases(rows: Sequence[UsageRow]) -> dict[Labels, list[UsageRow]]:
    """Rows by the labels that tell use cases apart.

    Label after label, a group is divided by a label where its rows state two values or more of it and not more than 20.
    Keys divide only what no task or template divides. So a label that says nothing new is in no name.
    """
    groups: dict[Labels, list[UsageRow]] = {(): list(rows)}
    for level in LEVELS:
        divided: dict[Labels, list[UsageRow]] = {}
        for labels, group in groups.items():
            is_told_apart = any(name in {"task", "template"} for name, _ in labels)
            if level == "key" and is_told_apart:
                divided[labels] = group
            else:
                divided.update(_divide_group(labels, group, level))
        groups = divided
    return groups


def name_use_case(labels: Labels) -> str:
    """The values of its labels, joined by ` / `."""
    return " / ".join(value or f"(no {level})" for level, value in labels) or UNLABELLED


def _divide_group(labels: Labels, rows: list[UsageRow], level: str) -> dict[Labels, list[UsageRow]]:
    parts: defaultdict[str | None, list[UsageRow]] = defaultdict(list)
    for row in rows:
        parts[getattr(row, level)].append(row)
    num_stated = len(parts) - (None in parts)
    if num_stated == 0 or num_stated > _MAX_VALUES or (len(parts) == 1 and level != "project"):
        return {labels: rows}
    return {(*labels, (level, value)): part for value, part in parts.items()}


def _find_use_cases(
    rows: Sequence[UsageRow], whole: UsageTotals, min_share: float, max_use_cases: int
) -> tuple[UseCaseUsage, ...]:
    groups = list(group_use_cases(rows).items())
    sums = {labels: sum_rows(group) for labels, group in groups}
    by_usd = whole.usd_known is Known.ALL and bool(whole.stated_usd)
    groups.sort(key=lambda item: (-_weigh(sums[item[0]], by_usd=by_usd), name_use_case(item[0])))
    total = _weigh(whole, by_usd=by_usd)
    smallest = float(total) * min_share
    large = [
        item
        for place, item in enumerate(groups)
        if place < max_use_cases and float(_weigh(sums[item[0]], by_usd=by_usd)) >= smallest
    ]
    small = groups[len(large) :]
    if len(small) == 1:
        large, small = groups, []
    found = [_describe(labels, group, whole, num_pooled=1) for labels, group in large]
    if small:
        found.append(_describe((), [row for _, group in small for row in group], whole, num_pooled=len(small)))
    return _rank(found)


def _weigh(totals: UsageTotals, *, by_usd: bool) -> Decimal:
    """What use cases are ordered by: money, else tokens, else requests."""
    if by_usd:
        return totals.stated_usd or Decimal(0)
    return Decimal(totals.num_tokens or totals.num_requests or 0)


def _describe(labels: Labels, rows: Sequence[UsageRow], whole: UsageTotals, *, num_pooled: int) -> UseCaseUsage:
    totals = sum_rows(rows)
    is_all_stated = whole.usd_known is Known.ALL and bool(whole.stated_usd)
    usd_share = float((totals.stated_usd or 0) / whole.stated_usd) if is_all_stated and whole.stated_usd else None
    return UseCaseUsage(
        name=name_use_case(labels) if num_pooled == 1 else f"{OTHER} ({num_pooled})",
        labels=labels,
        num_pooled=num_pooled,
        totals=totals,
        mix=split_by_model(rows),
        peak=find_peak(rows),
        token_share=totals.num_tokens / whole.num_tokens if whole.num_tokens else None,
        usd_share=usd_share,
        usd_rank=None,
        token_rank=0,
    )


def _rank(found: Sequence[UseCaseUsage]) -> tuple[UseCaseUsage, ...]:
    """The same use cases, each with its places."""
    usd = sorted((one.totals.stated_usd for one in found if one.totals.stated_usd is not None), reverse=True)
    tokens = sorted((one.totals.num_tokens for one in found), reverse=True)
    return tuple(
        replace(
            one,
            usd_rank=None if one.totals.stated_usd is None else usd.index(one.totals.stated_usd) + 1,
            token_rank=tokens.index(one.totals.num_tokens) + 1,
        )
        for one in found
    )


def _measure_coverage(rows: Sequence[UsageRow]) -> Coverage:
    tokens = [(row, count_tokens(row.usage)) for row in rows if row.usage is not None]
    total = sum(count for _, count in tokens)
    own = [row for row in rows if row.source in _OWN_SOURCES]
    num_own = sum(row.num_requests or 0 for row in own)

    def share(test: Callable[[UsageRow], bool]) -> float | None:
        return sum(count for row, count in tokens if test(row)) / total if total else None

    return Coverage(
        unlabelled_share=share(lambda row: not any(getattr(row, level) for level in LEVELS)),
        without_requests_share=share(lambda row: row.num_requests is None),
        without_model_share=share(lambda row: row.model is None),
        daily_share=share(lambda row: row.width_s == DAY_S),
        unpriced_share=sum(row.num_unpriced for row in own) / num_own if num_own else None,
        simulated_share=share(lambda row: row.is_simulated),
    )
