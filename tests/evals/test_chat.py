"""What is sent to the data port, and what each kind of reply becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from inhouse.backends import HttpClient, Timeouts
from inhouse.evals import ChatCall, GatewayChat, GatewayDownError, GatewayRefusedError, Message, Sampling

if TYPE_CHECKING:
    from evals.conftest import FakeGateway

TOKEN = "eval-secret-token"
CALL = ChatCall(
    endpoint_id="clerk",
    task="topic",
    messages=(Message("system", "Short."), Message("user", "say hello")),
    sampling=Sampling(max_tokens=9, stop=("\n",), extra={"chat_template_kwargs": {"thinking": False}}),
)


async def test_the_request_is_pinned_keyed_and_greedy(gateway: FakeGateway, http: HttpClient) -> None:
    reply = await GatewayChat(gateway.url, TOKEN, http).chat(CALL)
    headers, body = gateway.requests[0]
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert (headers["x-inhouse-endpoint"], headers["x-inhouse-task"]) == ("clerk", "topic")
    assert body == {
        "model": "clerk",
        "messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": "say hello"}],
        "temperature": 0.0,
        "max_tokens": 9,
        "seed": 7,
        "stop": ["\n"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"thinking": False},
    }
    assert (reply.text, reply.error_code, reply.trace_id, reply.is_simulated) == (
        "SAY HELLO",
        None,
        "trace-0001",
        False,
    )
    assert reply.ttft_ms is not None
    assert 0 < reply.ttft_ms <= reply.latency_ms


@pytest.mark.parametrize(
    ("answer", "text", "code"),
    [
        ("", "", None),
        ("Grüße 🙂", "Grüße 🙂", None),
        ("CUT", None, "gateway_cut"),
        ("MIDWAY ERROR", None, "upstream_cut"),
        ((502, "upstream_error"), None, "upstream_error"),
        ((500, None), None, "http_500"),
        ((418, None), None, "http_418"),
        (b"not json", None, "invalid_reply"),
        (b'{"choices": "many"}', None, "invalid_reply"),
        (b'{"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}', "whole", None),
        (b'{"choices": []}', None, "gateway_cut"),
    ],
)
async def test_replies(
    gateway: FakeGateway, http: HttpClient, answer: object, text: str | None, code: str | None
) -> None:
    gateway.answer = lambda _prompt: answer
    reply = await GatewayChat(f"{gateway.url}/v1/", TOKEN, http).chat(CALL)
    assert (reply.text, reply.error_code) == (text, code)


async def test_simulated_answers_say_so(gateway: FakeGateway, http: HttpClient) -> None:
    gateway.is_simulated = True
    assert (await GatewayChat(gateway.url, TOKEN, http).chat(CALL)).is_simulated


async def test_a_wrong_key_stops_everything_and_is_not_shown(gateway: FakeGateway, http: HttpClient) -> None:
    client = GatewayChat(gateway.url, "wrong-key", http)
    with pytest.raises(GatewayRefusedError) as caught:
        await client.chat(CALL)
    assert "invalid_api_key" in str(caught.value)
    assert "wrong-key" not in str(caught.value) + repr(client)


async def test_nobody_there(gateway: FakeGateway, http: HttpClient) -> None:
    await gateway.stop()
    with pytest.raises(GatewayDownError):
        await GatewayChat(gateway.url, TOKEN, http).chat(CALL)


async def test_a_gateway_that_shuts_down_is_down(gateway: FakeGateway, http: HttpClient) -> None:
    gateway.answer = lambda _prompt: (503, "shutting_down")
    with pytest.raises(GatewayDownError):
        await GatewayChat(gateway.url, TOKEN, http).chat(CALL)


async def test_a_silent_gateway_is_an_error_of_the_request(gateway: FakeGateway, http: HttpClient) -> None:
    gateway.gate.clear()
    client = GatewayChat(gateway.url, TOKEN, http, timeouts=Timeouts(first_byte_s=0.05))
    reply = await client.chat(CALL)
    assert (reply.text, reply.error_code) == (None, "gateway_timeout")


async def test_an_output_without_end_is_cut_off(gateway: FakeGateway, http: HttpClient) -> None:
    gateway.answer = lambda _prompt: "x" * 3_000_000
    reply = await GatewayChat(gateway.url, TOKEN, http).chat(CALL)
    assert (reply.text, reply.error_code) == (None, "output_too_long")


def test_parts_travel_as_they_stand() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert msgspec.json.encode(Message("user", (part,))).count(b"image_url") == 2
