"""Replicas, snapshots and evaluation runs: what goes in comes out, and what must not happen is refused."""

from __future__ import annotations

import pytest

from inhouse.domain import DigestBasis, DigestField, ReplicaState, StateError
from inhouse.store import (
    EvalOutputRow,
    EvalRunRow,
    EvalRunStatus,
    EvalScoreRow,
    ReplicaRow,
    SnapshotRow,
    Store,
)

REPLICA = ReplicaRow(
    replica_id="clerk-0",
    deployment="clerk",
    host_id="host",
    base_url="http://127.0.0.1:4000/v1",
    state=ReplicaState.READY,
    digest="sha256:ab",
    digest_fields=(DigestField("weights", "sha256:cd", DigestBasis.MEASURED),),
    pid=4711,
    num_restarts=2,
    updated_at=1000.5,
    detail="",
)
RUN = EvalRunRow(
    run_id="r1",
    suite="triage",
    suite_digest="sha256:s",
    endpoint_id="clerk",
    endpoint_digest="sha256:e",
    started_at=10.0,
    num_samples=3,
    config={"epochs": 2, "nested": {"a": [1, None]}},
)


def test_a_replica_is_written_over_and_dropped(store: Store) -> None:
    bare = ReplicaRow(
        replica_id="a-0",
        deployment="a",
        host_id="host",
        base_url="http://127.0.0.1:1/v1",
        state=ReplicaState.STARTING,
        updated_at=1.0,
    )
    store.replicas.put(REPLICA)
    store.replicas.put(bare)
    assert store.replicas.list() == [bare, REPLICA]
    changed = ReplicaRow(
        replica_id="clerk-0",
        deployment="clerk",
        host_id="host",
        base_url="http://127.0.0.1:4001/v1",
        state=ReplicaState.DOWN,
        num_restarts=3,
        updated_at=1001.5,
        detail="exit code 1",
    )
    store.replicas.put(changed)
    store.replicas.drop("a-0")
    store.replicas.drop("a-0")
    assert store.replicas.list() == [changed]


def test_the_latest_snapshot_is_the_highest_version(store: Store) -> None:
    assert store.snapshots.latest() is None
    store.snapshots.put(2, b'{"version":2}', 20.0)
    store.snapshots.put(10, b'{"version":10}', 15.0)
    assert store.snapshots.latest() == SnapshotRow(version=10, payload=b'{"version":10}', created_at=15.0)


def test_a_snapshot_is_never_changed(store: Store) -> None:
    store.snapshots.put(1, b"one", 1.0)
    store.snapshots.put(1, b"one", 2.0)
    with pytest.raises(StateError, match="Snapshot 1 is stored with another content"):
        store.snapshots.put(1, b"two", 3.0)
    assert store.snapshots.latest() == SnapshotRow(version=1, payload=b"one", created_at=1.0)


def test_a_run_begins_and_ends(store: Store) -> None:
    store.evals.create_run(RUN)
    assert store.evals.get_run("r1") == RUN
    assert store.evals.get_run("r2") is None
    store.evals.finish_run("r1", EvalRunStatus.COMPLETE, 20.0, {"accuracy": 0.9})
    done = store.evals.get_run("r1")
    assert done is not None
    assert (done.status, done.finished_at, done.summary) == (EvalRunStatus.COMPLETE, 20.0, {"accuracy": 0.9})


def test_a_run_id_is_used_once_and_must_be_there_to_end(store: Store) -> None:
    store.evals.create_run(RUN)
    with pytest.raises(StateError, match="refuses a row"):
        store.evals.create_run(RUN)
    with pytest.raises(StateError, match="There is no evaluation run r2"):
        store.evals.finish_run("r2", EvalRunStatus.FAILED, 20.0, None)


def test_runs_are_listed_newest_first(store: Store) -> None:
    for number, (suite, endpoint) in enumerate([("triage", "clerk"), ("sql", "clerk"), ("triage", "sim/mid")]):
        store.evals.create_run(
            EvalRunRow(
                run_id=f"r{number}",
                suite=suite,
                suite_digest="sha256:s",
                endpoint_id=endpoint,
                started_at=float(number),
                num_samples=1,
                config={"suite": {"samples": ["long"]}, "num_epochs": 1},
                is_simulated=endpoint == "sim/mid",
            )
        )
    assert [run.run_id for run in store.evals.list_runs()] == ["r2", "r1", "r0"]
    assert [run.run_id for run in store.evals.list_runs(suite="triage")] == ["r2", "r0"]
    assert [run.run_id for run in store.evals.list_runs(suite="triage", endpoint_id="clerk")] == ["r0"]
    assert [run.is_simulated for run in store.evals.list_runs(limit=1)] == [True]
    assert [run.config for run in store.evals.list_runs(limit=1)] == [{"num_epochs": 1}]


def test_outputs_and_scores_are_written_over(store: Store) -> None:
    store.evals.create_run(RUN)
    first = EvalOutputRow(run_id="r1", sample_id="s1", epoch=1, trace_id="t", output="yes", latency_ms=12.5)
    failed = EvalOutputRow(run_id="r1", sample_id="s1", epoch=2, error_code="upstream_timeout")
    store.evals.put_outputs([failed, first])
    again = EvalOutputRow(run_id="r1", sample_id="s1", epoch=2, trace_id="u", output="no", latency_ms=7.0)
    store.evals.put_outputs([again])
    store.evals.put_outputs([])
    assert store.evals.outputs("r1") == [first, again]

    scored = EvalScoreRow(run_id="r1", sample_id="s1", epoch=1, scorer="exact", value=1.0, is_scored=True)
    unscored = EvalScoreRow(
        run_id="r1", sample_id="s1", epoch=1, scorer="judge", value=None, is_scored=False, explanation="no answer"
    )
    store.evals.put_scores([unscored, scored])
    store.evals.put_scores([unscored, scored])
    assert store.evals.scores("r1") == [scored, unscored]
    assert store.evals.scores("other") == []


def test_an_output_needs_its_run(store: Store) -> None:
    with pytest.raises(StateError, match=r"(?i)refuses a row.*foreign key"):
        store.evals.put_outputs([EvalOutputRow(run_id="nobody", sample_id="s1", epoch=1)])
    assert store.evals.outputs("nobody") == []


def test_a_nul_in_an_answer_is_shown_as_a_replacement_character(store: Store) -> None:
    store.evals.create_run(RUN)
    store.evals.put_outputs([EvalOutputRow(run_id="r1", sample_id="s1", epoch=1, output="a\x00b")])
    assert store.evals.outputs("r1")[0].output == "a\ufffdb"
