"""What one request is: who calls, what it asks for, which labels it carries. The parse step; sends nothing."""

from __future__ import annotations

from msgspec import Struct

from inhouse.backends import TEXT_ONLY, WireRequest
from inhouse.domain import ApiKey, ErrorCode, RequestError, RequestFacts
from inhouse.gateway.connection import Request
from inhouse.gateway.dialects import ClientDialect
from inhouse.gateway.view import ServingView

MAX_TASK_CHARS = 64
MAX_USER_CHARS = 128
MAX_TAGS = 16
MAX_TAG_CHARS = 64
MAX_ROUTE_CHARS = 200
_PIN_HEADER = b"x-inhouse-endpoint"
_FORWARDED = (b"accept", b"x-request-id", b"traceparent", b"tracestate", b"anthropic-beta")
_JSON = b"application/json"
NO_TAGS: dict[str, str] = {}


class Call(Struct, frozen=True, gc=False):
    """One request, parsed. `tags` are bounded; `facts` is what the decision may rest on.

    `forwarded` are the client's header lines that go along to an endpoint. `is_plain`: it carries no label and no
    condition of its own, so that calls alike in route, key and streaming share what is derived from these.
    """

    dialect: ClientDialect
    request: Request
    wire: WireRequest
    key: ApiKey
    facts: RequestFacts
    forwarded: bytes
    user: str | None
    tags: dict[str, str]
    is_plain: bool


class HeadFacts(Struct, frozen=True):
    """What a request's head says under one snapshot; kept with the head while the client repeats it.

    `is_plain`: no pin and no label.
    """

    key: ApiKey
    pinned: str | None
    task: str | None
    user: str | None
    tags: str | None
    forwarded: bytes
    is_plain: bool


def read_call(dialect: ClientDialect, request: Request, view: ServingView, wire: WireRequest | None = None) -> Call:
    """Authenticate and read a request; `wire` is its body, where that was read already.

    Raises:
        RequestError: 401, 403, 400 or 404, naming what to mend.
    """
    memo = request.head.memo
    head = memo.facts
    if memo.owner is not view or not isinstance(head, HeadFacts):
        head = memo.facts = _read_headers(request.headers, view)
        memo.owner, memo.ways = view, {}
    if wire is None:
        wire = dialect.read(request.body)
    model = wire.model
    if head.is_plain and not wire.metadata and wire.modalities is TEXT_ONLY and model in view.plain_routes:
        routes = head.key.routes
        if routes is None or model in routes:
            facts = view.plain_routes[model]
            return Call(dialect, request, wire, head.key, facts, head.forwarded, None, NO_TAGS, True)
    return _read_labelled(dialect, request, wire, head, view)


def _read_headers(headers: dict[bytes, bytes], view: ServingView) -> HeadFacts:
    key = view.auth.identify_caller(headers)
    pinned = headers.get(_PIN_HEADER)
    if pinned is not None and not key.is_eval:
        message = f"The header {_PIN_HEADER.decode()} is for evaluation keys only. Leave it out."
        raise RequestError(403, ErrorCode.PIN_NOT_ALLOWED, message)
    task = _label(headers.get(b"x-inhouse-task"), MAX_TASK_CHARS)
    user = _label(headers.get(b"x-inhouse-user"), MAX_USER_CHARS)
    tags = _label(headers.get(b"x-inhouse-tags"), None)
    return HeadFacts(
        key=key,
        pinned=None if pinned is None else pinned.decode("latin-1"),
        task=task,
        user=user,
        tags=tags,
        forwarded=_forward(headers),
        is_plain=pinned is None and task is None and user is None and tags is None,
    )


def _read_labelled(
    dialect: ClientDialect, request: Request, wire: WireRequest, head: HeadFacts, view: ServingView
) -> Call:
    """A call with labels or conditions of its own. A header's label wins over the body's."""
    metadata = wire.metadata
    task = head.task if head.task is not None else _bound(metadata.get("inhouse_task"), MAX_TASK_CHARS)
    user = head.user if head.user is not None else _bound(metadata.get("inhouse_user"), MAX_USER_CHARS)
    tags = head.tags if head.tags is not None else metadata.get("inhouse_tags")
    facts = RequestFacts(
        route=wire.model,
        task=task,
        modalities=wire.modalities,
        headers=_list_rule_headers(wire.model, request.headers, view),
        pinned_endpoint=head.pinned,
    )
    _check_route(facts, head.key, view)
    read = read_tags(tags) if tags else NO_TAGS
    return Call(dialect, request, wire, head.key, facts, head.forwarded, user, read, False)


def read_tags(text: str) -> dict[str, str]:
    """`k=v,k2=v2` as a mapping: at most MAX_TAGS pairs, names and values cut to MAX_TAG_CHARS; the rest is dropped."""
    tags: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        name, separator, value = pair.partition("=")
        name = name.strip()[:MAX_TAG_CHARS]
        if name and separator and len(tags) < MAX_TAGS:
            tags[name] = value.strip()[:MAX_TAG_CHARS]
    return tags


def _forward(headers: dict[bytes, bytes]) -> bytes:
    lines = b"content-type: %b\r\n" % headers.get(b"content-type", _JSON)
    for name in _FORWARDED:
        value = headers.get(name)
        if value is not None:
            lines += b"%b: %b\r\n" % (name, value)
    return lines


def _label(value: bytes | None, max_chars: int | None) -> str | None:
    """A label from its header; None where it is empty."""
    return None if value is None else _bound(value.decode("utf-8", "replace").strip(), max_chars)


def _bound(text: str | None, max_chars: int | None) -> str | None:
    return text[:max_chars] if text else None


def _list_rule_headers(route_name: str, headers: dict[bytes, bytes], view: ServingView) -> tuple[tuple[str, str], ...]:
    """The request's headers that the route's rules name, and no other."""
    route = view.snapshot.routes.get(route_name)
    if route is None or not route.rules:
        return ()
    names = dict.fromkeys(rule.header[0] for rule in route.rules if rule.header is not None)
    found = ((name, headers.get(name.encode("latin-1", "replace"))) for name in names)
    return tuple((name, value.decode("latin-1")) for name, value in found if value is not None)


def _check_route(facts: RequestFacts, key: ApiKey, view: ServingView) -> None:
    if facts.pinned_endpoint is not None:
        if facts.pinned_endpoint not in view.snapshot.endpoints:
            message = f"There is no endpoint '{facts.pinned_endpoint[:MAX_ROUTE_CHARS]}'."
            raise RequestError(404, ErrorCode.MODEL_NOT_FOUND, message)
        return
    if facts.route not in view.snapshot.routes:
        message = f"There is no route '{facts.route[:MAX_ROUTE_CHARS]}'. GET /v1/models lists what this key may use."
        raise RequestError(404, ErrorCode.MODEL_NOT_FOUND, message, param="model")
    if key.routes is not None and facts.route not in key.routes:
        message = f"This API key may not use the route '{facts.route}'."
        raise RequestError(403, ErrorCode.ROUTE_NOT_ALLOWED, message, param="model")
