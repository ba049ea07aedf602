"""The records' text, put together from parts that requests share, is that of the records whole."""

import msgspec
import pytest

from inhouse.backends import ReplyFacts
from inhouse.domain import (
    Candidate,
    Dialect,
    Endpoint,
    EndpointKind,
    ErrorCode,
    Network,
    PriceVector,
    Replica,
    Signals,
    TraceClose,
    TraceOpen,
    TraceStatus,
    Usage,
    UsageBasis,
)
from inhouse.gateway.record import Outcome, TraceDraft, TraceLabels, _AlikeEnding, _Ending
from inhouse.gateway.why import RecentTraces

PRICE = PriceVector(
    price_id="p1", input_uncached=1e-6, cache_read=1e-7, cache_write=1e-6, output_visible=3e-6, output_reasoning=3e-6
)
REPLICA = Replica(replica_id="box/1", base_url="http://127.0.0.1:1/v1")
ENDPOINT = Endpoint(
    endpoint_id="box",
    kind=EndpointKind.OWN,
    dialect=Dialect.OPENAI,
    model="tiny",
    processor="own",
    network=Network(is_declared_private=True),
    replicas=(REPLICA,),
    price=PRICE,
    digest="sha256:1",
    is_simulated=True,
)
CANDIDATE = Candidate(variant="own", variant_digest="sha256:2", endpoint_id="box")
FACTS = ReplyFacts("tiny", "fp", "stop", Usage(75, 0, 0, 28), UsageBasis.MEASURED)


class Lines:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write_line(self, line: bytes) -> None:
        self.lines.append(line)


def draft_in(sink: Lines, recent: RecentTraces, **labels: object) -> TraceDraft:
    known: dict[str, object] = {
        "writer": "gw0-1-1", "route": 'a"b', "key_id": "k", "team": None, "task": "t", "user": None, "tags": {"x": "y"},
        "is_stream": False, "is_eval": False, "snapshot_version": 3, "reasons": ("own: default",),
    }  # fmt: skip
    return TraceDraft(sink, recent, TraceLabels(**(known | labels)), "a" * 32, 1_700_000_000.25, 5.0, 400)  # type: ignore[arg-type]


def test_the_two_parts_of_a_close_record_have_its_members_and_no_other() -> None:
    whole = {field.name: field.type for field in msgspec.structs.fields(TraceClose)}
    parts = {field.name: field.type for part in (_AlikeEnding, _Ending) for field in msgspec.structs.fields(part)}

    assert parts == whole


def test_an_open_record_says_what_is_known() -> None:
    sink = Lines()
    draft_in(sink, RecentTraces()).begin_attempt(CANDIDATE, ENDPOINT, REPLICA)

    assert sink.lines[0].endswith(b"}\n")
    assert msgspec.json.decode(sink.lines[0], type=TraceOpen) == TraceOpen(
        trace_id="a" * 32,
        writer="gw0-1-1",
        started_at=1_700_000_000.25,
        route='a"b',
        variant="own",
        endpoint_id="box",
        replica_id="box/1",
        key_id="k",
        task="t",
        tags={"x": "y"},
        is_simulated=True,
        variant_digest="sha256:2",
        endpoint_digest="sha256:1",
        snapshot_version=3,
        reasons=("own: default",),
    )


STEPPED = msgspec.structs.replace(
    PRICE,
    longer=((100, msgspec.structs.replace(PRICE, price_id="p1-long", input_uncached=2e-6)),),
    tiers={"flex": msgspec.structs.replace(PRICE, price_id="p1-flex", output_visible=1e-6)},
)


@pytest.mark.parametrize(
    ("facts", "price_id", "usd"),
    [
        (ReplyFacts(usage=Usage(99, 0, 0, 10)), "p1", 99e-6 + 30e-6),
        (ReplyFacts(usage=Usage(60, 0, 40, 10)), "p1-long", 120e-6 + 40e-6 + 30e-6),
        (ReplyFacts(usage=Usage(10, 0, 0, 10), tier="flex"), "p1-flex", 10e-6 + 10e-6),
        (ReplyFacts(usage=Usage(10, 0, 0, 10), tier="priority"), None, None),
        (ReplyFacts(usage=Usage(10, 0, 0, 10, input_audio=1)), None, None),
        (ReplyFacts(usage=Usage(10, 0, 0, 10, cache_write_1h=1), tier="flex"), None, None),
        (ReplyFacts(tier="flex"), None, None),
    ],
)
@pytest.mark.parametrize("is_short", [True, False])
def test_a_request_is_priced_by_its_tariff_and_length_and_says_by_which_price(
    facts: ReplyFacts, price_id: str | None, usd: float | None, is_short: bool
) -> None:
    """Where that price is not known, it is unpriced: no cost and no price."""
    sink = Lines()
    draft = draft_in(sink, RecentTraces())
    draft.begin_attempt(CANDIDATE, msgspec.structs.replace(ENDPOINT, price=STEPPED), REPLICA)
    if is_short:
        draft.close_whole(facts, draft.sent_at, None)
    else:
        draft.close(Outcome(TraceStatus.COMPLETE, 200, None, facts))
    close = msgspec.json.decode(sink.lines[1], type=TraceClose)
    assert (close.price_id, close.tier, close.usage) == (price_id, facts.tier, facts.usage)
    assert close.cost_usd == (None if usd is None else pytest.approx(usd))


def test_a_close_record_of_an_earlier_release_is_read_as_what_it_was() -> None:
    line = (
        b'{"kind":"close","trace_id":"t","writer":"w","ended_at":1.0,"status":"complete","http_status":200,'
        b'"variant":"v","endpoint_id":"e","replica_id":"r","usage":{"input_uncached":3,"cache_write":2},'
        b'"usage_basis":"measured","e2e_ms":5.0}'
    )
    close = msgspec.json.decode(line, type=TraceClose)
    assert close.usage == Usage(input_uncached=3, cache_write=2, cache_write_1h=0, input_audio=0, output_audio=0)
    assert close.tier is None


@pytest.mark.parametrize("signals", [None, Signals(num_chars=7, empty=0)])
@pytest.mark.parametrize(
    "facts",
    [FACTS, ReplyFacts(), ReplyFacts(usage=Usage(1, 2, 3, 4, 5)), ReplyFacts(usage=Usage(1, 2, 3, 4), tier="scale")],
)
def test_the_short_way_to_a_close_record_ends_in_the_same_one(facts: ReplyFacts, signals: Signals | None) -> None:
    """But for the times, which are read from the clock."""
    closes: list[TraceClose] = []
    for is_short in (True, False):
        sink, recent = Lines(), RecentTraces()
        draft = draft_in(sink, recent)
        draft.begin_attempt(CANDIDATE, ENDPOINT, REPLICA)
        if is_short:
            draft.close_whole(facts, draft.sent_at, signals)
        else:
            draft.note_attempt(draft.sent_at, 200)
            draft.close(Outcome(TraceStatus.COMPLETE, 200, None, facts, signals=signals))
        close = msgspec.json.decode(sink.lines[1], type=TraceClose)
        found = recent.find("a" * 32)
        assert found is not None
        assert found.close == close
        assert found.open == msgspec.json.decode(sink.lines[0], type=TraceOpen)
        attempt = msgspec.structs.replace(close.attempts[0], duration_ms=0.0)
        closes.append(msgspec.structs.replace(close, ended_at=0.0, e2e_ms=0.0, overhead_ms=0.0, attempts=(attempt,)))

    assert closes[0] == closes[1]
    assert closes[0].usage == facts.usage
    assert (closes[0].cost_usd is None) is (facts.usage is None)


def test_a_record_is_closed_once_and_only_where_it_was_opened() -> None:
    sink = Lines()
    draft = draft_in(sink, RecentTraces())
    draft.close_whole(FACTS, 5.0, None)
    assert sink.lines == []

    draft.begin_attempt(CANDIDATE, ENDPOINT, REPLICA)
    draft.close(Outcome(TraceStatus.FAILED, 502, ErrorCode.UPSTREAM_ERROR))
    draft.close_whole(FACTS, 5.0, None)
    draft.close(Outcome(TraceStatus.COMPLETE, 200))

    assert len(sink.lines) == 2
    close = msgspec.json.decode(sink.lines[1], type=TraceClose)
    assert (close.status, close.http_status, close.error_code) == (TraceStatus.FAILED, 502, "upstream_error")


def test_the_text_shared_by_records_is_that_of_the_replica_asked_last() -> None:
    """A fallback's close names where it ended, though the open names where it began."""
    sink = Lines()
    other = Replica(replica_id="box/2", base_url="http://127.0.0.1:2/v1")
    draft = draft_in(sink, RecentTraces())
    draft.begin_attempt(CANDIDATE, ENDPOINT, REPLICA)
    draft.begin_attempt(Candidate(variant="spare", variant_digest=None, endpoint_id="box"), ENDPOINT, other)
    draft.close(Outcome(TraceStatus.COMPLETE, 200, None, FACTS))
    opened = msgspec.json.decode(sink.lines[0], type=TraceOpen)
    closed = msgspec.json.decode(sink.lines[1], type=TraceClose)

    assert (opened.variant, opened.replica_id) == ("own", "box/1")
    assert (closed.variant, closed.replica_id, closed.variant_digest) == ("spare", "box/2", None)


def test_only_the_last_traces_are_remembered() -> None:
    recent = RecentTraces(max_recent=2)
    sink = Lines()
    draft_in(sink, RecentTraces()).begin_attempt(CANDIDATE, ENDPOINT, REPLICA)
    draft = draft_in(sink, RecentTraces())
    draft.begin_attempt(CANDIDATE, ENDPOINT, REPLICA)
    draft.close(Outcome(TraceStatus.COMPLETE, 200))
    for trace_id in ("1", "2", "3"):
        recent.keep((trace_id, sink.lines[0], sink.lines[-1]))

    assert recent.find("1") is None
    assert recent.find("2") is not None
    assert recent.find("3") is not None
