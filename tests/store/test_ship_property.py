"""Whatever is delivered twice, late or out of order between files, the table ends the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inhouse.domain import TraceClose, TraceOpen
from inhouse.store import SpoolCursor, Store, open_store
from inhouse.store.tables import METADATA, SPOOL_CURSORS, TRACE_CONTENT, TRACES

WRITER = "gw0-1763925240123-4711"
Record = TraceOpen | TraceClose
Delivery = tuple[int, int, int]
"""Which file, from which record, to which (not included)."""


@pytest.fixture(scope="module")
def sqlite_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder, open_store(f"sqlite:///{Path(folder)}/inhouse.db") as opened:
        yield opened


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[list[tuple[str, str]]], list[Delivery | None]]:
    """Files of records, and the order in which parts of them are delivered (None: a look for dead writers).

    Opens come before their closes in the writer's order, which is cut into files. Each file's records arrive in order,
    parts of it again and again; files arrive interleaved in any way.
    """
    num_traces = draw(st.integers(1, 6))
    closed = [n for n in range(num_traces) if draw(st.booleans())]
    line: list[tuple[str, str]] = []
    for number in draw(st.permutations([*range(num_traces), *closed])):
        name = f"t{number}"
        line.append(("close" if ("open", name) in line else "open", name))
    cuts = sorted(draw(st.lists(st.integers(0, len(line)), max_size=3)))
    files = [line[start:end] for start, end in zip([0, *cuts], [*cuts, len(line)], strict=True)]
    reached = [0] * len(files)
    plan: list[Delivery | None] = []
    while any(done < len(file) for done, file in zip(reached, files, strict=True)):
        if draw(st.integers(0, 9)) == 0:
            plan.append(None)
        number = draw(st.sampled_from([n for n, file in enumerate(files) if reached[n] < len(file)]))
        end = draw(st.integers(reached[number] + 1, len(files[number])))
        start = draw(st.integers(0, reached[number]))
        plan.append((number, start, end))
        if draw(st.booleans()):
            again_end = draw(st.integers(0, end))
            plan.append((number, draw(st.integers(0, again_end)), again_end))
        reached[number] = end
    return files, plan


def dump(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store._database.write() as connection:
        found = {
            table.name: [
                tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            ]
            for table in (TRACES, TRACE_CONTENT, SPOOL_CURSORS)
        }
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())
    return found


def deliver(store: Store, files: Sequence[Sequence[Record]], plan: Sequence[Delivery | None]) -> None:
    for step in plan:
        if step is None:
            store.traces.abort_writer(WRITER, now=2000.0)
        else:
            number, start, end = step
            store.traces.ship(files[number][start:end], cursor=SpoolCursor(f"{WRITER}-{number:04d}.spool", end * 10))
    store.traces.abort_writer(WRITER, now=2000.0)


def check(
    store: Store,
    case: tuple[list[list[tuple[str, str]]], list[Delivery | None]],
    make_open: Callable[..., TraceOpen],
    make_close: Callable[..., TraceClose],
) -> None:
    names, plan = case
    files: list[list[Record]] = [
        [
            make_open(name) if kind == "open" else make_close(name, variant="api", content={"reply": name})
            for kind, name in file
        ]
        for file in names
    ]
    deliver(store, files, [(number, 0, len(file)) for number, file in enumerate(files) if file])
    plain = dump(store)
    deliver(store, files, plan)
    assert dump(store) == plain
    num_closed = sum(kind == "close" for file in names for kind, _ in file)
    statuses = [row[2] for row in plain["traces"]]
    assert statuses.count("complete") == num_closed
    assert statuses.count("aborted") == len(statuses) - num_closed


@given(deliveries())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_delivery_ends_in_the_same_table_on_sqlite(
    sqlite_store: Store,
    make_open: Callable[..., TraceOpen],
    make_close: Callable[..., TraceClose],
    case: tuple[list[list[tuple[str, str]]], list[Delivery | None]],
) -> None:
    check(sqlite_store, case, make_open, make_close)


@given(deliveries())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_delivery_ends_in_the_same_table_on_postgresql(
    shared_postgres: Store,
    make_open: Callable[..., TraceOpen],
    make_close: Callable[..., TraceClose],
    case: tuple[list[list[tuple[str, str]]], list[Delivery | None]],
) -> None:
    check(shared_postgres, case, make_open, make_close)
