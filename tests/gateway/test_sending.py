"""Decide, send, record: edits, order of records, fallbacks before the commit point, failures after it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from scripted_endpoint import (
    ANSWER,
    DONE,
    EVAL_KEY,
    HELLO,
    IMAGE,
    PRICE,
    STREAM_HEAD,
    TEXT_AND_IMAGE,
    USAGE_EVENT,
    ScriptedUpstream,
    UpstreamRequest,
    World,
    answer_json,
    answer_stream,
    delta,
    endpoint,
    event,
    http_chunk,
    post,
    run_gateway_here,
    split_reply,
)

from inhouse.domain import (
    CaptureMode,
    Modality,
    Replica,
    ReplicaState,
    Rule,
    StateError,
    TraceStatus,
    Usage,
    UsageBasis,
)
from inhouse.gateway.settings import GatewaySettings, TimeoutSettings

STREAM = HELLO | {"stream": True}
ESTIMATE = Usage(input_uncached=21, output_visible=2)
"""Of a stream cut after two content chunks: its request has 82 bytes, four of them count as a token."""
NOWHERE = "http://127.0.0.1:9/v1"
WHOLE = (delta(""), delta("a"), delta("b"), delta("c"), delta(finish="stop"), USAGE_EVENT, DONE)


async def test_only_allowed_headers_and_permitted_edits_reach_the_endpoint(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    world = World([endpoint("acme/big", upstream.base_url, credential="acme")])
    async with run_gateway_here(tmp_path, world.build(), acme="sk-upstream") as gateway:
        body = b'{ "model":"chat","messages":[],"temperature":1.50,"x-unknown":{"model":"chat"} }'
        extra = (
            "x-request-id: r1\r\ntraceparent: t\r\ncookie: c\r\nopenai-organization: o\r\nuser-agent: u\r\n"
            "x-inhouse-task: sql\r\naccept: application/json\r\nx-forwarded-for: 1.2.3.4\r\n"
            "content-type: application/json\r\n"
        )
        assert split_reply(await gateway.raw(post(body, headers=extra)))[0] == 200
        request = upstream.requests[0]
        assert request.body == body.replace(b'"model":"chat","mess', b'"model":"tiny","mess')
        names = {line.partition(":")[0].lower() for line in request.head.split("\r\n")[1:]}
        assert names == {
            "host",
            "authorization",
            "accept",
            "x-request-id",
            "traceparent",
            "content-type",
            "content-length",
        }
        assert request.header("authorization") == "Bearer sk-upstream"
        assert request.head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")


async def test_only_allowed_headers_reach_the_client(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script = answer_json(
        ANSWER, 200, "set-cookie: s\r\nserver: x\r\nx-request-id: r\r\nx-ratelimit-left: 3\r\n"
    )
    world = World([endpoint("clerk", upstream.base_url, is_simulated=True)])
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        _, headers, body = split_reply(await gateway.raw(post(HELLO)))
        assert json.loads(body) == ANSWER
        trace_id = headers.pop("x-inhouse-trace")
        assert trace_id == gateway.sink.opens[0].trace_id
        assert headers == {
            "content-type": "application/json",
            "x-request-id": "r",
            "x-ratelimit-left": "3",
            "x-inhouse-route": "chat",
            "x-inhouse-variant": "v-clerk",
            "x-inhouse-endpoint": "clerk",
            "x-inhouse-simulated": "true",
            "content-length": headers["content-length"],
            "connection": "close",
        }


async def test_the_records_of_an_unstreamed_request(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        tags = ",".join(f"k{number}=v" for number in range(20))
        extra = f"x-inhouse-task: {'t' * 70}\r\nx-inhouse-user: ann\r\nx-inhouse-tags: {tags}\r\n"
        metadata = {"metadata": {"inhouse_task": "body", "inhouse_user": "bob"}}
        await gateway.raw(post(HELLO | metadata, headers=extra))
        opened, closed = gateway.sink.opens[0], gateway.sink.closes[0]
        assert (opened.key_id, opened.team, opened.task, opened.user) == ("app", "shop", "t" * 64, "ann")
        assert len(opened.tags) == 16
        assert (opened.route, opened.variant, opened.endpoint_id, opened.replica_id) == (
            "chat",
            "v-clerk",
            "clerk",
            "clerk-0",
        )
        assert (opened.variant_digest, opened.endpoint_digest) == ("sha256:v-clerk", "sha256:clerk")
        assert opened.reasons == ("v-clerk: default",)
        assert closed.status is TraceStatus.COMPLETE
        assert closed.usage == Usage(input_uncached=10, output_visible=5)
        assert closed.cost_usd == pytest.approx(10 * 2e-6 + 5 * 4e-6)
        assert closed.price_id == "test-2026"
        assert (closed.finish_reason, closed.reported_model, closed.fingerprint) == ("stop", "tiny-2026-01-01", "fp_1")
        assert (closed.ttft_ms, closed.tpot_ms, closed.content) == (None, None, None)
        assert closed.overhead_ms is not None
        assert 0 < closed.overhead_ms < closed.e2e_ms
        assert [(one.replica_id, one.status, one.code) for one in closed.attempts] == [("clerk-0", 200, None)]


async def test_open_precedes_the_upstream_request_and_close_the_last_byte(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        events = upstream.events = gateway.sink.events
        for body in (HELLO, STREAM):
            events.clear()
            upstream.script = answer_json(ANSWER) if body is HELLO else answer_stream(*WHOLE)
            reader, writer = await gateway.connect()
            writer.write(post(body))
            received = b""
            while data := await reader.read(65_536):
                received += data
                if received.endswith((b"0\r\n\r\n", b"}")) or DONE in received:
                    events.append("last byte")
                    break
            assert events == ["open", "upstream request", "close", "last byte"]


async def test_no_request_goes_out_that_cannot_be_recorded(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        gateway.sink.failure = StateError("the disk is full.", fix="Make room.")
        status, _, body = split_reply(await gateway.raw(post(HELLO)))
        assert (status, json.loads(body)["error"]["code"]) == (500, "internal_error")
        assert upstream.requests == []


async def test_a_stream_is_relayed_byte_for_byte_and_metered(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script = answer_stream(b": warming up\n\n", *WHOLE)
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        _, headers, body = split_reply(await gateway.raw(post(STREAM)))
        assert headers["content-type"] == "text/event-stream"
        assert body == b": warming up\n\n" + b"".join(part for part in WHOLE if part is not USAGE_EVENT)
        assert upstream.requests[0].json["stream_options"] == {"include_usage": True}
        closed = gateway.sink.closes[0]
        assert closed.status is TraceStatus.COMPLETE
        assert (closed.usage, closed.usage_basis) == (Usage(input_uncached=10, output_visible=3), UsageBasis.MEASURED)
        assert (closed.num_chunks, closed.finish_reason) == (3, "stop")
        assert closed.ttft_ms is not None
        assert closed.tpot_ms is not None
        assert closed.ttft_ms < closed.e2e_ms
        asked = STREAM | {"stream_options": {"include_usage": True}}
        _, _, body = split_reply(await gateway.raw(post(asked)))
        assert USAGE_EVENT in body
        assert upstream.requests[1].json == asked | {"model": "tiny"}


async def test_a_stream_cut_at_any_byte_passes_whole_events(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    stream = b"".join(WHOLE)
    upstream.script = answer_stream(*(stream[at : at + 7] for at in range(0, len(stream), 7)))
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        _, _, body = split_reply(await gateway.raw(post(STREAM)))
        assert body == stream.replace(USAGE_EVENT, b"")
        assert gateway.sink.closes[0].num_chunks == 3


async def test_http_10_clients_get_an_unframed_stream(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    upstream.script = answer_stream(*WHOLE)
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        reply = await gateway.raw(post(STREAM).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert b"transfer-encoding" not in reply
        assert reply.endswith(DONE)


@pytest.mark.parametrize("status", [500, 503, 429, 408, 409, 401, 403, 302])
async def test_statuses_that_another_endpoint_may_mend_fall_back(
    status: int, tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    upstream.script = answer_json({}, status)
    world = World([endpoint("clerk", upstream.base_url), endpoint("spare", second.base_url)], fallback=("v-spare",))
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        reply, headers, _ = split_reply(await gateway.raw(post(HELLO)))
        assert (reply, headers["x-inhouse-variant"]) == (200, "v-spare")
        assert gateway.sink.opens[0].variant == "v-clerk"
        closed = gateway.sink.closes[0]
        assert (closed.variant, closed.endpoint_id, closed.status) == ("v-spare", "spare", "complete")
        assert [attempt.status for attempt in closed.attempts] == [status, 200]
        assert len(gateway.sink.records) == 2
        assert not any(gateway.server.machines.in_flight.values())


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_rejection_of_the_request_itself_is_passed_on_and_not_retried(
    status: int, tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    upstream.script = answer_json({"error": {"message": "no"}}, status)
    world = World([endpoint("clerk", upstream.base_url), endpoint("spare", second.base_url)], fallback=("v-spare",))
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        reply, _, body = split_reply(await gateway.raw(post(STREAM)))
        assert (reply, json.loads(body)) == (status, {"error": {"message": "no"}})
        assert second.requests == []


async def test_a_dead_replica_is_passed_over_and_then_tried_last(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    world = World([endpoint("clerk", NOWHERE, upstream.base_url)])
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        for _ in range(4):
            assert split_reply(await gateway.raw(post(HELLO)))[0] == 200
        tries = [[attempt.replica_id for attempt in close.attempts] for close in gateway.sink.closes]
        assert sum("clerk-0" in one for one in tries) == 1
        assert {one[-1] for one in tries} == {"clerk-1"}


async def test_when_all_candidates_fail_to_connect_there_is_an_open_and_a_failed_close(tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk", NOWHERE)]).build()) as gateway:
        status, headers, body = split_reply(await gateway.raw(post(HELLO)))
        assert (status, json.loads(body)["error"]["code"]) == (502, "upstream_unreachable")
        assert headers["x-inhouse-trace"] == gateway.sink.opens[0].trace_id
        closed = gateway.sink.closes[0]
        assert (closed.status, closed.http_status, closed.error_code) == ("failed", 502, "upstream_unreachable")
        assert (closed.usage, closed.cost_usd) == (None, None)


def broken_streams() -> list[tuple[bytes, ...]]:
    return [(), (b": comment\n\n",), (event({"error": {"message": "overloaded"}}),), (b"data: {half",)]


@pytest.mark.parametrize("events", broken_streams())
async def test_a_stream_that_breaks_before_its_first_event_falls_back(
    events: tuple[bytes, ...], tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    upstream.script = answer_stream(*events, cut=True)
    second.script = answer_stream(*WHOLE)
    world = World([endpoint("clerk", upstream.base_url), endpoint("spare", second.base_url)], fallback=("v-spare",))
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        status, headers, body = split_reply(await gateway.raw(post(STREAM)))
        assert (status, headers["x-inhouse-endpoint"]) == (200, "spare")
        assert body == b"".join(part for part in WHOLE if part is not USAGE_EVENT)


async def test_an_unstreamed_reply_cut_in_the_middle_is_never_seen(
    tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    async def cut(_: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{")
        writer.close()

    upstream.script = cut
    world = World([endpoint("clerk", upstream.base_url), endpoint("spare", second.base_url)], fallback=("v-spare",))
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        assert json.loads(split_reply(await gateway.raw(post(HELLO)))[2]) == ANSWER
    second.script = cut
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        status, _, body = split_reply(await gateway.raw(post(HELLO)))
        assert (status, json.loads(body)["error"]["code"]) == (502, "upstream_error")
        assert [attempt.code for attempt in gateway.sink.closes[0].attempts] == ["upstream_cut"] * 4


@pytest.mark.parametrize("is_cut", [True, False])
async def test_after_the_commit_point_a_cut_is_visible_and_never_another_model(
    is_cut: bool, tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    """Whether the connection breaks, or the body ends without a finish: the client sees an error event, no [DONE]."""
    upstream.script = answer_stream(delta("a"), delta("b"), b"data: {half", cut=is_cut)
    world = World([endpoint("clerk", upstream.base_url), endpoint("spare", second.base_url)], fallback=("v-spare",))
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        _, _, body = split_reply(await gateway.raw(post(STREAM)))
        assert body.startswith(delta("a") + delta("b") + b"data: {")
        last = json.loads(body.split(b"\n\n")[-2].removeprefix(b"data: "))
        assert last["error"]["code"] == "upstream_cut"
        assert b"[DONE]" not in body
        assert b"half" not in body
        assert second.requests == []
        closed = gateway.sink.closes[0]
        assert (closed.status, closed.http_status, closed.error_code) == ("aborted", 200, "upstream_cut")
        assert (closed.usage, closed.usage_basis) == (ESTIMATE, UsageBasis.ESTIMATED)
        assert closed.cost_usd == PRICE.price(ESTIMATE)


async def test_an_error_event_inside_a_stream_is_visible_and_aborts_the_trace(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    error = event({"error": {"message": "engine died", "code": 500}})
    upstream.script = answer_stream(delta("a"), error, DONE)
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        _, _, body = split_reply(await gateway.raw(post(STREAM)))
        assert body == delta("a") + error
        assert (gateway.sink.closes[0].status, gateway.sink.closes[0].error_code) == ("aborted", "upstream_error")


async def test_comments_are_no_progress_and_a_stalled_stream_is_ended(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async def stall(_: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + http_chunk(delta("a")))
        while True:
            writer.write(http_chunk(b": still here\n\n"))
            await writer.drain()
            await asyncio.sleep(0.02)

    upstream.script = stall
    settings = GatewaySettings(timeouts=TimeoutSettings(idle_s=0.1))
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build(), settings) as gateway:
        _, _, body = split_reply(await gateway.raw(post(STREAM)))
        assert json.loads(body.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]["code"] == "upstream_timeout"
        await asyncio.wait_for(upstream.closed.wait(), 1)


@pytest.mark.parametrize("body", [HELLO, STREAM])
async def test_a_client_that_leaves_before_the_reply_stops_the_endpoint(
    body: dict[str, object], tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    upstream.script = silent
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        _, writer = await gateway.connect()
        writer.write(post(body))
        await asyncio.wait_for(upstream.arrived.wait(), 1)
        writer.close()
        await asyncio.wait_for(upstream.closed.wait(), 1)
        closed = gateway.sink.closes[0]
        assert (closed.status, closed.http_status, closed.usage) == ("client_closed", 499, None)
        assert not any(gateway.server.machines.in_flight.values())


async def test_a_client_that_leaves_mid_stream_stops_the_endpoint_and_is_metered(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async def endless(_: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + http_chunk(delta("a")) + http_chunk(delta("b")))
        await asyncio.Event().wait()

    upstream.script = endless
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        reader, writer = await gateway.connect()
        writer.write(post(STREAM))
        await reader.readuntil(delta("b"))
        writer.close()
        await asyncio.wait_for(upstream.closed.wait(), 1)
        closed = gateway.sink.closes[0]
        assert (closed.status, closed.usage, closed.usage_basis) == (
            "client_closed",
            ESTIMATE,
            UsageBasis.ESTIMATED,
        )
        assert not any(gateway.server.machines.in_flight.values())


async def test_a_slow_reader_makes_the_endpoint_wait(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    num_written = 0
    stalled = asyncio.Event()
    part = b"".join(delta("x" * 1000) for _ in range(50))

    async def flood(_: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        nonlocal num_written
        writer.write(STREAM_HEAD)
        for _number in range(600):
            writer.write(http_chunk(part))
            try:
                async with asyncio.timeout(0.3):
                    await writer.drain()
            except TimeoutError:
                stalled.set()
                await writer.drain()
            num_written += len(part)
        writer.write(http_chunk(delta(finish="stop") + DONE) + b"0\r\n\r\n")

    upstream.script = flood
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        reader, writer = await gateway.connect()
        writer.write(post(STREAM))
        await asyncio.wait_for(stalled.wait(), 5)
        assert num_written < 16_000_000
        body = split_reply(await reader.read())[2]
        assert body.count(b"data: ") == 600 * 50 + 2
        assert gateway.sink.closes[0].status is TraceStatus.COMPLETE


async def test_rules_route_by_task_header_and_modality(
    tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    world = World(
        [endpoint("clerk", upstream.base_url), endpoint("eyes", second.base_url, modalities=TEXT_AND_IMAGE)],
        rules=(
            Rule(use="v-eyes", modality=Modality.IMAGE),
            Rule(use="v-eyes", task="hard"),
            Rule(use="v-eyes", header=("x-tier", "gold")),
        ),
    )
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        for request in (
            post(IMAGE),
            post(HELLO, headers="x-inhouse-task: hard\r\n"),
            post(HELLO | {"metadata": {"inhouse_task": "hard"}}),
            post(HELLO, headers="X-Tier: gold\r\n"),
        ):
            assert split_reply(await gateway.raw(request))[1]["x-inhouse-variant"] == "v-eyes"
        assert split_reply(await gateway.raw(post(HELLO)))[1]["x-inhouse-variant"] == "v-clerk"


async def test_a_pin_is_for_eval_keys_and_its_traffic_is_marked(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    world = World([endpoint("clerk", upstream.base_url)], capture=CaptureMode.FULL)
    body = HELLO | {"model": "any name"}
    pin = "x-inhouse-endpoint: clerk\r\n"
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        status, _, reply = split_reply(await gateway.raw(post(body, headers=pin)))
        assert (status, json.loads(reply)["error"]["code"]) == (403, "pin_not_allowed")
        assert split_reply(await gateway.raw(post(body, key=EVAL_KEY, headers=pin)))[0] == 200
        opened = gateway.sink.opens[0]
        assert (opened.route, opened.variant, opened.endpoint_id, opened.is_eval) == ("", "", "clerk", True)
        assert gateway.sink.closes[0].content is None
        unknown = post(body, key=EVAL_KEY, headers="x-inhouse-endpoint: none\r\n")
        assert split_reply(await gateway.raw(unknown))[0] == 404
    async with run_gateway_here(
        tmp_path, World([endpoint("clerk", upstream.base_url)], is_open=True).build()
    ) as gateway:
        assert split_reply(await gateway.raw(post(body, key=EVAL_KEY, headers=pin)))[0] == 200
        assert split_reply(await gateway.raw(post(body, key="other", headers=pin)))[0] == 403


@pytest.mark.parametrize("body", [HELLO, STREAM])
async def test_content_is_kept_only_as_the_route_says(
    body: dict[str, object], tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    upstream.script = answer_json(ANSWER) if body is HELLO else answer_stream(*WHOLE)
    contents: dict[CaptureMode, dict[str, str] | None] = {}
    sent = json.dumps(body)
    replied = b""
    for mode in CaptureMode:
        world = World([endpoint("clerk", upstream.base_url)], capture=mode)
        async with run_gateway_here(tmp_path, world.build()) as gateway:
            replied = split_reply(await gateway.raw(post(body)))[2]
            contents[mode] = gateway.sink.closes[0].content
    assert contents == {
        CaptureMode.NONE: None,
        CaptureMode.SAMPLED: None,
        CaptureMode.FULL: {"request": sent, "response": replied.decode()},
        CaptureMode.HASH: {
            "request_sha256": hashlib.sha256(sent.encode()).hexdigest(),
            "response_sha256": hashlib.sha256(replied).hexdigest(),
        },
    }


async def test_content_stays_out_of_a_spool_that_its_data_class_forbids(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Own machines are a processor like any other: a class that does not name them is not captured here."""
    world = World(
        [endpoint("acme/big", upstream.base_url, processor="acme")],
        capture=CaptureMode.FULL,
        processors=frozenset({"acme"}),
    )
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        assert split_reply(await gateway.raw(post(HELLO)))[0] == 200
        assert gateway.sink.closes[0].content is None


async def test_egress_bars_a_provider_even_as_the_last_resort(
    tmp_path: Path, upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    upstream.script = answer_json({}, 500)
    world = World(
        [endpoint("clerk", upstream.base_url), endpoint("acme/big", second.base_url, processor="acme")],
        fallback=("v-acme/big",),
    )
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        assert split_reply(await gateway.raw(post(HELLO)))[0] == 502
        assert second.num_connections == 0
        assert "data class internal may not go to acme" in gateway.sink.opens[0].reasons[1]


async def test_a_missing_credential_or_replica_sends_nothing(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    world = World([endpoint("acme/big", upstream.base_url, credential="acme")])
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        _, _, body = split_reply(await gateway.raw(post(HELLO)))
        assert json.loads(body)["error"]["code"] == "upstream_auth_failed"
        down = Replica(replica_id="r", base_url=upstream.base_url, state=ReplicaState.DOWN)
        world = World([endpoint("clerk", replicas=(down,))], version=2)
        gateway.publish(world.build())
        status, headers, body = split_reply(await gateway.raw(post(HELLO)))
        assert (status, json.loads(body)["error"]["code"]) == (503, "no_candidate")
        assert headers["retry-after"] == "1"
        assert upstream.requests == []
