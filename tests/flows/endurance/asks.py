"""What the endurance test asks: plain requests, and every fault of the table on a route of its own. Sends nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from flows.faults.fault_server import OWN_ANSWER
from flows.faults.stage import KEY, build_endpoint, build_snapshot
from flows.faults.table import ROWS, Company, Expected, Mode, Row, Shown
from flows.faults.wire import OPENAI, Answer
from inhouse.domain import Endpoint, Route, Snapshot

SPARE = "spare"
"""The endpoint that is well: the only one of plain requests, the last resort of others."""
SPARE_ANSWER = Answer(("From", " the", " spare"), num_input=11)
QUESTION = "how are you?"
FAULT_SHARE = 0.05
LEAVE_SHARE = 0.002
_NO_ANSWERS = frozenset({"dns", "drip"})
"""Left out: a name that is looked up in the system's own time, and what only the total deadline ends."""


class Saw(StrEnum):
    """What came of a request, as its client sees it."""

    OWN = "own"
    """The whole answer of the endpoint that the fault belongs to."""
    SPARE = "spare"
    """The whole answer of the one that is well."""
    ERROR = "error"
    """An HTTP error of the gateway."""
    PASSED = "passed"
    """The endpoint's own 4xx."""
    BROKEN = "broken"
    """The first part of a stream, then an error event, and no end."""
    LEFT = "left"
    """The client went away after the first part of a stream."""


class Addresses(msgspec.Struct, frozen=True):
    """Where the endpoints are."""

    spare: str
    faulty: str
    refusing: str
    deaf: str


@dataclass(frozen=True, eq=False)
class Ask:
    """One kind of request.

    Args:
        route: the route that it asks for.
        own: the endpoint that answers first.
        payload: the request's bytes.
        may_see: what may come of it.
        whole: the whole answer's body, by whose it is.
        is_stream: whether a stream is asked for.
        is_buffered: whether the route holds streams back.
        error_status: the status of a gateway's error; 0: there may be none.
        model: what makes the fault server go wrong.
        closes: the client asks for the connection to be closed.
        leaves: the client goes away as soon as the answer has begun.
        waits: most of its time is waiting, so it is asked beside the others.
        has_usage: whether the endpoint reports usage with a whole answer of its own.
    """

    route: str
    own: str
    payload: bytes
    may_see: frozenset[Saw]
    whole: dict[Saw, bytes]
    is_stream: bool = False
    is_buffered: bool = False
    error_status: int = 0
    model: str = "tiny"
    closes: bool = False
    leaves: bool = False
    waits: bool = False
    has_usage: bool = True


def build_storm(addresses: Addresses, version: int) -> Snapshot:
    """The routes of all requests and their endpoints."""
    routes: dict[str, Route] = {}
    endpoints: dict[str, Endpoint] = {}
    spare = build_endpoint(SPARE, addresses.spare)
    nowhere = {"refused-before": addresses.refusing, "deaf-before": addresses.deaf}
    for ask in ASKS:
        url = nowhere.get(ask.own, addresses.faulty)
        chain = [build_endpoint(ask.own, url, model=ask.model)] if ask.own != SPARE else []
        if Saw.SPARE in ask.may_see:
            chain.append(spare)
        one = build_snapshot(*chain, name=ask.route, is_buffered=ask.is_buffered)
        routes[ask.route] = one.routes["chat"]
        endpoints |= one.endpoints
    return msgspec.structs.replace(build_snapshot(spare), version=version, routes=routes, endpoints=endpoints)


def build_payload(
    route: str, *, is_stream: bool = False, has_usage: bool = False, head: str = "", is_chunked: bool = False
) -> bytes:
    """A whole request: head and body. With `has_usage` the client asks for the usage chunk."""
    more: dict[str, object] = {"stream": True} if is_stream else {}
    if has_usage:
        more["stream_options"] = {"include_usage": True}
    body = json.dumps({"model": route, "messages": [{"role": "user", "content": QUESTION}]} | more).encode()
    framing = "transfer-encoding: chunked" if is_chunked else f"content-length: {len(body)}"
    lines = f"host: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n{head}{framing}"
    if is_chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return f"POST {OPENAI.path} HTTP/1.1\r\n{lines}\r\n\r\n".encode() + body


def join_events(answer: Answer, *, has_usage: bool = False) -> bytes:
    """The body of a whole stream."""
    return b"".join(OPENAI.list_events(answer, has_usage))


def _list_plain() -> dict[Ask, int]:
    """Requests that meet no fault, and their parts of a hundred."""
    only_spare = frozenset({Saw.SPARE})
    whole = {Saw.SPARE: OPENAI.whole(SPARE_ANSWER, True)}
    events = {Saw.SPARE: join_events(SPARE_ANSWER)}
    counted = {Saw.SPARE: join_events(SPARE_ANSWER, has_usage=True)}

    def ask(payload: bytes, body: dict[Saw, bytes], route: str = "chat") -> Ask:
        is_stream = body is not whole
        return Ask(route, SPARE, payload, only_spare, body, is_stream=is_stream, is_buffered=route == "held")

    return {
        ask(build_payload("chat"), whole): 74,
        ask(build_payload("chat", is_stream=True), events): 15,
        ask(build_payload("chat", is_stream=True, has_usage=True), counted): 2,
        ask(build_payload("held", is_stream=True), events, "held"): 2,
        ask(build_payload("chat", is_chunked=True), whole): 1,
        Ask("chat", SPARE, build_payload("chat", head="connection: close\r\n"), only_spare, whole, closes=True): 1,
    }


def _list_faulty() -> list[Ask]:
    return [
        _build_faulty(row, mode, row.alone if company is Company.ALONE else row.spare, company)
        for row in ROWS
        if row.times is None and row.fault not in _NO_ANSWERS
        for mode in row.modes
        for company in Company
        if row.fault != "oversized" or mode is not Mode.UNSTREAMED  # its bound is the default one here
    ]


def _build_faulty(row: Row, mode: Mode, expected: Expected, company: Company) -> Ask:
    is_stream, is_buffered = mode is not Mode.UNSTREAMED, mode is Mode.BUFFERED
    own = f"{row.fault}-{row.when}"
    route = f"{own}-{company}{'-held' if is_buffered else ''}"
    may_see = {Saw[expected.shown.name]}
    if company is Company.SPARE:
        may_see.add(Saw.SPARE)  # its own endpoint may be left out at the time
    elif expected.shown is Shown.BROKEN:
        may_see.add(Saw.ERROR)  # the fault may come before anything was passed on
    whole = {Saw.OWN: OWN_ANSWER, Saw.SPARE: SPARE_ANSWER}
    has_usage = row.fault != "no-usage"
    return Ask(
        route=route,
        own=own,
        payload=build_payload(route, is_stream=is_stream),
        may_see=frozenset(may_see),
        whole={
            saw: join_events(answer) if is_stream else OPENAI.whole(answer, has_usage or saw is Saw.SPARE)
            for saw, answer in whole.items()
        },
        is_stream=is_stream,
        is_buffered=is_buffered,
        error_status=expected.status if expected.shown is Shown.ERROR else 502 if Saw.ERROR in may_see else 0,
        model=f"fault:{row.fault}:{row.when}",
        waits=row.waits,
        has_usage=has_usage,
    )


def _build_leaving() -> Ask:
    """The client of a stream that hangs goes away."""
    return Ask(
        route="leave",
        own="leave",
        payload=build_payload("leave", is_stream=True),
        may_see=frozenset({Saw.LEFT}),
        whole={},
        is_stream=True,
        model="fault:hang:after",
        leaves=True,
    )


_PLAIN = _list_plain()
_FAULTY = _list_faulty()
_QUICK = [ask for ask in _FAULTY if not ask.waits]
ASKS = (*_PLAIN, _build_leaving(), *_QUICK, *(ask for ask in _FAULTY if ask.waits))
NUM_QUICK = len(_PLAIN) + 1 + len(_QUICK)
"""The first so many are asked one after another, the others beside them, because they wait."""
WEIGHTS = (
    *((1 - FAULT_SHARE - LEAVE_SHARE) * part / sum(_PLAIN.values()) for part in _PLAIN.values()),
    LEAVE_SHARE,
    *(FAULT_SHARE / len(_QUICK) for _ in _QUICK),
)
"""How often each quick one is asked."""
