"""Keys from the environment, files and commands: read, kept fresh, used in turn, never shown."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from inhouse.backends import credentials
from inhouse.backends.credentials import CredentialBook, KeyRing, choose_pause_s
from inhouse.backends.keysources import KeySource, UnreadableKeyError, run_key_command


def literal(*keys: str) -> tuple[KeySource, ...]:
    return tuple(KeySource(literal=key) for key in keys)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@asynccontextmanager
async def watching(book: CredentialBook) -> AsyncGenerator[None]:
    task = asyncio.ensure_future(book.watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


# The ring.


def test_keys_are_used_in_turn() -> None:
    ring = KeyRing(["a", "b", "c", "a"])

    assert [ring.choose(0.0) for _ in range(7)] == ["a", "b", "c", "a", "b", "c", "a"]


def test_one_key_is_always_used_and_none_is_none() -> None:
    ring = KeyRing(["a"])
    ring.report("a", 401, now=0.0)

    assert ring.choose(1.0) == "a"
    assert KeyRing().choose(0.0) is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_rests_for_a_minute(status: int) -> None:
    ring = KeyRing(["a", "b"])
    ring.report("a", status, now=100.0)

    assert [ring.choose(159.9) for _ in range(3)] == ["b", "b", "b"]
    assert ring.count_usable(159.9) == 1
    assert {ring.choose(160.0) for _ in range(2)} == {"a", "b"}
    assert ring.count_usable(160.0) == 2


def test_a_throttled_key_rests_as_long_as_the_endpoint_asked() -> None:
    ring = KeyRing(["a", "b"])
    ring.report("a", 429, now=100.0, retry_after_s=7.0)
    ring.report("b", 429, now=100.0)

    assert ring.choose(105.5) == "b"
    assert ring.count_usable(105.5) == 1
    assert ring.count_usable(107.0) == 2


def test_with_all_at_rest_a_throttled_key_comes_before_a_refused_one_and_then_the_one_that_rests_least() -> None:
    ring = KeyRing(["refused", "long", "short"])
    ring.report("refused", 401, now=0.0)
    ring.report("long", 429, now=0.0, retry_after_s=90.0)
    ring.report("short", 429, now=0.0, retry_after_s=80.0)

    assert [ring.choose(1.0) for _ in range(3)] == ["short", "short", "short"]
    assert ring.count_usable(1.0) == 0


def test_a_good_answer_ends_the_rest_and_other_statuses_change_nothing() -> None:
    ring = KeyRing(["a", "b"])
    ring.report("a", 401, now=0.0)
    ring.report("b", 500, now=0.0)
    assert ring.count_usable(1.0) == 1

    ring.report("a", 200, now=1.0)
    assert ring.count_usable(1.0) == 2


def test_other_keys_begin_fresh_and_those_that_stay_keep_their_rest() -> None:
    ring = KeyRing(["a", "b"])
    ring.report("a", 401, now=0.0)
    ring.report("b", 401, now=0.0)
    ring.replace(["a", "c"])
    ring.report("b", 401, now=0.0)  # an answer to a request that began before

    assert [ring.choose(1.0) for _ in range(2)] == ["c", "c"]


# The book.


async def test_literals_are_there_at_once_and_unknown_names_have_none() -> None:
    book = CredentialBook({"provider:a": literal("one", "two")})

    assert book.keys("provider:a") == ("one", "two")
    assert book.keys("provider:b") == ()
    assert book.ring("provider:b") is None
    assert book.list_problems() == {}


async def test_a_file_is_read_without_its_line_break_and_again_when_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "POLL_S", 0.01)
    path = tmp_path / "key"
    path.write_text("first-key\n")
    book = CredentialBook({"provider:a": (KeySource(file=str(path)), KeySource(literal="second"))})
    await book.load()
    ring, version = book.ring("provider:a"), book.version
    assert book.keys("provider:a") == ("first-key", "second")

    async with watching(book):
        (tmp_path / "new").write_text("rotated-key\n")
        (tmp_path / "new").replace(path)
        await until(lambda: book.version != version)

    assert book.keys("provider:a") == ("rotated-key", "second")
    assert book.ring("provider:a") is ring


async def test_a_link_to_another_file_counts_as_a_change(tmp_path: Path) -> None:
    """Kubernetes replaces the folder behind a link."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(f"key-{name}")
        os.utime(tmp_path / name / "key", (1, 1))
    link = tmp_path / "now"
    link.symlink_to("a")
    book = CredentialBook({"p": (KeySource(file=str(link / "key")),)})
    book.poll_files()
    link.unlink()
    link.symlink_to("b")
    book.poll_files()

    assert book.keys("p") == ("key-b",)


async def test_a_file_that_goes_wrong_keeps_its_last_key_and_the_log_says_so_once_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    path.write_text("good-key")
    book = CredentialBook({"provider:a": (KeySource(file=str(path)),)})
    book.poll_files()
    version = book.version
    path.write_text("half of\na secret")
    book.poll_files()
    book.poll_files()

    assert book.keys("provider:a") == ("good-key",)
    assert book.version == version
    (record,) = caplog.records
    assert record.getMessage() == (
        f"no key of provider:a from the file {path}: it gives more than a key alone: spaces, line breaks or "
        "unprintable characters (the last key stays)"
    )
    path.unlink()
    book.poll_files()
    assert book.keys("provider:a") == ("good-key",)
    path.write_text("good-key-again")
    book.poll_files()
    assert book.keys("provider:a") == ("good-key-again",)


@pytest.mark.parametrize(("content", "words"), [(b"", "it is empty"), (b"x" * 65_537, "65536 bytes"), (b"\xff", "key")])
async def test_a_file_that_holds_no_key_is_a_problem_in_words(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    book = CredentialBook({"p": (KeySource(file=str(path)),), "q": (KeySource(file=str(tmp_path / "none")),)})
    assert book.list_problems()["p"] == f"the file {path} was not read yet"
    book.poll_files()

    assert book.keys("p") == ()
    assert words in book.list_problems()["p"]
    assert book.list_problems()["q"] == f"the file {tmp_path / 'none'}: it cannot be read (No such file or directory)"


async def test_a_literal_that_cannot_stand_in_a_header_is_no_key(caplog: pytest.LogCaptureFixture) -> None:
    book = CredentialBook({"p": literal("bad\r\nx: y", "fine")})

    assert book.keys("p") == ("fine",)
    assert "bad" not in caplog.text


async def test_a_command_gives_its_output_and_is_run_again(tmp_path: Path) -> None:
    counter = tmp_path / "n"
    code = f"p = {str(counter)!r}; open(p, 'a').write('x'); print('key-' + str(len(open(p).read())))"
    source = KeySource(command=python(code), refresh_s=0.01)
    book = CredentialBook({"p": (source,)})
    await book.load()
    assert book.keys("p") == ("key-1",)

    async with watching(book):
        await until(lambda: book.keys("p") == ("key-2",))


async def test_a_command_that_fails_keeps_the_last_key_and_its_output_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flag = tmp_path / "broken"
    code = (
        f"import os, sys; broken = os.path.exists({str(flag)!r}); print('s3cret-half' if broken else 'good'); "
        "print('s3cret', file=sys.stderr); sys.exit(4 if broken else 0)"
    )
    book = CredentialBook({"provider:a": (KeySource(command=python(code)),)})
    await book.load()
    flag.touch()
    await book.load()

    assert book.keys("provider:a") == ("good",)
    assert "it ended with exit code 4; run it by hand to see why (the last key stays)" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("/no/such/program",), r"it cannot be started \(No such file or directory\)"),
        (python("print()"), "it is empty"),
        (python("print('a b')"), "it gives more than a key alone"),
        (python("print('x' * 70000)"), "more than 65536 bytes"),
    ],
)
async def test_a_command_that_gives_no_key_says_why(command: tuple[str, ...], words: str) -> None:
    with pytest.raises(UnreadableKeyError, match=words):
        await run_key_command(command, 10.0)


async def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; "
        f"time.sleep(60)']); open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}'); time.sleep(60)"
    )
    running = asyncio.ensure_future(run_key_command(python(code), 60.0))
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await until(lambda: not any(is_alive(int(pid)) for pid in pids.read_text().split()))


async def test_a_command_has_a_deadline() -> None:
    with pytest.raises(UnreadableKeyError, match=r"it did not end within 0.05 s"):
        await run_key_command(python("import time; time.sleep(60)"), 0.05)


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status != "Z"


@pytest.mark.parametrize(("num_failures", "pause_s"), [(0, 300.0), (1, 5.0), (2, 10.0), (3, 20.0), (40, 300.0)])
def test_a_failed_command_is_tried_again_soon_and_then_less_often(num_failures: int, pause_s: float) -> None:
    assert choose_pause_s(300.0, num_failures) == pause_s


def test_keys_show_in_no_repr() -> None:
    source = KeySource(literal="s3cret-key")
    book = CredentialBook({"provider:a": (source,)})

    shown = f"{source!r} {source.__rich_repr__()} {book!r} {book.ring('provider:a')!r} {book.list_problems()}"
    assert "s3cret" not in shown
    assert shown.startswith("KeySource(the configuration)")


def test_sources_travel_as_json() -> None:
    sources = {"a": (KeySource(literal="k"), KeySource(file="/f"), KeySource(command=("c", "x"), refresh_s=9.0))}

    assert msgspec.json.decode(msgspec.json.encode(sources), type=dict[str, tuple[KeySource, ...]]) == sources


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="inhouse.backends")
