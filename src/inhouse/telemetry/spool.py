"""The trace spool on disk: one writer per gateway life, read by the shipper. Knows no store and no metrics."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from inhouse.domain import StateError, TraceClose, TraceOpen

SPOOL_SUFFIX = ".spool"
_UNNAMED_SUFFIX = ".new"
_READ_BLOCK_BYTES = 256 * 1024

TraceRecord = TraceOpen | TraceClose


class SpoolError(StateError):
    """A record could not be put on disk (full or broken disk, directory not writable)."""


class SpoolBatch(Struct, frozen=True, kw_only=True):
    """Records of complete lines only.

    `next_offset` is the byte after the last line read: where the next read begins. `num_skipped` counts lines that are
    no record (torn by a crash or a full disk); empty lines are not counted.
    """

    records: tuple[TraceRecord, ...]
    next_offset: int
    num_skipped: int


class SpoolWriter:
    """Appends the records of one gateway life, each line with one write(2), under an exclusive lock.

    The lock is how others know that the writer lives: the kernel frees it when the process dies, however it dies.
    Not for use from several threads. A record is safe from `kill -9` once `write` returns; from a power cut only after
    the kernel wrote it out, since there is no fsync.

    Args:
        directory: the spool folder; made with mode 0700 where it is missing.
        writer: `gw<index>-<unix ms>-<pid>`, the name of this life.
        max_bytes: a file that would grow beyond this is finished, and the next begins.

    Raises:
        SpoolError: the folder or file cannot be made or locked.
    """

    def __init__(self, directory: Path, writer: str, *, max_bytes: int = 16 * 1024 * 1024) -> None:
        if not writer or "/" in writer or writer.startswith("."):
            raise ValueError(f"writer must be a plain file name part, got {writer!r}")
        self._directory = directory
        self._writer = writer
        self._max_bytes = max_bytes
        self._sequence = 0
        self._size_bytes = 0
        self._is_torn = False
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = self._open_next()
        except OSError as error:
            raise _describe(f"the spool in {directory} cannot be opened", error) from error

    @property
    def path(self) -> Path:
        """The file being written."""
        return self._directory / _file_name(self._writer, self._sequence)

    def write(self, record: TraceRecord) -> None:
        """Put one record on disk.

        Raises:
            SpoolError: it is not on disk (or only in part, which readers skip). Later writes may succeed.
        """
        self.write_line(msgspec.json.encode(record) + b"\n")

    def write_line(self, line: bytes) -> None:
        """Put one record that is encoded already, with its newline, on disk.

        Raises:
            SpoolError: as `write`.
        """
        size_bytes = self._size_bytes + len(line)
        if size_bytes > self._max_bytes or self._is_torn:
            line = self._make_room(line)
            size_bytes = self._size_bytes + len(line)
        try:
            num_written = os.write(self._fd, line)
            if num_written != len(line):
                self._write_rest(line, num_written)
        except OSError as error:
            raise _describe(f"{self.path} cannot be written", error) from error
        self._size_bytes = size_bytes

    def close(self) -> None:
        """Finish the file and free its lock. Doing it twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make_room(self, line: bytes) -> bytes:
        """The next file where this one is full; the line, after an end for the torn one before it."""
        if self._is_torn:
            line = b"\n" + line
        if self._size_bytes + len(line) > self._max_bytes and self._size_bytes:
            self._rotate()
        return line

    def _write_rest(self, line: bytes, num_written: int) -> None:
        """Continue a short write. Until it is through, the file ends in part of a line."""
        while num_written < len(line):
            self._is_torn = True
            num_more = os.write(self._fd, line[num_written:])
            if num_more == 0:
                raise OSError(0, "the write made no progress")
            num_written += num_more
        self._is_torn = False

    def _rotate(self) -> None:
        """Begin the next file, lock it, and only then let go of the old one: a live writer always holds a lock.

        Where no file can be made, the old one grows beyond its bound until one can: records matter more.
        """
        self._sequence += 1
        try:
            fd = self._open_next()
        except OSError:
            self._sequence -= 1
            return
        os.close(self._fd)
        self._fd = fd
        self._size_bytes = 0
        self._is_torn = False

    def _open_next(self) -> int:
        """Open and lock a file under a name that readers ignore, then name it: no reader sees it unlocked."""
        named = self._directory / _file_name(self._writer, self._sequence)
        unnamed = named.with_name(named.name + _UNNAMED_SUFFIX)
        fd = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(named)
        except OSError:
            os.close(fd)
            unnamed.unlink(missing_ok=True)
            raise
        return fd


def list_spools(directory: Path) -> list[Path]:
    """Spool files by writer and then sequence; empty where the folder does not exist."""
    if not directory.is_dir():
        return []
    found = (path for path in directory.iterdir() if path.name.endswith(SPOOL_SUFFIX))
    return sorted(found, key=_sort_key)


def read_batch(path: Path, offset: int, max_records: int) -> SpoolBatch:
    """Read up to `max_records` complete lines from byte `offset` on.

    A last line without its newline is left for later. Lines that are no record are skipped and counted.

    Raises:
        FileNotFoundError: the file is gone.
    """
    lines, next_offset = _read_lines(path, offset, max_records)
    records: list[TraceRecord] = []
    num_skipped = 0
    for line in lines:
        if not line:
            continue
        try:
            records.append(_DECODER.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            num_skipped += 1
    return SpoolBatch(records=tuple(records), next_offset=next_offset, num_skipped=num_skipped)


def spool_writer_of(path: Path) -> str:
    """The writer that a spool file belongs to, read from its name."""
    return path.name.removesuffix(SPOOL_SUFFIX).rpartition("-")[0]


def is_writer_gone(path: Path) -> bool:
    """Whether nobody holds the file's lock: its writer is dead, or has finished this file and writes the next.

    Use `find_gone_writers` to tell the two apart.

    Raises:
        FileNotFoundError: the file is gone.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def find_gone_writers(directory: Path) -> frozenset[str]:
    """Writers that hold none of their files. What they left is final: ship it, then abort their open requests.

    A writer that moves on to its next file between two looks is not taken for dead, because it names and locks the
    next before it lets go of the last, and the folder is listed again after the locks were tried.
    """
    before = list_spools(directory)
    held = {spool_writer_of(path) for path in before if not _is_free(path)}
    new = set(list_spools(directory)) - set(before)
    alive = held | {spool_writer_of(path) for path in new}
    return frozenset(spool_writer_of(path) for path in before) - alive


_DECODER: msgspec.json.Decoder[TraceRecord] = msgspec.json.Decoder(TraceRecord)


def _read_lines(path: Path, offset: int, max_records: int) -> tuple[list[bytes], int]:
    """Up to `max_records` complete lines and the offset after them."""
    lines: list[bytes] = []
    rest = b""
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        while len(lines) < max_records:
            block = file.read(_READ_BLOCK_BYTES)
            if not block:
                break
            *complete, rest = (rest + block).split(b"\n")
            lines.extend(complete)
    lines = lines[:max_records]
    return lines, offset + sum(map(len, lines)) + len(lines)


def _is_free(path: Path) -> bool:
    """Like `is_writer_gone`; a file that was removed meanwhile is free."""
    try:
        return is_writer_gone(path)
    except FileNotFoundError:
        return True


def _file_name(writer: str, sequence: int) -> str:
    return f"{writer}-{sequence:04d}{SPOOL_SUFFIX}"


def _sort_key(path: Path) -> tuple[str, int, str]:
    writer, _, sequence = path.name.removesuffix(SPOOL_SUFFIX).rpartition("-")
    return writer, int(sequence) if sequence.isdigit() else -1, path.name


def _describe(problem: str, error: OSError) -> SpoolError:
    reason = error.strerror or str(error)
    return SpoolError(f"{problem}: {reason}.", fix="free space on its disk, or mend the folder's permissions.")
