"""Opening a store: URLs, migrations, races, pragmas, and passwords that never show."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from inhouse.domain import ConfigError, Signals, StateError, Trace, TraceClose, TraceOpen
from inhouse.store import SpoolCursor, Store, StoreUnavailableError, open_store
from inhouse.store.database import Database
from inhouse.store.tables import METADATA, TRACES


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("nonsense", "`store` is not a database URL"),
        ("postgresql://u:secretpw@host:notaport/db", "`store` is not a database URL"),
        ("mysql://u:secretpw@host/db", "`store` asks for mysql"),
        ("postgresql+asyncpg://u:secretpw@host/db", r"`store` asks for postgresql\+asyncpg"),
        ("sqlite://", "`store` names no file"),
        ("sqlite:///:memory:", "`store` names no file"),
    ],
)
def test_a_bad_url_says_what_to_write_and_not_the_password(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"{problem}.*Fix: write `sqlite:///PATH") as caught:
        open_store(url)
    assert "secretpw" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "psycopg" else real(name))
    with pytest.raises(ConfigError, match=r"pip install 'inhouse\[postgres\]'"):
        open_store("postgresql://localhost/inhouse")


def test_a_database_that_does_not_answer_is_said_without_its_password() -> None:
    with pytest.raises(
        StoreUnavailableError, match=r"postgresql\+psycopg://u:\*\*\*@127\.0\.0\.1:1/db does not answer"
    ) as caught:
        open_store("postgresql://u:secretpw@127.0.0.1:1/db")
    assert "secretpw" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"cannot be opened: No such file or directory\. Fix: make its folder"):
        open_store(f"sqlite:///{tmp_path}/nowhere/inhouse.db")


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "inhouse.db").write_bytes(b"this is no database, whatever its name says" * 50)
    with pytest.raises(StateError, match="file is not a database"):
        open_store(f"sqlite:///{tmp_path}/inhouse.db")


def test_sqlite_is_set_up_for_several_processes(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/inhouse.db") as store:
        with store._database.read() as connection:
            pragmas = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 10_000}
        files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert files == {"inhouse.db": 0o600, "inhouse.db-wal": 0o600, "inhouse.db-shm": 0o600}


def test_the_migrations_make_what_the_code_sees(make_url: Callable[[], str]) -> None:
    with open_store(make_url()) as store, store._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_opening_again_keeps_what_is_there(make_url: Callable[[], str]) -> None:
    url = make_url()
    with open_store(url) as store:
        store.snapshots.put(1, b"{}", 5.0)
    with open_store(url) as store:
        latest = store.snapshots.latest()
    assert latest is not None
    assert latest.version == 1


def test_traces_from_before_there_were_signals_are_read(
    make_url: Callable[[], str], make_open: Callable[..., TraceOpen], make_close: Callable[..., TraceClose]
) -> None:
    """A store of the first release is upgraded with what it holds."""
    url = make_url()
    with open_store(url) as store:
        store.traces.ship([make_open("old"), make_close("old")], cursor=SpoolCursor("w-0000.spool", 1))
        with store._database.write() as connection:
            for column in ("signals_json", "cache_write_1h", "input_audio", "output_audio", "tier"):
                connection.execute(sa.text(f"ALTER TABLE traces DROP COLUMN {column}"))
            later = ("usage_records", "usage_imports", "repriced_costs", "reprices", "invoices", "invoice_imports")
            for table in ("stored_responses", *later):
                connection.execute(sa.text(f"DROP TABLE {table}"))
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    signals = Signals(num_chars=1, empty=0)
    with open_store(url) as store:
        records = [make_open("new"), make_close("new", signals=signals)]
        store.traces.ship(records, cursor=SpoolCursor("w-0000.spool", 2))
        found = store.traces.find(["old", "new"])
        with store._database.read() as connection:
            query = sa.select(TRACES.c.cache_write_1h, TRACES.c.input_audio, TRACES.c.output_audio, TRACES.c.tier)
            rows = connection.execute(query.order_by(TRACES.c.trace_id.desc())).all()
        summary = store.traces.summarize(0.0)
    assert rows == [(0, 0, 0, None), (0, 0, 0, None)]
    assert sum(row.tokens.input_total for row in summary.rows) == 200
    assert found["old"] == Trace(open=make_open("old"), close=make_close("old"))
    assert found["new"] == Trace(open=make_open("new"), close=make_close("new", signals=signals))


def test_a_newer_schema_is_refused_and_left_alone(make_url: Callable[[], str]) -> None:
    url = make_url()
    with open_store(url) as store, store._database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StateError, match=r"has schema 9999, and this inhouse knows \d+.*Fix: start the newer inhouse"):
        open_store(url)


def test_processes_that_start_together_do_not_race(make_url: Callable[[], str]) -> None:
    url = make_url()
    program = "import sys; from inhouse.store import open_store; sys.stdin.read(); open_store(sys.argv[1]).close()"
    command = [sys.executable, "-W", "error", "-c", program, url]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    outcomes: list[tuple[int, str]] = []
    for child in children:
        assert child.stderr is not None
        with child:
            outcomes.append((child.wait(), child.stderr.read()))
    assert outcomes == [(0, "")] * 2


def test_threads_that_open_together_do_not_race(make_url: Callable[[], str]) -> None:
    url = make_url()
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(open_store, [url] * 6))
    labels = {repr(store) for store in stores}
    for store in stores:
        store.close()
    assert len(labels) == 1


def test_writers_wait_for_each_other(make_url: Callable[[], str]) -> None:
    """Transactions that read and then write, from several threads and two stores, all get through."""
    url = make_url()
    with open_store(url) as first, open_store(url) as second:

        def write(number: int) -> None:
            store = (first, second)[number % 2]
            store.traces.abort_writer("nobody", now=0.0)
            store.snapshots.put(number, str(number).encode(), 0.0)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(60)))
        latest = first.snapshots.latest()
    assert latest is not None
    assert latest.version == 59


def test_a_lock_held_for_too_long_is_said(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/inhouse.db") as store:
        with store._database.write() as holder, store._database._writer.connect() as waiter:
            raw = waiter.connection.dbapi_connection
            assert raw is not None
            raw.execute("PRAGMA busy_timeout = 1")
            assert holder.in_transaction()
            waiter.close()
            with pytest.raises(StoreUnavailableError, match="database is locked"):
                store.traces.ship([], cursor=SpoolCursor("w-0000.spool", 1))
        store.traces.ship([], cursor=SpoolCursor("w-0000.spool", 1))


def test_a_store_shows_no_password(store: Store) -> None:
    assert repr(store).startswith(("Store(sqlite:///", "Store(postgresql+psycopg://"))


def test_a_drivers_words_lose_the_password(tmp_path: Path) -> None:
    database = Database("postgresql://u:secretpw@127.0.0.1:1/db?sslpassword=otherpw&connect_timeout=1")
    assert database._hide(OSError("passwords secretpw,\n otherpw were wrong.")) == "passwords ***, *** were wrong"
    assert database.label == "postgresql+psycopg://u:***@127.0.0.1:1/db"
    database.close()


OPEN_AT_ONCE = """\
import multiprocessing, sys
from inhouse.store import open_store

def open_all(barrier, folder, outcomes):
    problems = []
    for number in range(20):
        barrier.wait()
        try:
            open_store(f"sqlite:///{folder}/{number}.db").close()
        except Exception as error:
            problems.append(str(error))
    outcomes.put(problems)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    barrier, outcomes = context.Barrier(4), context.Queue()
    children = [context.Process(target=open_all, args=(barrier, sys.argv[1], outcomes)) for _ in range(4)]
    for child in children:
        child.start()
    problems = [problem for _ in children for problem in outcomes.get(timeout=60)]
    for child in children:
        child.join()
    sys.exit("; ".join(problems) or None)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fork with a barrier is only sure on Linux")
def test_a_new_file_opened_by_four_processes_in_the_same_instant_is_never_locked(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPEN_AT_ONCE, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )

    assert (done.returncode, done.stderr) == (0, "")
