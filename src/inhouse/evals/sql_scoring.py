"""Scores SQL answers by what they return on a small SQLite database in memory. Runs one SELECT and nothing else.

The answer comes from a model, so it is hostile text: it runs on a throw-away database behind an authorizer that lets
through reading alone, with limits on steps, rows, value size and statement length. No file is ever opened.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from typing import ClassVar

from inhouse.evals.scoring import Score, Scorer, strip_fence

_ALLOWED_ACTIONS = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_ALLOWED_FUNCTIONS = """
abs acos asin atan atan2 avg ceil ceiling coalesce concat concat_ws cos count cume_dist date datetime degrees dense_rank
exp first_value floor glob group_concat hex ifnull iif instr json_array_length json_extract json_type json_valid
julianday lag last_value lead length like ln log log10 log2 lower ltrim max min mod nth_value ntile nullif percent_rank
pi pow power quote radians rank replace round row_number rtrim sign sin sqrt strftime string_agg substr substring sum
tan time timediff total trim trunc typeof unicode unixepoch upper -> ->>
"""
"""What a question about tables may need. Left out are functions that reach outside, draw at random, or let one call
make gigabytes (`printf`, `zeroblob`), which no limit on steps would stop."""
_ALLOWED_FUNCTION_NAMES = frozenset(_ALLOWED_FUNCTIONS.split())
_STEPS_PER_LOOK = 1_000
_MAX_VALUE_BYTES = 100_000
_MAX_SQL_BYTES = 10_000
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: _MAX_VALUE_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: _MAX_SQL_BYTES,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_LEADING_COMMENTS = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)

Rows = list[tuple[object, ...]]


class SqlProblemError(Exception):
    """A query was refused, broke, or passed a limit; the text says which."""


class SqlRows(Scorer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 where the output's SELECT returns the same rows as the target's on the given database.

    Order counts where the target says ORDER BY; column names never count; floats are compared to nine digits.

    Args:
        schema: SQL script that makes and fills the database; the suite's own text, so it is trusted.
        max_rows: an answer with more rows is wrong.
        max_steps: virtual machine steps that an answer may take; more is wrong.
    """

    name: ClassVar[str] = "sql_rows"
    schema: str
    max_rows: int = 10_000
    max_steps: int = 2_000_000

    def find_option_problem(self) -> str | None:
        """The schema runs."""
        if self.max_rows < 1 or self.max_steps < _STEPS_PER_LOOK:
            return f"max_rows must be at least 1, max_steps at least {_STEPS_PER_LOOK}"
        try:
            _open_database(self.schema).close()
        except sqlite3.Error as error:
            return f"the schema does not run: {error}"
        return None

    def find_target_problem(self, target: str) -> str | None:
        """The target is a SELECT that runs within the limits."""
        try:
            self._run(target)
        except SqlProblemError as error:
            return f"the target's query fails: {error}"
        return None

    def score(self, output: str, target: str) -> Score:
        """Run both queries and compare their rows."""
        try:
            wanted = self._run(target)
        except SqlProblemError as error:
            return Score(None, f"the target's query fails: {error}")
        try:
            found = self._run(strip_fence(output))
        except SqlProblemError as error:
            return Score(0.0, str(error)[:300])
        is_ordered = re.search(r"\border\s+by\b", target, re.IGNORECASE) is not None
        is_same = found == wanted if is_ordered else Counter(found) == Counter(wanted)
        if is_same:
            return Score(1.0)
        words = f"{len(found)} rows, wanted {len(wanted)}" if len(found) != len(wanted) else "the rows differ"
        return Score(0.0, words)

    def _run(self, query: str) -> Rows:
        with closing(_open_database(self.schema)) as connection:
            return run_select(connection, query, max_rows=self.max_rows, max_steps=self.max_steps)


def run_select(connection: sqlite3.Connection, query: str, *, max_rows: int, max_steps: int) -> Rows:
    """Run one SELECT under guard and return its rows, floats rounded to nine significant digits.

    The connection keeps the guard, so it can be used for nothing else afterwards.

    Raises:
        SqlProblemError: it is not one SELECT, it is refused, it fails, or it passes a limit.
    """
    start = _LEADING_COMMENTS.match(query)
    first_word = re.match(r"\w*", query[start.end() if start else 0 :])
    if first_word is None or first_word.group().upper() not in {"SELECT", "WITH"}:
        raise SqlProblemError("not a SELECT")
    _guard(connection, max_steps)
    try:
        with closing(connection.execute(query)) as cursor:
            rows: Rows = cursor.fetchmany(max_rows + 1)
    except sqlite3.DatabaseError as error:
        raise SqlProblemError(_explain(error, max_steps)) from None
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
        raise SqlProblemError(f"the query does not run: {error}") from None
    if len(rows) > max_rows:
        raise SqlProblemError(f"more than {max_rows} rows")
    return [tuple(_plain(value) for value in row) for row in rows]


def _open_database(schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.executescript(schema)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _guard(connection: sqlite3.Connection, max_steps: int) -> None:
    """From here on the connection reads, within the limits."""
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    looks = iter(range(max_steps // _STEPS_PER_LOOK))
    connection.set_progress_handler(lambda: next(looks, None) is None, _STEPS_PER_LOOK)
    connection.set_authorizer(_authorize)


def _authorize(action: int, _first: str | None, second: str | None, _database: str | None, _source: str | None) -> int:
    if action not in _ALLOWED_ACTIONS:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _ALLOWED_FUNCTION_NAMES:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _explain(error: sqlite3.DatabaseError, max_steps: int) -> str:
    words = str(error)
    if words == "interrupted":
        return f"more than {max_steps:,} steps"
    if "not authorized" in words or "prohibited" in words:
        return f"only reading tables with common functions is allowed ({words})"
    return f"the query does not run: {words}"


def _plain(value: object) -> object:
    return float(f"{value:.9g}") if isinstance(value, float) else value
