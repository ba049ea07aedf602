"""What the host agents say about their replicas."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from inhouse.domain import DigestField
from inhouse.store.database import Database, clean_text, read_rows
from inhouse.store.rows import ReplicaRow
from inhouse.store.tables import REPLICAS


class ReplicaRepository:
    """The `replicas` table. Every method is one transaction, and may raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = database.upsert(REPLICAS)
        changes = {column.name: insert.excluded[column.name] for column in REPLICAS.c if not column.primary_key}
        self._upsert = insert.on_conflict_do_update(index_elements=[REPLICAS.c.replica_id], set_=changes)

    def put(self, row: ReplicaRow) -> None:
        """Write what is known of a replica, in place of what was."""
        values = msgspec.structs.asdict(row)
        values["state"] = row.state.value
        values["detail"] = clean_text(row.detail)
        values["digest_fields_json"] = msgspec.json.encode(values.pop("digest_fields")).decode()
        with self._database.write() as connection:
            connection.execute(self._upsert, values)

    def list(self) -> list[ReplicaRow]:
        """All replicas by deployment and id."""
        query = sa.select(REPLICAS).order_by(REPLICAS.c.deployment, REPLICAS.c.replica_id)
        with self._database.read() as connection:
            return [_read_row(row) for row in read_rows(connection, query)]

    def drop(self, replica_id: str) -> None:
        """Forget a replica; one that is not there is no error."""
        with self._database.write() as connection:
            connection.execute(sa.delete(REPLICAS).where(REPLICAS.c.replica_id == replica_id))


def _read_row(values: dict[str, Any]) -> ReplicaRow:
    fields = msgspec.json.decode(values.pop("digest_fields_json"), type=tuple[DigestField, ...])
    return msgspec.convert({**values, "digest_fields": fields}, ReplicaRow)
