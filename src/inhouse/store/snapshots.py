"""Compiled snapshots by version."""

from __future__ import annotations

import sqlalchemy as sa

from inhouse.domain import StateError
from inhouse.store.database import Database
from inhouse.store.rows import SnapshotRow
from inhouse.store.tables import SNAPSHOTS


class SnapshotRepository:
    """The `snapshots` table: rows are added, never changed. May raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.upsert(SNAPSHOTS).on_conflict_do_nothing()

    def put(self, version: int, payload: bytes, created_at: float) -> None:
        """Add a snapshot; the same again changes nothing.

        Raises:
            StateError: the version is there with another payload (two control processes at once).
        """
        query = sa.select(SNAPSHOTS.c.payload).where(SNAPSHOTS.c.version == version)
        with self._database.write() as connection:
            connection.execute(self._insert, {"version": version, "payload": payload, "created_at": created_at})
            if connection.scalars(query).one() != payload:
                raise StateError(
                    f"Snapshot {version} is stored with another content.", fix="run one control process per store."
                )

    def latest(self) -> SnapshotRow | None:
        """The snapshot of the highest version; None where there is none yet."""
        query = sa.select(SNAPSHOTS).order_by(SNAPSHOTS.c.version.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else SnapshotRow(version=row[0], payload=row[1], created_at=row[2])
