"""Imported usage in the store: added so that nothing counts twice, taken back by import, read by the hour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa

from inhouse.domain import USAGE_BUCKETS, StateError, UsageRecord, UsageRow
from inhouse.store.database import Database, Upsert, read_rows
from inhouse.store.tables import USAGE_IMPORTS, USAGE_RECORDS
from inhouse.store.usage_hours import list_imported_hours, list_trace_hours
from inhouse.store.usage_rows import ImportCounts, ImportRow, UsageImport

TRACES_SOURCE = "traces"
"""Source of the rows that our own requests make."""
EVALS_SOURCE = "evals"
"""Source of the rows that our own evaluations make."""

_BATCH = 5_000
# Written out, so that the statement has no parameters but the row's.
_ZERO = sa.literal_column("0", sa.BigInteger)
_MAX_IDS_PER_QUERY = 500
_T = USAGE_RECORDS.c
_I = USAGE_IMPORTS.c
_AMOUNTS = ("num_requests", *USAGE_BUCKETS)
_FIELDS = tuple(name for name in UsageRecord.__struct_fields__ if name not in {"source", "record_id"})


_TIER_AT = UsageRecord.__struct_fields__.index("tier")
_COLUMNS = tuple(column.name for column in USAGE_RECORDS.columns)


class UsageRepository:
    """The tables `usage_records` and `usage_imports`. Every method may raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upsert = _build_upsert(database)
        self._make_parameters = _make_tuple if database.is_sqlite else _make_mapping

    def add(self, records: Iterable[UsageRecord], describe: Callable[[], UsageImport]) -> ImportCounts:
        """Add the records of one file, all or none.

        A record that is there already counts once: with other figures it is replaced, unless the stored one has more
        requests and tokens. Added twice, a file changes nothing.

        Args:
            records: of one source; an error that reading them raises undoes everything.
            describe: asked when there are no more records, because only then the file is known whole.

        Raises:
            StateError: another import of this source covers the same time and is grouped by other labels or periods,
                so that usage would count twice.
        """
        with self._database.write() as connection:
            import_id = _open_import(connection)
            statement = str(self._upsert.compile(connection))
            num_before = _count_records(connection)
            num_given = num_changed = num_fuller = 0
            remaining = iter(records)
            while batch := list(islice(remaining, _BATCH)):
                changed = self._write(connection, statement, batch, import_id)
                if changed < len(batch):
                    num_fuller += _count_fuller(connection, batch)
                num_given, num_changed = num_given + len(batch), num_changed + changed
            num_new = _count_records(connection) - num_before
            about = describe()
            _refuse_overlap(connection, about)
            counts = ImportCounts(
                import_id=import_id if num_changed else None,
                num_new=num_new,
                num_replaced=num_changed - num_new,
                num_same=num_given - num_changed - num_fuller,
                num_fuller=num_fuller,
            )
            _close_import(connection, import_id, about, counts)
        return counts

    def _write(self, connection: sa.Connection, statement: str, batch: Sequence[UsageRecord], import_id: int) -> int:
        """Run the upsert for each record by the driver itself, which is three times as fast for so many."""
        rows = [self._make_parameters(record, import_id) for record in batch]
        options = {"preserve_rowcount": True}
        return connection.exec_driver_sql(statement, rows, execution_options=options).rowcount

    def hours(
        self, since: float | None = None, until: float | None = None, sources: Sequence[str] | None = None
    ) -> Iterator[UsageRow]:
        """Rows by hour (or day, where a source says no more) and labels, source after source, in order of time.

        Imported records, and our own requests as source `traces`, evaluations as `evals`: there the route is the
        project, and a deployment's provider is `own`. Simulated rows carry their flag. Sums are exact.

        Args:
            since: Unix seconds; periods that begin then or later. None: no limit.
            until: Unix seconds; periods that begin before. None: no limit.
            sources: only these; None for all, which may hold the same traffic twice where it was exported twice.
        """
        with self._database.read() as connection:
            yield from list_imported_hours(connection, since, until, sources)
            for source, is_eval in ((TRACES_SOURCE, False), (EVALS_SOURCE, True)):
                if sources is None or source in sources:
                    yield from list_trace_hours(connection, since, until, source=source, is_eval=is_eval)

    def imports(self) -> list[ImportRow]:
        """Every import that changed something, newest first."""
        with self._database.read() as connection:
            rows = read_rows(connection, sa.select(USAGE_IMPORTS).order_by(_I.import_id.desc()))
        return [msgspec.convert(row, ImportRow) for row in rows]

    def remove(self, import_id: int) -> int | None:
        """Take an import back; returns how many records went, None where there is no such import.

        A record that several files held belongs to the one that brought its present figures, and goes with it.
        """
        with self._database.write() as connection:
            num_records = connection.execute(sa.delete(USAGE_RECORDS).where(_T.import_id == import_id)).rowcount
            num_imports = connection.execute(sa.delete(USAGE_IMPORTS).where(_I.import_id == import_id)).rowcount
        return num_records if num_imports else None


def _build_upsert(database: Database) -> Upsert:
    insert = database.upsert(USAGE_RECORDS)
    excluded = insert.excluded
    is_other = sa.or_(*(_T[name].is_distinct_from(excluded[name]) for name in _FIELDS))
    return insert.values(dict.fromkeys(_COLUMNS)).on_conflict_do_update(
        index_elements=[_T.source, _T.record_id],
        set_={name: excluded[name] for name in (*_FIELDS, "import_id")},
        where=sa.and_(is_other, _fullness(excluded) >= _fullness(_T)),
    )


def _fullness(columns: sa.ColumnCollection[str, sa.ColumnElement[int]]) -> sa.ColumnElement[int]:
    """Requests and tokens together: grows while a period goes on."""
    total = sa.func.coalesce(columns[_AMOUNTS[0]], _ZERO)
    for name in _AMOUNTS[1:]:
        total += sa.func.coalesce(columns[name], _ZERO)
    return total


def _make_tuple(record: UsageRecord, import_id: int) -> tuple[Any, ...]:
    values = msgspec.structs.astuple(record)
    return (*values[:_TIER_AT], record.tier.value, *values[_TIER_AT + 1 :], import_id)


def _make_mapping(record: UsageRecord, import_id: int) -> dict[str, Any]:
    return dict(zip(_COLUMNS, _make_tuple(record, import_id), strict=True))


def _count_records(connection: sa.Connection) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(USAGE_RECORDS)).scalar_one()


def _count_fuller(connection: sa.Connection, batch: Sequence[UsageRecord]) -> int:
    """How many of these stand in the table with more than they say themselves."""
    given = {record.record_id: _sum_amounts(record) for record in batch}
    ids, num_fuller = list(given), 0
    for start in range(0, len(ids), _MAX_IDS_PER_QUERY):
        part = ids[start : start + _MAX_IDS_PER_QUERY]
        query = sa.select(_T.record_id, _fullness(_T)).where(_T.source == batch[0].source, _T.record_id.in_(part))
        num_fuller += sum(fullness > given[record_id] for record_id, fullness in connection.execute(query))
    return num_fuller


def _sum_amounts(record: UsageRecord) -> int:
    return (record.num_requests or 0) + sum(record.buckets)


def _open_import(connection: sa.Connection) -> int:
    """A row to hang records on; filled when the file has been read."""
    empty = {"source": "", "file": "", "sha256": "", "account": "", "grouped_by": "", "imported_at": 0.0}
    counts = dict.fromkeys(("num_new", "num_replaced", "num_same", "num_fuller"), 0)
    made = connection.execute(sa.insert(USAGE_IMPORTS).values(**empty, **counts).returning(_I.import_id))
    return made.scalar_one()


def _close_import(connection: sa.Connection, import_id: int, about: UsageImport, counts: ImportCounts) -> None:
    if counts.import_id is None:
        connection.execute(sa.delete(USAGE_IMPORTS).where(_I.import_id == import_id))
        return
    values = msgspec.structs.asdict(about) | msgspec.structs.asdict(counts)
    connection.execute(sa.update(USAGE_IMPORTS).where(_I.import_id == import_id).values(values))


def _refuse_overlap(connection: sa.Connection, about: UsageImport) -> None:
    if not about.grouped_by or about.since is None:
        return
    query = sa.select(_I.import_id, _I.file, _I.grouped_by).where(
        _I.source == about.source,
        _I.account == about.account,
        _I.grouped_by != about.grouped_by,
        _I.grouped_by != "",
        _I.since < about.until,
        _I.until > about.since,
    )
    found = connection.execute(query).first()
    if found is not None:
        raise StateError(
            f"Import {found.import_id} ({found.file}) covers the same time by {found.grouped_by}; {about.file} is by "
            f"{about.grouped_by}. Both together would count usage twice.",
            fix=f"`inhouse import remove {found.import_id}` first, or `--account NAME` where they are two "
            "organisations.",
        )
