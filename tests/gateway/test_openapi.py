"""The published description of the data port is true: a running gateway answers every operation as it says."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from scripted_endpoint import (
    ANSWER,
    APP_KEY,
    DONE,
    STREAM_HEAD,
    ScriptedUpstream,
    UpstreamRequest,
    World,
    delta,
    endpoint,
    event,
    http_chunk,
    run_gateway_here,
)

from inhouse.domain import ErrorCode, Operation
from inhouse.gateway.dialects import CLIENT_DIALECTS
from inhouse.gateway.openapi import OPENAPI_PATH, describe_port, openapi_document

NOT_YET: set[tuple[str, str]] = set()
"""Documented operations that the gateway does not serve yet. The list is checked: what is served must leave it."""
DOCUMENT = json.loads(openapi_document())
OPERATIONS = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]
PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
NUM_EXAMPLES = [10, pytest.param(300, marks=pytest.mark.soak)]

# An endpoint that speaks every operation.

ANSWERS: dict[str, Any] = {
    "/v1/chat/completions": ANSWER,
    "/v1/completions": {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "text": "Hello", "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    },
    "/v1/embeddings": {
        "object": "list",
        "model": "tiny",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    },
    "/v1/responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "tiny",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
            }
        ],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    },
    "/v1/messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "tiny",
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "content": [{"type": "text", "text": "Hello"}],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "/v1/messages/count_tokens": {"input_tokens": 3},
}
TYPED_EVENTS: dict[str, list[dict[str, Any]]] = {
    "/v1/responses": [
        {"type": "response.created", "sequence_number": 0, "response": ANSWERS["/v1/responses"]},
        {"type": "response.completed", "sequence_number": 1, "response": ANSWERS["/v1/responses"]},
    ],
    "/v1/messages": [
        {"type": "message_start", "message": ANSWERS["/v1/messages"] | {"content": [], "stop_reason": None}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ],
}


async def answer_anything(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
    path = request.head.split(" ")[1]
    if request.json.get("stream") is not True:
        body = json.dumps(ANSWERS[path]).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body)
        return
    if path in TYPED_EVENTS:
        events = [b"event: %b\n" % item["type"].encode() + event(item) for item in TYPED_EVENTS[path]]
    elif path == "/v1/completions":
        events = [event(ANSWERS[path]), DONE]
    else:
        events = [delta("Hello"), delta(finish="stop"), DONE]
    writer.write(STREAM_HEAD + b"".join(http_chunk(part) for part in events) + b"0\r\n\r\n")


@dataclass
class GatewayThread:
    """A gateway and its endpoint on a loop of their own, for callers that block."""

    folder: Path
    url: str = ""
    num_upstream: int = 0
    _loop: asyncio.AbstractEventLoop | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        upstream = ScriptedUpstream()
        upstream.script = answer_anything
        await upstream.start()
        everything = frozenset(Operation)
        world = World([endpoint("clerk", upstream.base_url, operations=everything)])
        async with run_gateway_here(self.folder, world.build()) as gateway:
            self.url = gateway.url
            self._ready.set()
            await self._ended.wait()
        await upstream.stop()

    def wait(self) -> None:
        assert self._ready.wait(30)

    def end(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._ended.set)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayThread]:
    running = GatewayThread(tmp_path_factory.mktemp("gateway"))
    thread = threading.Thread(target=running.run)
    thread.start()
    running.wait()
    yield running
    running.end()
    thread.join()


# The document itself.


def test_every_client_dialect_and_every_code_is_described() -> None:
    assert {path for method, path in OPERATIONS if method == "post"} == set(CLIENT_DIALECTS)
    assert DOCUMENT["components"]["schemas"]["ErrorCode"]["enum"] == [code.value for code in ErrorCode]
    assert json.loads(json.dumps(describe_port())) == DOCUMENT


def test_every_schema_is_a_json_schema_and_every_reference_leads_somewhere() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema_rs.meta.validate(schema)
        assert schema.get("type") in ("object", "string"), name
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.extend(item for key, item in value.items() if key == "$ref")
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(DOCUMENT)
    for reference in set(found):
        group, name = reference.removeprefix("#/components/").split("/", 1)
        assert name in DOCUMENT["components"][group]
    assert len(set(found)) > 30


def test_the_published_file_is_what_the_code_says() -> None:
    """`make docs` writes it again."""
    assert PUBLISHED.read_bytes() == openapi_document()


# The running gateway.


def is_served(gateway: GatewayThread, method: str, path: str) -> bool:
    """Asked with a key: `unknown_path` and `method_not_allowed` are what is said of an operation that is not there."""
    url = gateway.url + path.replace("{", "").replace("}", "")
    reply = requests.request(method, url, headers={"authorization": f"Bearer {APP_KEY}"}, data=b"{}", timeout=10)
    code = reply.json().get("error", {}).get("code") if reply.status_code in (404, 405) else None
    return code not in ("unknown_path", "method_not_allowed")


def test_what_is_described_is_served_but_for_a_known_rest(gateway: GatewayThread) -> None:
    missing = {(method, path) for method, path in OPERATIONS if not is_served(gateway, method, path)}
    assert missing == NOT_YET


def test_the_description_is_served_as_it_is_published(gateway: GatewayThread) -> None:
    reply = requests.get(gateway.url + OPENAPI_PATH, timeout=10)
    if ("get", OPENAPI_PATH) in NOT_YET:
        assert reply.status_code == 404
    else:
        assert reply.content == openapi_document()
        assert reply.headers["content-type"] == "application/json"


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SERVED = [operation for operation in OPERATIONS if operation not in NOT_YET]
MISTAKABLE = [
    (method, path)
    for method, path in SERVED
    if "requestBody" in DOCUMENT["paths"][path][method] or DOCUMENT["paths"][path][method]["parameters"]
]
"""Operations that can be called in a wrong way."""
CASES = [(*operation, GenerationMode.POSITIVE) for operation in SERVED] + [
    (*operation, GenerationMode.NEGATIVE) for operation in MISTAKABLE
]
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
SAY_HI = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAY_HI},
    "/v1/completions": {"prompt": "hi"},
    "/v1/embeddings": {"input": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": SAY_HI, "max_tokens": 5},
    "/v1/messages/count_tokens": {"messages": SAY_HI},
}
MODELS = st.sampled_from([None, "chat", "chat", "chat", "nowhere"])
KEYS = st.sampled_from([f"Bearer {APP_KEY}"] * 6 + ["Bearer sk-team", "Bearer nobody", "Basic x", None])


@pytest.mark.parametrize(("method", "path"), [(m, p) for m, p in SERVED if "{" not in p])
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_plain_call_is_answered_as_described(method: str, path: str, is_stream: bool, gateway: GatewayThread) -> None:
    body = BODIES.get(path)
    is_offered = "text/event-stream" in DOCUMENT["paths"][path][method]["responses"]["200"]["content"]
    if is_stream and not is_offered:
        return
    if body is not None:
        body = body | {"model": "chat"} | ({"stream": True} if is_stream else {})
    arguments: dict[str, Any] = {} if body is None else {"body": body, "media_type": "application/json"}
    case = SCHEMA[path][method].Case(**arguments)
    reply = case.call(base_url=gateway.url, headers={"authorization": f"Bearer {APP_KEY}"}, timeout=10)
    case.validate_response(reply, checks=CHECKS)
    assert reply.status_code == 200
    assert reply.headers["content-type"][0] == ("text/event-stream" if is_stream else "application/json")
    assert ("x-inhouse-trace" in reply.headers) == (body is not None)


@pytest.mark.parametrize("num_examples", NUM_EXAMPLES)
@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_every_operation_answers_anything_as_described(
    method: str, path: str, mode: GenerationMode, num_examples: int, gateway: GatewayThread
) -> None:
    """Whatever is sent: a status, content type, headers and body that the description names, and no server error."""
    operation = SCHEMA[path][method]
    session = requests.Session()

    @settings(max_examples=num_examples, deadline=None, suppress_health_check=QUIET)
    @given(case=operation.as_strategy(generation_mode=mode), model=MODELS, key=KEYS)
    def check(case: Any, model: str | None, key: str | None) -> None:
        if isinstance(case.body, dict) and model is not None:
            case.body["model"] = model
        if path == "/v1/models/{model}" and model is not None:
            case.path_parameters["model"] = model
        headers = {} if key is None else {"authorization": key}
        reply = case.call(base_url=gateway.url, session=session, headers=headers, timeout=10)
        case.validate_response(reply, checks=CHECKS)

    check()
    session.close()
