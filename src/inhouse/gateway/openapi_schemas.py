"""Schemas of what the data port takes and answers, for its OpenAPI document. Data only.

Those of requests are as strict as the gateway is and no stricter: what it does not read, it passes on.
"""

from __future__ import annotations

from typing import Any

from inhouse.domain import ERROR_HELP, ERROR_TYPES, ErrorCode, TraceStatus

Schema = dict[str, Any]
"""A JSON Schema."""

STRING: Schema = {"type": "string"}
_FLAG: Schema = {"type": ["boolean", "null"]}
_OBJECT: Schema = {"type": "object"}
_LABELS: Schema = {
    "type": ["object", "null"],
    "properties": {f"inhouse_{name}": STRING for name in ("task", "user", "tags")},
    "description": "Members whose names begin with `inhouse_` are labels of the trace, and strings.",
}
_TEXT_OR_LIST: Schema = {"type": ["string", "array"]}


def _one_of(*names: str) -> list[Schema]:
    """At least one of these members is required."""
    return [{"required": [name]} for name in names]


SCHEMAS: dict[str, Schema] = {
    "Chat": {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": STRING,
            "messages": {"type": "array", "items": _OBJECT},
            "stream": _FLAG,
            "stream_options": {"type": ["object", "null"], "properties": {"include_usage": _FLAG}},
            "metadata": _LABELS,
        },
    },
    "Completion": {
        "type": "object",
        "required": ["model"],
        "anyOf": _one_of("prompt", "prompt_embeds"),
        "properties": {
            "model": STRING,
            "prompt": _TEXT_OR_LIST,
            "stream": _FLAG,
            "stream_options": {"type": ["object", "null"], "properties": {"include_usage": _FLAG}},
            "metadata": _LABELS,
        },
    },
    "Embedding": {
        "type": "object",
        "required": ["model"],
        "anyOf": _one_of("input", "messages"),
        "properties": {"model": STRING, "input": _TEXT_OR_LIST, "metadata": _LABELS},
    },
    "Response": {
        "type": "object",
        "required": ["model"],
        "anyOf": _one_of("input", "prompt", "previous_response_id", "conversation"),
        "properties": {
            "model": STRING,
            "input": {"type": ["string", "array", "null"]},
            "stream": _FLAG,
            "store": _FLAG,
            "previous_response_id": {"type": ["string", "null"]},
            "metadata": _LABELS,
        },
    },
    "Messages": {
        "type": "object",
        "required": ["model", "messages", "max_tokens"],
        "properties": {
            "model": STRING,
            "messages": {"type": "array", "items": _OBJECT},
            "max_tokens": {"type": "integer"},
            "stream": _FLAG,
            "metadata": _LABELS,
        },
    },
    "TokenCount": {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {"model": STRING, "messages": {"type": "array", "items": _OBJECT}},
    },
    "Reply": {"type": "object", "description": "As the dialect's own reference has it; passed on as it came."},
    "Deleted": {
        "type": "object",
        "required": ["id", "deleted"],
        "properties": {"id": STRING, "deleted": {"const": True}},
    },
    "ItemList": {
        "type": "object",
        "required": ["object", "data", "first_id", "last_id", "has_more"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": _OBJECT},
            "first_id": {"type": ["string", "null"]},
            "last_id": {"type": ["string", "null"]},
            "has_more": {"type": "boolean"},
        },
    },
    "Model": {
        "type": "object",
        "required": ["id", "object", "created", "owned_by"],
        "properties": {
            "id": STRING,
            "object": {"const": "model"},
            "created": {"type": "integer"},
            "owned_by": {"const": "inhouse"},
        },
    },
    "ModelList": {
        "type": "object",
        "required": ["object", "data"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
        },
    },
    "Trace": {
        "type": "object",
        "required": ["id", "object", "status", "why", "route"],
        "properties": {
            "id": STRING,
            "object": {"const": "inhouse.trace"},
            "status": {"enum": [status.value for status in TraceStatus]},
            "why": {"type": "array", "items": STRING, "description": "What happened and what acted, in words."},
            "route": STRING,
            "error_code": {"type": ["string", "null"]},
            "cost_usd": {"type": ["number", "null"], "description": "Null where it is not known; never zero for that."},
        },
    },
    "Health": {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}},
    "Ready": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"const": "ready"}, "snapshot": STRING, "refused_snapshot": STRING},
    },
    "NotReady": {
        "type": "object",
        "required": ["status", "reason"],
        "properties": {"status": {"const": "not ready"}, "reason": STRING},
    },
    "Description": {"type": "object", "required": ["openapi", "paths"]},
    "ErrorCode": {
        "type": "string",
        "enum": [code.value for code in ErrorCode],
        "description": "\n".join(f"- `{code.value}`: {ERROR_HELP[code]}" for code in ErrorCode),
    },
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": STRING,
                    "type": {"enum": sorted(set(ERROR_TYPES.values()))},
                    "param": {"type": ["string", "null"]},
                    "code": {"$ref": "#/components/schemas/ErrorCode"},
                },
            },
            "inhouse": {"type": "object", "description": "What acted: the trace, the attempts, what was left out."},
        },
    },
    "MessagesError": {
        "type": "object",
        "required": ["type", "error"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message", "code"],
                "properties": {
                    "type": STRING,
                    "message": STRING,
                    "param": {"type": ["string", "null"]},
                    "code": {"$ref": "#/components/schemas/ErrorCode"},
                },
            },
            "inhouse": {"type": "object", "description": "What acted: the trace, the attempts, what was left out."},
        },
    },
    "EndpointRefusal": {
        "type": "object",
        "description": "An endpoint's own refusal of the request (a 4xx), as it came, in the client's dialect.",
    },
}
"""By name, as `#/components/schemas/NAME`."""
