"""Brings the schema to what this code needs, once, however many processes start together. Holds no table."""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from inhouse.domain import StateError
from inhouse.store.database import Database

_FOLDER = Path(__file__).parent / "migrations"
# Any constant that no other program in the same database is likely to use ("inhouse" in ASCII).
_POSTGRES_LOCK_ID = 0x69_6E_68_6F_75_73_65
# Alembic keeps the running environment in module state.
_ONE_AT_A_TIME = threading.Lock()


def migrate(database: Database) -> None:
    """Make or upgrade the schema.

    Waits while another process does the same; PostgreSQL by an advisory lock, SQLite by its write lock. Either all of
    an upgrade is done or none of it.

    Raises:
        StateError: the schema was made by a newer inhouse.
        StoreUnavailableError: the database does not answer.
    """
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with database.read() as connection:
        if _is_current(connection, scripts, database.label):
            return
    with _ONE_AT_A_TIME, database.write() as connection:
        if not database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK_ID)))
        if not _is_current(connection, scripts, database.label):
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_current(connection: sa.Connection, scripts: ScriptDirectory, label: str) -> bool:
    revision = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if revision is not None and revision not in known:
        raise StateError(
            f"The store {label} has schema {revision}, and this inhouse knows {scripts.get_current_head()}.",
            fix="start the newer inhouse that upgraded it, or point `store:` at another database.",
        )
    return revision == scripts.get_current_head()
