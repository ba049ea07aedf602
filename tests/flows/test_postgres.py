"""The same installation with `store: postgresql://…`: traces, evaluations and restarts work as on SQLite."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from flows.installation import FILE, KEY, run_up, wait_for_trace

SERVER = "postgresql+psycopg://postgres@127.0.0.1:5432"
pytestmark = pytest.mark.engine


@pytest.fixture
def database_url() -> Iterator[str]:
    """A database of its own on the local PostgreSQL, dropped at the end."""
    engine = sa.create_engine(f"{SERVER}/postgres", isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    name = f"inhouse_flow_{uuid.uuid4().hex[:12]}"
    try:
        with engine.connect() as connection:
            connection.execute(sa.text(f'create database "{name}"'))
    except OperationalError:
        engine.dispose()
        pytest.skip("no PostgreSQL answers at 127.0.0.1:5432")
    try:
        yield f"postgresql://postgres@127.0.0.1:5432/{name}"
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f'drop database "{name}" with (force)'))
        engine.dispose()


def test_requests_are_on_record_in_postgresql(tmp_path: Path, database_url: str) -> None:
    environment = {"FLOW_KEY": KEY, "FLAKY_URL": "http://127.0.0.1:9/v1"}
    with (
        run_up(tmp_path, f"store: {database_url}\n{FILE}", environment, database_url) as running,
        openai.OpenAI(base_url=running.base_url, api_key=KEY) as client,
    ):
        raw = client.chat.completions.with_raw_response.create(
            model="desk", messages=[{"role": "user", "content": "Is this message positive? The app is great."}]
        )
        trace_id = raw.headers["x-inhouse-trace"]
        wait_for_trace(running.store, trace_id)
        replicas = running.replicas()

    assert [row.deployment for row in replicas] == ["clerk"]
    assert not (tmp_path / ".inhouse" / "inhouse.db").exists()
