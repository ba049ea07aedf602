"""Stores outputs as they come, then scores them, in batches as large as the store is slow. Asks nobody."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from inhouse.evals.scoring import Score, Scorer
from inhouse.evals.suite import Suite
from inhouse.store import EvalOutputRow, EvalScoreRow, Store


class Progress(Struct, frozen=True, kw_only=True):
    """Where a run stands. `mean` is the mean primary score so far (errors are 0), None where nothing is scored yet.

    `rate_per_s` counts the answers of this life of the run only, None until time has passed.
    """

    num_done: int
    num_total: int
    num_errors: int
    mean: float | None
    rate_per_s: float | None


ProgressCallback = Callable[[Progress], None]


def score_outputs(suite: Suite, outputs: Iterable[EvalOutputRow]) -> list[EvalScoreRow]:
    """Every scorer's score of every output. A failed request is wrong by each scorer; its code is the explanation.

    Raises:
        ScorerError: the suite names a scorer or options that this inhouse does not know.
    """
    samples = {sample.id: sample for sample in suite.samples}
    scorers = {task: [spec.build() for spec in specs] for task, specs in suite.scorers.items()}
    rows: list[EvalScoreRow] = []
    for output in outputs:
        sample = samples[output.sample_id]
        for scorer in scorers[sample.task]:
            score = _score(scorer, output, sample.target or "")
            rows.append(
                EvalScoreRow(
                    run_id=output.run_id,
                    sample_id=output.sample_id,
                    epoch=output.epoch,
                    scorer=scorer.name,
                    value=score.value,
                    is_scored=score.is_scored,
                    explanation=score.explanation,
                )
            )
    return rows


class Recorder:
    """Takes outputs from many tasks; one thread at a time writes all that has gathered.

    Args:
        store: where outputs and scores go, outputs first.
        suite: how they are scored.
        stored: outputs of an earlier life of the run.
        num_total: outputs that the whole run will have.
        on_progress: called on the event loop after each batch.
    """

    def __init__(
        self,
        store: Store,
        suite: Suite,
        stored: Sequence[EvalOutputRow],
        *,
        num_total: int,
        on_progress: ProgressCallback | None,
    ) -> None:
        self._store = store
        self._suite = suite
        self._num_total = num_total
        self._on_progress = on_progress
        self._pending: list[EvalOutputRow] = []
        self._writing: asyncio.Future[None] | None = None
        self._tasks = {sample.id: sample.task for sample in suite.samples}
        self._num_new = 0
        self._num_done = 0
        self._num_errors = 0
        self._primary_values: list[float] = []
        self._started_at = asyncio.get_running_loop().time()
        self._count(stored, score_outputs(suite, stored))

    async def record(self, row: EvalOutputRow) -> None:
        """Take one output; returns when it is stored and scored.

        Raises:
            StateError: the store does not take it.
        """
        self._pending.append(row)
        self._num_new += 1
        await self.settle()

    async def settle(self) -> None:
        """Wait until nothing is pending. Being cancelled does not stop a batch that is being written."""
        while self._pending or self._writing is not None:
            if self._writing is None:
                batch, self._pending = self._pending, []
                self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, batch)
            writing = self._writing
            await asyncio.wait({writing})
            if self._writing is writing:
                self._writing = None
                self._report()
            writing.result()

    def _write(self, batch: Sequence[EvalOutputRow]) -> None:
        self._store.evals.put_outputs(batch)
        scores = score_outputs(self._suite, batch)
        self._store.evals.put_scores(scores)
        self._count(batch, scores)

    def _count(self, outputs: Sequence[EvalOutputRow], scores: Iterable[EvalScoreRow]) -> None:
        self._num_done += len(outputs)
        self._num_errors += sum(row.error_code is not None for row in outputs)
        for score in scores:
            is_primary = score.scorer == self._suite.primary(self._tasks[score.sample_id]).name
            if is_primary and score.value is not None:
                self._primary_values.append(score.value)

    def _report(self) -> None:
        if self._on_progress is None:
            return
        seconds = asyncio.get_running_loop().time() - self._started_at
        values = self._primary_values
        num_new = self._num_new - len(self._pending)
        self._on_progress(
            Progress(
                num_done=self._num_done,
                num_total=self._num_total,
                num_errors=self._num_errors,
                mean=math.fsum(values) / len(values) if values else None,
                rate_per_s=num_new / seconds if seconds > 0 else None,
            )
        )


def _score(scorer: Scorer, output: EvalOutputRow, target: str) -> Score:
    if output.output is None:
        return Score(0.0, f"the request failed: {output.error_code}")
    return scorer.score(output.output, target)
