"""Kept responses over HTTP: `GET` and `DELETE /v1/responses/ID`, `GET /v1/responses/ID/input_items`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from msgspec import Raw, Struct

from inhouse.domain import ApiKey, ErrorCode, RequestError
from inhouse.gateway.connection import ClientConnection, Request
from inhouse.gateway.replies import JSON_HEADER
from inhouse.gateway.stored import ResponseShelf

RESPONSES_PREFIX = "/v1/responses/"
_ITEMS = "input_items"
_OK = 200
_DEFAULT_LIMIT, _MAX_LIMIT = 20, 100
_MAX_ID_CHARS = 200
_decode_item = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_NULL, _ASSISTANT, _MESSAGE = Raw(b"null"), Raw(b'"assistant"'), Raw(b'"message"')


class ResponsePath(Struct, frozen=True):
    """What a path under `RESPONSES_PREFIX` names: a response, or its input items."""

    response_id: str
    is_items: bool

    @property
    def methods(self) -> tuple[str, ...]:
        """What may be done with it."""
        return ("GET",) if self.is_items else ("GET", "DELETE")


def read_path(path: str) -> ResponsePath | None:
    """What is asked for; None where there is no such path."""
    name, separator, rest = path.removeprefix(RESPONSES_PREFIX).partition("/")
    if not name or (separator and rest != _ITEMS) or not path.startswith(RESPONSES_PREFIX):
        return None
    return ResponsePath(unquote(name), bool(separator))


async def answer_fetch(
    shelf: ResponseShelf | None, asked: ResponsePath, request: Request, key: ApiKey, connection: ClientConnection
) -> None:
    """Answer.

    Raises:
        RequestError: 400, 404 or 503.
    """
    if shelf is None:
        message = (
            "This gateway keeps no responses: storing is off. The platform's owner can switch it on with "
            "`gateway.responses.keep`."
        )
        raise RequestError(404, ErrorCode.RESPONSE_NOT_FOUND, message)
    query = dict(parse_qsl(urlsplit(request.target).query))
    if request.method == "DELETE":
        await _delete(shelf, asked.response_id, key, connection)
        return
    if query.get("stream") == "true":
        message = "A kept response is given whole. Leave 'stream' out."
        raise RequestError(400, ErrorCode.INVALID_REQUEST, message, param="stream")
    kept = None
    if len(asked.response_id) <= _MAX_ID_CHARS:
        kept = await shelf.get(asked.response_id, key.key_id)
    if kept is None:
        raise _refuse_unknown()
    if asked.is_items:
        body = list_items(kept.response_id, kept.input_json.encode(), query)
    else:
        body = kept.response_json.encode()
    connection.reply(_OK, JSON_HEADER, body)


def list_items(response_id: str, input_items: bytes, query: Mapping[str, str]) -> bytes:
    """A page of input items. One that the client gave no id gets one of the response's id and its place.

    Args:
        response_id: the response.
        input_items: JSON array.
        query: `order` (`desc` where not given), `limit` (1 to 100, else 20), `after` (an item's id).

    Raises:
        RequestError: 400, the query is wrong.
    """
    items = [_name_item(item, response_id, index) for index, item in enumerate(_decode_items(input_items))]
    if _read_order(query) == "desc":
        items.reverse()
    limit, start = _read_limit(query), 0
    if "after" in query:
        ids = [item_id for item_id, _ in items]
        if query["after"] not in ids:
            raise _refuse_query("after", "the id of one of the items")
        start = ids.index(query["after"]) + 1
    page = items[start : start + limit]
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [item for _, item in page],
            "first_id": page[0][0] if page else None,
            "last_id": page[-1][0] if page else None,
            "has_more": start + limit < len(items),
        }
    )


async def _delete(shelf: ResponseShelf, response_id: str, key: ApiKey, connection: ClientConnection) -> None:
    if len(response_id) > _MAX_ID_CHARS or not await shelf.delete(response_id, key.key_id):
        raise _refuse_unknown()
    body = msgspec.json.encode({"id": response_id, "object": "response", "deleted": True})
    connection.reply(_OK, JSON_HEADER, body)


def _name_item(item: Raw, response_id: str, index: int) -> tuple[str, Raw | dict[str, Raw]]:
    """The item with an id, and its content as parts, as the dialect lists them; and that id."""
    members = _decode_item(item)
    content = bytes(members.get("content", _NULL))
    if content.startswith(b'"'):
        kind = b"output_text" if members.get("role") == _ASSISTANT else b"input_text"
        members["content"] = Raw(b'[{"type":"%b","text":%b}]' % (kind, content))
    elif _has_text(members.get("id")):
        return _decode_text(members["id"]), item
    item_id = _decode_text(members["id"]) if _has_text(members.get("id")) else f"item_{response_id}_{index}"
    return item_id, {"type": _MESSAGE, **members, "id": Raw(msgspec.json.encode(item_id))}


def _has_text(value: Raw | None) -> bool:
    return value is not None and bytes(value).startswith(b'"')


def _read_order(query: Mapping[str, str]) -> str:
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise _refuse_query("order", "'asc' or 'desc'")
    return order


_MAX_LIMIT_DIGITS = 3


def _read_limit(query: Mapping[str, str]) -> int:
    limit = query.get("limit", str(_DEFAULT_LIMIT))
    if (
        len(limit) > _MAX_LIMIT_DIGITS
        or not limit.isascii()
        or not limit.isdigit()
        or not 1 <= int(limit) <= _MAX_LIMIT
    ):
        raise _refuse_query("limit", f"a number from 1 to {_MAX_LIMIT}")
    return int(limit)


def _refuse_query(name: str, kind: str) -> RequestError:
    return RequestError(400, ErrorCode.INVALID_REQUEST, f"'{name}' must be {kind}.", param=name)


def _refuse_unknown() -> RequestError:
    """The same words whether there is none, or it is another key's."""
    message = (
        "There is no kept response of this id for this key: it was not kept, has expired, was deleted, or belongs to "
        "another key."
    )
    return RequestError(404, ErrorCode.RESPONSE_NOT_FOUND, message)
