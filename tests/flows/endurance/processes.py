"""Processes of the endurance test: started, talked to line by line, ended; what each used is read from /proc."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from flows.test_soak import read_rss_kib

TESTS = Path(__file__).parents[2]
_MAX_LINE_BYTES = 1_048_576


@dataclass(frozen=True)
class Process:
    """One that answers in lines."""

    process: asyncio.subprocess.Process

    async def read_line(self) -> bytes:
        """Its next line; fails where it has ended."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, f"process {self.process.pid} has ended"
        return line

    async def ask(self, line: bytes) -> bytes:
        """Its answer to a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        return await self.read_line()

    async def signal(self) -> bytes:
        """Its answer to SIGUSR1."""
        self.process.send_signal(signal.SIGUSR1)
        return await self.read_line()

    def read_rss_kib(self) -> int:
        """Its resident memory."""
        return read_rss_kib(self.process.pid)

    def read_cpu_s(self) -> float:
        """CPU time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def end(self) -> int:
        """End it as its user would; its exit code."""
        self.process.terminate()
        return await self.process.wait()


@contextlib.asynccontextmanager
async def start(module: str, log: Path, *arguments: str) -> AsyncGenerator[Process]:
    """A module of this folder as a process that is gone after the block; stderr goes to `log`."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"flows.endurance.{module}", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            limit=_MAX_LINE_BYTES,
            env=os.environ | {"PYTHONPATH": str(TESTS)},
        )
    try:
        yield Process(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
