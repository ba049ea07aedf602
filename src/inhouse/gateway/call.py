"""What one chat request is: who calls, what it asks for, which labels it carries. The parse step; sends nothing."""

from __future__ import annotations

from msgspec import Struct

from inhouse.backends import ChatRequest, read_chat_request
from inhouse.domain import ApiKey, ErrorCode, RequestError, RequestFacts
from inhouse.gateway.connection import Request
from inhouse.gateway.view import ServingView

MAX_TASK_CHARS = 64
MAX_USER_CHARS = 128
MAX_TAGS = 16
MAX_TAG_CHARS = 64
MAX_ROUTE_CHARS = 200
_PIN_HEADER = b"x-inhouse-endpoint"


class ChatCall(Struct, frozen=True, kw_only=True):
    """One chat request, parsed. `tags` are bounded; `facts` is what the decision may rest on."""

    request: Request
    chat: ChatRequest
    key: ApiKey
    facts: RequestFacts
    user: str | None
    tags: dict[str, str]


def read_call(request: Request, view: ServingView) -> ChatCall:
    """Authenticate and read a chat request.

    Raises:
        RequestError: 401, 403, 400 or 404, naming what to mend.
    """
    headers = request.headers
    key = view.auth.identify(headers.get(b"authorization"))
    pinned = headers.get(_PIN_HEADER)
    if pinned is not None and not key.is_eval:
        message = f"The header {_PIN_HEADER.decode()} is for evaluation keys only. Leave it out."
        raise RequestError(403, ErrorCode.PIN_NOT_ALLOWED, message)
    chat = read_chat_request(request.body)
    metadata = chat.metadata
    task = _label(headers, b"x-inhouse-task", metadata.get("inhouse_task"), MAX_TASK_CHARS)
    facts = RequestFacts(
        route=chat.model,
        task=task,
        modalities=chat.modalities,
        headers=_list_rule_headers(chat.model, headers, view),
        pinned_endpoint=None if pinned is None else pinned.decode("latin-1"),
    )
    _check_route(facts, key, view)
    return ChatCall(
        request=request,
        chat=chat,
        key=key,
        facts=facts,
        user=_label(headers, b"x-inhouse-user", metadata.get("inhouse_user"), MAX_USER_CHARS),
        tags=read_tags(_label(headers, b"x-inhouse-tags", metadata.get("inhouse_tags"), None) or ""),
    )


def read_tags(text: str) -> dict[str, str]:
    """`k=v,k2=v2` as a mapping: at most MAX_TAGS pairs, names and values cut to MAX_TAG_CHARS; the rest is dropped."""
    tags: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        name, separator, value = pair.partition("=")
        name = name.strip()[:MAX_TAG_CHARS]
        if name and separator and len(tags) < MAX_TAGS:
            tags[name] = value.strip()[:MAX_TAG_CHARS]
    return tags


def _label(headers: dict[bytes, bytes], name: bytes, other: str | None, max_chars: int | None) -> str | None:
    """A label from its header, else from the body's metadata; None where it is empty."""
    value = headers.get(name)
    text = other if value is None else value.decode("utf-8", "replace").strip()
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
