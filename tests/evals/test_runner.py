"""Runs against a loopback data port: what is stored, summarized, resumed, and rescored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import pytest

from inhouse.backends import HttpClient
from inhouse.domain import StateError, Trace
from inhouse.evals import (
    ChatCall,
    ChatReply,
    EvalPlan,
    GatewayChat,
    GatewayDownError,
    GatewayRefusedError,
    Progress,
    Suite,
    read_run,
    rescore,
    resume_run,
    run_suite,
    to_jsonable,
)
from inhouse.store import EvalOutputRow, EvalRunRow, EvalRunStatus, Store

if TYPE_CHECKING:
    from evals.conftest import FakeGateway

TOKEN = "eval-secret-token"
MakeSuite = Callable[..., Suite]
HARD = "  - {id: hard, task: other, prompt: hard one, target: right, must_pass: true, slices: [tough]}\n"


def chat(gateway: FakeGateway, http: HttpClient, token: str = TOKEN) -> GatewayChat:
    return GatewayChat(gateway.url, token, http)


async def test_a_whole_run(gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite) -> None:
    gateway.answer = lambda prompt: {"say 1": (502, "upstream_error"), "say 2": "SAY TWO"}.get(prompt, prompt.upper())
    seen: list[Progress] = []
    plan = EvalPlan(suite=make_suite(10, extra=HARD), endpoint_id="clerk", run_id="r1", concurrency=3)
    run = await run_suite(plan, client=chat(gateway, http), store=store, on_progress=seen.append, clock=lambda: 5.0)
    summary = run.summary
    assert (run.row.status, run.row.finished_at, run.row.num_samples) == (EvalRunStatus.COMPLETE, 5.0, 11)
    assert {headers["x-inhouse-task"] for headers, _ in gateway.requests} == {"echo", "other"}

    assert (summary.num_outputs, summary.num_errors, summary.errors_by_code) == (11, 1, {"upstream_error": 1})
    assert (summary.score.value, summary.score.n, summary.score.num_errors) == (pytest.approx(8 / 11), 11, 1)
    assert summary.score.interval is not None
    assert summary.score.interval.method == "Wilson"
    echo, other = summary.tasks
    assert [(metric.scorer, metric.n, metric.value) for metric in echo.metrics] == [
        ("exact", 10, 0.8),
        ("token_f1", 10, 0.85),
    ]
    assert (other.metrics[0].value, other.num_samples) == (0.0, 1)
    assert summary.must_pass_failed == ("hard",)
    assert [(item.name, item.metric.n) for item in summary.slices] == [("tough", 1)]

    assert (summary.ttft.n, summary.ttft.num_missing, summary.ttft.p50_ms) == (10, 0, 10.0)
    assert (summary.tpot.n, summary.tpot.num_missing, summary.tpot.p50_ms) == (0, 10, None)
    assert (summary.cost.n, summary.cost.total_usd, summary.cost.num_unpriced) == (10, Decimal("0.020"), 0)
    assert (summary.endpoint_digest, summary.is_simulated, summary.num_traces_missing) == ("sha256:one", False, 0)
    assert run.row.endpoint_digest == "sha256:one"

    last = seen[-1]
    assert (last.num_done, last.num_total, last.num_errors) == (11, 11, 1)
    assert last.mean == pytest.approx(8 / 11)
    assert last.rate_per_s is not None
    assert [item.num_done for item in seen] == sorted(item.num_done for item in seen)

    stored = store.evals.get_run("r1")
    assert stored is not None
    assert stored.summary == msgspec.json.decode(msgspec.json.encode(to_jsonable(summary)))
    failed = next(row for row in store.evals.outputs("r1") if row.sample_id == "s1")
    assert (failed.output, failed.error_code, failed.trace_id is not None) == (None, "upstream_error", True)
    scores = {(row.sample_id, row.scorer): row for row in store.evals.scores("r1")}
    assert (scores["s1", "exact"].value, scores["s1", "exact"].is_scored) == (0.0, True)
    assert scores["s1", "exact"].explanation == "the request failed: upstream_error"
    assert TOKEN not in repr(stored)


async def test_no_more_requests_than_asked_are_under_way(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    gateway.gate.clear()
    plan = EvalPlan(suite=make_suite(10), endpoint_id="clerk", concurrency=3)
    async with asyncio.TaskGroup() as group:
        group.create_task(run_suite(plan, client=chat(gateway, http), store=store))
        await gateway.wait_for_requests(3)
        gateway.gate.set()
    assert (gateway.max_in_flight, len(gateway.requests)) == (3, 10)


async def test_missing_traces_and_prices_are_counted_never_zero(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    gateway.is_shipping = False
    plan = EvalPlan(suite=make_suite(3), endpoint_id="clerk", trace_wait_s=0.0)
    summary = (await run_suite(plan, client=chat(gateway, http), store=store)).summary
    assert (summary.num_traces_missing, summary.ttft.num_missing, summary.ttft.p50_ms) == (3, 3, None)
    assert (summary.cost.num_missing, summary.cost.total_usd, summary.endpoint_digest) == (3, None, None)

    gateway.is_shipping, gateway.cost_usd = True, None
    gateway.answer = lambda _prompt: "LONG"
    priced = (await run_suite(plan, client=chat(gateway, http), store=store)).summary
    assert (priced.cost.num_unpriced, priced.cost.num_missing, priced.cost.usd_per_request) == (3, 0, None)
    assert priced.num_truncated == 3


async def test_traces_that_arrive_late_are_waited_for(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = store.traces.find
    num_looks = 0

    def find_late(ids: Iterable[str]) -> dict[str, Trace]:
        nonlocal num_looks
        num_looks += 1
        return find(ids) if num_looks > 1 else {}

    monkeypatch.setattr(store.traces, "find", find_late)
    plan = EvalPlan(suite=make_suite(2), endpoint_id="clerk")
    summary = (await run_suite(plan, client=chat(gateway, http), store=store)).summary
    assert (num_looks, summary.num_traces_missing, summary.ttft.n) == (2, 0, 2)


async def test_a_digest_that_changes_during_the_run_is_no_digest(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    def answer(prompt: str) -> str:
        gateway.digest = "sha256:two" if prompt == "say 2" else "sha256:one"
        return prompt.upper()

    gateway.answer = answer
    plan = EvalPlan(suite=make_suite(4), endpoint_id="clerk", concurrency=1)
    summary = (await run_suite(plan, client=chat(gateway, http), store=store)).summary
    assert (summary.endpoint_digest, summary.endpoint_digests) == (None, ("sha256:one", "sha256:two"))


async def test_simulated_answers_make_a_simulated_run(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    gateway.is_simulated, gateway.is_shipping = True, False
    plan = EvalPlan(suite=make_suite(1), endpoint_id="sim", trace_wait_s=0.0)
    run = await run_suite(plan, client=chat(gateway, http), store=store)
    assert (run.summary.is_simulated, run.row.is_simulated) == (True, True)


async def test_cancelled_then_resumed_asks_only_what_is_missing(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    first_done = asyncio.Event()
    plan = EvalPlan(suite=make_suite(12), endpoint_id="clerk", run_id="r1", concurrency=2)

    def hold(progress: Progress) -> None:
        if progress.num_done >= 4:
            gateway.gate.clear()
            first_done.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_suite(plan, client=chat(gateway, http), store=store, on_progress=hold))
        await first_done.wait()
        await gateway.wait_for_requests(5)
        task.cancel()
    stopped = store.evals.get_run("r1")
    assert stopped is not None
    assert (stopped.status, stopped.summary) == (EvalRunStatus.CANCELLED, None)
    kept = {row.sample_id for row in store.evals.outputs("r1")}
    assert 4 <= len(kept) < 12
    assert {row.sample_id for row in store.evals.scores("r1")} == kept

    gateway.requests.clear()
    gateway.gate.set()
    seen: list[Progress] = []
    run = await resume_run("r1", client=chat(gateway, http), store=store, on_progress=seen.append)
    asked = {body["messages"][-1]["content"].replace("say ", "s") for _, body in gateway.requests}
    assert asked == {f"s{n}" for n in range(12)} - kept
    assert (run.row.status, run.summary.num_outputs, run.summary.score.value) == (EvalRunStatus.COMPLETE, 12, 1.0)
    assert seen[0].num_done > len(kept)
    with pytest.raises(StateError, match="is complete"):
        await resume_run("r1", client=chat(gateway, http), store=store)


async def test_a_killed_run_is_scored_from_what_it_left(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    """A process killed between storing and scoring left a `running` run with unscored outputs, one an error."""
    plan = EvalPlan(suite=make_suite(3), endpoint_id="clerk", run_id="r1", trace_wait_s=0.0)
    await run_suite(msgspec.structs.replace(plan, run_id="r0"), client=chat(gateway, http), store=store)
    model = store.evals.get_run("r0")
    assert model is not None
    row = msgspec.structs.replace(model, run_id="r1", status=EvalRunStatus.RUNNING, summary=None, finished_at=None)
    store.evals.create_run(row)
    store.evals.put_outputs(
        [
            EvalOutputRow(run_id="r1", sample_id="s0", epoch=0, output="SAY 0"),
            EvalOutputRow(run_id="r1", sample_id="s1", epoch=0, error_code="upstream_cut"),
        ]
    )
    gateway.requests.clear()
    summary = (await resume_run("r1", client=chat(gateway, http), store=store)).summary
    assert len(gateway.requests) == 1
    assert (summary.num_errors, summary.score.n, summary.score.value) == (1, 3, pytest.approx(2 / 3))
    with pytest.raises(StateError, match="no evaluation run nowhere"):
        await resume_run("nowhere", client=chat(gateway, http), store=store)


class WatchedChat:
    """Says when a request found no gateway."""

    def __init__(self, inner: GatewayChat) -> None:
        self.inner = inner
        self.found_nobody = asyncio.Event()

    async def chat(self, call: ChatCall) -> ChatReply:
        try:
            return await self.inner.chat(call)
        except GatewayDownError:
            self.found_nobody.set()
            raise


async def test_a_gateway_that_restarts_is_waited_for(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    await gateway.stop()
    plan = EvalPlan(suite=make_suite(4), endpoint_id="clerk")
    client = WatchedChat(chat(gateway, http))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_suite(plan, client=client, store=store))
        await client.found_nobody.wait()
        await gateway.start()
    assert (task.result().summary.num_errors, task.result().summary.score.value) == (0, 1.0)


async def test_a_gateway_that_stays_away_fails_the_run_not_the_samples(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    await gateway.stop()
    plan = EvalPlan(suite=make_suite(4), endpoint_id="clerk", run_id="r1", down_wait_s=0.0)
    with pytest.raises(GatewayDownError):
        await run_suite(plan, client=chat(gateway, http), store=store)
    stopped = store.evals.get_run("r1")
    assert stopped is not None
    assert (stopped.status, store.evals.outputs("r1")) == (EvalRunStatus.FAILED, [])


async def test_a_wrong_key_fails_the_run_at_once(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    plan = EvalPlan(suite=make_suite(50), endpoint_id="clerk", run_id="r1", concurrency=2)
    with pytest.raises(GatewayRefusedError):
        await run_suite(plan, client=chat(gateway, http, "wrong"), store=store)
    assert len(gateway.requests) <= 4
    assert store.evals.outputs("r1") == []


async def test_epochs_are_averaged_by_sample(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    count = iter(range(100))
    gateway.answer = lambda prompt: prompt.upper() if next(count) % 2 == 0 else "wrong"
    plan = EvalPlan(suite=make_suite(3, scorers="[exact]"), endpoint_id="clerk", num_epochs=2, concurrency=1)
    summary = (await run_suite(plan, client=chat(gateway, http), store=store)).summary
    # Answers in turn right, wrong, right for epoch 0 and wrong, right, wrong for epoch 1: each sample is half right.
    assert (summary.num_outputs, summary.score.n, summary.score.value) == (6, 3, 0.5)
    assert [body["seed"] for _, body in gateway.requests] == [7, 7, 7, 8, 8, 8]


async def test_rescoring_makes_a_new_run_and_asks_nobody(
    gateway: FakeGateway, http: HttpClient, store: Store, make_suite: MakeSuite
) -> None:
    gateway.answer = lambda prompt: prompt.lower()
    plan = EvalPlan(suite=make_suite(3, scorers="[exact]"), endpoint_id="clerk", run_id="r1")
    old = await run_suite(plan, client=chat(gateway, http), store=store)
    gateway.requests.clear()
    again = rescore("r1", store=store, clock=lambda: 9.0)
    assert (again.row.suite_digest, again.summary.score.value) == (old.row.suite_digest, 0.0)
    new = rescore("r1", store=store, suite=make_suite(3, scorers="[label]"))
    assert gateway.requests == []
    assert (old.summary.score.value, new.summary.score.value) == (0.0, 1.0)
    assert new.row.suite_digest != old.row.suite_digest
    assert (new.row.note, new.summary.cost.n) == ("rescored from r1", 3)
    assert store.evals.get_run("r1") == old.row
    with pytest.raises(StateError, match="asks something else"):
        rescore("r1", store=store, suite=make_suite(4))
    with pytest.raises(StateError, match="no evaluation run"):
        rescore("r9", store=store)


async def test_a_suite_written_by_another_version_is_refused_in_words(store: Store) -> None:
    row = EvalRunRow(
        run_id="r1", suite="s", suite_digest="d", endpoint_id="e", started_at=1.0, num_samples=1, config={"suite": {}}
    )
    store.evals.create_run(row)
    with pytest.raises(StateError, match="suite of run r1 cannot be read"):
        read_run(store, "r1")
