"""Each scorer on right, wrong and odd outputs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.evals import SCORERS, ScorerError, make_scorer

GOLD = '{"id":"7","vendor":"Ada","total":"9.50","currency":"EUR"}'


@pytest.mark.parametrize(
    ("name", "options", "output", "target", "value"),
    [
        ("exact", {}, "  yes\n", "yes", 1),
        ("exact", {}, "Yes", "yes", 0),
        ("label", {}, ' "Billing". ', "billing", 1),
        ("label", {}, "billing issue", "billing", 0),
        ("label", {"labels": ["a b", "c"]}, "A  B!", "a b", 1),
        ("label", {"labels": ["a", "b"]}, "I think a", "a", 0),
        ("choice", {}, "B", "B", 1),
        ("choice", {}, "(b)", "B", 1),
        ("choice", {}, "B) because of the rain", "B", 1),
        ("choice", {}, "Not A. The answer is **C**", "C", 1),
        ("choice", {}, "First I thought the answer is A, but the answer is D.", "D", 1),
        ("choice", {}, "A cat sat on the mat", "A", 0),
        ("choice", {}, "", "A", 0),
        ("choice", {"choices": "12345"}, "option: 4", "4", 1),
        ("regex", {}, "order 123 shipped", r"\d{3}", 1),
        ("regex", {"pattern": "^ok", "ignore_case": True}, "OK then", "", 1),
        ("regex", {"pattern": "ok", "is_full": True}, " ok ", "", 1),
        ("regex", {"pattern": "ok", "is_full": True}, "ok then", "", 0),
        ("numeric", {}, "The total is 1,234.50 EUR", "1234.5", 1),
        ("numeric", {}, "3 lamps make 9", "9", 1),
        ("numeric", {"take": "first"}, "3 lamps make 9", "9", 0),
        ("numeric", {"take": "only"}, "3 lamps make 9", "9", 0),
        ("numeric", {"tolerance": 0.01}, "0.333", "0.3333", 1),
        ("numeric", {"relative_tolerance": 0.1}, "-95", "-100", 1),
        ("numeric", {}, "-5", "5", 0),
        ("numeric", {}, "1e999", "5", 0),
        ("numeric", {}, "no idea", "5", 0),
        ("numeric", {}, "1'000", "1000", 1),
        ("token_f1", {}, "the red lamp", "The red lamp.", 1),
        ("token_f1", {}, "red lamp broken", "the red lamp", 2 / 3),
        ("token_f1", {}, "", "the lamp", 0),
        ("token_f1", {}, "lamp lamp", "lamp", 2 / 3),
        ("json_valid", {}, '```json\n{"a": 1}\n```', "", 1),
        ("json_valid", {}, "[1]", "", 0),
        ("json_valid", {}, '{"a": NaN}', "", 0),
        ("json_valid", {"keys": ["a", "b"]}, '{"a": 1}', "", 0),
        ("json_valid", {}, "[" * 100_000, "", 0),
        ("json_fields", {}, GOLD, GOLD, 1),
        ("json_fields", {}, '{"id":"7","vendor":"Ada "}', GOLD, 2 * 2 / 6),
        ("json_fields", {}, '{"id":7,"vendor":"ada","total":"9.50","currency":"EUR"}', GOLD, 2 * 2 / 8),
        ("json_fields", {"ignore_case": True, "fields": ["vendor"]}, '{"vendor":"ADA","x":1}', GOLD, 1),
        ("json_fields", {}, '{"a": true}', '{"a": 1}', 0),
        ("json_fields", {}, '{"a": 1.0}', '{"a": 1}', 1),
        ("json_fields", {}, "not json", GOLD, 0),
    ],
)
def test_values(name: str, options: dict[str, object], output: str, target: str, value: float) -> None:
    score = make_scorer(name, options).score(output, target)
    assert score.value == pytest.approx(value)
    assert score.value == 1 or score.explanation


def test_an_unreadable_target_is_unscored_not_wrong() -> None:
    score = make_scorer("json_fields", {}).score(GOLD, "no json")
    assert (score.value, score.is_scored) == (None, False)


def test_explanations_stay_short() -> None:
    for name in ("exact", "label", "numeric", "json_fields", "choice"):
        target = GOLD if name == "json_fields" else "A1"
        assert len(make_scorer(name, {}).score("x y " * 50_000, target).explanation) <= 500


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("rouge", {}, "there is no scorer 'rouge'; there are choice, exact"),
        ("numeric", {"tolerence": 1}, "its options: tolerance"),
        ("numeric", {"tolerance": -1}, "a tolerance is negative"),
        ("numeric", {"take": "all"}, "take"),
        ("choice", {"choices": "AA"}, "two or more different letters"),
        ("regex", {"pattern": "("}, "no regular expression"),
        ("sql_rows", {}, "schema"),
        ("sql_rows", {"schema": "CREATE TABEL x"}, "the schema does not run"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(ScorerError, match=words.replace("(", r"\(")):
        make_scorer(name, options)


@pytest.mark.parametrize(
    ("name", "options", "target"),
    [
        ("exact", {}, "  "),
        ("label", {"labels": ["a"]}, "b"),
        ("choice", {}, "E"),
        ("regex", {}, "("),
        ("regex", {}, ""),
        ("numeric", {}, "two"),
        ("numeric", {}, "1 or 2"),
        ("json_fields", {}, "[]"),
        ("json_fields", {}, "{}"),
        ("json_fields", {"fields": ["b"]}, '{"a": 1}'),
    ],
)
def test_bad_targets_are_found(name: str, options: dict[str, object], target: str) -> None:
    assert make_scorer(name, options).find_target_problem(target)


@given(output=st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_no_output_breaks_a_scorer(output: str) -> None:
    targets = {"json_fields": GOLD, "numeric": "5", "choice": "A", "regex": "a+", "sql_rows": "SELECT 1"}
    for name in SCORERS:
        scorer = make_scorer(name, {"schema": ""} if name == "sql_rows" else {})
        score = scorer.score(output, targets.get(name, "target"))
        assert score.value is not None
        assert 0 <= score.value <= 1
