"""The child's half of starting a process: read the start message from standard input, end when the parent is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TypeVar

import msgspec

T = TypeVar("T")

_GRACE_S = 5.0


def read_start(start_type: type[T]) -> T:
    """Read the one JSON line that the parent wrote, then watch the pipe: its end is the parent's end.

    Secrets travel this way because neither arguments nor environment nor files keep them from other processes.
    The watcher asks this process to end (SIGTERM), and ends it after five seconds.
    """
    line = sys.stdin.buffer.readline()
    start = msgspec.json.decode(line, type=start_type)
    threading.Thread(target=_watch_parent, name="parent-watch", daemon=True).start()
    return start


def _watch_parent() -> None:
    # A raw read: a buffered one would hold stdin's lock, which the interpreter wants at its own end.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    threading.Timer(_GRACE_S, os._exit, args=(1,)).start()
    os.kill(os.getpid(), signal.SIGTERM)
