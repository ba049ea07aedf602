"""From outputs, scores and traces to a run's metrics, each with its n and its interval. Reads no store, judges nothing.

An error counts as wrong and is counted; an unscored sample counts in no mean and is counted; a trace that did not
arrive is missing, never zero.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from statistics import fmean

import numpy as np
from msgspec import Struct

from inhouse.domain import Trace, TraceClose, TraceStatus
from inhouse.evals.intervals import Interval, quantile_interval, score_interval, t_interval
from inhouse.evals.suite import Sample, Suite
from inhouse.store import EvalOutputRow, EvalScoreRow

CONFIDENCE = 0.95
TOTAL = "total"


class Metric(Struct, frozen=True, kw_only=True):
    """The mean of one scorer over `n` samples, with its interval; None where there is nothing to say.

    `num_errors` counts requests that failed and so count as 0; `num_unscored` samples are in no mean.
    """

    scorer: str
    value: float | None
    n: int
    interval: Interval | None
    confidence: float = CONFIDENCE
    num_errors: int = 0
    num_unscored: int = 0


class TaskSummary(Struct, frozen=True, kw_only=True):
    """One task's metrics, its primary scorer first."""

    task: str
    num_samples: int
    metrics: tuple[Metric, ...]


class SliceSummary(Struct, frozen=True, kw_only=True):
    """The primary score over the samples that carry a slice's name."""

    name: str
    num_samples: int
    metric: Metric


class LatencySummary(Struct, frozen=True, kw_only=True):
    """Median and 95th percentile over the `n` completed requests that carry the time, in milliseconds.

    `num_missing` completed requests carry none, or their trace has not arrived. Quantiles of type 7.
    """

    n: int
    num_missing: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p50_interval: Interval | None = None
    p95_interval: Interval | None = None


class CostSummary(Struct, frozen=True, kw_only=True):
    """Usage-based cost of the `n` priced requests in US dollars. Unpriced and missing ones are counted, never free."""

    n: int
    num_unpriced: int
    num_missing: int
    usd_per_request: float | None = None
    interval: Interval | None = None
    total_usd: Decimal | None = None


class RunSummary(Struct, frozen=True, kw_only=True):
    """What one run found.

    `score` is the mean of each sample's primary score, every sample weighing the same. `endpoint_digest` is what the
    traces recorded, None where they recorded none or several (`endpoint_digests`).
    """

    num_samples: int
    num_epochs: int
    num_outputs: int
    num_errors: int
    errors_by_code: dict[str, int]
    num_truncated: int
    score: Metric
    tasks: tuple[TaskSummary, ...]
    slices: tuple[SliceSummary, ...]
    must_pass_failed: tuple[str, ...]
    ttft: LatencySummary
    tpot: LatencySummary
    e2e: LatencySummary
    cost: CostSummary
    num_traces_missing: int
    endpoint_digest: str | None
    endpoint_digests: tuple[str, ...]
    is_simulated: bool


class SampleScores:
    """Each sample's value by scorer: the mean over its epochs, None where unscored."""

    def __init__(self, suite: Suite, scores: Iterable[EvalScoreRow]) -> None:
        self._suite = suite
        found: defaultdict[tuple[str, str], list[float | None]] = defaultdict(list)
        for row in scores:
            found[row.sample_id, row.scorer].append(row.value if row.is_scored else None)
        self._values = {key: _mean_of_epochs(values) for key, values in found.items()}

    def has(self, sample: Sample, scorer: str) -> bool:
        """Whether the sample has been asked and scored, be it `unscored`."""
        return (sample.id, scorer) in self._values

    def value(self, sample: Sample, scorer: str) -> float | None:
        """The sample's value by this scorer."""
        return self._values.get((sample.id, scorer))

    def primary(self, sample: Sample) -> float | None:
        """The sample's value by its task's primary scorer."""
        return self.value(sample, self._suite.primary(sample.task).name)


def cluster_names(suite: Suite, samples: Sequence[Sample]) -> list[str] | None:
    """Each sample's cluster, a sample without one being its own; None where the suite has no clusters."""
    if not suite.has_clusters:
        return None
    return [f"cluster {sample.cluster}" if sample.cluster is not None else f"sample {sample.id}" for sample in samples]


def summarize_run(
    suite: Suite,
    outputs: Sequence[EvalOutputRow],
    scores: Iterable[EvalScoreRow],
    traces: Mapping[str, Trace],
    *,
    num_epochs: int = 1,
    is_simulated: bool = False,
) -> RunSummary:
    """Compute every metric of a run from what is stored of it.

    Args:
        suite: the suite as it was run.
        outputs: all outputs that there are; a run that was cut short has fewer than samples times epochs.
        scores: their scores.
        traces: by trace id, those that have arrived.
        num_epochs: repetitions of each sample.
        is_simulated: whether simulated answers are known of apart from the traces.
    """
    values = SampleScores(suite, scores)
    errors = Counter(row.sample_id for row in outputs if row.error_code is not None)
    metrics = _Metrics(suite, values, errors)
    closes = {row.trace_id: trace.close for row in outputs if row.trace_id and (trace := traces.get(row.trace_id))}
    done = [closes.get(row.trace_id or "") for row in outputs if row.error_code is None]
    digests = tuple(sorted({close.endpoint_digest for close in closes.values() if close and close.endpoint_digest}))
    must_pass = [sample for sample in suite.samples if sample.must_pass and metrics.has(sample)]
    return RunSummary(
        num_samples=len(suite.samples),
        num_epochs=num_epochs,
        num_outputs=len(outputs),
        num_errors=sum(errors.values()),
        errors_by_code=dict(sorted(Counter(row.error_code for row in outputs if row.error_code).items())),
        num_truncated=sum(close is not None and close.finish_reason == "length" for close in done),
        score=metrics.primary("score", suite.samples),
        tasks=tuple(metrics.task(task) for task in suite.tasks),
        slices=metrics.slices(),
        must_pass_failed=tuple(sample.id for sample in must_pass if (values.primary(sample) or 0.0) < 1),
        ttft=_summarize_latency(done, lambda close: close.ttft_ms),
        tpot=_summarize_latency(done, lambda close: close.tpot_ms),
        e2e=_summarize_latency(done, lambda close: close.e2e_ms),
        cost=_summarize_cost(done),
        num_traces_missing=sum(closes.get(row.trace_id or "") is None for row in outputs),
        endpoint_digest=digests[0] if len(digests) == 1 else None,
        endpoint_digests=digests,
        is_simulated=is_simulated or any(close is not None and close.is_simulated for close in closes.values()),
    )


class _Metrics:
    """Makes metrics over any group of samples."""

    def __init__(self, suite: Suite, values: SampleScores, errors: Mapping[str, int]) -> None:
        self._suite = suite
        self._values = values
        self._errors = errors

    def has(self, sample: Sample) -> bool:
        return self._values.has(sample, self._suite.primary(sample.task).name)

    def task(self, task: str) -> TaskSummary:
        samples = [sample for sample in self._suite.samples if sample.task == task]
        scorers = [spec.name for spec in self._suite.scorers[task]]
        metrics = tuple(self._make(name, samples, [name] * len(samples)) for name in scorers)
        return TaskSummary(task=task, num_samples=len(samples), metrics=metrics)

    def primary(self, name: str, samples: Sequence[Sample]) -> Metric:
        return self._make(name, samples, [self._suite.primary(sample.task).name for sample in samples])

    def slices(self) -> tuple[SliceSummary, ...]:
        groups: defaultdict[str, list[Sample]] = defaultdict(list)
        for sample in self._suite.samples:
            for name in dict.fromkeys(sample.slices):
                groups[name].append(sample)
        return tuple(
            SliceSummary(name=name, num_samples=len(group), metric=self.primary("score", group))
            for name, group in sorted(groups.items())
        )

    def _make(self, name: str, samples: Sequence[Sample], scorers: Sequence[str]) -> Metric:
        asked = [(sample, self._values.value(sample, scorer)) for sample, scorer in zip(samples, scorers, strict=True)
                 if self._values.has(sample, scorer)]  # fmt: skip
        scored = [(sample, value) for sample, value in asked if value is not None]
        values = [value for _, value in scored]
        clusters = cluster_names(self._suite, [sample for sample, _ in scored])
        return Metric(
            scorer=name,
            value=fmean(values) if values else None,
            n=len(values),
            interval=score_interval(values, clusters, confidence=CONFIDENCE),
            num_errors=sum(self._errors.get(sample.id, 0) for sample, _ in asked),
            num_unscored=len(asked) - len(scored),
        )


def _mean_of_epochs(values: Sequence[float | None]) -> float | None:
    scored = [value for value in values if value is not None]
    return fmean(scored) if scored else None


def _summarize_latency(
    closes: Sequence[TraceClose | None], read: Callable[[TraceClose], float | None]
) -> LatencySummary:
    times = [
        value
        for close in closes
        if close is not None and close.status is TraceStatus.COMPLETE and (value := read(close)) is not None
    ]
    if not times:
        return LatencySummary(n=0, num_missing=len(closes))
    p50, p95 = np.quantile(times, (0.5, 0.95))
    return LatencySummary(
        n=len(times),
        num_missing=len(closes) - len(times),
        p50_ms=float(p50),
        p95_ms=float(p95),
        p50_interval=quantile_interval(times, 0.5, confidence=CONFIDENCE),
        p95_interval=quantile_interval(times, 0.95, confidence=CONFIDENCE),
    )


def _summarize_cost(closes: Sequence[TraceClose | None]) -> CostSummary:
    found = [close for close in closes if close is not None]
    costs = [close.cost_usd for close in found if close.cost_usd is not None]
    num_missing = len(closes) - len(found)
    if not costs:
        return CostSummary(n=0, num_unpriced=len(found), num_missing=num_missing)
    interval = t_interval(costs, confidence=CONFIDENCE)
    return CostSummary(
        n=len(costs),
        num_unpriced=len(found) - len(costs),
        num_missing=num_missing,
        usd_per_request=math.fsum(costs) / len(costs),
        interval=None if interval is None else Interval(max(0.0, interval.low), interval.high, interval.method),
        total_usd=sum((Decimal(repr(cost)) for cost in costs), Decimal(0)),
    )
