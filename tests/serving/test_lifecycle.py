"""What is decided for a replica, moment by moment. Pure: the clock is a number."""

from __future__ import annotations

import pytest

from inhouse.domain import ReplicaState
from inhouse.serving.engines import ProbeState, ReadinessProbe
from inhouse.serving.lifecycle import Action, Life, Sight, decide_step

READY = Sight(is_running=True, probe=ReadinessProbe(ProbeState.READY))
LOADING = Sight(is_running=True, probe=ReadinessProbe(ProbeState.LOADING, "/health answers 503"))
GONE = Sight(is_running=False, exit_detail="the engine ended by SIGKILL")


def life(*, is_ours: bool = True) -> Life:
    return Life(is_ours=is_ours, start_timeout_s=60)


def test_the_first_look_launches() -> None:
    started, action = decide_step(life(), Sight(is_running=False), 5.0)
    assert (action, started.state, started.launched_at, started.num_restarts) == (
        Action.LAUNCH, ReplicaState.STARTING, 5.0, 0,
    )  # fmt: skip


def test_loading_waits_and_a_token_makes_it_ready() -> None:
    started, _ = decide_step(life(), Sight(is_running=False), 0.0)
    waiting, action = decide_step(started, LOADING, 1.0)
    assert (action, waiting.state, waiting.detail) == (Action.NOTHING, ReplicaState.STARTING, "/health answers 503")
    ready, _ = decide_step(waiting, READY, 2.0)
    assert (ready.state, ready.ready_since, ready.detail) == (ReplicaState.READY, 2.0, "")


def test_crashes_back_off_from_at_once_to_ten_seconds() -> None:
    current, waits = life(), []
    now = 0.0
    for _ in range(9):
        current, action = decide_step(current, Sight(is_running=False), now)
        assert action is Action.LAUNCH
        current, action = decide_step(current, GONE, now + 1)
        assert (action, current.state, current.detail) == (Action.NOTHING, ReplicaState.DOWN, GONE.exit_detail)
        waits.append(current.next_look_s(now + 1))
        now = current.retry_at
    assert waits == pytest.approx([0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    assert current.num_restarts == 8


def test_no_launch_before_its_time() -> None:
    current, action = decide_step(Life(is_ours=True, start_timeout_s=60, retry_at=9.0), Sight(is_running=False), 8.9)
    assert (action, current.next_look_s(8.9)) == (Action.NOTHING, pytest.approx(0.1))


def test_thirty_seconds_of_health_forgive_earlier_crashes() -> None:
    stable = Life(is_ours=True, start_timeout_s=60, launched_at=0.0, ready_since=1.0, num_launches=5, backoff_s=6.4)
    assert decide_step(stable, GONE, 31.0)[0].retry_at == 31.0
    assert decide_step(stable, GONE, 30.9)[0].retry_at == pytest.approx(37.3)


def test_a_launch_without_a_process_is_no_restart() -> None:
    started, _ = decide_step(life(), Sight(is_running=False), 0.0)
    failed, _ = decide_step(started, Sight(is_running=False, exit_detail="no such file", was_spawned=False), 0.1)
    assert (failed.num_launches, failed.num_restarts, failed.state) == (0, 0, ReplicaState.DOWN)


def test_a_start_that_takes_too_long_is_killed() -> None:
    started, _ = decide_step(life(), Sight(is_running=False), 0.0)
    killed, action = decide_step(started, LOADING, 60.0)
    assert (action, killed.state) == (Action.KILL, ReplicaState.DOWN)
    assert killed.detail == "not ready 60 s after its launch: /health answers 503"


def test_green_health_without_tokens_is_killed_and_a_busy_engine_is_not() -> None:
    ready, _ = decide_step(decide_step(life(), Sight(is_running=False), 0.0)[0], READY, 1.0)
    stuck = Sight(is_running=True, probe=ReadinessProbe(ProbeState.LOADING, "asked for one token: too late"))
    assert decide_step(ready, stuck, 9.0)[1] is Action.KILL
    busy = Sight(is_running=True, probe=stuck.probe, has_progressed=True)
    kept, action = decide_step(ready, busy, 9.0)
    assert (action, kept.state) == (Action.NOTHING, ReplicaState.READY)


def test_what_runs_other_than_asked_is_down_and_named_and_not_restarted() -> None:
    started, _ = decide_step(life(), Sight(is_running=False), 0.0)
    wrong = Sight(is_running=True, probe=READY.probe, mismatches=("slots: asked 4, runs 1",))
    down, action = decide_step(started, wrong, 1.0)
    assert (action, down.state, down.detail) == (
        Action.NOTHING, ReplicaState.DOWN, "runs other than asked: slots: asked 4, runs 1",
    )  # fmt: skip


def test_an_engine_of_somebody_else_is_never_killed() -> None:
    down, action = decide_step(life(is_ours=False), LOADING, 0.0)
    assert (action, down.state, down.next_look_s(0.0)) == (Action.NOTHING, ReplicaState.DOWN, 2.0)
    assert decide_step(down, READY, 2.0)[0].state is ReplicaState.READY


def test_a_look_that_was_cut_short_changes_nothing() -> None:
    current = life()
    assert decide_step(current, Sight(is_running=True), 3.0) == (current, Action.NOTHING)
