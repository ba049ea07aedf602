"""The spool: one write per record, locks, rotation, torn lines, and what survives a kill."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.domain import TraceClose, TraceOpen
from inhouse.telemetry import (
    SpoolError,
    SpoolWriter,
    find_gone_writers,
    is_writer_gone,
    list_spools,
    read_batch,
    spool_writer_of,
)

MakeOpen = Callable[..., TraceOpen]
MakeClose = Callable[..., TraceClose]
WRITER = "gw0-1763925240123-4711"


def read_all(path: Path) -> tuple[list[str], int]:
    batch = read_batch(path, 0, 10_000)
    return [record.trace_id for record in batch.records], batch.num_skipped


def test_records_come_back_as_they_were(tmp_path: Path, make_open: MakeOpen, make_close: MakeClose) -> None:
    opened, closed = make_open("a", tags={"x": "1"}), make_close("a", content={"request": "héllo\nworld"})
    with SpoolWriter(tmp_path / "spool", WRITER) as writer:
        writer.write(opened)
        writer.write(closed)
        batch = read_batch(writer.path, 0, 10)
    assert batch.records == (opened, closed)
    assert batch.num_skipped == 0
    assert batch.next_offset == (tmp_path / "spool" / f"{WRITER}-0000.spool").stat().st_size


def test_the_folder_and_files_are_the_owners_alone(tmp_path: Path, make_open: MakeOpen) -> None:
    with SpoolWriter(tmp_path / "spool", WRITER) as writer:
        writer.write(make_open("a"))
        assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
        assert writer.path.stat().st_mode & 0o777 == 0o600


def test_each_record_is_one_write(tmp_path: Path, make_open: MakeOpen, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real_write = os.write

    def write(fd: int, data: bytes) -> int:
        sizes.append(len(data))
        return real_write(fd, data)

    with SpoolWriter(tmp_path, WRITER) as writer:
        monkeypatch.setattr(os, "write", write)
        writer.write(make_open("a"))
        writer.write(make_open("b"))
        monkeypatch.undo()
        assert sum(sizes) == writer.path.stat().st_size
    assert len(sizes) == 2


def test_a_batch_is_bounded_and_goes_on_where_it_ended(tmp_path: Path, make_open: MakeOpen) -> None:
    with SpoolWriter(tmp_path, WRITER) as writer:
        for number in range(5):
            writer.write(make_open(f"t{number}"))
        first = read_batch(writer.path, 0, 3)
        second = read_batch(writer.path, first.next_offset, 3)
        third = read_batch(writer.path, second.next_offset, 3)
    assert [record.trace_id for record in first.records] == ["t0", "t1", "t2"]
    assert [record.trace_id for record in second.records] == ["t3", "t4"]
    assert third.records == ()
    assert third.next_offset == second.next_offset


def test_a_record_longer_than_a_read_block_comes_back(tmp_path: Path, make_close: MakeClose) -> None:
    closed = make_close("a", content={"reply": "x" * 700_000})
    with SpoolWriter(tmp_path, WRITER) as writer:
        writer.write(closed)
        writer.write(make_close("b"))
        batch = read_batch(writer.path, 0, 10)
    assert batch.records[0] == closed
    assert batch.records[1].trace_id == "b"


def test_a_line_under_way_is_left_for_later(tmp_path: Path, make_open: MakeOpen) -> None:
    path = tmp_path / "w-0000.spool"
    line = msgspec.json.encode(make_open("a")) + b"\n"
    path.write_bytes(line + line[:20])
    assert read_batch(path, 0, 10).next_offset == len(line)
    path.write_bytes(line + line)
    assert len(read_batch(path, len(line), 10).records) == 1


def test_lines_that_are_no_record_are_skipped_and_counted(tmp_path: Path, make_open: MakeOpen) -> None:
    path = tmp_path / "w-0000.spool"
    line = msgspec.json.encode(make_open("a")) + b"\n"
    path.write_bytes(b'{"kind":"open"}\n' + b"\xff\xfe\n" + b"\n" + line + b'{"kind":"other"}\n')
    assert read_all(path) == (["a"], 3)


@given(st.binary(max_size=300))
def test_no_bytes_stop_the_reader(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.mktemp("noise") / "w-0000.spool"
    path.write_bytes(noise + b"\n")
    batch = read_batch(path, 0, 1000)
    assert batch.next_offset == len(noise) + 1
    assert len(batch.records) + batch.num_skipped == sum(1 for line in noise.split(b"\n") if line)


def test_files_rotate_and_keep_the_order(tmp_path: Path, make_open: MakeOpen) -> None:
    with SpoolWriter(tmp_path, WRITER, max_bytes=600) as writer:
        for number in range(12):
            writer.write(make_open(f"t{number:02d}"))
        paths = list_spools(tmp_path)
        assert len(paths) > 2
        assert all(path.stat().st_size <= 600 for path in paths)
        assert [is_writer_gone(path) for path in paths] == [True] * (len(paths) - 1) + [False]
    ids = [name for path in paths for name in read_all(path)[0]]
    assert ids == [f"t{number:02d}" for number in range(12)]
    assert {spool_writer_of(path) for path in paths} == {WRITER}


def test_a_record_larger_than_a_file_gets_a_file_of_its_own(tmp_path: Path, make_close: MakeClose) -> None:
    with SpoolWriter(tmp_path, WRITER, max_bytes=600) as writer:
        writer.write(make_close("a", content={"reply": "x" * 2000}))
        writer.write(make_close("b"))
    assert [read_all(path)[0] for path in list_spools(tmp_path)] == [["a"], ["b"]]


def test_sequences_sort_as_numbers(tmp_path: Path) -> None:
    names = ["w-10000.spool", "w-9999.spool", "v-0001.spool", "odd.spool", "w-0000.spool.new", "other.txt"]
    for name in names:
        (tmp_path / name).touch()
    listed = [path.name for path in list_spools(tmp_path)]
    assert listed == ["odd.spool", "v-0001.spool", "w-9999.spool", "w-10000.spool"]
    assert list_spools(tmp_path / "nowhere") == []


def test_a_full_disk_is_said_and_leaves_later_records_whole(
    tmp_path: Path, make_open: MakeOpen, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write
    answers: list[int | OSError] = []

    def write(fd: int, data: bytes) -> int:
        answer = answers.pop(0) if answers else len(data)
        if isinstance(answer, OSError):
            raise answer
        return real_write(fd, bytes(data[:answer]))

    full = OSError(errno.ENOSPC, "No space left on device")
    with SpoolWriter(tmp_path, WRITER) as writer:
        monkeypatch.setattr(os, "write", write)
        writer.write(make_open("a"))
        answers[:] = [30, full]
        with pytest.raises(SpoolError, match=r"No space left on device\. Fix: free space"):
            writer.write(make_open("b"))
        answers[:] = [full]
        with pytest.raises(SpoolError):
            writer.write(make_open("c"))
        writer.write(make_open("d"))
        writer.write(make_open("e"))
        monkeypatch.undo()
        assert read_all(writer.path) == (["a", "d", "e"], 1)


def test_a_short_write_is_continued(tmp_path: Path, make_open: MakeOpen, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    with SpoolWriter(tmp_path, WRITER) as writer:
        monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data[:50])))
        writer.write(make_open("a"))
        monkeypatch.undo()
        writer.write(make_open("b"))
        assert read_all(writer.path) == (["a", "b"], 0)


def test_a_write_without_progress_is_an_error(
    tmp_path: Path, make_open: MakeOpen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(fd: int, data: bytes) -> int:
        return 0

    with SpoolWriter(tmp_path, WRITER) as writer:
        monkeypatch.setattr(os, "write", write)
        with pytest.raises(SpoolError, match="no progress"):
            writer.write(make_open("a"))


def test_records_go_on_into_the_old_file_where_no_next_can_be_made(
    tmp_path: Path, make_open: MakeOpen, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def fail(*args: object, **kwargs: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with SpoolWriter(tmp_path, WRITER, max_bytes=600) as writer:
        monkeypatch.setattr(os, "open", fail)
        for number in range(4):
            writer.write(make_open(f"t{number}"))
        monkeypatch.setattr(os, "open", real_open)
        writer.write(make_open("t4"))
    assert [read_all(path)[0] for path in list_spools(tmp_path)] == [["t0", "t1", "t2", "t3"], ["t4"]]


def test_a_lock_that_cannot_be_had_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(SpoolError, match="No locks available"):
        SpoolWriter(tmp_path, WRITER)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="cannot be opened"):
        SpoolWriter(tmp_path / "file" / "spool", WRITER)


@pytest.mark.parametrize("name", ["", "a/b", ".hidden"])
def test_a_writer_name_is_part_of_a_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        SpoolWriter(tmp_path, name)


def test_writers_are_gone_when_they_hold_nothing(tmp_path: Path, make_open: MakeOpen) -> None:
    with SpoolWriter(tmp_path, "gw0-1-1", max_bytes=400) as alive, SpoolWriter(tmp_path, "gw1-1-2") as ended:
        for number in range(5):
            alive.write(make_open(f"t{number}"))
        assert find_gone_writers(tmp_path) == frozenset()
        ended.close()
        ended.close()
        assert find_gone_writers(tmp_path) == {"gw1-1-2"}


def test_a_writer_that_rotates_while_it_is_looked_at_is_alive(
    tmp_path: Path, make_open: MakeOpen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of the only file known is tried after the writer has moved on to its next."""
    real_flock = fcntl.flock
    with SpoolWriter(tmp_path, WRITER, max_bytes=300) as writer:
        writer.write(make_open("a"))

        def rotate_first(fd: int, operation: int) -> None:
            monkeypatch.setattr(fcntl, "flock", real_flock)
            writer.write(make_open("b", team="x" * 100))
            real_flock(fd, operation)

        monkeypatch.setattr(fcntl, "flock", rotate_first)
        assert find_gone_writers(tmp_path) == frozenset()
        assert len(list_spools(tmp_path)) == 2


def test_a_file_removed_while_it_is_looked_at_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w-0000.spool").touch()
    real_open = os.open

    def remove_first(path: Path, *args: int) -> int:
        Path(path).unlink()
        return real_open(path, *args)

    monkeypatch.setattr(os, "open", remove_first)
    assert find_gone_writers(tmp_path) == {"w"}


def test_a_killed_writer_frees_its_lock_and_keeps_its_records(tmp_path: Path) -> None:
    program = f"""
import signal, os, sys
from pathlib import Path
from inhouse.domain import TraceOpen
from inhouse.telemetry import SpoolWriter
writer = SpoolWriter(Path({str(tmp_path)!r}), {WRITER!r})
for number in range(100):
    writer.write(TraceOpen(trace_id=f"t{{number}}", writer={WRITER!r}, started_at=0.0, route="r", variant="v",
                           endpoint_id="e", replica_id="p", key_id="k"))
print("written", flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        (path,) = list_spools(tmp_path)
        assert not is_writer_gone(path)
        child.kill()
    assert is_writer_gone(path)
    assert read_all(path) == ([f"t{number}" for number in range(100)], 0)
