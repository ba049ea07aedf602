"""Reads a worker's spool as the shipper does, and compares it with what clients saw. Keeps one round at a time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from flows.endurance.asks import ASKS, SPARE, SPARE_ANSWER, Ask, Saw
from flows.faults.fault_server import OWN_ANSWER
from flows.faults.wire import Answer
from inhouse.domain import TraceClose, TraceOpen, TraceStatus, UsageBasis
from inhouse.telemetry import list_spools, read_batch

STATUS = {
    Saw.OWN: TraceStatus.COMPLETE,
    Saw.SPARE: TraceStatus.COMPLETE,
    Saw.ERROR: TraceStatus.FAILED,
    Saw.PASSED: TraceStatus.FAILED,
    Saw.BROKEN: TraceStatus.ABORTED,
    Saw.LEFT: TraceStatus.CLIENT_CLOSED,
}
_BATCH = 10_000
_MAX_FAULTS = 20


class Ended(NamedTuple):
    """What the two records of one request tell. `tokens` are input and output, where they were measured."""

    route: str
    is_stream: bool
    endpoint_id: str
    status: TraceStatus
    http_status: int
    code: str
    tokens: tuple[int, int] | None


class Books:
    """The records that were read and not yet compared; spool files that are finished and read are removed."""

    def __init__(self, folder: Path) -> None:
        self.faults: list[str] = []
        """What is wrong, in words; the first few."""
        self.num_matched = 0
        self.num_failed = 0
        """Attempts that failed, and streams that broke off: the faults that were met."""
        self._folder = folder
        self._offsets: Counter[Path] = Counter()
        self._opened: dict[str, tuple[str, bool]] = {}
        self._ended: dict[str, Ended] = {}
        self._known: dict[Ended, Ended] = {}

    def read(self) -> None:
        """Read on to the end of what is written."""
        paths = list_spools(self._folder)
        for path in paths:
            while True:
                batch = read_batch(path, self._offsets[path], _BATCH)
                self._offsets[path] = batch.next_offset
                if batch.num_skipped:
                    self._note(f"{batch.num_skipped} lines are no records in {path.name}")
                for record in batch.records:
                    self._take(record)
                if not batch.records:
                    break
        for path in paths[:-1]:
            path.unlink()
            del self._offsets[path]

    def compare(self, ledger: Path) -> None:
        """Every request of a round is on record once, as its client saw it; and nothing else is."""
        self.read()
        with ledger.open() as lines:
            for line in lines:
                trace_id, index, saw, status, code = line.rstrip("\n").split(" ")
                ended = self._ended.pop(trace_id, None)
                if ended is None:
                    is_open = trace_id in self._opened
                    self._note(
                        f"{ASKS[int(index)].route}, {saw}: {'no close of' if is_open else 'no records of'} {line}"
                    )
                elif ended != expect(ASKS[int(index)], Saw(saw), int(status), code, ended.tokens):
                    self._note(f"{line} is on record as {ended}")
                else:
                    self.num_matched += 1
        for trace_id in self._opened:
            self._note(f"{trace_id} is still open")
        for trace_id, ended in self._ended.items():
            self._note(f"{trace_id} is on record, and nobody saw it: {ended}")
        self._opened.clear()
        self._ended.clear()

    def _take(self, record: TraceOpen | TraceClose) -> None:
        trace_id = record.trace_id
        if isinstance(record, TraceOpen):
            if trace_id in self._opened or trace_id in self._ended:
                self._note(f"{trace_id} is opened twice")
            self._opened[trace_id] = (record.route, record.is_stream)
            return
        opened = self._opened.pop(trace_id, None)
        if opened is None:
            self._note(f"{trace_id} is closed and not open")
            return
        self.num_failed += sum(attempt.code is not None for attempt in record.attempts)
        self.num_failed += record.status is TraceStatus.ABORTED
        usage = record.usage if record.usage_basis is UsageBasis.MEASURED else None
        ended = Ended(
            *opened,
            record.endpoint_id,
            record.status,
            record.http_status,
            record.error_code or "",
            None if usage is None else (usage.input_uncached, usage.output_visible),
        )
        self._ended[trace_id] = self._known.setdefault(ended, ended)

    def _note(self, fault: str) -> None:
        if len(self.faults) < _MAX_FAULTS:
            self.faults.append(fault)


def expect(ask: Ask, saw: Saw, status: int, code: str, tokens: tuple[int, int] | None) -> Ended:
    """What must be on record. `tokens` are those on record: they stand where nobody can tell what was counted."""
    if saw is Saw.SPARE:
        tokens = _count(SPARE_ANSWER)
    elif saw is Saw.OWN:
        tokens = _count(OWN_ANSWER) if ask.has_usage else None
    else:
        tokens = None
    endpoint_id = SPARE if saw is Saw.SPARE else ask.own
    return Ended(ask.route, ask.is_stream, endpoint_id, STATUS[saw], status, code, tokens)


def _count(answer: Answer) -> tuple[int, int]:
    return answer.num_input, answer.num_output
