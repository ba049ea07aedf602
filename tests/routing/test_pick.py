from __future__ import annotations

from inhouse.domain import Replica, ReplicaState
from inhouse.routing import pick_replica


def replica(name: str, state: ReplicaState = ReplicaState.READY) -> Replica:
    return Replica(replica_id=name, base_url="http://x/v1", state=state)


A, B, C = replica("a"), replica("b"), replica("c")


def test_the_least_loaded_ready_replica_is_picked() -> None:
    assert pick_replica((A, B, C), {"a": 2, "b": 1, "c": 3}) is B
    assert pick_replica((A, B), {"a": 1}) is B


def test_ties_go_by_the_number_passed_in() -> None:
    assert [pick_replica((A, B, C), {"c": 1}, tie=tie) for tie in range(3)] == [A, B, A]


def test_replicas_that_are_not_ready_or_excluded_are_never_picked() -> None:
    draining = replica("d", ReplicaState.DRAINING)
    assert pick_replica((draining, A), {"a": 9}) is A
    assert pick_replica((A, B), {}, {"a"}) is B
    assert pick_replica((draining,), {}) is None
    assert pick_replica((A,), {}, {"a"}) is None
    assert pick_replica((), {}) is None
