"""CPU per request of several targets, side by side: short slices in turn, added up to blocks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from commands import Closed
from driver import Driver
from payloads import Ask
from processes import Peer

SETTLE_S = 0.005
"""After a slice, before its CPU time is read: what a proxy does after its last reply belongs to it."""


@dataclass(frozen=True)
class Size:
    """How much is measured: `num_blocks` blocks of `num_slices` slices in turn over all targets."""

    num_blocks: int
    num_slices: int
    num_requests: int
    """Of one slice."""
    num_slow_requests: int
    """Of one slice of a slow target, which takes part in every `slow_every`th slice only."""
    slow_every: int = 5
    num_connections: int = 16


@dataclass(frozen=True)
class Target:
    """One way to ask one peer. `label` names it in the report."""

    label: str
    peer: Peer
    is_stream: bool = False
    ask: Ask = Ask.CHAT
    is_slow: bool = False


@dataclass
class Cost:
    """What a target's requests cost: CPU microseconds per request, one figure for each block."""

    version: str
    blocks_us: list[float] = field(default_factory=list[float])
    num_good: int = 0
    num_bad: int = 0
    statuses: dict[int, int] = field(default_factory=dict[int, int])

    def count(self, statuses: Mapping[int, int]) -> None:
        """Add replies by status."""
        for status, number in statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + number

    @property
    def median_us(self) -> float:
        """The figure that counts."""
        return statistics.median(self.blocks_us)


@dataclass
class Sum:
    """CPU and answers of one target in a block."""

    cpu_ns: int = 0
    num_good: int = 0


def measure_targets(driver: Driver, targets: Sequence[Target], size: Size) -> dict[str, Cost]:
    """Measure; a target that does not answer its first request with 200 is left out after that (`statuses` says it)."""
    costs = {target.label: Cost(target.peer.version) for target in targets}
    served: list[Target] = []
    for target in targets:
        probe = driver.run_closed(_command(target, 1, 1))
        costs[target.label].count(probe.statuses)
        if probe.num_good == 1:
            served.append(target)
            _run_slice(driver, target, size, Cost(""), Sum())
    for _ in range(size.num_blocks):
        sums = {target.label: Sum() for target in served}
        for index in range(size.num_slices):
            turn = index % len(served)
            for target in (*served[turn:], *served[:turn]):
                if not target.is_slow or index % size.slow_every == 0:
                    _run_slice(driver, target, size, costs[target.label], sums[target.label])
        for label, total in sums.items():
            costs[label].blocks_us.append(total.cpu_ns / 1e3 / max(1, total.num_good))
    return costs


def _run_slice(driver: Driver, target: Target, size: Size, cost: Cost, total: Sum) -> None:
    """One slice: CPU before, load, CPU after."""
    num_requests = size.num_slow_requests if target.is_slow else size.num_requests
    before_ns = target.peer.read_cpu_ns()
    reply = driver.run_closed(_command(target, num_requests, size.num_connections))
    time.sleep(SETTLE_S)
    total.cpu_ns += target.peer.read_cpu_ns() - before_ns
    total.num_good += reply.num_good
    cost.num_good += reply.num_good
    cost.num_bad += reply.num_bad
    cost.count(reply.statuses)


def _command(target: Target, num_requests: int, num_connections: int) -> Closed:
    return Closed(
        port=target.peer.port,
        num_requests=num_requests,
        num_connections=min(num_connections, num_requests),
        is_stream=target.is_stream,
        ask=target.ask,
    )
