"""Which replica of an endpoint takes a request. Pure: counts and the tie-breaker are passed in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from inhouse.domain import Replica, ReplicaState


def pick_replica(
    replicas: Sequence[Replica], in_flight: Mapping[str, int], exclude: Collection[str] = (), *, tie: int = 0
) -> Replica | None:
    """The ready replica with the least requests in flight; None where none is ready and not excluded.

    Args:
        replicas: the endpoint's replicas in the snapshot's order.
        in_flight: replica_id → requests under way; an absent id counts as none.
        exclude: replica ids already tried for this request.
        tie: which of several equally loaded replicas, modulo their number (a running count spreads them evenly).
    """
    ready = [
        replica for replica in replicas if replica.state is ReplicaState.READY and replica.replica_id not in exclude
    ]
    if len(ready) <= 1:
        return ready[0] if ready else None
    least = min(in_flight.get(replica.replica_id, 0) for replica in ready)
    ties = [replica for replica in ready if in_flight.get(replica.replica_id, 0) == least]
    return ties[tie % len(ties)]
