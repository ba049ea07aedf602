"""Evaluation runs, what was answered, how it was scored. Judging is not done here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects import postgresql

from inhouse.domain import StateError
from inhouse.store.database import Database, Upsert, clean_text, execute_rows, read_rows
from inhouse.store.rows import EvalOutputRow, EvalRunRow, EvalRunStatus, EvalScoreRow
from inhouse.store.tables import EVAL_OUTPUTS, EVAL_RUNS, EVAL_SCORES

_Row = TypeVar("_Row", bound=Struct)


class EvalRepository:
    """The `eval_*` tables. Every method is one transaction, and may raise StoreUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._upsert_output = _build_upsert(database, EVAL_OUTPUTS)
        self._upsert_score = _build_upsert(database, EVAL_SCORES)
        self._config_without_suite = _select_config_without_suite(database)

    def create_run(self, row: EvalRunRow) -> None:
        """Add a run.

        Raises:
            StateError: its id is taken.
        """
        values = msgspec.structs.asdict(row)
        values["status"] = row.status.value
        values["config_json"] = _encode(values.pop("config"))
        values["summary_json"] = _encode(values.pop("summary"))
        with self._database.write() as connection:
            connection.execute(sa.insert(EVAL_RUNS), _clean(values))

    def finish_run(
        self,
        run_id: str,
        status: EvalRunStatus,
        finished_at: float,
        summary: dict[str, Any] | None,
        *,
        endpoint_digest: str | None = None,
        is_simulated: bool = False,
    ) -> None:
        """Write how a run ended, and what was learnt of its endpoint on the way (None and False change nothing).

        Raises:
            StateError: there is no such run.
        """
        changes: dict[str, Any] = {
            "status": status.value,
            "finished_at": finished_at,
            "summary_json": _encode(summary),
        }
        if endpoint_digest is not None:
            changes["endpoint_digest"] = endpoint_digest
        if is_simulated:
            changes["is_simulated"] = True
        with self._database.write() as connection:
            done = connection.execute(sa.update(EVAL_RUNS).where(EVAL_RUNS.c.run_id == run_id).values(changes))
            if done.rowcount != 1:
                raise StateError(f"There is no evaluation run {run_id}.", fix="create the run before finishing it.")

    def put_outputs(self, rows: Sequence[EvalOutputRow]) -> None:
        """Write outputs; one that is there already is replaced.

        Raises:
            StateError: a row's run does not exist.
        """
        self._put(self._upsert_output, rows)

    def put_scores(self, rows: Sequence[EvalScoreRow]) -> None:
        """Write scores; one that is there already is replaced.

        Raises:
            StateError: a row's run does not exist.
        """
        self._put(self._upsert_score, rows)

    def get_run(self, run_id: str) -> EvalRunRow | None:
        """One run; None where there is none."""
        with self._database.read() as connection:
            rows = read_rows(connection, sa.select(EVAL_RUNS).where(EVAL_RUNS.c.run_id == run_id))
        return _read_run(rows[0]) if rows else None

    def list_runs(
        self, *, suite: str | None = None, endpoint_id: str | None = None, limit: int = 100
    ) -> list[EvalRunRow]:
        """Up to `limit` runs, newest first, their `config` without the whole suite in it, which `get_run` reads."""
        columns = [column for column in EVAL_RUNS.c if column is not EVAL_RUNS.c.config_json]
        query = (
            sa.select(*columns, self._config_without_suite)
            .order_by(EVAL_RUNS.c.started_at.desc(), EVAL_RUNS.c.run_id.desc())
            .limit(limit)
        )
        if suite is not None:
            query = query.where(EVAL_RUNS.c.suite == suite)
        if endpoint_id is not None:
            query = query.where(EVAL_RUNS.c.endpoint_id == endpoint_id)
        with self._database.read() as connection:
            return [_read_run(row) for row in read_rows(connection, query)]

    def outputs(self, run_id: str) -> list[EvalOutputRow]:
        """A run's outputs by sample and epoch."""
        return self._read_all(EVAL_OUTPUTS, run_id, EvalOutputRow)

    def scores(self, run_id: str) -> list[EvalScoreRow]:
        """A run's scores by sample, epoch and scorer."""
        return self._read_all(EVAL_SCORES, run_id, EvalScoreRow)

    def _put(self, statement: Upsert, rows: Sequence[Struct]) -> None:
        with self._database.write() as connection:
            execute_rows(connection, statement, [_clean(msgspec.structs.asdict(row)) for row in rows])

    def _read_all(self, table: sa.Table, run_id: str, kind: type[_Row]) -> list[_Row]:
        query = sa.select(table).where(table.c.run_id == run_id).order_by(*table.primary_key.columns)
        with self._database.read() as connection:
            return [msgspec.convert(row, kind) for row in read_rows(connection, query)]


def _build_upsert(database: Database, table: sa.Table) -> Upsert:
    insert = database.upsert(table)
    changes = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changes)


def _read_run(values: dict[str, Any]) -> EvalRunRow:
    config = msgspec.json.decode(values.pop("config_json"))
    summary = values.pop("summary_json")
    return msgspec.convert(
        {**values, "config": config, "summary": None if summary is None else msgspec.json.decode(summary)}, EvalRunRow
    )


def _select_config_without_suite(database: Database) -> sa.Label[str]:
    """The `config_json` column with the suite taken out by the database, so that a list carries no samples."""
    column = EVAL_RUNS.c.config_json
    if database.is_sqlite:
        return sa.func.json_remove(column, "$.suite").label(column.name)
    without = sa.cast(column, postgresql.JSONB).op("-")(sa.literal("suite", sa.Text))
    return sa.cast(without, sa.Text).label(column.name)


def _clean(values: dict[str, Any]) -> dict[str, Any]:
    return {name: clean_text(value) if isinstance(value, str) else value for name, value in values.items()}


def _encode(value: dict[str, Any] | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
