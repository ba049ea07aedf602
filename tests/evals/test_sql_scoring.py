"""SQL answers: what counts as equal, and that hostile ones can do nothing but be wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from inhouse.evals import Scorer, make_scorer

SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, team TEXT, hours INTEGER);
INSERT INTO t VALUES (1,'a',10),(2,'b',20),(3,'a',30);
"""


@pytest.fixture(name="scorer")
def make_sql_scorer() -> Scorer:
    return make_scorer("sql_rows", {"schema": SCHEMA, "max_rows": 50, "max_steps": 200_000})


@pytest.mark.parametrize(
    ("output", "target", "value"),
    [
        ("SELECT COUNT(*) FROM t", "SELECT COUNT(id) FROM t;", 1),
        ("```sql\nSELECT id FROM t\n```", "SELECT id FROM t", 1),
        ("-- first\n/* then */ select id from t", "SELECT id FROM t", 1),
        ("SELECT id FROM t ORDER BY id DESC", "SELECT id FROM t", 1),
        ("SELECT id FROM t ORDER BY id DESC", "SELECT id FROM t ORDER BY id", 0),
        ("SELECT id AS other FROM t", "SELECT id FROM t", 1),
        ("SELECT 20.0", "SELECT AVG(hours) FROM t", 1),
        ("SELECT 1.0/3", "SELECT 0.33333333333", 1),
        ("SELECT team FROM t", "SELECT DISTINCT team FROM t", 0),
        ("SELECT NULL", "SELECT 0", 0),
        ("WITH big AS (SELECT * FROM t WHERE hours > 15) SELECT id FROM big", "SELECT id FROM t WHERE hours > 15", 1),
        ("SELECT '20'", "SELECT 20", 0),
        ("I would write SELECT id FROM t", "SELECT id FROM t", 0),
        ("", "SELECT id FROM t", 0),
    ],
)
def test_rows_decide(scorer: Scorer, output: str, target: str, value: float) -> None:
    assert scorer.score(output, target).value == value


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("DROP TABLE t", "not a SELECT"),
        ("INSERT INTO t VALUES (9,'x',1)", "not a SELECT"),
        ("PRAGMA writable_schema=1", "not a SELECT"),
        ("ATTACH '/tmp/inhouse-attack.db' AS x", "not a SELECT"),
        ("VACUUM INTO '/tmp/inhouse-attack.db'", "not a SELECT"),
        ("EXPLAIN SELECT 1", "not a SELECT"),
        ("SELECT 1; DROP TABLE t", "one statement"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("WITH x AS (SELECT 1) DELETE FROM t", "only reading tables"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT 9,'x',1", "only reading tables"),
        ("SELECT load_extension('/tmp/x.so')", "only reading tables"),
        ("SELECT * FROM pragma_database_list", "only reading tables"),
        ("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT COUNT(*) FROM c", "steps"),
        ("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT n FROM c", "more than"),
        ("SELECT hex(zeroblob(900000000))", "only reading tables"),
        ("SELECT " + "hex(" * 20 + "team" + ")" * 20 + " FROM t", "too big"),
        ("SELECT printf('%.*c', 900000000, 'x')", "only reading tables"),
        ("SELECT group_concat(a.team) FROM t a, t b, t c, t d, t e, t f, t g, t h, t i, t j, t k", "steps"),
        ("SELECT a.id FROM t a, t b, t c, t d", "more than 50 rows"),
        ("SELECT " + "(" * 500 + "1" + ")" * 500, "does not run"),
        ("SELECT " + "1," * 50_000 + "1", ""),
        ("SELECT minutes FROM t", "no such column"),
        ("SELECT '\x00'", ""),
        ("SELECT '\ud800'", ""),
    ],
)
def test_hostile_answers_are_wrong_and_harmless(scorer: Scorer, output: str, words: str) -> None:
    started_at = time.monotonic()
    score = scorer.score(output, "SELECT id FROM t")
    assert score.value == 0
    assert words in score.explanation
    assert time.monotonic() - started_at < 2
    assert not Path("/tmp/inhouse-attack.db").exists()  # noqa: S108 -- the very file that an attack would make


def test_one_answer_leaves_nothing_for_the_next(scorer: Scorer) -> None:
    scorer.score("WITH x AS (SELECT 1) DELETE FROM t", "SELECT COUNT(*) FROM t")
    assert scorer.score("SELECT 3", "SELECT COUNT(*) FROM t").value == 1


def test_a_target_that_fails_is_unscored(scorer: Scorer) -> None:
    score = scorer.score("SELECT 1", "SELECT minutes FROM t")
    assert (score.value, score.is_scored) == (None, False)
    assert "no such column" in (scorer.find_target_problem("SELECT minutes FROM t") or "")
