"""What our own requests cost: summed by the hour and labels, and costs computed again beside the traces' own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa

from inhouse.domain import HOUR_S, OWN_PROCESSOR, PICO_PER_USD, USAGE_BUCKETS, TraceStatus, Usage, from_pico_usd
from inhouse.store.database import Database, read_rows
from inhouse.store.spend_rows import PricedRequest, Reprice, RepricedCost, Seen, SpendRow
from inhouse.store.tables import REPRICED_COSTS, REPRICES, TRACES

_ROWS_PER_FETCH = 5_000
_BATCH = 5_000
_T = TRACES.c
_R = REPRICED_COSTS.c


class SpendRepository:
    """Sums over `traces`, and the tables `reprices` and `repriced_costs`. May raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hours(
        self, since: float | None = None, until: float | None = None, tags: Sequence[str] = ()
    ) -> Iterator[SpendRow]:
        """Ended requests by the hour and labels, evaluations too, in order of time. Sums are exact.

        The cost of each is rounded to pico-dollars before it is summed, so that the order of summing changes nothing.

        Args:
            since: Unix seconds; requests that began then or later. None: no limit.
            until: Unix seconds; requests that began before. None: no limit.
            tags: names of tags to tell apart; they hold no quote and no backslash.
        """
        with self._database.read() as connection:
            yield from list_spend(connection, since, until, tags)

    def requests(self, since: float | None, until: float | None, *, is_unpriced_only: bool) -> Iterator[PricedRequest]:
        """Ended requests that reported tokens, with their present cost, in order of their ids."""
        cost = sa.func.coalesce(_repriced_cost(), _T.cost_usd).label("cost_usd")
        names = ("trace_id", "started_at", "endpoint_id", "tier", "is_simulated")
        query = (
            sa.select(*(_T[name] for name in names), cost, *(_T[name] for name in USAGE_BUCKETS))
            .where(_T.input_uncached.is_not(None), *_is_ended(since, until))
            .order_by(_T.trace_id)
        )
        if is_unpriced_only:
            query = query.where(cost.is_(None))
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=_ROWS_PER_FETCH).execute(query):
                yield _make_priced(row)

    def add_reprice(
        self,
        costs: Iterable[RepricedCost],
        *,
        reason: str,
        at: float,
        since: float | None = None,
        until: float | None = None,
    ) -> Reprice | None:
        """Keep costs computed again, all or none; None where there are none to keep."""
        remaining, num_traces = iter(costs), 0
        with self._database.write() as connection:
            values = {"repriced_at": at, "reason": reason, "since": since, "until": until, "num_traces": 0}
            made = connection.execute(sa.insert(REPRICES).values(values).returning(REPRICES.c.reprice_id))
            reprice_id: int = made.scalar_one()
            is_this = REPRICES.c.reprice_id == reprice_id
            while batch := list(islice(remaining, _BATCH)):
                rows = [{"reprice_id": reprice_id, **msgspec.structs.asdict(cost)} for cost in batch]
                connection.execute(sa.insert(REPRICED_COSTS), rows)
                num_traces += len(batch)
            if not num_traces:
                connection.execute(sa.delete(REPRICES).where(is_this))
                return None
            connection.execute(sa.update(REPRICES).where(is_this).values(num_traces=num_traces))
        return Reprice(
            reprice_id=reprice_id, repriced_at=at, reason=reason, since=since, until=until, num_traces=num_traces
        )

    def reprices(self) -> list[Reprice]:
        """Every run that is in force, newest first."""
        with self._database.read() as connection:
            rows = read_rows(connection, sa.select(REPRICES).order_by(REPRICES.c.reprice_id.desc()))
        return [msgspec.convert(row, Reprice) for row in rows]

    def undo_reprice(self, reprice_id: int) -> int | None:
        """Take a run back, so that what was before counts again; how many costs went, None where there is no such."""
        with self._database.write() as connection:
            num_costs = connection.execute(sa.delete(REPRICED_COSTS).where(_R.reprice_id == reprice_id)).rowcount
            is_this = REPRICES.c.reprice_id == reprice_id
            num_runs = connection.execute(sa.delete(REPRICES).where(is_this)).rowcount
        return num_costs if num_runs else None

    def seen(self) -> dict[str, Seen]:
        """By endpoint: when its first and its last request began, evaluations included."""
        first, last = sa.func.min(_T.started_at), sa.func.max(_T.started_at)
        query = sa.select(_T.endpoint_id, first, last).where(_T.started_at.is_not(None)).group_by(_T.endpoint_id)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {endpoint_id: Seen(first_at=start, last_at=end) for endpoint_id, start, end in rows}


def list_spend(
    connection: sa.Connection,
    since: float | None,
    until: float | None,
    tags: Sequence[str] = (),
    *,
    is_eval: bool | None = None,
) -> Iterator[SpendRow]:
    """What `SpendRepository.hours` gives; with `is_eval` evaluations alone, or all but them."""
    query = _select_hours(since, until, tags, is_eval=is_eval, is_sqlite=connection.dialect.name == "sqlite")
    for row in connection.execution_options(yield_per=_ROWS_PER_FETCH).execute(query):
        yield _make_spend(row, len(tags))


def _repriced_cost() -> sa.ColumnElement[float | None]:
    """The cost of the latest run, of each trace; null where there is none. Looked up by the index on `trace_id`."""
    query = sa.select(_R.cost_usd).where(_R.trace_id == _T.trace_id).order_by(_R.reprice_id.desc()).limit(1)
    return query.correlate(TRACES).scalar_subquery().label("repriced_usd")


def _select_hours(
    since: float | None, until: float | None, tags: Sequence[str], *, is_eval: bool | None, is_sqlite: bool
) -> sa.Select[*tuple[Any, ...]]:
    seconds = sa.cast(_T.started_at if is_sqlite else sa.func.floor(_T.started_at), sa.BigInteger)
    labels = (
        (seconds - seconds % HOUR_S).label("start"),
        *(_T[name] for name in ("endpoint_id", "route", "key_id", "task", "tier", "is_eval", "is_simulated")),
        *(_read_tag(name, is_sqlite=is_sqlite).label(f"tag_{number}") for number, name in enumerate(tags)),
        _T.input_uncached.is_(None).label("no_usage"),
    )
    failed = sa.cast(_T.status == TraceStatus.FAILED.value, sa.Integer).label("failed")
    buckets = [_T[name] for name in USAGE_BUCKETS]
    traces = sa.select(*labels, failed, _T.cost_usd, _repriced_cost(), *buckets).where(*_is_ended(since, until))
    if is_eval is not None:
        traces = traces.where(_T.is_eval == is_eval)
    found = traces.subquery().c
    effective = sa.func.coalesce(found.repriced_usd, found.cost_usd)
    repriced = sa.cast(found.repriced_usd.is_not(None), sa.Integer).label("repriced")
    cost = sa.cast(sa.func.round(effective * PICO_PER_USD), sa.BigInteger).label("cost")
    group = [found[label.name] for label in labels]
    tokens = (found[name] for name in USAGE_BUCKETS)
    part = sa.select(*group, effective.is_(None).label("no_cost"), found.failed, repriced, cost, *tokens).subquery()
    keys = list(part.c)[: len(group) + 1]
    amounts = [sa.func.sum(column) for column in list(part.c)[len(keys) :]]
    return sa.select(*keys, sa.func.count(), *amounts).group_by(*keys).order_by(*keys)


def _read_tag(name: str, *, is_sqlite: bool) -> sa.ColumnElement[str]:
    """The value of a tag in the record of the open."""
    if is_sqlite:
        return sa.func.json_extract(_T.open_json, f'$.tags."{name}"')
    # PostgreSQL refuses an escaped NUL as text; whatever stands in its place, it is one text for one value.
    clean = sa.func.replace(_T.open_json, "\\u0000", "\\ufffd")
    return sa.func.json_extract_path_text(sa.cast(clean, sa.JSON), "tags", name)


def _make_spend(row: Sequence[Any], num_tags: int) -> SpendRow:
    start, endpoint_id, route, key_id, task, tier, is_eval, is_simulated, *rest = row
    tags, (has_no_usage, has_no_cost, num_all, num_failed, num_repriced, cost, *tokens) = (
        rest[:num_tags],
        rest[num_tags:],
    )
    provider, slash, model = endpoint_id.partition("/")
    return SpendRow(
        started_at=int(start),
        provider=provider if slash else OWN_PROCESSOR,
        model=model if slash else endpoint_id,
        route=route or None,
        key=key_id or None,
        task=task,
        tags=tuple(tags),
        tier=tier,
        is_eval=bool(is_eval),
        is_simulated=bool(is_simulated),
        num_requests=num_all - int(num_failed),
        num_failed=int(num_failed),
        num_repriced=int(num_repriced),
        usage=None if has_no_usage else Usage(*(int(count or 0) for count in tokens)),
        cost_usd=None if has_no_cost else from_pico_usd(int(cost)),
    )


def _make_priced(row: Sequence[Any]) -> PricedRequest:
    trace_id, started_at, endpoint_id, tier, is_simulated, cost_usd, *tokens = row
    return PricedRequest(
        trace_id=trace_id,
        started_at=started_at,
        endpoint_id=endpoint_id,
        tier=tier,
        is_simulated=bool(is_simulated),
        usage=Usage(*(count or 0 for count in tokens)),
        cost_usd=cost_usd,
    )


def _is_ended(since: float | None, until: float | None) -> list[sa.ColumnElement[bool]]:
    found = [_T.open_json.is_not(None), _T.status != TraceStatus.OPEN.value]
    if since is not None:
        found.append(_T.started_at >= since)
    if until is not None:
        found.append(_T.started_at < until)
    return found
