"""The supervisor restarts what dies, stops in reverse order, and its children end when it is gone."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from inhouse.cli.supervisor import ChildEvent, ChildSpec, ChildState, Supervisor

CHILD = """\
import signal, sys, time
from inhouse.cli.child import read_start
start = read_start(dict)
open(start["mark"], "a").write(f"{start['name']} up\\n")
def leave(*_):
    open(start["mark"], "a").write(f"{start['name']} down\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
while True:
    time.sleep(0.05)
"""


MEETING_CHILD = """\
import pathlib, signal, sys, time
from inhouse.cli.child import read_start
start = read_start(dict)
mark = pathlib.Path(start["mark"])
def note(word):
    with mark.open("a") as file:
        file.write(f"{start['name']} {word}\\n")
def leave(*_):
    note("leaving")
    while mark.read_text().count("leaving") < 2:
        time.sleep(0.02)
    note("down")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
note("up")
while True:
    time.sleep(0.05)
"""


def write_child(folder: Path) -> dict[str, str]:
    for name, text in (("marked_child", CHILD), ("other_child", CHILD), ("meeting_child", MEETING_CHILD)):
        (folder / f"{name}.py").write_text(text)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[2] / 'src'}"}


def make_spec(name: str, mark: Path, module: str = "marked_child") -> ChildSpec:
    return ChildSpec(name, module, f'{{"name": "{name}", "mark": "{mark}"}}'.encode())


async def wait_for_lines(mark: Path, count: int) -> list[str]:
    async with asyncio.timeout(10):
        while not mark.exists() or len(mark.read_text().splitlines()) < count:
            await asyncio.sleep(0.02)
    return mark.read_text().splitlines()


async def test_a_killed_child_is_started_again_and_stopping_goes_backwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in write_child(tmp_path).items():
        monkeypatch.setenv(name, value)
    mark = tmp_path / "mark"
    events: list[ChildEvent] = []
    supervisor = Supervisor(
        [make_spec("first", mark), make_spec("second", mark, "other_child")], tmp_path, events.append
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(supervisor.run())
        await wait_for_lines(mark, 2)
        os.kill(supervisor.pids["first"], signal.SIGKILL)
        await wait_for_lines(mark, 3)
        supervisor.stop()
        await running

    assert mark.read_text().splitlines()[3:] == ["second down", "first down"]
    restarts = [event for event in events if event.state is ChildState.RESTARTING]
    assert [(event.name, event.exit_status) for event in restarts] == [("first", -signal.SIGKILL)]
    assert supervisor.pids == {}


async def test_neighbours_of_one_kind_stop_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for the other to be told: one after the other, neither would end by itself."""
    for name, value in write_child(tmp_path).items():
        monkeypatch.setenv(name, value)
    mark = tmp_path / "mark"
    specs = [make_spec("base", mark), *(make_spec(name, mark, "meeting_child") for name in ("one", "two"))]
    supervisor = Supervisor(specs, tmp_path)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(supervisor.run())
        await wait_for_lines(mark, 3)
        supervisor.stop()
        await running

    lines = mark.read_text().splitlines()[3:]
    assert {line for line in lines if line.endswith("down")} == {"one down", "two down", "base down"}
    assert lines[-1] == "base down"


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """kill -9 of the supervisor leaves no orphan."""
    mark = tmp_path / "mark"
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(f"""\
        import asyncio, pathlib
        from inhouse.cli.supervisor import ChildSpec, Supervisor
        spec = ChildSpec("only", "marked_child", b'{{"name": "only", "mark": "{mark}"}}')
        asyncio.run(Supervisor([spec], pathlib.Path({str(tmp_path)!r})).run())
        """)
    )
    with subprocess.Popen([sys.executable, str(script)], env={**os.environ, **write_child(tmp_path)}) as process:
        wait_until(lambda: mark.exists() and "up" in mark.read_text())
        process.kill()
        process.wait()

    wait_until(lambda: "down" in mark.read_text())
    assert mark.read_text().splitlines() == ["only up", "only down"]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
