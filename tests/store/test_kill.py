"""A gateway killed with -9 loses nothing that it completed; what it left open becomes aborted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from inhouse.domain import TraceStatus
from inhouse.store import GATEWAY_LOST, SpoolCursor, Store
from inhouse.telemetry import find_gone_writers, is_writer_gone, list_spools, read_batch

WRITER = "gw0-1763925240123-4711"
# Writes opens and closes without end, one request always under way, and says which it has completed.
CHILD = """
import sys
from pathlib import Path
from inhouse.domain import TraceClose, TraceOpen, TraceStatus
from inhouse.telemetry import SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]), sys.argv[2], max_bytes=20_000)
place = {"variant": "v", "endpoint_id": "e", "replica_id": "p"}
number = 0
while True:
    number += 1
    writer.write(TraceOpen(trace_id=f"t{number:06d}", writer=sys.argv[2], started_at=float(number), route="r",
                           key_id="k", **place))
    if number > 1:
        writer.write(TraceClose(trace_id=f"t{number - 1:06d}", writer=sys.argv[2], ended_at=0.0, http_status=200,
                                status=TraceStatus.COMPLETE, e2e_ms=1.0, **place))
        print(f"t{number - 1:06d}", flush=True)
"""


def ship_all(store: Store, folder: Path) -> None:
    for path in list_spools(folder):
        cursor = store.traces.cursors().get(path.name, SpoolCursor(path.name, 0))
        batch = read_batch(path, cursor.offset, 100)
        while batch.next_offset > cursor.offset:
            cursor = SpoolCursor(path.name, batch.next_offset)
            store.traces.ship(batch.records, cursor=cursor)
            batch = read_batch(path, cursor.offset, 100)


def test_kill_9_loses_nothing_that_was_completed(store: Store, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    completed: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(spool), WRITER], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            completed.append(line.strip())
            if len(completed) == 150:
                assert find_gone_writers(spool) == frozenset()
                ship_all(store, spool)
            if len(completed) == 300:
                child.kill()
        # What it had said before it died is read to the end.
    assert len(completed) >= 300
    assert len(list_spools(spool)) > 1

    assert all(is_writer_gone(path) for path in list_spools(spool))
    assert find_gone_writers(spool) == {WRITER}
    ship_all(store, spool)
    num_aborted = store.traces.abort_writer(WRITER, now=9e9)

    found = store.traces.find(completed)
    assert {name for name, trace in found.items() if trace.status is TraceStatus.COMPLETE} == set(completed)
    # One request is always under way; the kill may have come between an open and the close of the one before.
    assert num_aborted in {1, 2}
    lost = store.traces.list(10, status=TraceStatus.ABORTED)
    assert len(lost) == num_aborted
    assert {trace.close.error_code for trace in lost if trace.close is not None} == {GATEWAY_LOST}
    assert store.traces.list(10, status=TraceStatus.OPEN) == []
