"""The store: one database, a repository for each subject."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from inhouse.store.database import Database
from inhouse.store.evals import EvalRepository
from inhouse.store.invoices import InvoiceRepository
from inhouse.store.migrate import migrate
from inhouse.store.replicas import ReplicaRepository
from inhouse.store.responses import ResponseRepository
from inhouse.store.snapshots import SnapshotRepository
from inhouse.store.spend import SpendRepository
from inhouse.store.traces import TraceRepository
from inhouse.store.usage import UsageRepository


class Store:
    """An open database with its repositories. Synchronous and safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.traces = TraceRepository(database)
        self.replicas = ReplicaRepository(database)
        self.snapshots = SnapshotRepository(database)
        self.evals = EvalRepository(database)
        self.responses = ResponseRepository(database)
        self.usage = UsageRepository(database)
        self.spend = SpendRepository(database)
        self.invoices = InvoiceRepository(database)

    @property
    def label(self) -> str:
        """Its URL without password and options."""
        return self._database.label

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self._database.label})"


def open_store(url: str) -> Store:
    """Open the database at `url` and bring its schema up to date; any number of processes may do so at once.

    Args:
        url: `sqlite:///PATH` (a file; relative to the working directory) or `postgresql://USER:PASSWORD@HOST/DATABASE`.

    Raises:
        ConfigError: the URL is not one of those, or PostgreSQL's driver is not installed.
        StateError: the file cannot be opened, or a newer inhouse made the schema.
        StoreUnavailableError: the database does not answer.
    """
    database = Database(url)
    try:
        migrate(database)
        return Store(database)
    except BaseException:
        database.close()
        raise
