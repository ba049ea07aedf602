"""Usage by the hour, grouped and summed in SQL: imported records, and our own traces as the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from inhouse.domain import DAY_S, HOUR_S, USAGE_BUCKETS, ServiceTier, Usage, UsageRow, from_pico_usd, read_service_tier
from inhouse.store.spend import list_spend
from inhouse.store.spend_rows import SpendRow
from inhouse.store.tables import USAGE_RECORDS

_ROWS_PER_FETCH = 5_000
_R = USAGE_RECORDS.c
_LABELS = ("provider", "model", "project", "key", "task", "template", "tier")


def list_imported_hours(
    connection: sa.Connection, since: float | None, until: float | None, sources: Sequence[str] | None
) -> Iterator[UsageRow]:
    """Rows of the imported records, by source, time and labels.

    What states tokens, requests or money is not summed up with what does not.
    """
    width = sa.case((_R.width_s <= HOUR_S, HOUR_S), else_=DAY_S)
    start = _R.started_at - _R.started_at % width
    states = (_R.input_uncached.is_(None), _R.num_requests.is_(None), _R.stated_pico_usd.is_(None))
    keys = (_R.source, start.label("start"), width.label("width"), *(_R[name] for name in _LABELS))
    named_states = tuple(state.label(f"no_{number}") for number, state in enumerate(states))
    counted = (_R[name] for name in ("num_requests", "stated_pico_usd", *USAGE_BUCKETS))
    parts = sa.select(*keys, *named_states, *counted).where(*_between(_R.started_at, since, until))
    if sources is not None:
        parts = parts.where(_R.source.in_(list(sources)))
    part = parts.subquery()
    group = list(part.c)[: len(keys) + len(states)]
    amounts = [sa.func.sum(column) for column in list(part.c)[len(group) :]]
    query = sa.select(*group, *amounts).group_by(*group).order_by(*group[:-3])
    for row in connection.execution_options(yield_per=_ROWS_PER_FETCH).execute(query):
        yield _make_imported(row)


def _make_imported(row: Sequence[Any]) -> UsageRow:
    source, start, width, provider, model, project, key, task, template, tier, *rest = row
    has_no_usage, has_no_requests, has_no_amount, num_requests, amount, *tokens = rest
    return UsageRow(
        source=source,
        started_at=int(start),
        width_s=int(width),
        provider=provider,
        model=model,
        project=project,
        key=key,
        task=task,
        template=template,
        tier=ServiceTier(tier),
        num_requests=None if has_no_requests else int(num_requests),
        usage=None if has_no_usage else Usage(*(int(count or 0) for count in tokens)),
        stated_usd=None if has_no_amount else from_pico_usd(int(amount)),
    )


def list_trace_hours(
    connection: sa.Connection, since: float | None, until: float | None, *, source: str, is_eval: bool
) -> Iterator[UsageRow]:
    """Rows of ended requests, by time and labels; failed ones without usage are left out: nothing was answered."""
    for row in list_spend(connection, since, until, is_eval=is_eval):
        num_requests = row.num_requests if row.usage is None else row.num_requests + row.num_failed
        if num_requests:
            yield _make_traced(source, row, num_requests)


def _make_traced(source: str, row: SpendRow, num_requests: int) -> UsageRow:
    return UsageRow(
        source=source,
        started_at=row.started_at,
        provider=row.provider,
        model=row.model,
        project=row.route,
        key=row.key,
        task=row.task,
        tier=read_service_tier(row.tier),
        is_simulated=row.is_simulated,
        num_requests=num_requests,
        usage=row.usage,
        stated_usd=row.cost_usd,
        num_unpriced=num_requests if row.cost_usd is None else 0,
    )


def _between(column: sa.ColumnElement[Any], since: float | None, until: float | None) -> list[sa.ColumnElement[bool]]:
    limits = [] if since is None else [column >= since]
    return limits if until is None else [*limits, column < until]
