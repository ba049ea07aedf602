"""The reconciler against a real SQLite store: when a snapshot is made, numbered, written and recorded."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inhouse.control import SNAPSHOT_PATH, DesiredState, Reconciler, StoreLink, read_snapshot, write_snapshot
from inhouse.domain import ApiKey, ReplicaState, Snapshot
from inhouse.store import ReplicaRow, Store, StoreUnavailableError, open_store

Rows = Callable[..., ReplicaRow]
NOW = 1_795_392_000.0
DAY_S = 86_400.0


class Switch:
    """Opens the store, or says that it is down."""

    is_down = False

    def __call__(self, url: str) -> Store:
        if self.is_down:
            raise StoreUnavailableError("The store does not answer: made up.", fix="wait.")
        return open_store(url)


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
async def link(store_url: str, switch: Switch) -> AsyncIterator[StoreLink]:
    link = StoreLink(store_url, opener=switch)
    yield link
    link.close()


@pytest.fixture
def make_reconciler(
    desired: DesiredState, link: StoreLink, state_dir: Path, clock: Callable[[], float]
) -> Callable[..., Reconciler]:
    def make(changed: DesiredState = desired) -> Reconciler:
        return Reconciler(changed, link, state_dir, clock)

    return make


def read(state_dir: Path) -> Snapshot:
    snapshot = read_snapshot(state_dir)
    assert snapshot is not None
    return snapshot


async def test_the_first_step_writes_and_records_a_snapshot(
    make_reconciler: Callable[..., Reconciler], store: Store, state_dir: Path
) -> None:
    reconciler = make_reconciler()
    await reconciler.step()
    assert read(state_dir).version == 1
    assert reconciler.observed.snapshot == read(state_dir)
    latest = store.snapshots.latest()
    assert latest is not None
    assert msgspec.json.decode(latest.payload, type=Snapshot) == read(state_dir)
    assert stat.S_IMODE((state_dir / SNAPSHOT_PATH).stat().st_mode) == 0o600
    assert [path.name for path in (state_dir / "run").iterdir()] == ["snapshot.json"]


async def test_signs_of_life_make_no_new_version_and_a_state_does(
    make_reconciler: Callable[..., Reconciler], store: Store, state_dir: Path, make_row: Rows
) -> None:
    reconciler = make_reconciler()
    versions: list[int] = []
    for row in (
        make_row(state=ReplicaState.STARTING, digest=None),
        make_row(state=ReplicaState.STARTING, digest=None, updated_at=NOW + 1, detail="loading", pid=4),
        make_row(),
        make_row(updated_at=NOW + 9, num_restarts=3),
    ):
        store.replicas.put(row)
        await reconciler.step()
        versions.append(read(state_dir).version)
    assert versions == [1, 1, 2, 2]


async def test_the_version_grows_over_restarts_only_where_content_changed(
    make_reconciler: Callable[..., Reconciler], desired: DesiredState, state_dir: Path
) -> None:
    await make_reconciler().step()
    await make_reconciler().step()
    assert read(state_dir).version == 1
    more = replace(desired, keys=(*desired.keys, ApiKey(key_id="new", key_hash="e" * 64)))
    await make_reconciler(more).step()
    assert read(state_dir).version == 2


@pytest.mark.parametrize("lost", [b"", b"{not json"])
async def test_a_lost_or_broken_file_is_replaced_by_a_higher_version(
    make_reconciler: Callable[..., Reconciler], state_dir: Path, lost: bytes
) -> None:
    await make_reconciler().step()
    if lost:
        (state_dir / SNAPSHOT_PATH).write_bytes(lost)
    else:
        (state_dir / SNAPSHOT_PATH).unlink()
    await make_reconciler().step()
    assert read(state_dir).version == 2


async def test_a_store_that_is_ahead_is_passed(
    make_reconciler: Callable[..., Reconciler], store: Store, state_dir: Path
) -> None:
    await make_reconciler().step()
    store.snapshots.put(41, b"{}", NOW)
    await make_reconciler().step()
    latest = store.snapshots.latest()
    assert latest is not None
    assert (read(state_dir).version, latest.version) == (42, 42)


async def test_the_same_version_with_another_content_is_passed(
    make_reconciler: Callable[..., Reconciler], store: Store, state_dir: Path
) -> None:
    store.snapshots.put(1, b"{}", NOW)
    write_snapshot(state_dir, msgspec.structs.replace(EMPTY, version=1))
    await make_reconciler().step()
    assert read(state_dir).version == 2


async def test_with_the_store_down_the_file_is_compiled_all_the_same(
    make_reconciler: Callable[..., Reconciler], state_dir: Path, switch: Switch, store_url: str
) -> None:
    switch.is_down = True
    reconciler = make_reconciler()
    await reconciler.step()
    assert read(state_dir).version == 1
    assert "paid/mid" in read(state_dir).endpoints
    assert reconciler.observed.store_problem is not None
    assert "does not answer" in reconciler.observed.store_problem
    switch.is_down = False
    await reconciler.step()
    assert reconciler.observed.store_problem is None
    with open_store(store_url) as store:
        latest = store.snapshots.latest()
    assert latest is not None
    assert latest.version == 1


async def test_with_the_store_down_replicas_of_the_last_snapshot_stay(
    make_reconciler: Callable[..., Reconciler],
    store: Store,
    state_dir: Path,
    make_row: Rows,
    switch: Switch,
    desired: DesiredState,
) -> None:
    store.replicas.put(make_row())
    await make_reconciler().step()
    before = read(state_dir)
    switch.is_down = True
    link = StoreLink("sqlite:///unused", opener=switch)
    fewer_keys = replace(desired, keys=())
    await Reconciler(fewer_keys, link, state_dir, lambda: NOW).step()
    link.close()
    after = read(state_dir)
    assert after.endpoints == before.endpoints
    assert (after.version, after.keys) == (2, ())


async def test_a_file_that_cannot_be_written_is_told_and_tried_again(
    make_reconciler: Callable[..., Reconciler], state_dir: Path
) -> None:
    (state_dir / "run").rmdir()
    (state_dir / "run").write_text("in the way")
    reconciler = make_reconciler()
    await reconciler.step()
    assert reconciler.observed.snapshot is None
    assert reconciler.observed.file_problem is not None
    (state_dir / "run").unlink()
    await reconciler.step()
    assert reconciler.observed.file_problem is None
    assert read(state_dir).version == 1


async def test_a_new_day_compiles_again_and_changes_nothing_where_prices_stand(
    make_reconciler: Callable[..., Reconciler], state_dir: Path, clock: Any
) -> None:
    reconciler = make_reconciler()
    await reconciler.step()
    clock.now += DAY_S
    await reconciler.step()
    assert read(state_dir).version == 1


async def test_misfits_are_observed_and_logged_once(
    make_reconciler: Callable[..., Reconciler], store: Store, make_row: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    for number, letter in enumerate("aab"):
        store.replicas.put(make_row(f"clerk-{number}", digest="sha256:" + letter * 64))
    reconciler = make_reconciler()
    await reconciler.step()
    await reconciler.step()
    assert [misfit.replica_id for misfit in reconciler.observed.misfits] == ["clerk-2"]
    assert sum("clerk-2" in record.message for record in caplog.records) == 1


async def test_since_counts_from_the_state_not_from_signs_of_life(
    make_reconciler: Callable[..., Reconciler], store: Store, make_row: Rows, clock: Any
) -> None:
    reconciler = make_reconciler()
    store.replicas.put(make_row())
    await reconciler.step()
    clock.now += 60
    store.replicas.put(make_row(updated_at=NOW + 60))
    await reconciler.step()
    assert reconciler.observed.since == {"clerk-0": NOW}
    store.replicas.put(make_row(num_restarts=1))
    await reconciler.step()
    assert reconciler.observed.since == {"clerk-0": NOW + 60}


EMPTY = msgspec.convert(
    {"version": 1, "created_at": NOW, "routes": {}, "endpoints": {}, "keys": [], "egress": {}}, Snapshot
)
