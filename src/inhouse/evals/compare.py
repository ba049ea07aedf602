"""Compares two stored runs of one suite, sample by sample, in total and per task. Writes nothing, enforces nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from inhouse.domain import StateError
from inhouse.evals.intervals import Interval
from inhouse.evals.pairing import BONETT_PRICE, McNemar, PairedResult, compare_pairs, mcnemar
from inhouse.evals.runner import read_run, require_complete
from inhouse.evals.suite import Sample, Suite
from inhouse.evals.summary import TOTAL, SampleScores, cluster_names
from inhouse.evals.verdict import AllowedLoss, Verdict, VerdictKind, judge_loss, smallest_detectable_loss
from inhouse.store import EvalOutputRow, EvalRunRow, Store


class ComparedScore(Struct, frozen=True, kw_only=True):
    """The change of the primary score over a task's samples, or over all (`total`).

    `result` is None where no sample is scored in both runs. `num_left_out` samples are unscored in the baseline, so
    they say nothing; `num_unscored` samples are unscored in the candidate alone and count as wrong there.
    `test` is McNemar's, where every score is 0 or 1 and no cluster binds samples together. `detectable_loss` is the
    smallest allowed loss that this many samples can clear with 80 % power at the flip rate seen.
    """

    name: str
    result: PairedResult | None
    baseline: float | None
    candidate: float | None
    interval: Interval | None
    confidence: float
    test: McNemar | None
    detectable_loss: float | None
    num_left_out: int
    num_unscored: int
    verdict: Verdict | None


class Flip(Struct, frozen=True, kw_only=True):
    """A sample whose primary score differs between the runs, with what each answered (None where it failed)."""

    sample_id: str
    task: str
    prompt: str
    target: str | None
    must_pass: bool
    baseline_value: float
    candidate_value: float
    baseline_output: str | None
    candidate_output: str | None
    baseline_error: str | None
    candidate_error: str | None

    @property
    def is_lost(self) -> bool:
        """Whether the candidate scored lower."""
        return self.candidate_value < self.baseline_value


class Comparison(Struct, frozen=True, kw_only=True):
    """Candidate against baseline on one suite. `verdict` is None where no allowed loss was asked about.

    `flips` holds losses first, then wins, each in the suite's order.
    """

    suite: str
    suite_digest: str
    baseline: EvalRunRow
    candidate: EvalRunRow
    is_simulated: bool
    total: ComparedScore
    tasks: tuple[ComparedScore, ...]
    flips: tuple[Flip, ...]
    must_pass_failed: tuple[str, ...]
    verdict: Verdict | None


def compare_runs(
    store: Store,
    baseline_run_id: str,
    candidate_run_id: str,
    *,
    allowed: AllowedLoss | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two complete runs of the same suite.

    Args:
        store: where both are.
        baseline_run_id: the run of what serves now.
        candidate_run_id: the run of what may take its place.
        allowed: the loss to judge by; None compares only.
        confidence: of the two-sided intervals.

    Raises:
        StateError: a run is not there or not complete, or the suites (samples, scorers, sampling) or epochs differ.
    """
    (baseline, suite), (candidate, other) = read_run(store, baseline_run_id), read_run(store, candidate_run_id)
    for row in (baseline, candidate):
        require_complete(row)
    _require_same_suite(baseline, candidate, suite, other)
    pairs = _Pairs(suite, _Arm(store, baseline, suite), _Arm(store, candidate, suite))
    total = pairs.compare(TOTAL, suite.samples, allowed, confidence)
    tasks = tuple(
        pairs.compare(task, [sample for sample in suite.samples if sample.task == task], allowed, confidence)
        for task in suite.tasks
    )
    must_pass_failed = pairs.list_must_pass_failed()
    return Comparison(
        suite=suite.name,
        suite_digest=suite.digest,
        baseline=_without_suite(baseline),
        candidate=_without_suite(candidate),
        is_simulated=any(_is_simulated(row) for row in (baseline, candidate)),
        total=total,
        tasks=tasks,
        flips=pairs.list_flips(),
        must_pass_failed=must_pass_failed,
        verdict=_judge(total, tasks, must_pass_failed) if allowed is not None else None,
    )


class _Arm:
    """One run's outputs and values by sample."""

    def __init__(self, store: Store, row: EvalRunRow, suite: Suite) -> None:
        self.scores = SampleScores(suite, store.evals.scores(row.run_id))
        self.outputs: defaultdict[str, list[EvalOutputRow]] = defaultdict(list)
        for output in store.evals.outputs(row.run_id):
            self.outputs[output.sample_id].append(output)


class _Pairs:
    """Both runs, joined by sample."""

    def __init__(self, suite: Suite, baseline: _Arm, candidate: _Arm) -> None:
        self._suite = suite
        self._baseline = baseline
        self._candidate = candidate

    def compare(
        self, name: str, samples: Sequence[Sample], allowed: AllowedLoss | None, confidence: float
    ) -> ComparedScore:
        paired = [sample for sample in samples if self._baseline.scores.primary(sample) is not None]
        before = [self._baseline.scores.primary(sample) or 0.0 for sample in paired]
        after = [self._candidate.scores.primary(sample) or 0.0 for sample in paired]
        clusters = cluster_names(self._suite, paired)
        result = compare_pairs(before, after, clusters=clusters) if paired else None
        return ComparedScore(
            name=name,
            result=result,
            baseline=sum(before) / len(before) if before else None,
            candidate=sum(after) / len(after) if after else None,
            interval=None if result is None else result.interval(confidence),
            confidence=confidence,
            test=mcnemar(result.num_lost, result.num_won) if result and result.method == BONETT_PRICE else None,
            detectable_loss=None if result is None else smallest_detectable_loss(result.n, result.movement),
            num_left_out=len(samples) - len(paired),
            num_unscored=sum(self._candidate.scores.primary(sample) is None for sample in paired),
            verdict=_judge_row(result, allowed),
        )

    def list_must_pass_failed(self) -> tuple[str, ...]:
        required = (sample for sample in self._suite.samples if sample.must_pass)
        return tuple(sample.id for sample in required if (self._candidate.scores.primary(sample) or 0.0) < 1)

    def list_flips(self) -> tuple[Flip, ...]:
        flips = [flip for sample in self._suite.samples if (flip := self._make_flip(sample)) is not None]
        return tuple(sorted(flips, key=lambda flip: not flip.is_lost))

    def _make_flip(self, sample: Sample) -> Flip | None:
        before, after = self._baseline.scores.primary(sample), self._candidate.scores.primary(sample) or 0.0
        if before is None or before == after:
            return None
        old, new = self._baseline.outputs[sample.id][0], self._candidate.outputs[sample.id][0]
        return Flip(
            sample_id=sample.id,
            task=sample.task,
            prompt=sample.prompt,
            target=sample.target,
            must_pass=sample.must_pass,
            baseline_value=before,
            candidate_value=after,
            baseline_output=old.output,
            candidate_output=new.output,
            baseline_error=old.error_code,
            candidate_error=new.error_code,
        )


def _judge(total: ComparedScore, tasks: Sequence[ComparedScore], must_pass_failed: Sequence[str]) -> Verdict:
    """The total decides, unless a task has surely lost more than allowed or a must-pass sample fails.

    A task with too few samples to be sure of does not hold the total back; its own row says so.
    """
    if must_pass_failed:
        listed = ", ".join(must_pass_failed[:3]) + (", …" if len(must_pass_failed) > 3 else "")
        words = f"{len(must_pass_failed)} must-pass samples fail: {listed}"
        return Verdict(kind=VerdictKind.NOT_APPROVED, reason=words)
    for task in tasks:
        if task.verdict is not None and task.verdict.kind is VerdictKind.NOT_APPROVED:
            return Verdict(kind=VerdictKind.NOT_APPROVED, reason=f"task {task.name}: {task.verdict.reason}")
    if total.verdict is None:
        raise AssertionError("the total is judged wherever an allowed loss is given")
    return total.verdict


def _judge_row(result: PairedResult | None, allowed: AllowedLoss | None) -> Verdict | None:
    if allowed is None:
        return None
    if result is None:
        return Verdict(kind=VerdictKind.NOT_ENOUGH_DATA, reason="no sample is scored in the baseline")
    return judge_loss(result, allowed)


def _require_same_suite(baseline: EvalRunRow, candidate: EvalRunRow, suite: Suite, other: Suite) -> None:
    if baseline.suite_digest != candidate.suite_digest:
        differing = [
            words
            for words, is_different in (
                ("samples", set(map(repr, suite.samples)) != set(map(repr, other.samples))),
                ("scorers", suite.scorers != other.scorers),
                ("sampling", suite.sampling != other.sampling),
            )
            if is_different
        ]
        raise StateError(
            f"Runs {baseline.run_id} and {candidate.run_id} used different suites: "
            f"{' and '.join(differing) or 'their digests'} differ.",
            fix="run the same suite on both; where only scorers or targets changed, rescore the older run.",
        )
    if baseline.config.get("num_epochs") != candidate.config.get("num_epochs"):
        problem = f"Runs {baseline.run_id} and {candidate.run_id} asked each sample a different number of times."
        raise StateError(problem, fix="run both with the same number of epochs.")


def _is_simulated(row: EvalRunRow) -> bool:
    return row.is_simulated or bool((row.summary or {}).get("is_simulated"))


def _without_suite(row: EvalRunRow) -> EvalRunRow:
    """The row without the samples, which the comparison carries where they matter."""
    config = {key: value for key, value in row.config.items() if key != "suite"}
    return msgspec.structs.replace(row, config=config)
