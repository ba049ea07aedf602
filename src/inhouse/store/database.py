"""Connections: URL to engine, SQLite's pragmas, transactions, driver errors in our words. Knows no table."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, InterfaceError, OperationalError

from inhouse.domain import ConfigError, StateError

_SQLITE_BUSY_TIMEOUT_S = 10
_SWITCH_PAUSE_S = 0.01
_POSTGRES_CONNECT_TIMEOUT_S = 5
_URL_FIX = "write `sqlite:///PATH/inhouse.db` or `postgresql://USER:PASSWORD@HOST/DATABASE`."

Upsert = sqlite.Insert | postgresql.Insert


class StoreUnavailableError(StateError):
    """The database does not answer, or a lock on it could not be had. Trying again later may succeed."""


class Database:
    """One engine and its two kinds of transaction.

    A writing transaction on SQLite takes the write lock at its start (`BEGIN IMMEDIATE`): one that reads first and
    writes later would fail at once, without waiting, when another writes in between.
    """

    def __init__(self, url: str) -> None:
        self._url = _parse_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._reader = _make_sqlite(self._url) if self.is_sqlite else _make_postgres(self._url)
        self._writer = self._reader.execution_options(is_writer=True)

    @property
    def label(self) -> str:
        """The URL without its password and options."""
        return self._url.set(query={}).render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A transaction that only reads.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        with self._translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """A transaction that writes; committed at the end, undone by any error.

        Raises:
            StoreUnavailableError: the database does not answer, or its write lock is held for too long.
            StateError: a row breaks a rule of the schema.
        """
        with self._translated(), self._writer.begin() as connection:
            yield connection

    def upsert(self, table: sa.Table) -> Upsert:
        """An INSERT of this dialect that knows ON CONFLICT."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            raise StoreUnavailableError(
                f"The store {self.label} does not answer: {self._hide(error.orig)}.",
                fix="start the database, or mend `store:` in the file; what is spooled is kept meanwhile.",
            ) from None
        except IntegrityError as error:
            raise StateError(
                f"The store {self.label} refuses a row: {self._hide(error.orig)}.",
                fix="write the row that it refers to first, and use an id only once.",
            ) from None
        except DatabaseError as error:
            if type(error) is not DatabaseError:
                raise
            raise StateError(
                f"The store {self.label} cannot be read: {self._hide(error.orig)}.",
                fix="point `store:` at a file that inhouse made, or put a backup back in its place.",
            ) from None

    def _hide(self, error: BaseException | None) -> str:
        """The driver's words on one line, without any password of the URL."""
        words = " ".join(str(error).split()).rstrip(".")
        options = (str(value) for name, value in self._url.query.items() if "password" in name)
        for secret in (self._url.password, *options):
            words = words.replace(secret, "***") if secret else words
        return words


def execute_rows(connection: sa.Connection, statement: Upsert, rows: Sequence[dict[str, Any]]) -> int:
    """Run one statement for every row; returns how many rows were changed."""
    if not rows:
        return 0
    return connection.execute(statement, rows, execution_options={"preserve_rowcount": True}).rowcount


def read_rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """Rows as dictionaries. SQLAlchemy's own keys are a subclass of str, which msgspec takes for no str."""
    result = connection.execute(query)
    names = [str.__str__(column.name) for column in query.selected_columns]
    return [dict(zip(names, row, strict=True)) for row in result]


def clean_text(value: str | None) -> str | None:
    """Replace NUL, which PostgreSQL refuses in text, by the replacement character."""
    return value.replace("\x00", "\ufffd") if value is not None and "\x00" in value else value


def _parse_url(text: str) -> sa.URL:
    """Read the URL and pick the driver. The text never reaches an error, because it may hold a password."""
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError("`store` is not a database URL.", fix=_URL_FIX) from None
    if url.drivername == "sqlite":
        if url.database in {None, "", ":memory:"}:
            raise ConfigError("`store` names no file, and several processes share it.", fix=_URL_FIX)
        return url
    if url.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ConfigError(f"`store` asks for {url.drivername}, which is not supported.", fix=_URL_FIX)
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigError("`store` is a PostgreSQL, and its driver is missing.", fix="pip install 'inhouse[postgres]'")
    return url.set(drivername="postgresql+psycopg")


def _make_sqlite(url: sa.URL) -> sa.Engine:
    path = Path(str(url.database))
    try:
        # Made here, so that only its owner can read it; SQLite gives its side files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StateError(
            f"The store {path} cannot be opened: {error.strerror}.", fix="make its folder, or mend its permissions."
        ) from None
    engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": _SQLITE_BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_postgres(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={"connect_timeout": _POSTGRES_CONNECT_TIMEOUT_S},
    )


def _set_pragmas(connection: Any, _record: object) -> None:
    """Settings of one SQLite connection. `isolation_level` None leaves BEGIN to `_begin_sqlite`."""
    connection.isolation_level = None
    with closing(connection.cursor()) as cursor:
        _switch_to_wal(cursor)
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Switch a new file to write-ahead logging; where it is switched already, this changes nothing.

    SQLite does not wait here by itself: two processes that open a new file at once would upgrade their locks against
    each other, so it tells one of them at once that the file is locked.
    """
    give_up_at = time.monotonic() + _SQLITE_BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(_SWITCH_PAUSE_S)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    is_writer = connection.get_execution_options().get("is_writer", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")
