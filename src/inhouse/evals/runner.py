"""Runs a suite against an endpoint: load, generate, score, judge. What it learns is in the store before it is judged.

It retries nothing that the gateway answered; only where no gateway takes a request does it wait, for a while.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from inhouse.domain import InhouseError, StateError, Trace
from inhouse.evals.chat import ChatCall, ChatClient, GatewayDownError
from inhouse.evals.recorder import ProgressCallback, Recorder, score_outputs
from inhouse.evals.suite import Sample, Suite, renew_scorers
from inhouse.evals.summary import RunSummary, summarize_run
from inhouse.store import EvalOutputRow, EvalRunRow, EvalRunStatus, Store

_DOWN_PAUSE_S = 0.25
_TRACE_PAUSE_S = 0.1


class EvalPlan(Struct, frozen=True, kw_only=True):
    """What to run, and how hard.

    Args:
        suite: the suite, already loaded and checked.
        endpoint_id: the endpoint to ask; it is pinned, so that no rule or fallback answers in its place.
        endpoint_digest: what the endpoint is believed to be when the run starts; the traces have the last word.
        is_simulated: whether the endpoint is known to be simulated; a reply or trace that says so is believed too.
        run_id: None makes one.
        num_epochs: repetitions of each sample.
        concurrency: requests under way at a time.
        down_wait_s: how long a request waits for a gateway that takes none, before the run is given up.
        trace_wait_s: how long to wait for the last traces at the end; those that do not come are counted as missing.
    """

    suite: Suite
    endpoint_id: str
    endpoint_digest: str | None = None
    is_simulated: bool = False
    run_id: str | None = None
    note: str = ""
    num_epochs: int = 1
    concurrency: int = 8
    down_wait_s: float = 30.0
    trace_wait_s: float = 3.0


class EvalRun(Struct, frozen=True, kw_only=True):
    """A finished run: its row in the store, and what it found."""

    row: EvalRunRow
    summary: RunSummary


class _Work(Struct, frozen=True):
    """One sample in one epoch, still to be asked."""

    sample: Sample
    epoch: int


async def run_suite(
    plan: EvalPlan,
    *,
    client: ChatClient,
    store: Store,
    on_progress: ProgressCallback | None = None,
    clock: Callable[[], float] = time.time,
) -> EvalRun:
    """Run a suite to its end.

    Cancelled (Ctrl-C), the run is marked so, keeps what it has, and can be resumed.

    Args:
        plan: what to run.
        client: who is asked; see GatewayChat.
        store: where outputs, scores and the summary go, and where traces are found.
        on_progress: called on the event loop after each batch of results.
        clock: Unix seconds.

    Raises:
        GatewayDownError: no gateway took requests for `down_wait_s`; the run is marked failed and can be resumed.
        GatewayRefusedError: the key or the endpoint is wrong; the run is marked failed.
        StateError: the run id is taken, or the store does not answer.
    """
    started_at = clock()
    row = EvalRunRow(
        run_id=plan.run_id or _make_run_id(started_at),
        suite=plan.suite.name,
        suite_digest=plan.suite.digest,
        endpoint_id=plan.endpoint_id,
        endpoint_digest=plan.endpoint_digest,
        started_at=started_at,
        num_samples=len(plan.suite.samples),
        config=_freeze_plan(plan),
        is_simulated=plan.is_simulated,
        note=plan.note,
    )
    await asyncio.to_thread(store.evals.create_run, row)
    return await _Run(row, plan, client, store, clock).execute(on_progress)


async def resume_run(
    run_id: str,
    *,
    client: ChatClient,
    store: Store,
    on_progress: ProgressCallback | None = None,
    clock: Callable[[], float] = time.time,
) -> EvalRun:
    """Take up a run that was cancelled, failed or killed: stored outputs stay, the rest is asked, all is scored.

    Outputs that are errors stay too: asking again until it works would flatter the endpoint.

    Raises:
        StateError: no such run, or it is complete already.
        GatewayDownError, GatewayRefusedError: as run_suite.
    """
    row, suite = await asyncio.to_thread(read_run, store, run_id)
    if row.status is EvalRunStatus.COMPLETE:
        raise StateError(f"Run {run_id} is complete.", fix="start a new run, or rescore this one.")
    return await _Run(row, _thaw_plan(row, suite), client, store, clock).execute(on_progress)


def rescore(
    run_id: str, *, store: Store, suite: Suite | None = None, clock: Callable[[], float] = time.time
) -> EvalRun:
    """Score a complete run's stored outputs again, without asking anybody; the old run stays as it is.

    Args:
        run_id: the run whose outputs are taken.
        store: where it is, and where the new run goes.
        suite: with other scorers or targets; its prompts and sampling must be the run's. None: the run's own suite,
            scored by the scorers of this inhouse.
        clock: Unix seconds.

    Returns:
        A new run, whose note names the old one.

    Raises:
        StateError: no such run, it is not complete, or the suite asks something else.
    """
    row, old_suite = read_run(store, run_id)
    require_complete(row)
    new_suite = renew_scorers(old_suite) if suite is None else suite
    _require_same_questions(old_suite, new_suite, run_id)
    plan = msgspec.structs.replace(_thaw_plan(row, new_suite), note=f"rescored from {run_id}")
    started_at = clock()
    changes: dict[str, Any] = {
        "run_id": _make_run_id(started_at),
        "suite": new_suite.name,
        "suite_digest": new_suite.digest,
        "started_at": started_at,
        "finished_at": None,
        "status": EvalRunStatus.RUNNING,
        "config": _freeze_plan(plan),
        "summary": None,
        "note": plan.note,
    }
    new_row = msgspec.structs.replace(row, **changes)
    store.evals.create_run(new_row)
    outputs = [msgspec.structs.replace(output, run_id=new_row.run_id) for output in store.evals.outputs(run_id)]
    store.evals.put_outputs(outputs)
    traces = store.traces.find(output.trace_id for output in outputs if output.trace_id)
    return _judge(new_row, plan, outputs, traces, store, clock())


def read_run(store: Store, run_id: str) -> tuple[EvalRunRow, Suite]:
    """A run and its suite as it was when the run started.

    Raises:
        StateError: there is no such run, or another inhouse wrote it in a form that this one does not read.
    """
    row = store.evals.get_run(run_id)
    if row is None:
        raise StateError(f"There is no evaluation run {run_id}.", fix="list the runs, and name one of them.")
    try:
        return row, msgspec.convert(row.config["suite"], Suite)
    except (KeyError, msgspec.ValidationError) as error:
        fix = "run the suite again with this version."
        raise StateError(f"The suite of run {run_id} cannot be read: {error}.", fix=fix) from None


def require_complete(row: EvalRunRow) -> None:
    """Raise StateError unless the run is complete."""
    if row.status is not EvalRunStatus.COMPLETE:
        raise StateError(f"Run {row.run_id} is {row.status.value}, not complete.", fix="resume it to its end first.")


class _Run:
    """One run under way."""

    def __init__(
        self, row: EvalRunRow, plan: EvalPlan, client: ChatClient, store: Store, clock: Callable[[], float]
    ) -> None:
        self._row = row
        self._plan = plan
        self._client = client
        self._store = store
        self._clock = clock
        self._is_simulated = plan.is_simulated or row.is_simulated

    async def execute(self, on_progress: ProgressCallback | None) -> EvalRun:
        """Generate what is missing, then score and judge; marks the run's end whatever happens."""
        try:
            outputs = await self._generate(on_progress)
            traces = await self._wait_for_traces(outputs)
            plan = msgspec.structs.replace(self._plan, is_simulated=self._is_simulated)
            return await asyncio.to_thread(_judge, self._row, plan, outputs, traces, self._store, self._clock())
        except asyncio.CancelledError:
            await self._mark(EvalRunStatus.CANCELLED)
            raise
        except InhouseError:
            await self._mark(EvalRunStatus.FAILED)
            raise

    async def _generate(self, on_progress: ProgressCallback | None) -> list[EvalOutputRow]:
        stored = await asyncio.to_thread(self._store.evals.outputs, self._row.run_id)
        known = {(row.sample_id, row.epoch) for row in stored}
        epochs = range(self._plan.num_epochs)
        work = [_Work(sample, epoch) for epoch in epochs for sample in self._plan.suite.samples]
        missing = [item for item in work if (item.sample.id, item.epoch) not in known]
        recorder = Recorder(self._store, self._plan.suite, stored, num_total=len(work), on_progress=on_progress)
        try:
            await self._ask_all(missing, recorder)
        finally:
            await recorder.settle()
        return await asyncio.to_thread(self._store.evals.outputs, self._row.run_id)

    async def _ask_all(self, missing: Sequence[_Work], recorder: Recorder) -> None:
        remaining = iter(missing)

        async def work_off() -> None:
            for item in remaining:
                await recorder.record(await self._ask(item))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._plan.concurrency, len(missing))):
                    group.create_task(work_off())
        except* InhouseError as errors:
            raise _first_of(errors) from None

    async def _ask(self, item: _Work) -> EvalOutputRow:
        sampling = self._plan.suite.sampling
        if sampling.seed is not None and item.epoch:
            sampling = msgspec.structs.replace(sampling, seed=sampling.seed + item.epoch)
        call = ChatCall(
            endpoint_id=self._plan.endpoint_id,
            task=item.sample.task,
            messages=item.sample.messages,
            sampling=sampling,
        )
        give_up_at = asyncio.get_running_loop().time() + self._plan.down_wait_s
        while True:
            try:
                reply = await self._client.chat(call)
            except GatewayDownError:
                if asyncio.get_running_loop().time() >= give_up_at:
                    raise
                await asyncio.sleep(_DOWN_PAUSE_S)
                continue
            self._is_simulated = self._is_simulated or reply.is_simulated
            return EvalOutputRow(
                run_id=self._row.run_id,
                sample_id=item.sample.id,
                epoch=item.epoch,
                trace_id=reply.trace_id,
                output=reply.text,
                error_code=reply.error_code,
                latency_ms=reply.latency_ms,
            )

    async def _wait_for_traces(self, outputs: Iterable[EvalOutputRow]) -> Mapping[str, Trace]:
        """The traces of the outputs; the last ones are shipped a moment after their answers."""
        wanted = {row.trace_id for row in outputs if row.trace_id}
        found: dict[str, Trace] = {}
        give_up_at = asyncio.get_running_loop().time() + self._plan.trace_wait_s
        while True:
            new = await asyncio.to_thread(self._store.traces.find, wanted - found.keys())
            found.update((trace_id, trace) for trace_id, trace in new.items() if trace.close is not None)
            if len(found) == len(wanted) or asyncio.get_running_loop().time() >= give_up_at:
                return found
            await asyncio.sleep(_TRACE_PAUSE_S)

    async def _mark(self, status: EvalRunStatus) -> None:
        await asyncio.to_thread(self._store.evals.finish_run, self._row.run_id, status, self._clock(), None)


def _judge(
    row: EvalRunRow,
    plan: EvalPlan,
    outputs: Sequence[EvalOutputRow],
    traces: Mapping[str, Trace],
    store: Store,
    now: float,
) -> EvalRun:
    """Score every output, summarize, and finish the run. Scoring is repeatable, so a run cut off here loses nothing."""
    scores = score_outputs(plan.suite, outputs)
    store.evals.put_scores(scores)
    summary = summarize_run(
        plan.suite, outputs, scores, traces, num_epochs=plan.num_epochs, is_simulated=plan.is_simulated
    )
    store.evals.finish_run(
        row.run_id,
        EvalRunStatus.COMPLETE,
        now,
        msgspec.to_builtins(summary),
        endpoint_digest=summary.endpoint_digest,
        is_simulated=summary.is_simulated,
    )
    stored = store.evals.get_run(row.run_id)
    if stored is None:
        raise StateError(f"Run {row.run_id} is gone from the store.", fix="run the suite again.")
    return EvalRun(row=stored, summary=summary)


def _make_run_id(now: float) -> str:
    return f"run-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(3)}"


def _freeze_plan(plan: EvalPlan) -> dict[str, Any]:
    """The plan as JSON, suite included: what was asked must be known after the suite's file has changed."""
    return msgspec.to_builtins(plan)


def _thaw_plan(row: EvalRunRow, suite: Suite) -> EvalPlan:
    return msgspec.convert({**row.config, "suite": msgspec.to_builtins(suite)}, EvalPlan)


def _first_of(errors: BaseExceptionGroup[InhouseError]) -> InhouseError:
    for error in errors.exceptions:
        return _first_of(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")


def _require_same_questions(old: Suite, new: Suite, run_id: str) -> None:
    def questions(suite: Suite) -> dict[str, object]:
        return {sample.id: (sample.task, sample.messages) for sample in suite.samples}

    if questions(old) != questions(new) or old.sampling != new.sampling:
        problem = f"The suite {new.name} asks something else than run {run_id} did."
        raise StateError(problem, fix="change scorers and targets only, or run the suite anew.")
