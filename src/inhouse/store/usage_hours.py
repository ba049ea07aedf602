"""Usage by the hour, grouped and summed in SQL: imported records, and our own traces as the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from inhouse.domain import (
    DAY_S,
    HOUR_S,
    PICO_PER_USD,
    USAGE_BUCKETS,
    ServiceTier,
    TraceStatus,
    Usage,
    UsageRow,
    from_pico_usd,
)
from inhouse.store.tables import TRACES, USAGE_RECORDS

_ROWS_PER_FETCH = 5_000
_OWN_PROVIDER = "own"
_R = USAGE_RECORDS.c
_T = TRACES.c
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
    """Rows of ended requests, by time and labels; failed ones without usage are left out, since nothing was answered.

    The cost of each is rounded to pico-dollars before it is summed, so that the order of summing changes nothing.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    seconds = sa.cast(_T.started_at if is_sqlite else sa.func.floor(_T.started_at), sa.BigInteger)
    start = (seconds - seconds % HOUR_S).label("start")
    cost = sa.cast(sa.func.round(_T.cost_usd * PICO_PER_USD), sa.BigInteger).label("cost")
    labels = (_T.endpoint_id, _T.route, _T.key_id, _T.task, _T.is_simulated)
    states = (_T.input_uncached.is_(None).label("no_usage"), _T.cost_usd.is_(None).label("no_cost"))
    buckets = [_T[name] if name in _T else sa.literal(0).label(name) for name in USAGE_BUCKETS]
    part = (
        sa.select(start, *labels, *states, cost, *buckets)
        .where(
            _T.open_json.is_not(None),
            _T.is_eval == is_eval,
            _T.status != TraceStatus.OPEN.value,
            sa.or_(_T.status != TraceStatus.FAILED.value, _T.input_uncached.is_not(None)),
            *_between(_T.started_at, since, until),
        )
        .subquery()
    )
    group = list(part.c)[: 1 + len(labels) + len(states)]
    amounts = [sa.func.sum(column) for column in list(part.c)[len(group) :]]
    query = sa.select(*group, sa.func.count(), *amounts).group_by(*group).order_by(*group)
    for row in connection.execution_options(yield_per=_ROWS_PER_FETCH).execute(query):
        yield _make_traced(source, row)


def _make_traced(source: str, row: Sequence[Any]) -> UsageRow:
    start, endpoint_id, route, key_id, task, is_simulated, has_no_usage, has_no_cost, num_requests, *rest = row
    cost, *tokens = rest
    provider, slash, model = endpoint_id.partition("/")
    return UsageRow(
        source=source,
        started_at=int(start),
        provider=provider if slash else _OWN_PROVIDER,
        model=model if slash else endpoint_id,
        project=route or None,
        key=key_id or None,
        task=task,
        is_simulated=bool(is_simulated),
        num_requests=num_requests,
        usage=None if has_no_usage else Usage(*(int(count or 0) for count in tokens)),
        stated_usd=None if has_no_cost else from_pico_usd(int(cost)),
        num_unpriced=num_requests if has_no_cost else 0,
    )


def _between(column: sa.ColumnElement[Any], since: float | None, until: float | None) -> list[sa.ColumnElement[bool]]:
    limits = [] if since is None else [column >= since]
    return limits if until is None else [*limits, column < until]
