"""Comparing two stored runs: totals, tasks, flips, must-pass samples, verdicts, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from inhouse.domain import StateError
from inhouse.evals import AllowedLoss, EvalPlan, Suite, VerdictKind, compare_runs, to_jsonable
from inhouse.evals.recorder import score_outputs
from inhouse.evals.summary import summarize_run
from inhouse.store import EvalOutputRow, EvalRunRow, EvalRunStatus, EvalScoreRow, Store

MakeSuite = Callable[..., Suite]


def save_run(store: Store, run_id: str, suite: Suite, wrong: Mapping[str, str | None], **changes: Any) -> None:
    """A complete run whose answers are the targets, but for `wrong`: sample id → output, None for a failed request."""
    outputs = [
        EvalOutputRow(
            run_id=run_id,
            sample_id=sample.id,
            epoch=0,
            output=wrong.get(sample.id, sample.target),
            error_code="upstream_error" if wrong.get(sample.id, "") is None else None,
        )
        for sample in suite.samples
    ]
    scores = score_outputs(suite, outputs)
    row = EvalRunRow(
        run_id=run_id,
        suite=suite.name,
        suite_digest=suite.digest,
        endpoint_id=run_id,
        started_at=1.0,
        num_samples=len(suite.samples),
        config=msgspec.to_builtins(EvalPlan(suite=suite, endpoint_id=run_id)),
    )
    store.evals.create_run(msgspec.structs.replace(row, **changes))
    store.evals.put_outputs(outputs)
    store.evals.put_scores(scores)
    if changes.get("status", EvalRunStatus.RUNNING) is EvalRunStatus.RUNNING:
        summary = msgspec.to_builtins(summarize_run(suite, outputs, scores, {}))
        store.evals.finish_run(run_id, EvalRunStatus.COMPLETE, 2.0, summary)


OTHERS = "".join(f"  - {{id: o{n}, task: other, prompt: pick {n}, target: l{n}}}\n" for n in range(40))
ALLOWED = AllowedLoss(worse_answers=0.05)


def test_flips_both_ways(store: Store, make_suite: MakeSuite) -> None:
    suite = make_suite(60, extra=OTHERS)
    save_run(store, "old", suite, {"s0": "no", "s1": "no"})
    save_run(store, "new", suite, {"s1": "no", "s5": "five", "o3": None})
    found = compare_runs(store, "old", "new")
    total = found.total
    assert total.result is not None
    assert (total.result.n, total.result.num_lost, total.result.num_won) == (100, 2, 1)
    assert (total.baseline, total.candidate, total.result.difference) == (0.98, 0.97, pytest.approx(-0.01))
    assert total.interval is not None
    assert total.interval.low < -0.01 < total.interval.high
    assert total.test is not None
    assert total.test.exact_p == 1.0
    assert [(row.name, row.result and row.result.n) for row in found.tasks] == [("echo", 60), ("other", 40)]
    assert found.verdict is None
    assert [(flip.sample_id, flip.is_lost) for flip in found.flips] == [("s5", True), ("o3", True), ("s0", False)]
    lost = found.flips[0]
    assert (lost.prompt, lost.target, lost.baseline_output, lost.candidate_output) == (
        "say 5",
        "SAY 5",
        "SAY 5",
        "five",
    )
    assert (found.flips[1].candidate_output, found.flips[1].candidate_error) == (None, "upstream_error")
    plain = to_jsonable(found)
    assert [row["is_lost"] for row in plain["flips"]] == [True, True, False]
    assert plain["total"]["result"]["flip_rate"] == 0.03
    assert "suite" not in plain["baseline"]["config"]
    msgspec.json.encode(plain)


def test_verdicts(store: Store, make_suite: MakeSuite) -> None:
    suite = make_suite(200, extra=OTHERS)
    save_run(store, "old", suite, {})
    save_run(store, "same", suite, {"s1": "no"})
    save_run(store, "worse", suite, {f"s{n}": "no" for n in range(60)})
    save_run(store, "unsure", suite, {f"s{n}": "no" for n in range(10)})
    save_run(store, "lopsided", suite, {f"o{n}": "no" for n in range(9)})
    kinds: dict[str, str] = {}
    for run_id in ("same", "worse", "unsure", "lopsided"):
        verdict = compare_runs(store, "old", run_id, allowed=ALLOWED).verdict
        assert verdict is not None
        kinds[run_id] = verdict.kind.value
    # lopsided: 9 of 240 lost in all, but 9 of 40 in one task, which is surely more than allowed.
    assert kinds == {
        "same": "approved",
        "worse": "not approved",
        "unsure": "not enough data",
        "lopsided": "not approved",
    }


def test_a_must_pass_sample_decides_alone(store: Store, make_suite: MakeSuite) -> None:
    suite = make_suite(300, extra="  - {id: vital, task: other, prompt: vital, target: yes, must_pass: true}\n")
    save_run(store, "old", suite, {})
    save_run(store, "new", suite, {"vital": "maybe"})
    found = compare_runs(store, "old", "new", allowed=ALLOWED)
    assert found.total.verdict is not None
    assert found.verdict is not None
    assert (found.total.verdict.kind, found.verdict.kind) == (VerdictKind.APPROVED, VerdictKind.NOT_APPROVED)
    assert found.must_pass_failed == ("vital",)
    assert "vital" in found.verdict.reason


def test_unscored_samples_are_counted_and_never_help_the_candidate(store: Store, make_suite: MakeSuite) -> None:
    suite = make_suite(20, scorers="[exact]")
    save_run(store, "old", suite, {})
    save_run(store, "new", suite, {})
    unscored = [("old", "s0"), ("new", "s1")]
    store.evals.put_scores(
        [
            EvalScoreRow(run_id=run_id, sample_id=sample_id, epoch=0, scorer="exact", value=None, is_scored=False)
            for run_id, sample_id in unscored
        ]
    )
    total = compare_runs(store, "old", "new").total
    assert total.result is not None
    assert (total.result.n, total.num_left_out, total.num_unscored, total.result.num_lost) == (19, 1, 1, 1)


def test_continuous_scores_and_clusters(store: Store, make_suite: MakeSuite) -> None:
    suite = make_suite(20, scorers="[token_f1]")
    save_run(store, "old", suite, {})
    save_run(store, "new", suite, {"s3": "SAY"})
    total = compare_runs(store, "old", "new").total
    assert total.result is not None
    assert (total.result.method, total.test) == ("paired t, two added pairs", None)

    clustered = make_suite(20, extra="  - {id: k, task: other, prompt: k, target: k, cluster: c}\n")
    save_run(store, "old-c", clustered, {})
    save_run(store, "new-c", clustered, {})
    result = compare_runs(store, "old-c", "new-c").total.result
    assert result is not None
    assert (result.method, result.num_clusters) == ("clustered t, two added pairs", 21)


def test_simulated_runs_make_a_simulated_comparison(store: Store, make_suite: MakeSuite) -> None:
    suite = make_suite(3)
    save_run(store, "old", suite, {})
    save_run(store, "new", suite, {}, is_simulated=True)
    assert compare_runs(store, "old", "new").is_simulated
    assert not compare_runs(store, "old", "old").is_simulated


def test_what_cannot_be_compared_is_refused(store: Store, make_suite: MakeSuite) -> None:
    suite = make_suite(3)
    save_run(store, "old", suite, {})
    save_run(store, "other", make_suite(4), {})
    save_run(store, "rules", make_suite(3, scorers="[label]"), {})
    save_run(store, "half", suite, {}, status=EvalRunStatus.CANCELLED)
    twice = msgspec.to_builtins(EvalPlan(suite=suite, endpoint_id="x", num_epochs=2))
    save_run(store, "twice", suite, {}, config=twice)
    for run_id, words in (
        ("other", "different suites: samples differ"),
        ("rules", "different suites: scorers differ"),
        ("half", "cancelled, not complete"),
        ("twice", "a different number of times"),
        ("none", "no evaluation run none"),
    ):
        with pytest.raises(StateError, match=words):
            compare_runs(store, "old", run_id)
