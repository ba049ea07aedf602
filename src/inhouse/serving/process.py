"""Ties the life of a process to its parent's, so that nothing is left running. Starts and stops nothing else."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_WATCH_PERIOD_S = 0.5


def bind_to_parent(parent_pid: int | None = None) -> None:
    """Make this process die (SIGKILL) when its parent does, however the parent dies.

    On Linux the kernel does it (`prctl(PR_SET_PDEATHSIG)`); a thread that watches the parent's pid does it elsewhere,
    and covers a parent that died before this call. The kernel's signal is bound to the *thread* that started this
    process, so start children from a thread that lives as long as its process: the main one.

    Args:
        parent_pid: the parent's pid as the parent itself knew it. Where it is given and the parent is already another,
            this process ends at once; without it, a parent that died before this call is not noticed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    expected_pid = os.getppid() if parent_pid is None else parent_pid
    _end_unless_child_of(expected_pid)
    threading.Thread(target=_watch, args=(expected_pid,), name="parent-watch", daemon=True).start()


def _watch(expected_pid: int) -> None:
    while True:
        time.sleep(_WATCH_PERIOD_S)
        _end_unless_child_of(expected_pid)


def _end_unless_child_of(expected_pid: int) -> None:
    if os.getppid() != expected_pid:
        os.kill(os.getpid(), signal.SIGKILL)
