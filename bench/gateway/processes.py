"""Processes of a measurement: started on chosen CPUs, their CPU time and memory read from /proc, ended."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 5.0
_CPUS = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Place:
    """The CPUs of what is measured, and those of the load and the endpoint."""

    proxy: frozenset[int]
    load: frozenset[int]


SPREAD = Place(frozenset(_CPUS), frozenset(_CPUS))
"""As the kernel spreads them, and as their users run them: a router of several threads keeps several."""
APART = Place(frozenset(_CPUS[-1:]), frozenset(_CPUS[:-1] or _CPUS))
"""The proxy has one CPU for itself, so that the load cannot take its time."""


@dataclass
class Peer:
    """Something that is measured: its address, its root processes, its version."""

    name: str
    port: int
    processes: list[subprocess.Popen[bytes]]
    version: str
    home: Path = field(default_factory=Path)

    def read_cpu_ns(self) -> int:
        """CPU time of all its processes and their living descendants."""
        return sum(read_cpu_ns(process.pid) for process in self.processes)

    def read_rss_mb(self) -> float:
        """Resident memory of its root processes, in MB (10⁶ bytes)."""
        return sum(read_rss_mb(process.pid) for process in self.processes)

    def stop(self) -> None:
        """End it and what it started (its own process groups)."""
        for process in self.processes:
            stop(process)


def stop_all(started: Sequence[Peer | None]) -> None:
    """End every one that was started."""
    for peer in started:
        if peer is not None:
            peer.stop()


def spawn(
    command: list[str], home: Path, cpus: frozenset[int], *, is_piped: bool = False, takes_input: bool = False
) -> subprocess.Popen[bytes]:
    """Start a process group on these CPUs: what it starts, and its threads, stay there from their first instruction."""
    with (home / "log").open("ab") as log, _on_cpus(cpus):
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE if is_piped else log,
            stderr=log,
            cwd=home,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the process group, then SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_STOP_TIMEOUT_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def read_cpu_ns(pid: int) -> int:
    """Nanoseconds on CPU, user and system, of a process and all its living descendants.

    `schedstat` counts each thread in nanoseconds, where utime and stime count ticks of 10 ms.
    """
    total_ns = 0
    for thread in _list_threads(pid):
        with contextlib.suppress(OSError):
            total_ns += int((thread / "schedstat").read_text().split()[0])
    return total_ns


@contextlib.contextmanager
def undisturbed(pids: Sequence[int]) -> Generator[bool]:
    """While entered, no other program takes the CPU from these processes and their descendants.

    They get real-time priority (SCHED_FIFO), each the same. Not for a process that keeps its CPU busy: the kernel then
    takes it away for a twentieth of each second. Gives False where this user may not set it; nothing is changed then.
    """
    threads = [int(thread.name) for pid in pids for thread in _list_threads(pid)]
    try:
        _schedule(threads, os.SCHED_FIFO, 1)
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        _schedule(threads, os.SCHED_OTHER, 0)


def _schedule(threads: Sequence[int], policy: int, priority: int) -> None:
    for thread in threads:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setscheduler(thread, policy, os.sched_param(priority))


def _list_threads(pid: int) -> list[Path]:
    """The folders in /proc of the threads of a process and all its living descendants."""
    found: list[Path] = []
    waiting = [pid]
    while waiting:
        for thread in Path(f"/proc/{waiting.pop()}/task").glob("*"):
            with contextlib.suppress(OSError):
                waiting += map(int, (thread / "children").read_text().split())
                found.append(thread)
    return found


def read_rss_mb(pid: int) -> float:
    """Resident memory of one process, in MB (10⁶ bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"process {pid} has no resident memory")


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one, for this process and what it starts; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def find_port() -> int:
    """A port that was free a moment ago, for programs that cannot pick one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_port(port: int, process: subprocess.Popen[bytes], timeout_s: float = START_TIMEOUT_S) -> None:
    """Wait until something accepts on `port`.

    Raises:
        RuntimeError: the process ended, or the time did.
    """

    def is_open() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return True
        return False

    poll(is_open, process, timeout_s)


def poll(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Wait until `is_ready`; raises as `wait_port`."""
    ends_at = time.monotonic() + timeout_s
    while not is_ready():
        if process.poll() is not None:
            raise RuntimeError(f"it ended with code {process.returncode}")
        if time.monotonic() > ends_at:
            raise RuntimeError(f"it did not answer within {timeout_s:g} s")
        time.sleep(0.1)


@contextlib.contextmanager
def _on_cpus(cpus: frozenset[int]) -> Generator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
