"""What the endurance test counts on: a reply that passes for what it is not, and a record that is missing, is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.endurance.asks import ASKS, NUM_QUICK, WEIGHTS, Ask, Saw
from flows.endurance.books import Books
from flows.endurance.replies import WrongReplyError, is_whole, judge
from flows.faults.fault_server import OWN_ANSWER
from flows.faults.wire import DONE, OPENAI
from inhouse.domain import TraceClose, TraceOpen, TraceStatus, Usage, UsageBasis
from inhouse.telemetry import SpoolWriter

TRACE = "0123456789abcdef" * 2
EVENTS = OPENAI.list_events(OWN_ANSWER, False)
ERROR = b'data: {"error":{"message":"The stream broke off.","code":"upstream_cut"}}\n\n'
PLAIN = ASKS[0]
STREAM = next(ask for ask in ASKS if ask.route == "cut-between-after-alone" and Saw.BROKEN in ask.may_see)


def build_reply(body: bytes, *, is_stream: bool = True) -> bytes:
    """As the gateway frames it."""
    kind = b"text/event-stream" if is_stream else b"application/json"
    framing = b"transfer-encoding: chunked" if is_stream else b"content-length: %d" % len(body)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nx-inhouse-trace: %b\r\n%b\r\n\r\n" % (kind, TRACE.encode(), framing)
    return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if is_stream else body)


def test_a_stream_that_breaks_off_visibly_is_broken() -> None:
    reply = build_reply(b"".join(EVENTS[:3]) + ERROR)
    assert is_whole(reply)
    assert not is_whole(reply[:-1])
    assert judge(STREAM, reply) == (TRACE, Saw.BROKEN, 200, "upstream_cut")


@pytest.mark.parametrize(
    "body",
    [
        b"".join(EVENTS[:3]),
        b"".join(EVENTS[:-1]),
        b"".join(EVENTS[:3]) + DONE,
        b"".join(EVENTS[:3]) + ERROR + DONE,
        b"".join(EVENTS[1:3]) + ERROR,
        b"".join(EVENTS[:3])[:-9] + ERROR,
        ERROR.replace(b"upstream_cut", b"x") + EVENTS[0],
        b"".join(EVENTS),
        b"",
    ],
    ids=["cut", "no-done", "hole-and-done", "error-and-done", "gap", "glued", "error-first", "not-allowed", "empty"],
)
def test_a_stream_that_is_neither_whole_nor_visibly_broken_is_wrong(body: bytes) -> None:
    with pytest.raises(WrongReplyError):
        judge(STREAM, build_reply(body))


def test_a_whole_reply_is_right_to_the_byte() -> None:
    body = PLAIN.whole[Saw.SPARE]
    assert judge(PLAIN, build_reply(body, is_stream=False)) == (TRACE, Saw.SPARE, 200, "")
    for wrong in (body[:-1], body.replace(b"spare", b"Spare"), body + b" ", OPENAI.whole(OWN_ANSWER, True)):
        with pytest.raises(WrongReplyError):
            judge(PLAIN, build_reply(wrong, is_stream=False))


def test_a_reply_without_its_trace_is_wrong() -> None:
    reply = build_reply(PLAIN.whole[Saw.SPARE], is_stream=False)
    with pytest.raises(WrongReplyError):
        judge(PLAIN, reply.replace(b"x-inhouse-trace", b"x-request-id"))


def test_one_request_in_twenty_meets_a_fault_and_each_fault_is_asked_for() -> None:
    assert len(WEIGHTS) == NUM_QUICK < len(ASKS)
    assert sum(WEIGHTS) == pytest.approx(1)
    assert sum(weight for ask, weight in zip(ASKS, WEIGHTS, strict=False) if "chat" in ask.payload.decode()) > 0.9
    assert {ask.own.rpartition("-")[0] for ask in ASKS[NUM_QUICK:]} == {"slow", "deaf", "hang", "late", "ping"}
    assert len({ask.own for ask in ASKS}) > 40


@pytest.mark.parametrize("lost", [None, "open", "close", "seen", "status", "tokens", "twice", "again"])
def test_the_books_find_what_is_not_on_record_once_as_it_was_seen(lost: str | None, tmp_path: Path) -> None:
    opened, closed = _build_records(PLAIN, lost)
    books = Books(tmp_path / "spool")
    with SpoolWriter(tmp_path / "spool", "gw0-1-1", max_bytes=1024) as spool:
        if lost != "open":
            spool.write(opened)
        if lost == "twice":
            spool.write(opened)
        books.read()
        if lost != "close":
            spool.write(closed)
        if lost == "again":
            spool.write(closed)
    (tmp_path / "ledger").write_text("" if lost == "seen" else f"{TRACE} 0 spare 200 \n")
    books.compare(tmp_path / "ledger")
    assert bool(books.faults) == (lost is not None)
    assert books.num_matched == (lost in {None, "twice", "again"})
    assert len(list((tmp_path / "spool").iterdir())) == 1


def _build_records(ask: Ask, lost: str | None) -> tuple[TraceOpen, TraceClose]:
    """The two records of a whole answer, with one thing wrong."""
    opened = TraceOpen(
        trace_id=TRACE,
        writer="gw0-1-1",
        started_at=1.0,
        route=ask.route,
        variant="spare",
        endpoint_id="spare",
        replica_id="spare-0",
        key_id="app",
        reasons=("x" * 1000,),
    )
    closed = TraceClose(
        trace_id=TRACE,
        writer="gw0-1-1",
        ended_at=2.0,
        status=TraceStatus.ABORTED if lost == "status" else TraceStatus.COMPLETE,
        http_status=200,
        variant="spare",
        endpoint_id="spare",
        replica_id="spare-0",
        usage=Usage(input_uncached=11, output_visible=2 if lost == "tokens" else 3),
        usage_basis=UsageBasis.MEASURED,
        e2e_ms=1.0,
    )
    return opened, closed
