"""A store on SQLite, and on PostgreSQL where one answers on loopback; records to ship."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from inhouse.domain import TraceClose, TraceOpen, TraceStatus, Usage, UsageBasis
from inhouse.store import Store, open_store
from inhouse.store.tables import METADATA

POSTGRES = "host=127.0.0.1 port=5432 connect_timeout=2"
WRITER = "gw0-1763925240123-4711"
MakeUrl = Callable[[], str]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[Callable[[], str]]:
    """Makes empty schemas of this session's own, dropped at its end."""
    user = os.environ.get("INHOUSE_TEST_POSTGRES_USER", "postgres")
    made: list[str] = []
    try:
        admin = psycopg.connect(f"{POSTGRES} user={user} dbname=test", autocommit=True)
    except psycopg.OperationalError as error:
        pytest.skip(
            f"no PostgreSQL with a database `test` answers at 127.0.0.1:5432 for {user}: {str(error).splitlines()[0]}"
        )

    def make() -> str:
        name = f"inhouse_test_{uuid.uuid4().hex[:12]}"
        admin.execute(f"CREATE SCHEMA {name}".encode())
        made.append(name)
        return f"postgresql://{user}@127.0.0.1:5432/test?options=-csearch_path%3D{name}"

    with admin:
        yield make
        for name in made:
            admin.execute(f"DROP SCHEMA {name} CASCADE".encode())


@pytest.fixture(params=["sqlite", "postgresql"])
def make_url(request: pytest.FixtureRequest, tmp_path: Path) -> MakeUrl:
    """Gives the URL of an empty database, a new one for each call."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return lambda: f"sqlite:///{tmp_path}/{uuid.uuid4().hex}.db"


@pytest.fixture(scope="module")
def shared_postgres(request: pytest.FixtureRequest) -> Iterator[Store]:
    """One migrated PostgreSQL store for a module; `store` empties it before each test."""
    with open_store(request.getfixturevalue("postgres_url")()) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An open, empty store."""
    if request.param == "postgresql":
        opened: Store = request.getfixturevalue("shared_postgres")
        empty(opened)
        yield opened
    else:
        with open_store(f"sqlite:///{tmp_path}/inhouse.db") as opened:
            yield opened


def empty(store: Store) -> None:
    """Delete every row."""
    with store._database.write() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture
def make_open() -> Callable[..., TraceOpen]:
    def make(trace_id: str, **changes: Any) -> TraceOpen:
        values: dict[str, Any] = {
            "writer": WRITER,
            "started_at": 1000.0,
            "route": "triage",
            "variant": "in-house",
            "endpoint_id": "clerk",
            "replica_id": "clerk-0",
            "key_id": "app",
        }
        return TraceOpen(trace_id=trace_id, **(values | changes))

    return make


@pytest.fixture
def make_close() -> Callable[..., TraceClose]:
    def make(trace_id: str, **changes: Any) -> TraceClose:
        values: dict[str, Any] = {
            "writer": WRITER,
            "ended_at": 1001.5,
            "status": TraceStatus.COMPLETE,
            "http_status": 200,
            "variant": "in-house",
            "endpoint_id": "clerk",
            "replica_id": "clerk-0",
            "usage": Usage(input_uncached=100, output_visible=20),
            "usage_basis": UsageBasis.MEASURED,
            "cost_usd": 0.1,
            "price_id": "machine:cpu@2026-01-01",
            "ttft_ms": 120.0,
            "tpot_ms": 4.0,
            "e2e_ms": 1500.0,
            "overhead_ms": 0.15,
        }
        return TraceClose(trace_id=trace_id, **(values | changes))

    return make
