"""Where a key comes from, and reading it from there: the configuration, a file, a command. Keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import string
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

_MAX_KEY_BYTES = 65_536
_KEY_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation)
_PIPE_TIMEOUT_S = 1.0


class KeySource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one key comes from: exactly one of `literal`, `file` and `command`; `refresh_s` is the command's.

    It travels to the gateway on its standard input, because a literal is the key itself: it has no `repr`.
    """

    literal: str | None = None
    file: str | None = None
    command: tuple[str, ...] | None = None
    refresh_s: float = 300.0

    @property
    def kind(self) -> str:
        """What users call it, without what it holds."""
        if self.file is not None:
            return f"the file {self.file}"
        return "the configuration" if self.command is None else f"the command {Path(self.command[0]).name}"

    def __repr__(self) -> str:
        return f"KeySource({self.kind})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("kind", self.kind)]


class UnreadableKeyError(Exception):
    """A source that gave no key; the text says why, and never what it gave."""


def read_key_file(path: str) -> str:
    """The key that a file holds, without the line break at its end.

    Raises:
        OSError: it cannot be read.
        UnreadableKeyError: it holds no key.
    """
    with Path(path).open("rb") as file:
        return parse_key(file.read(_MAX_KEY_BYTES + 1))


async def run_key_command(command: Sequence[str], timeout_s: float) -> str:
    """The key that a program prints; no shell is involved, and what it says on standard error is dropped.

    Raises:
        UnreadableKeyError: it cannot be started, fails, takes longer than `timeout_s` seconds, or prints no key.
    """
    process = await _start(command)
    try:
        async with asyncio.timeout(timeout_s):
            output = await _read_output(process)
            status = await process.wait()
    except TimeoutError:
        await _end(process)
        raise UnreadableKeyError(f"it did not end within {timeout_s:g} s") from None
    except BaseException:
        await _end(process)
        raise
    if status != 0:
        raise UnreadableKeyError(f"it ended with exit code {status}; run it by hand to see why")
    return parse_key(output)


async def _read_output(process: Process) -> bytes:
    if process.stdout is None:
        raise AssertionError("standard output is a pipe")
    output = b""
    while len(output) <= _MAX_KEY_BYTES and (part := await process.stdout.read(_MAX_KEY_BYTES)):
        output += part
    if len(output) > _MAX_KEY_BYTES:
        raise UnreadableKeyError(f"it gives more than {_MAX_KEY_BYTES} bytes, which is no key")
    return output


async def _start(command: Sequence[str]) -> Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, start_new_session=True)
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, ValueError):
            await _end(await starting)
        raise
    except (OSError, ValueError) as error:
        raise UnreadableKeyError(f"it cannot be started ({getattr(error, 'strerror', None) or error})") from None


async def _end(process: Process) -> None:
    """Nothing of a command that was given up may go on."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PIPE_TIMEOUT_S):
            while process.stdout is not None and await process.stdout.read(_MAX_KEY_BYTES):
                continue


def parse_key(content: bytes) -> str:
    """The key in what a source gave: one run of printable ASCII, so that it can stand in a header.

    Raises:
        UnreadableKeyError: there is none.
    """
    if len(content) > _MAX_KEY_BYTES:
        raise UnreadableKeyError(f"it gives more than {_MAX_KEY_BYTES} bytes, which is no key")
    key = content.strip().decode("latin-1")
    if not key:
        raise UnreadableKeyError("it is empty")
    if not _KEY_CHARACTERS.issuperset(key):
        raise UnreadableKeyError("it gives more than a key alone: spaces, line breaks or unprintable characters")
    return key
