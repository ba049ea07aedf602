"""The bench's hold on its load process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
from commands import Closed, ClosedReply, Command, Held, HeldReply, Open, OpenReply
from processes import Place, spawn, stop

_Reply = TypeVar("_Reply")


class Driver:
    """Starts the load process, sends it commands, one at a time. A context manager that ends it.

    Raises:
        RuntimeError: (every command) the load process ended.
    """

    def __init__(self, directory: Path, place: Place) -> None:
        command = [sys.executable, str(Path(__file__).with_name("load.py"))]
        self._home = directory
        self._process: subprocess.Popen[bytes] = spawn(command, directory, place.load, is_piped=True, takes_input=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._process)

    @property
    def pid(self) -> int:
        """Of the load process."""
        return self._process.pid

    def run_closed(self, command: Closed) -> ClosedReply:
        """One request after another on each connection."""
        return self._ask(command, ClosedReply)

    def run_open(self, command: Open) -> OpenReply:
        """Requests at fixed times."""
        return self._ask(command, OpenReply)

    def hold(self, command: Held) -> HeldReply:
        """Many streams at once."""
        return self._ask(command, HeldReply)

    def _ask(self, command: Command, kind: type[_Reply]) -> _Reply:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load process ended: {(self._home / 'log').read_text()[-2000:]}")
        return msgspec.json.decode(line, type=kind)
