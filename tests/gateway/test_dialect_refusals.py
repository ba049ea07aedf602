"""What cannot be done reads as a typed exception of the client's own SDK, whichever dialect the endpoint speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from dialect_answers import BUCKETS, Wire
from dialect_requests import ASKED
from dialect_scripts import Caller, last_close, script_answer, serve, wire_of
from scripted_endpoint import ScriptedUpstream, answer_json
from test_dialects import PAIRS

from inhouse.domain import TraceStatus

IDS = [f"{client}-{name}" for client, name in PAIRS]


@dataclass(frozen=True)
class Refusal:
    """An exception of either SDK, where its body has the client's own shape."""

    kind: str
    status: int
    code: str
    param: str | None
    message: str


async def refusal_of(caller: Caller, client: Wire, **asked: Any) -> Refusal:
    """What the SDK raises; the parts of its shape that depend on nothing else are checked here."""
    if client is Wire.MESSAGES:
        with pytest.raises(anthropic.APIStatusError) as raised:
            await caller.ask(client, **asked)
        error = raised.value
        body: Any = error.body
        assert body["type"] == "error"
        inner = body["error"]
        assert error.type == inner["type"]
        assert error.error_code == inner["code"]
        return Refusal(type(error).__name__, error.status_code, inner["code"], inner["param"], inner["message"])
    with pytest.raises(openai.APIStatusError) as caught:
        await caller.ask(client, **asked)
    failed = caught.value
    assert failed.code is not None
    inner: Any = failed.body
    assert set(inner) == {"message", "type", "param", "code"}
    return Refusal(type(failed).__name__, failed.status_code, failed.code, failed.param, inner["message"])


# What one endpoint cannot express.

UNTRANSLATABLE: list[tuple[Wire, str, str, dict[str, Any], str]] = [
    (Wire.CHAT, "anthropic", "openai", {"seed": 1}, "seed"),
    (Wire.CHAT, "anthropic", "azure", {"response_format": {"type": "json_object"}}, "response_format.type"),
    (Wire.RESPONSES, "openai", "responses", {"tools": [{"type": "web_search"}]}, "tools[0].type"),
    (Wire.RESPONSES, "openai", "responses", {"truncation": "auto"}, "truncation"),
    (Wire.RESPONSES, "anthropic", "openai", {"temperature": 1.5}, "temperature"),
    (Wire.RESPONSES, "anthropic", "openai", {"text": {"format": {"type": "json_object"}}}, "text.format.type"),
    (Wire.RESPONSES, "anthropic", "responses", {"reasoning": {"effort": "minimal"}}, "reasoning.effort"),
    (Wire.RESPONSES, "anthropic", "responses", {"tools": [{"type": "web_search"}]}, "tools[0].type"),
    (Wire.RESPONSES, "anthropic", "openai", {"top_logprobs": 2}, "top_logprobs"),
    (Wire.MESSAGES, "openai", "anthropic", {"top_k": 5}, "top_k"),
    (
        Wire.MESSAGES,
        "openai",
        "vllm",
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "tools[0].type",
    ),
]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("client", "name", "able", "asked", "param"), UNTRANSLATABLE)
async def test_a_field_without_an_equal_is_named_or_served_by_another_endpoint(
    tmp_path: Path,
    upstream: ScriptedUpstream,
    second: ScriptedUpstream,
    client: Wire,
    name: str,
    able: str,
    asked: dict[str, Any],
    param: str,
    is_stream: bool,
) -> None:
    async with serve(tmp_path, (name, upstream)) as (gateway, caller):
        found = await refusal_of(caller, client, is_stream=is_stream, **asked)
        assert (found.kind, found.status, found.code) == ("BadRequestError", 400, "invalid_request")
        assert found.param == param
        assert f"'{param}'" in found.message
        assert gateway.sink.records == []  # nothing was sent, so there is nothing to record
    second.script = script_answer(wire_of(able), "json")
    async with serve(tmp_path, (name, upstream), (able, second)) as (gateway, caller):
        seen = await caller.ask(client, is_stream=is_stream, **asked)
        assert seen.text == '{"city":"Rome"}'
        assert caller.headers["x-inhouse-endpoint"] == able
        assert [one.endpoint_id for one in last_close(gateway).attempts] == [able]
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("client", "param"), [(Wire.CHAT, "messages"), (Wire.MESSAGES, "messages"), (Wire.RESPONSES, "input")]
)
async def test_an_image_that_no_endpoint_sees_is_refused_by_the_field_that_holds_it(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, param: str
) -> None:
    async with serve(tmp_path, ("blind", upstream)) as (_, caller):
        found = await refusal_of(caller, client, is_stream=False, **ASKED[client]["image"])
        assert (found.kind, found.code, found.param) == ("BadRequestError", "no_candidate", param)
        assert "does not accept image input" in found.message
    assert upstream.requests == []


@pytest.mark.parametrize("name", ["responses", "openai", "anthropic"])
async def test_an_answer_in_the_background_is_refused_everywhere(
    tmp_path: Path, upstream: ScriptedUpstream, name: str
) -> None:
    async with serve(tmp_path, (name, upstream)) as (_, caller):
        found = await refusal_of(caller, Wire.RESPONSES, is_stream=False, background=True)
        assert (found.kind, found.code, found.param) == ("BadRequestError", "invalid_request", "background")
    assert upstream.requests == []


# What the endpoint refuses.


def _chat_rejection(message: str, **members: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **members}}


def _messages_rejection(message: str) -> dict[str, Any]:
    error = {"type": "invalid_request_error", "message": message}
    return {"type": "error", "error": error, "request_id": "req_1"}


REJECTIONS: dict[Wire, Callable[[str], dict[str, Any]]] = {
    Wire.CHAT: _chat_rejection,
    Wire.RESPONSES: _chat_rejection,
    Wire.MESSAGES: _messages_rejection,
}
TRANSLATED = [pair for pair in PAIRS if pair[0] is not wire_of(pair[1])]


@pytest.mark.parametrize(("client", "name"), TRANSLATED, ids=[f"{client}-{name}" for client, name in TRANSLATED])
async def test_the_endpoints_own_refusal_reads_as_one_of_the_clients_dialect(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, name: str
) -> None:
    upstream.script = answer_json(REJECTIONS[wire_of(name)]("max_tokens: too large for this model"), 400)
    async with serve(tmp_path, (name, upstream)) as (gateway, caller):
        for is_stream in (False, True):
            found = await refusal_of(caller, client, is_stream=is_stream)
            assert (found.kind, found.status, found.code) == ("BadRequestError", 400, "upstream_rejected")
            assert found.message == "max_tokens: too large for this model"
            close = gateway.sink.closes[-1]
            assert (close.status, close.http_status, close.error_code) == ("failed", 400, "upstream_rejected")
            assert close.cost_usd is None
            assert caller.headers["x-inhouse-trace"] == close.trace_id


@pytest.mark.parametrize(
    ("client", "param"), [(Wire.CHAT, "max_completion_tokens"), (Wire.RESPONSES, "max_output_tokens")]
)
async def test_an_openai_endpoints_refusal_keeps_its_code_and_names_the_clients_field(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire, param: str
) -> None:
    upstream.script = answer_json(_chat_rejection("too many", param="max_completion_tokens", code="cap"), 400)
    async with serve(tmp_path, ("openai", upstream)) as (_, caller):
        found = await refusal_of(caller, client, is_stream=False)
        assert found == Refusal("BadRequestError", 400, "cap", param, "too many")


FAILURES = [
    (503, "", "InternalServerError", 502, "upstream_error"),
    (429, "retry-after: 9\r\n", "RateLimitError", 429, "upstream_rate_limited"),
    (401, "", "InternalServerError", 502, "upstream_auth_failed"),
]


@pytest.mark.parametrize(("status", "headers", "kind", "shown", "code"), FAILURES)
@pytest.mark.parametrize(("client", "name"), PAIRS, ids=IDS)
async def test_an_endpoints_failure_before_the_answer_is_a_typed_exception(
    tmp_path: Path,
    upstream: ScriptedUpstream,
    client: Wire,
    name: str,
    status: int,
    headers: str,
    kind: str,
    shown: int,
    code: str,
) -> None:
    secret = REJECTIONS[wire_of(name)]("the key sk-upstream is bad")
    upstream.script = answer_json(secret, status, headers)
    async with serve(tmp_path, (name, upstream)) as (gateway, caller):
        found = await refusal_of(caller, client, is_stream=True)
        assert (found.kind, found.status, found.code) == (kind, shown, code)
        assert "sk-upstream" not in found.message
        close = last_close(gateway)
        assert (close.status, close.http_status, close.error_code) == (TraceStatus.FAILED, shown, code)
        assert close.usage is None
        assert {(one.endpoint_id, one.status, one.code) for one in close.attempts} == {(name, status, code)}
        assert caller.headers.get("retry-after") == ("9" if shown == 429 else None)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", Wire)
@pytest.mark.parametrize(("first", "then"), [("anthropic", "openai"), ("openai", "anthropic")])
async def test_a_failing_endpoint_is_replaced_across_dialects_in_one_trace(
    tmp_path: Path,
    upstream: ScriptedUpstream,
    second: ScriptedUpstream,
    first: str,
    then: str,
    client: Wire,
    is_stream: bool,
) -> None:
    upstream.script = answer_json(REJECTIONS[wire_of(first)]("overloaded"), 503)
    second.script = script_answer(wire_of(then), "calls")
    async with serve(tmp_path, (first, upstream), (then, second)) as (gateway, caller):
        seen = await caller.ask(client, is_stream=is_stream)
        assert (seen.text, len(seen.calls)) == ("I look.", 2)
        close = last_close(gateway)
        assert [(one.endpoint_id, one.status, one.code) for one in close.attempts] == [
            (first, 503, "upstream_error"),
            (then, 200, None),
        ]
        assert (close.status, close.endpoint_id, close.usage) == (TraceStatus.COMPLETE, then, BUCKETS)
        assert gateway.sink.opens[0].endpoint_id == first
        assert caller.headers["x-inhouse-endpoint"] == then


# Keys.


@pytest.mark.parametrize("client", Wire)
async def test_a_wrong_key_is_refused_in_the_clients_shape_and_not_repeated(
    tmp_path: Path, upstream: ScriptedUpstream, client: Wire
) -> None:
    async with serve(tmp_path, ("openai", upstream)) as (gateway, _):
        stranger = Caller(gateway.url, "sk-stranger")
        async with stranger.http:
            found = await refusal_of(stranger, client, is_stream=False)
        assert (found.kind, found.status, found.code) == ("AuthenticationError", 401, "invalid_api_key")
        assert "sk-stranger" not in found.message
    assert upstream.requests == []


async def test_anthropics_sdk_may_show_its_key_either_way(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script = script_answer(Wire.MESSAGES, "text")
    async with serve(tmp_path, ("anthropic", upstream)) as (gateway, caller):
        bearer = anthropic.AsyncAnthropic(
            base_url=gateway.url, auth_token="sk-app", api_key=None, max_retries=0, http_client=caller.http
        )
        for client in (caller.anthropic, bearer):
            await client.messages.create(model="chat", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        assert [one.key_id for one in gateway.sink.opens] == ["app", "app"]
        for request in upstream.requests:
            assert request.header("x-api-key") == "sk-upstream"
            assert request.header("authorization") is None
