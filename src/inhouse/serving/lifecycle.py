"""Decides what to do with one replica from what was seen of it. Pure: starts, asks and waits for nothing."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from inhouse.domain import ReplicaState
from inhouse.serving.engines import ProbeState, ReadinessProbe

FIRST_BACKOFF_S = 0.2
MAX_BACKOFF_S = 10.0
STABLE_AFTER_S = 30.0
"""Health of this length forgives earlier crashes: the next restart is at once."""
PROBE_PERIOD_S = 2.0
_STARTING_PERIOD_S = 0.1
_SLOW_START_PERIOD_S = 1.0
_QUICK_START_S = 10.0


class Action(StrEnum):
    """What to do with the engine process now."""

    NOTHING = "nothing"
    LAUNCH = "launch"
    KILL = "kill"


class Sight(Struct, frozen=True, kw_only=True):
    """What was seen of a replica at one moment.

    Args:
        is_running: its process lives; always True where somebody else runs the engine.
        exit_detail: why there is no process, in words.
        probe: the last answer; None where none was asked for.
        mismatches: what runs other than was asked, in words.
        was_spawned: where there is no process: the last launch came as far as a process.
        has_progressed: the engine worked between two looks, though the probe failed: it is busy, not dead.
    """

    is_running: bool
    exit_detail: str = ""
    was_spawned: bool = True
    probe: ReadinessProbe | None = None
    mismatches: tuple[str, ...] = ()
    has_progressed: bool = False


class Life(Struct, frozen=True, kw_only=True):
    """What is remembered of a replica between two looks. Times are seconds of one monotonic clock.

    Args:
        is_ours: this process launches the engine, and may kill it.
        start_timeout_s: time from the launch to the first token; then it is killed.
        launched_at: None while there is no process.
        ready_since: None while not ready.
        num_launches: processes launched so far; each after the first is a restart.
        backoff_s: wait before the next restart.
        retry_at: not launched before this time.
    """

    is_ours: bool
    start_timeout_s: float
    state: ReplicaState = ReplicaState.STARTING
    detail: str = ""
    launched_at: float | None = None
    ready_since: float | None = None
    num_launches: int = 0
    backoff_s: float = 0.0
    retry_at: float = 0.0

    @property
    def num_restarts(self) -> int:
        """Launches after the first."""
        return max(0, self.num_launches - 1)

    def next_look_s(self, now: float) -> float:
        """Seconds until the next look; the death of the process is noticed at once, whatever this says."""
        if self.is_ours and self.launched_at is None:
            return max(0.0, self.retry_at - now)
        if self.state is ReplicaState.STARTING and self.launched_at is not None:
            return _STARTING_PERIOD_S if now - self.launched_at < _QUICK_START_S else _SLOW_START_PERIOD_S
        return PROBE_PERIOD_S


def decide_step(life: Life, sight: Sight, now: float) -> tuple[Life, Action]:
    """The replica's next life and what to do with its process."""
    if not sight.is_running:
        return _decide_absent(life, sight, now)
    if sight.probe is None:
        return life, Action.NOTHING
    if sight.probe.state is not ProbeState.READY:
        return _decide_unready(life, sight.probe, now, has_progressed=sight.has_progressed)
    if sight.mismatches:
        detail = f"runs other than asked: {'; '.join(sight.mismatches)}"
        return replace(life, state=ReplicaState.DOWN, ready_since=None, detail=detail), Action.NOTHING
    ready_since = now if life.ready_since is None else life.ready_since
    return replace(life, state=ReplicaState.READY, ready_since=ready_since, detail=""), Action.NOTHING


def _decide_absent(life: Life, sight: Sight, now: float) -> tuple[Life, Action]:
    """There is no process: note its death once, then launch when its time has come."""
    if life.launched_at is not None:
        was_stable = life.ready_since is not None and now - life.ready_since >= STABLE_AFTER_S
        wait_s = 0.0 if was_stable else life.backoff_s
        gone = replace(
            life,
            state=ReplicaState.DOWN,
            detail=sight.exit_detail,
            launched_at=None,
            ready_since=None,
            num_launches=life.num_launches - (0 if sight.was_spawned else 1),
            backoff_s=min(MAX_BACKOFF_S, max(FIRST_BACKOFF_S, wait_s * 2)),
            retry_at=now + wait_s,
        )
        return gone, Action.NOTHING
    if now < life.retry_at:
        return life, Action.NOTHING
    launched = replace(life, state=ReplicaState.STARTING, launched_at=now, num_launches=life.num_launches + 1)
    return launched, Action.LAUNCH


def _decide_unready(life: Life, probe: ReadinessProbe, now: float, *, has_progressed: bool) -> tuple[Life, Action]:
    """The engine runs and does not answer as it should: wait while it starts or is busy, else put it down."""
    if life.state is ReplicaState.STARTING and life.launched_at is not None:
        if now - life.launched_at < life.start_timeout_s:
            detail = life.detail if life.num_restarts else probe.detail  # why it was restarted says more
            return replace(life, detail=detail), Action.NOTHING
        return _put_down(life, f"not ready {life.start_timeout_s:g} s after its launch: {probe.detail}")
    if has_progressed:
        return replace(life, detail=f"busy: {probe.detail}"), Action.NOTHING
    return _put_down(life, probe.detail)


def _put_down(life: Life, detail: str) -> tuple[Life, Action]:
    down = replace(life, state=ReplicaState.DOWN, detail=detail)
    if life.is_ours:
        return down, Action.KILL
    return replace(down, ready_since=None), Action.NOTHING
