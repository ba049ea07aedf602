"""The data port described as OpenAPI 3.1, built from small tables. Serves nothing.

Request schemas are only as strict as the gateway is: what it does not read, it passes on.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from inhouse import __version__
from inhouse.gateway.openapi_schemas import SCHEMAS, STRING, Schema

OPENAPI_PATH = "/openapi.json"
"""Where the gateway serves the document."""
_NOT_EMPTY: Schema = {"type": "string", "minLength": 1}


class _Kind(Struct, frozen=True):
    """What a group of operations has in common: who may call, and how it may end.

    `statuses` stand beside those that every path has. `error` names the schema of its refusals.
    """

    security: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    error: str = "Error"
    is_generating: bool = False


_EVERYWHERE = (400, 405, 408, 413, 431, 500, 503)
_OPEN = _Kind()
_KEYED = _Kind(security=("bearer",), statuses=(401, 404))
_LISTING = _Kind(security=("bearer",), statuses=(401,))
_GENERATING = _Kind(security=("bearer",), statuses=(401, 403, 404, 429, 502, 504), is_generating=True)
_ANTHROPIC = _Kind(
    security=("apiKey", "bearer"), statuses=(401, 403, 404, 429, 502, 504), error="MessagesError", is_generating=True
)


class _Operation(Struct, frozen=True):
    """One operation. `answer` is the schema of its 200; `body` of its request; a stream is offered where `streams`."""

    method: str
    path: str
    name: str
    summary: str
    kind: _Kind
    answer: str
    body: str | None = None
    streams: bool = False


_OPERATIONS = (
    _Operation(
        "post", "/v1/chat/completions", "createChatCompletion", "Chat completions", _GENERATING, "Reply", "Chat", True
    ),
    _Operation(
        "post", "/v1/completions", "createCompletion", "Text completions", _GENERATING, "Reply", "Completion", True
    ),
    _Operation("post", "/v1/embeddings", "createEmbedding", "Embeddings", _GENERATING, "Reply", "Embedding"),
    _Operation("post", "/v1/responses", "createResponse", "Responses", _GENERATING, "Reply", "Response", True),
    _Operation("get", "/v1/responses/{response_id}", "getResponse", "A stored response", _KEYED, "Reply"),
    _Operation("delete", "/v1/responses/{response_id}", "deleteResponse", "Forget a response", _KEYED, "Deleted"),
    _Operation(
        "get", "/v1/responses/{response_id}/input_items", "listInputItems", "What it was asked", _KEYED, "ItemList"
    ),
    _Operation("get", "/v1/models", "listModels", "The routes that the key may use", _LISTING, "ModelList"),
    _Operation("get", "/v1/models/{model}", "getModel", "One route", _KEYED, "Model"),
    _Operation("post", "/v1/messages", "createMessage", "Anthropic messages", _ANTHROPIC, "Reply", "Messages", True),
    _Operation(
        "post", "/v1/messages/count_tokens", "countTokens", "Tokens of messages", _ANTHROPIC, "Reply", "TokenCount"
    ),
    _Operation("get", "/v1/traces/{trace_id}", "getTrace", "Why a request ended as it did", _KEYED, "Trace"),
    _Operation("get", "/healthz", "getHealth", "Whether the process is alive", _OPEN, "Health"),
    _Operation("get", "/readyz", "getReadiness", "Whether it may take traffic", _OPEN, "Ready"),
    _Operation("get", OPENAPI_PATH, "getDescription", "This document", _OPEN, "Description"),
)
_PARAMETERS = {
    "response_id": "The `id` of a response that was stored.",
    "model": "A route's name, as `GET /v1/models` lists it.",
    "trace_id": "The `x-inhouse-trace` header of the reply in question.",
}
_QUERIES: dict[str, dict[str, Schema]] = {
    "listInputItems": {
        "order": {"enum": ["asc", "desc"], "default": "desc"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        "after": {"type": "string", "description": "The id of the item before the first one wanted."},
    }
}
_REQUEST_HEADERS = {
    "x-inhouse-task": "What the request is for; cut to 64 characters.",
    "x-inhouse-user": "Who it is for; cut to 128 characters.",
    "x-inhouse-tags": "Labels, `name=value` with commas between; at most 16.",
    "x-inhouse-endpoint": "The endpoint to use. For evaluation keys only.",
}
_REPLY_HEADERS = {
    "x-inhouse-trace": "Finds the request at `GET /v1/traces/{trace_id}`.",
    "x-inhouse-route": "The route that served it.",
    "x-inhouse-variant": "The variant that was chosen.",
    "x-inhouse-endpoint": "The endpoint that answered.",
    "x-inhouse-simulated": "Present where a simulated engine answered.",
}
_STATUS_WORDS = {
    400: "The request is not as it must be; `error.param` names the field.",
    401: "There is no key, or it is not known.",
    403: "The key may not do this.",
    404: "There is none of this name for this key.",
    405: "The path takes another method; `allow` says which.",
    408: "The request came too slowly.",
    413: "The body is too large.",
    429: "Every candidate asked to slow down.",
    431: "The headers are too large, or too many.",
    500: "A fault of the gateway.",
    502: "No candidate gave an answer.",
    503: "The gateway may not or cannot serve this now.",
    504: "A deadline passed.",
}
_HEADERS_OF_STATUS = {
    401: {"www-authenticate": "How to show a key."},
    405: {"allow": "The method that the path takes."},
    429: {"retry-after": "Seconds to wait."},
    503: {"retry-after": "Seconds to wait."},
}
_TRACED = frozenset({429, 502, 503, 504})
"""Statuses that may end a request that has a trace."""
_PASSED_ON = frozenset({400, 404, 413})
"""Statuses that an endpoint's own refusal, passed on as it came, may have as well."""


@cache
def openapi_document() -> bytes:
    """The document as JSON; the same bytes that `docs/reference/openapi.json` holds."""
    return msgspec.json.format(msgspec.json.encode(describe_port()), indent=2) + b"\n"


def describe_port() -> dict[str, Any]:
    """The document as an object."""
    paths: dict[str, dict[str, Any]] = {}
    refusals: dict[str, Schema] = {}
    for operation in _OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _describe_operation(operation, refusals)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "inhouse data port",
            "version": __version__,
            "description": "What applications call: OpenAI's and Anthropic's interfaces, and answers to why.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": refusals,
            "parameters": {
                name: {"name": name, "in": "header", "schema": STRING, "description": words}
                for name, words in _REQUEST_HEADERS.items()
            },
            "headers": _describe_headers(_REPLY_HEADERS),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _describe_operation(operation: _Operation, refusals: dict[str, Schema]) -> dict[str, Any]:
    """One operation; the refusals that it may end with are put among `refusals`."""
    kind = operation.kind
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": _NOT_EMPTY, "description": words}
        for name, words in _PARAMETERS.items()
        if f"{{{name}}}" in operation.path
    ]
    queries = _QUERIES.get(operation.name, {})
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in queries.items()]
    if kind.is_generating:
        parameters += [_refer("parameters", name) for name in _REQUEST_HEADERS]
    content = _as_json(operation.answer)
    if operation.streams:
        content["text/event-stream"] = {}
    responses: dict[str, Any] = {"200": {"description": operation.summary, "content": content}}
    if kind.is_generating:
        responses["200"]["headers"] = {name: _refer("headers", name) for name in _REPLY_HEADERS}
    for status in sorted({*_EVERYWHERE, *kind.statuses}):
        name, refusal = _describe_refusal(operation, status)
        refusals[name] = refusal
        responses[str(status)] = _refer("responses", name)
    if kind.is_generating:
        words = "An endpoint's own refusal, as it came."
        responses["4XX"] = {"description": words, "content": {"*/*": {}}}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": [{name: []} for name in kind.security],
        "parameters": parameters,
        "responses": responses,
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _as_json(operation.body)}
    return described


def _describe_refusal(operation: _Operation, status: int) -> tuple[str, Schema]:
    """Name and description of a refusal. What is refused before the path is known has OpenAI's shape everywhere."""
    kind = operation.kind
    names = [kind.error] if kind.error == "Error" else [kind.error, "Error"]
    if operation.answer == "Ready" and status == 503:
        names.append("NotReady")
    if kind.is_generating and status in _PASSED_ON:
        names.append("EndpointRefusal")
    headers = _describe_headers(_HEADERS_OF_STATUS.get(status, {}))
    if kind.is_generating and status in _TRACED:
        headers["x-inhouse-trace"] = _refer("headers", "x-inhouse-trace")
    refusal: dict[str, Any] = {"description": _STATUS_WORDS[status], "content": _as_json(*names)}
    if headers:
        refusal["headers"] = headers
    is_traced = "x-inhouse-trace" in headers
    return f"{'Or'.join(names)}{status}{'Traced' if is_traced else ''}", refusal


def _describe_headers(headers: dict[str, str]) -> dict[str, Any]:
    return {name: {"schema": STRING, "description": words} for name, words in headers.items()}


def _as_json(*names: str) -> dict[str, Any]:
    """JSON of one of these schemas."""
    found = [_refer("schemas", name) for name in names]
    return {"application/json": {"schema": found[0] if len(found) == 1 else {"anyOf": found}}}


def _refer(group: str, name: str) -> Schema:
    return {"$ref": f"#/components/{group}/{name}"}
