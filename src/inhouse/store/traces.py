"""Traces in the store: shipping from a spool, closing what a dead gateway left open, reading back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from inhouse.domain import USAGE_BUCKETS, Signals, Trace, TraceClose, TraceOpen, TraceStatus, Usage
from inhouse.store.database import Database, Upsert, clean_text, execute_rows
from inhouse.store.rows import GATEWAY_LOST, ShipResult, SpoolCursor, TraceSummary
from inhouse.store.summary import summarize_rows
from inhouse.store.tables import SPOOL_CURSORS, TRACE_CONTENT, TRACES

# SQLite and PostgreSQL both take more, but a statement of this size is parsed quickly.
_MAX_IDS_PER_QUERY = 500
_MAX_INT64 = 2**63 - 1

# In both records; the close wins.
_SHARED_COLUMNS = ("variant", "endpoint_id", "replica_id", "variant_digest", "endpoint_digest", "is_simulated")


class TraceRepository:
    """The `traces` table and its side tables. Every method is one transaction, and may raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upsert_open = _build_open_upsert(database)
        self._upsert_close = _build_close_upsert(database)
        self._upsert_content = database.upsert(TRACE_CONTENT).on_conflict_do_nothing()
        self._upsert_cursor = _build_cursor_upsert(database)

    def ship(self, batch: Sequence[TraceOpen | TraceClose], *, cursor: SpoolCursor) -> ShipResult:
        """Store records and the cursor after them, together or not at all.

        Given again, in part or whole, records change nothing; a close may arrive before its open. The cursor never
        goes back.
        """
        opens = [record for record in batch if isinstance(record, TraceOpen)]
        closes = [record for record in batch if isinstance(record, TraceClose)]
        with self._database.write() as connection:
            num_applied = execute_rows(connection, self._upsert_open, [_open_row(record) for record in opens])
            num_applied += self._apply_closes(connection, closes, is_lost=False)
            connection.execute(self._upsert_cursor, {"file": cursor.file, "offset_bytes": cursor.offset})
        return ShipResult(num_records=len(batch), num_applied=num_applied)

    def abort_writer(self, writer: str, *, now: float) -> int:
        """Close every open request of a dead writer as `aborted`, code `gateway_lost`; returns how many.

        Call it when all that the writer spooled is shipped. A close of the writer's own that arrives later after all
        replaces the one made here. `now` (Unix seconds) becomes `ended_at`; when the request really ended is unknown,
        so the table has no E2E time and no HTTP status for it.
        """
        query = sa.select(TRACES.c.open_json).where(TRACES.c.writer == writer, TRACES.c.status == TraceStatus.OPEN)
        with self._database.write() as connection:
            opens = [_OPEN_DECODER.decode(text) for text in connection.scalars(query)]
            return self._apply_closes(connection, [_make_lost(record, now) for record in opens], is_lost=True)

    def get(self, trace_id: str) -> Trace | None:
        """One trace with its captured content; None where its open has not arrived."""
        return self.find([trace_id]).get(trace_id)

    def find(self, ids: Iterable[str]) -> dict[str, Trace]:
        """Traces by id; ids that are not there are left out."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Trace] = {}
        with self._database.read() as connection:
            for start in range(0, len(wanted), _MAX_IDS_PER_QUERY):
                part = wanted[start : start + _MAX_IDS_PER_QUERY]
                query = _select_traces().where(TRACES.c.trace_id.in_(part))
                found.update((trace.open.trace_id, trace) for trace in map(_read_trace, connection.execute(query)))
        return found

    def list(
        self,
        limit: int,
        *,
        route: str | None = None,
        status: TraceStatus | None = None,
        since: float | None = None,
        is_eval: bool | None = None,
    ) -> list[Trace]:
        """Up to `limit` traces, newest first. `since` is in Unix seconds; None asks for all."""
        query = _select_traces().where(TRACES.c.open_json.is_not(None))
        if route is not None:
            query = query.where(TRACES.c.route == route)
        if status is not None:
            query = query.where(TRACES.c.status == status)
        if since is not None:
            query = query.where(TRACES.c.started_at >= since)
        if is_eval is not None:
            query = query.where(TRACES.c.is_eval == is_eval)
        query = query.order_by(TRACES.c.started_at.desc(), TRACES.c.trace_id.desc()).limit(limit)
        with self._database.read() as connection:
            return [_read_trace(row) for row in connection.execute(query)]

    def summarize(self, since: float, *, is_eval: bool = False, by_task: bool = True) -> TraceSummary:
        """Counts, quantiles, tokens and money per (route, task, variant, endpoint, simulated) since a Unix second.

        With `by_task` False the tasks of a group are one row with task None: quantiles of parts cannot be added up.

        Reads each trace of the period once: about 5 µs for each.
        """
        with self._database.read() as connection:
            return summarize_rows(connection, since, is_eval=is_eval, by_task=by_task)

    def cursors(self) -> dict[str, SpoolCursor]:
        """Every spool file's cursor by file name."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(SPOOL_CURSORS.c.file, SPOOL_CURSORS.c.offset_bytes))
            return {file: SpoolCursor(file, offset) for file, offset in rows}

    def drop_cursors(self, files: Iterable[str]) -> int:
        """Forget the cursors of files that were shipped whole and removed; returns how many there were."""
        with self._database.write() as connection:
            return connection.execute(sa.delete(SPOOL_CURSORS).where(SPOOL_CURSORS.c.file.in_(list(files)))).rowcount

    def _apply_closes(self, connection: sa.Connection, closes: Sequence[TraceClose], *, is_lost: bool) -> int:
        """Upsert closes, then the content of those that carry some."""
        rows = [_close_row(record, is_lost=is_lost) for record in closes]
        contents = [
            {"trace_id": record.trace_id, "content_json": _encode(record.content)}
            for record in closes
            if record.content is not None
        ]
        num_applied = execute_rows(connection, self._upsert_close, rows)
        execute_rows(connection, self._upsert_content, contents)
        return num_applied


_OPEN_DECODER = msgspec.json.Decoder(TraceOpen)
_CLOSE_DECODER = msgspec.json.Decoder(TraceClose)
_SIGNALS_DECODER = msgspec.json.Decoder(Signals)
_CONTENT_DECODER = msgspec.json.Decoder(dict[str, str])
_ENCODER = msgspec.json.Encoder()


def _build_open_upsert(database: Database) -> Upsert:
    """The first open counts; where the close came earlier, what both carry stays the close's."""
    insert = database.upsert(TRACES)
    excluded, stored = insert.excluded, TRACES.c
    only_open = ("started_at", "route", "key_id", "team", "task", "user", "is_stream", "is_eval", "snapshot_version")
    changes: dict[str, Any] = {name: excluded[name] for name in (*only_open, "open_json")}
    for name in _SHARED_COLUMNS:
        changes[name] = sa.case((stored.close_json.is_(None), excluded[name]), else_=stored[name])
    return insert.on_conflict_do_update(
        index_elements=[TRACES.c.trace_id], set_=changes, where=stored.open_json.is_(None)
    )


def _build_close_upsert(database: Database) -> Upsert:
    """The first close counts, except that a gateway's own close replaces one made for a lost gateway."""
    insert = database.upsert(TRACES)
    excluded, stored = insert.excluded, TRACES.c
    changes = {name: excluded[name] for name in _close_columns()}
    may_apply = sa.or_(stored.close_json.is_(None), sa.and_(stored.is_lost, sa.not_(excluded["is_lost"])))
    return insert.on_conflict_do_update(index_elements=[TRACES.c.trace_id], set_=changes, where=may_apply)


def _build_cursor_upsert(database: Database) -> Upsert:
    insert = database.upsert(SPOOL_CURSORS)
    return insert.on_conflict_do_update(
        index_elements=[SPOOL_CURSORS.c.file],
        set_={"offset_bytes": insert.excluded["offset_bytes"]},
        where=insert.excluded["offset_bytes"] > SPOOL_CURSORS.c.offset_bytes,
    )


def _open_row(record: TraceOpen) -> dict[str, Any]:
    return {
        "trace_id": record.trace_id,
        "writer": record.writer,
        "status": TraceStatus.OPEN.value,
        "started_at": record.started_at,
        "route": clean_text(record.route),
        "key_id": clean_text(record.key_id),
        "team": clean_text(record.team),
        "task": clean_text(record.task),
        "user": clean_text(record.user),
        "is_stream": record.is_stream,
        "is_eval": record.is_eval,
        "snapshot_version": record.snapshot_version,
        **_shared_row(record),
        "is_lost": False,
        "open_json": _encode(record),
    }


def _close_row(record: TraceClose, *, is_lost: bool) -> dict[str, Any]:
    """A row of the columns that a close fills."""
    return {
        "trace_id": record.trace_id,
        "writer": record.writer,
        "status": record.status.value,
        **_shared_row(record),
        "ended_at": record.ended_at,
        "http_status": None if is_lost else record.http_status,
        "error_code": clean_text(record.error_code),
        "finish_reason": clean_text(record.finish_reason),
        "reported_model": clean_text(record.reported_model),
        **_usage_row(record.usage),
        "usage_basis": record.usage_basis.value,
        "tier": clean_text(record.tier),
        "cost_usd": record.cost_usd,
        "price_id": record.price_id,
        "ttft_ms": record.ttft_ms,
        "tpot_ms": record.tpot_ms,
        "e2e_ms": None if is_lost else record.e2e_ms,
        "overhead_ms": record.overhead_ms,
        "is_lost": is_lost,
        "close_json": _encode(_strip(record)),
        "signals_json": None if record.signals is None else _encode(record.signals),
    }


def _usage_row(usage: Usage | None) -> dict[str, int | None]:
    """A column for each bucket, all null where the usage is unknown."""
    if usage is None:
        return dict.fromkeys(USAGE_BUCKETS)
    return {bucket: min(getattr(usage, bucket), _MAX_INT64) for bucket in USAGE_BUCKETS}


def _strip(record: TraceClose) -> TraceClose:
    """The record without what is stored apart from it."""
    if record.content is None and record.signals is None:
        return record
    return msgspec.structs.replace(record, content=None, signals=None)


def _shared_row(record: TraceOpen | TraceClose) -> dict[str, Any]:
    return {
        "variant": record.variant,
        "endpoint_id": record.endpoint_id,
        "replica_id": record.replica_id,
        "variant_digest": record.variant_digest,
        "endpoint_digest": record.endpoint_digest,
        "is_simulated": record.is_simulated,
    }


def _close_columns() -> list[str]:
    """Columns that a close sets on a row that is there already."""
    sample = TraceClose(
        trace_id="",
        writer="",
        ended_at=0,
        status=TraceStatus.COMPLETE,
        http_status=0,
        variant="",
        endpoint_id="",
        replica_id="",
        e2e_ms=0,
    )
    return [name for name in _close_row(sample, is_lost=False) if name not in {"trace_id", "writer"}]


def _make_lost(record: TraceOpen, now: float) -> TraceClose:
    """The close of a request whose gateway died: E2E is how long ago it began, an upper bound."""
    return TraceClose(
        trace_id=record.trace_id,
        writer=record.writer,
        ended_at=now,
        status=TraceStatus.ABORTED,
        http_status=0,
        variant=record.variant,
        endpoint_id=record.endpoint_id,
        replica_id=record.replica_id,
        variant_digest=record.variant_digest,
        endpoint_digest=record.endpoint_digest,
        is_simulated=record.is_simulated,
        error_code=GATEWAY_LOST,
        e2e_ms=max(0.0, (now - record.started_at) * 1000),
    )


def _select_traces() -> sa.Select[Any, Any, Any, Any]:
    return (
        sa.select(TRACES.c.open_json, TRACES.c.close_json, TRACES.c.signals_json, TRACE_CONTENT.c.content_json)
        .select_from(TRACES.outerjoin(TRACE_CONTENT))
        .where(TRACES.c.open_json.is_not(None))
    )


def _read_trace(row: Any) -> Trace:
    open_json, close_json, signals_json, content_json = row
    close = None if close_json is None else _CLOSE_DECODER.decode(close_json)
    if close is not None and signals_json is not None:
        close = msgspec.structs.replace(close, signals=_SIGNALS_DECODER.decode(signals_json))
    if close is not None and content_json is not None:
        close = msgspec.structs.replace(close, content=_CONTENT_DECODER.decode(content_json))
    return Trace(open=_OPEN_DECODER.decode(open_json), close=close)


def _encode(value: object) -> str:
    return _ENCODER.encode(value).decode()
