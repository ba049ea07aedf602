"""What providers charged: added so that nothing counts twice, taken back by import, read by time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from inhouse.domain import StateError, from_pico_usd, to_pico_usd
from inhouse.store.database import Database, Upsert, execute_rows, read_rows
from inhouse.store.spend_rows import InvoiceCounts, InvoiceFile, InvoiceImport, InvoiceLine
from inhouse.store.tables import INVOICE_IMPORTS, INVOICES

_L = INVOICES.c
_I = INVOICE_IMPORTS.c
_KEYS = ("provider", "line_id")


class InvoiceRepository:
    """The tables `invoices` and `invoice_imports`. Every method may raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upsert = _build_upsert(database)

    def add(self, lines: Sequence[InvoiceLine], about: InvoiceFile) -> InvoiceCounts:
        """Add the charges of one file, all or none. Added twice, a file changes nothing.

        A charge that is there with another amount is replaced.

        Raises:
            StateError: another import of this provider and account covers the same time in another form, so that
                charges would count twice.
        """
        empty = {"num_new": 0, "num_replaced": 0, "num_same": 0}
        with self._database.write() as connection:
            _refuse_overlap(connection, about)
            values = msgspec.structs.asdict(about) | empty
            made = connection.execute(sa.insert(INVOICE_IMPORTS).values(values).returning(_I.import_id))
            import_id: int = made.scalar_one()
            num_before = _count(connection)
            num_changed = execute_rows(connection, self._upsert, [_make_row(line, import_id) for line in lines])
            num_new = _count(connection) - num_before
            counts = InvoiceCounts(
                import_id=import_id if num_changed else None,
                num_new=num_new,
                num_replaced=num_changed - num_new,
                num_same=len(lines) - num_changed,
            )
            is_this = _I.import_id == import_id
            if counts.import_id is None:
                connection.execute(sa.delete(INVOICE_IMPORTS).where(is_this))
            else:
                connection.execute(sa.update(INVOICE_IMPORTS).where(is_this).values(msgspec.structs.asdict(counts)))
        return counts

    def lines(
        self, since: int | None = None, until: int | None = None, provider: str | None = None
    ) -> list[InvoiceLine]:
        """Charges whose period begins at or after Unix second `since` and before `until`, in order of time."""
        query = sa.select(INVOICES).order_by(_L.provider, _L.started_at, _L.line_id)
        if since is not None:
            query = query.where(_L.started_at >= since)
        if until is not None:
            query = query.where(_L.started_at < until)
        if provider is not None:
            query = query.where(_L.provider == provider)
        with self._database.read() as connection:
            return [_read_line(row) for row in read_rows(connection, query)]

    def imports(self) -> list[InvoiceImport]:
        """Every import that changed something, newest first."""
        with self._database.read() as connection:
            rows = read_rows(connection, sa.select(INVOICE_IMPORTS).order_by(_I.import_id.desc()))
        return [msgspec.convert(row, InvoiceImport) for row in rows]

    def remove(self, import_id: int) -> int | None:
        """Take an import back; returns how many charges went, None where there is no such import.

        A charge that several files held belongs to the one that brought its present amount, and goes with it.
        """
        with self._database.write() as connection:
            num_lines = connection.execute(sa.delete(INVOICES).where(_L.import_id == import_id)).rowcount
            num_imports = connection.execute(sa.delete(INVOICE_IMPORTS).where(_I.import_id == import_id)).rowcount
        return num_lines if num_imports else None


def _build_upsert(database: Database) -> Upsert:
    insert = database.upsert(INVOICES)
    excluded = insert.excluded
    compared = [column.name for column in INVOICES.c if column.name not in {*_KEYS, "import_id"}]
    return insert.on_conflict_do_update(
        index_elements=[_L.provider, _L.line_id],
        set_={name: excluded[name] for name in (*compared, "import_id")},
        where=sa.or_(*(_L[name].is_distinct_from(excluded[name]) for name in compared)),
    )


def _make_row(line: InvoiceLine, import_id: int) -> dict[str, Any]:
    values = msgspec.structs.asdict(line)
    values["amount_pico"] = to_pico_usd(values.pop("amount"))
    return values | {"import_id": import_id}


def _read_line(row: dict[str, Any]) -> InvoiceLine:
    amount = from_pico_usd(row.pop("amount_pico"))
    row.pop("import_id")
    return InvoiceLine(**row, amount=amount)


def _count(connection: sa.Connection) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(INVOICES)).scalar_one()


def _refuse_overlap(connection: sa.Connection, about: InvoiceFile) -> None:
    query = sa.select(_I.import_id, _I.file, _I.grouped_by).where(
        _I.provider == about.provider,
        _I.account == about.account,
        _I.grouped_by != about.grouped_by,
        _I.since < about.until,
        _I.until > about.since,
    )
    found = connection.execute(query).first()
    if found is not None:
        raise StateError(
            f"Invoice {found.import_id} ({found.file}) covers the same time as {found.grouped_by}; {about.file} is "
            f"{about.grouped_by}. Both together would count charges twice.",
            fix=f"`inhouse import invoice --remove {found.import_id}` first, or `--account NAME` where they are two "
            "accounts.",
        )
