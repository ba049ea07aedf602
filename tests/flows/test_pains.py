"""What users of other gateways complain of most does not happen here: one test (or more) for each such pain.

Three of the fifteen have nothing to be tested against yet: budgets under concurrency (01) and limits over several
replicas (10), because there are no budgets and no limits by key; caches across tenants (14), because nothing is cached.
"""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from flows.faults.fault_server import FaultServer
from flows.faults.kinds import RETRY_AFTER_S
from flows.faults.stage import KEY, PEPPER, Gateway, ask_raw, build_endpoint, build_price, build_snapshot, run_gateway
from flows.faults.turn import Turn
from flows.faults.wire import DONE, MODEL, OPENAI
from inhouse.domain import Endpoint, TraceClose, TraceStatus, Usage, UsageBasis
from inhouse.gateway.settings import EjectionSettings, GatewaySettings, RetrySettings, TimeoutSettings

PRICE = build_price("test-2026", 1e-6)
SECRET = "sk-of-the-platform-0123456789"
BODY = {"model": "chat", "messages": [{"role": "user", "content": "how are you?"}]}
PLAIN = json.dumps(BODY).encode()
STREAM = json.dumps(BODY | {"stream": True}).encode()
ESTIMATE = Usage(input_uncached=-(-len(STREAM) // 4), output_visible=2)
"""Of a stream that ended after two pieces: a token for each piece, and for each four bytes of the request."""
SETTINGS = GatewaySettings(
    timeouts=TimeoutSettings(connect_s=15, first_token_s=15, idle_s=15, total_s=15),
    retries=RetrySettings.model_validate({"backoff_ms": 1, "max_backoff_ms": 1, "budget": 1}),
)
WITHIN_S = 1.0
"""How soon an endpoint must see that nobody waits any more."""


@pytest.fixture
async def upstream() -> AsyncIterator[FaultServer]:
    async with FaultServer() as running:
        yield running


@pytest.fixture
async def second() -> AsyncIterator[FaultServer]:
    async with FaultServer() as running:
        yield running


def clerk(upstream: FaultServer, model: str = "tiny", **changes: Any) -> Endpoint:
    return build_endpoint("clerk", upstream.base_url, model=model, price=PRICE, **changes)


async def ask(gateway: Gateway, body: bytes, more: str = "") -> tuple[int, dict[str, str], bytes]:
    return await (await ask_raw(gateway, body, more)).read_reply()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
    return b"data: " + json.dumps(frame | more, separators=(",", ":")).encode() + b"\n\n"


def answer_with(body: bytes, events: list[bytes], *, num_bytes: int | None = None) -> Any:
    """A script that answers with the body, or with the events; `num_bytes` cuts the stream elsewhere than at events."""

    async def script(turn: Turn) -> None:
        if not turn.asked.is_stream:
            await turn.send_whole(body)
            return
        await turn.send_stream_head()
        stream = b"".join(events)
        size = num_bytes or len(stream)
        for part in events if num_bytes is None else [stream[at : at + size] for at in range(0, len(stream), size)]:
            await turn.send_event(part)
        await turn.end_stream()

    return script


# 02: clients that leave.


async def test_pain_02_a_client_that_leaves_a_stream_stops_the_upstream_within_a_second(
    tmp_path: Path, upstream: FaultServer
) -> None:
    async with run_gateway(tmp_path, build_snapshot(clerk(upstream, "fault:hang:after")), SETTINGS) as gateway:
        client = await ask_raw(gateway, STREAM)
        await client.read_until(b" is")
        client.leave()
        await asyncio.wait_for(upstream.closed.wait(), WITHIN_S)
        (close,) = await gateway.wait_closes()
        assert (close.status, close.usage, close.usage_basis) == (
            TraceStatus.CLIENT_CLOSED,
            ESTIMATE,
            UsageBasis.ESTIMATED,
        )
        assert close.cost_usd == pytest.approx(PRICE.price(ESTIMATE))


@pytest.mark.parametrize(("body", "is_buffered"), [(PLAIN, False), (STREAM, True)])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_pain_02_a_client_that_leaves_a_reply_under_way_stops_the_upstream_within_a_second(
    body: bytes, is_buffered: bool, when: str, tmp_path: Path, upstream: FaultServer
) -> None:
    """Unstreamed, and a stream that is held back: nothing was shown, and what it cost is never said to be nothing."""
    snapshot = build_snapshot(clerk(upstream, f"fault:hang:{when}"), is_buffered=is_buffered)
    async with run_gateway(tmp_path, snapshot, SETTINGS) as gateway:
        client = await ask_raw(gateway, body)
        await upstream.wait_asked()
        client.leave()
        await asyncio.wait_for(upstream.closed.wait(), WITHIN_S)
        (close,) = await gateway.wait_closes()
        assert close.status is TraceStatus.CLIENT_CLOSED
        assert close.cost_usd is None or close.usage_basis is UsageBasis.ESTIMATED
        assert close.cost_usd != 0


async def test_pain_02_a_client_that_leaves_while_a_retry_waits_is_not_retried_for(
    tmp_path: Path, upstream: FaultServer
) -> None:
    async with run_gateway(tmp_path, build_snapshot(clerk(upstream, "fault:429:before")), SETTINGS) as gateway:
        client = await ask_raw(gateway, PLAIN)
        await upstream.wait_asked()
        client.leave()
        (close,) = await gateway.wait_closes()
        await asyncio.sleep(RETRY_AFTER_S + 0.2)
        assert close.status is TraceStatus.CLIENT_CLOSED
        assert len(upstream.asked) == 1


# 03: usage of streams.


async def test_pain_03_streaming_usage_is_metered_even_when_the_client_did_not_ask(
    tmp_path: Path, upstream: FaultServer
) -> None:
    """A stream costs what the same answer costs in one piece, and its client sees no more than it asked for."""
    async with run_gateway(tmp_path, build_snapshot(clerk(upstream)), SETTINGS) as gateway:
        _, _, whole = await ask(gateway, PLAIN)
        _, _, silent = await ask(gateway, STREAM)
        asked = json.dumps(BODY | {"stream": True, "stream_options": {"include_usage": True}}).encode()
        _, _, telling = await ask(gateway, asked)
        assert b'"usage"' in whole
        assert silent == b"".join(OPENAI.list_events(upstream.answer, False))
        assert telling == b"".join(OPENAI.list_events(upstream.answer, True))
        usages = [(close.usage, close.usage_basis, close.cost_usd) for close in gateway.closes]
        expected = Usage(input_uncached=7, output_visible=5)
        assert usages == [(expected, UsageBasis.MEASURED, pytest.approx(17e-6))] * 3


async def test_pain_03_usage_that_comes_with_every_chunk_is_counted_once(tmp_path: Path, upstream: FaultServer) -> None:
    """Some engines report the running total with each chunk; reasoning is a part of the completion."""
    usages = [
        {"prompt_tokens": 7, "completion_tokens": n, "completion_tokens_details": {"reasoning_tokens": min(n, 2)}}
        for n in (1, 2, 3)
    ]
    deltas = [{"reasoning_content": "hm"}, {"reasoning_content": "so"}, {"content": "yes"}]
    events = [chunk(delta, usage=usage) for delta, usage in zip(deltas, usages, strict=True)]
    upstream.script = answer_with(b"", [*events, chunk({}, "stop", usage=usages[-1]), DONE])
    async with run_gateway(tmp_path, build_snapshot(clerk(upstream)), SETTINGS) as gateway:
        await ask(gateway, STREAM)
        (close,) = gateway.closes
        assert close.usage == Usage(input_uncached=7, output_visible=1, output_reasoning=2)


# 04: failures after the first byte.


@pytest.mark.parametrize("fault", ["reset", "cut-between", "cut-inside", "end-between", "end-inside"])
async def test_pain_04_a_cut_stream_is_never_a_success(
    fault: str, tmp_path: Path, upstream: FaultServer, second: FaultServer
) -> None:
    """However it is cut, also with a proper end of the HTTP body; and no other model goes on in the middle."""
    snapshot = build_snapshot(clerk(upstream, f"fault:{fault}:after"), build_endpoint("spare", second.base_url))
    upstream.may_break.clear()
    async with (
        run_gateway(tmp_path, snapshot, SETTINGS) as gateway,
        openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as sdk,
    ):
        texts: list[str | None] = []

        async def read() -> None:
            async for piece in await sdk.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "hi"}], stream=True
            ):
                texts.append(piece.choices[0].delta.content)
                if texts[-1] == " is":
                    upstream.may_break.set()

        with pytest.raises(openai.APIError) as broken:
            await read()
        assert texts == ["", "All", " is"]
        assert broken.value.code == "upstream_cut"
        (close,) = gateway.closes
        assert (close.status, close.error_code) == (TraceStatus.ABORTED, "upstream_cut")
        assert second.asked == []


# 05: silence.

DEADLINES = GatewaySettings(
    timeouts=TimeoutSettings(connect_s=0.31, first_token_s=0.42, idle_s=0.53, total_s=1.2),
    retries=RetrySettings(max_attempts=1),
)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("deaf:before", "within 0.31 s"),
        ("hang:before", "within 0.42 s"),
        ("ping:before", "within 0.42 s"),
        ("hang:after", "for 0.53 s"),
        ("ping:after", "for 0.53 s"),
        ("drip:after", "the whole request"),
    ],
)
async def test_pain_05_a_silent_upstream_has_deadlines_of_its_own_and_the_error_says_which(
    fault: str, words: str, tmp_path: Path, upstream: FaultServer
) -> None:
    """Connection, first token, pause and whole request; keep-alive comments are no progress."""
    url = upstream.deaf_url if fault.startswith("deaf") else upstream.base_url
    endpoint = build_endpoint("clerk", url, model=f"fault:{fault}")
    async with run_gateway(tmp_path, build_snapshot(endpoint), DEADLINES) as gateway:
        _, _, body = await ask(gateway, STREAM)
        error = json.loads(body.rstrip().rpartition(b"\n")[2].removeprefix(b"data: "))["error"]
        assert error["code"] == "upstream_timeout"
        assert words in error["message"]
        assert gateway.closes[0].error_code == "upstream_timeout"


# 06: memory.


async def test_pain_06_what_a_worker_remembers_is_bounded(tmp_path: Path, upstream: FaultServer) -> None:
    """Nothing grows with the number of requests, of labels that clients make up, of failures or of open streams."""

    async def go(at: int) -> None:
        model = ("fault:none:before", "fault:reset:after", "fault:500:before")[at % 3]
        body = json.dumps(BODY | {"model": model, "stream": at % 2 == 0}).encode()
        more = f"x-inhouse-task: task-{at}\r\nx-inhouse-user: user-{at}\r\nx-inhouse-tags: tag-{at}=x\r\n"
        await ask(gateway, body, more)

    names = ("fault:none:before", "fault:reset:after", "fault:500:before")
    endpoints = [build_endpoint(name, upstream.base_url, model=name) for name in names]
    routes = {name: build_snapshot(one).routes["chat"] for name, one in zip(names, endpoints, strict=True)}
    snapshot = msgspec.structs.replace(build_snapshot(*endpoints), routes=routes)
    settings = GatewaySettings(retries=RetrySettings(max_attempts=1))
    async with run_gateway(tmp_path, snapshot, settings) as gateway:
        for start in range(0, 1200, 300):
            async with asyncio.TaskGroup() as group:
                for at in range(start, start + 300):
                    group.create_task(go(at))
        server = gateway.server
        async with asyncio.timeout(10):
            while server._connections:
                await asyncio.sleep(0.01)
        assert len(gateway.closes) == 1200
        assert not any(server.machines.in_flight.values())
        assert len(server._client._open) <= 256
        assert len(server._client._known_heads) <= 512
        assert len(server.machines.health._records) <= len(names)
        view = gateway.snapshots.view
        assert view is not None
        assert len(view._decisions) <= 1024
        assert len(view._labels) <= 1024


# 07: no database on the path.

SERVE = """
import sys
from pathlib import Path
import inhouse.cli.gateway_process  # the process as `inhouse up` starts it
from inhouse.gateway import GatewayRun, GatewaySettings, run_gateway
sys.exit(run_gateway(GatewayRun(GatewaySettings(port=0), Path(sys.argv[1]), 0, {}, bytes.fromhex(sys.argv[2]))))
"""


async def test_pain_07_a_worker_serves_with_no_database_in_its_process(tmp_path: Path, upstream: FaultServer) -> None:
    """Neither loaded nor opened: what is recorded of a request is one line in a file of the worker's own."""
    (tmp_path / "run").mkdir()
    snapshot = msgspec.json.encode(build_snapshot(clerk(upstream)))
    (tmp_path / "run" / "snapshot.json").write_bytes(snapshot)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(tmp_path), PEPPER.hex(), stdout=-1, stderr=subprocess.DEVNULL
    )
    try:
        assert worker.stdout is not None
        line = await asyncio.wait_for(worker.stdout.readline(), 20)
        async with openai.AsyncOpenAI(base_url=f"{line.split()[1].decode()}/v1", api_key=KEY, max_retries=0) as sdk:
            whole = await sdk.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])
        assert whole.choices[0].message.content == upstream.answer.text
        loaded = (Path("/proc") / str(worker.pid) / "maps").read_text()
        opened = [str(path.readlink()) for path in (Path("/proc") / str(worker.pid) / "fd").iterdir()]
        assert [word for word in ("sqlite", "psycopg", "libpq", "hiredis") if word in loaded] == []
        files = [path for path in opened if path.startswith(str(tmp_path))]
        assert [Path(path).suffix for path in files] == [".spool"]
    finally:
        worker.terminate()
        await worker.wait()
        worker._transport.close()  # type: ignore[attr-defined]


# 08: cached tokens.


async def test_pain_08_cached_tokens_are_priced_once_and_as_cached(tmp_path: Path, upstream: FaultServer) -> None:
    """100 prompt tokens, 80 of them cached at a tenth: 20 + 8 + 2 x 10 = 48 millionths, streamed or not."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "total_tokens": 110,
        "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    whole = json.loads(OPENAI.whole(upstream.answer, True)) | {"usage": usage}
    events = [chunk({"content": "yes"}), chunk({}, "stop"), chunk({}, usage=usage), DONE]
    upstream.script = answer_with(json.dumps(whole).encode(), events)
    async with run_gateway(tmp_path, build_snapshot(clerk(upstream)), SETTINGS) as gateway:
        await ask(gateway, PLAIN)
        await ask(gateway, STREAM)
        expected = Usage(input_uncached=20, cache_read=80, output_visible=6, output_reasoning=4)
        assert [close.usage for close in gateway.closes] == [expected, expected]
        assert [close.cost_usd for close in gateway.closes] == [pytest.approx(48e-6), pytest.approx(48e-6)]


# 09: tool calls.


CALLS = [
    chunk({"role": "assistant", "content": None}),
    chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "look", "arguments": ""}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"at": "'}}]}),
    chunk({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "ask", "arguments": ""}}]}),
    chunk({"tool_calls": [{"index": 1, "function": {"arguments": '{"who":'}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'home"}'}}]}),
    chunk({"tool_calls": [{"index": 1, "function": {"arguments": ' "ann"}'}}]}),
    chunk({}, "tool_calls"),
    DONE,
]


@pytest.mark.parametrize("num_bytes", [None, 1, 13, 4096])
async def test_pain_09_parallel_tool_calls_pass_byte_for_byte(
    num_bytes: int | None, tmp_path: Path, upstream: FaultServer
) -> None:
    """Two calls, their parts taking turns, however the network cuts the bytes; the SDK puts them together right."""
    upstream.script = answer_with(b"", CALLS, num_bytes=num_bytes)
    async with (
        run_gateway(tmp_path, build_snapshot(clerk(upstream)), SETTINGS) as gateway,
        openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as sdk,
    ):
        assert (await ask(gateway, STREAM))[2] == b"".join(CALLS)
        calls: dict[int, list[str]] = {}
        async for piece in await sdk.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "hi"}], stream=True
        ):
            for part in piece.choices[0].delta.tool_calls or ():
                assert part.function is not None
                calls.setdefault(part.index, []).extend([part.id or "", part.function.arguments or ""])
        assert {index: "".join(parts) for index, parts in calls.items()} == {
            0: 'a{"at": "home"}',
            1: 'b{"who": "ann"}',
        }


# 11: ejection.


async def test_pain_11_an_ejected_replica_comes_back_through_one_trial(
    tmp_path: Path, upstream: FaultServer, second: FaultServer
) -> None:
    """Out after two failures that no client saw; then one request tries it, while the others keep away."""
    is_well = asyncio.Event()

    async def fail(turn: Turn) -> None:
        await turn.send_whole(b"{}", 500)

    async def try_again(turn: Turn) -> None:
        await is_well.wait()
        await turn.send_whole(turn.whole)

    upstream.script = fail
    base_s = 1.0
    settings = SETTINGS.model_copy(update={"ejection": EjectionSettings(consecutive_failures=2, base_s=base_s)})
    snapshot = build_snapshot(build_endpoint("clerk", upstream.base_url, second.base_url))
    async with run_gateway(tmp_path, snapshot, settings) as gateway:

        async def go(number: int) -> set[int]:
            return {status for status, _, _ in await asyncio.gather(*(ask(gateway, PLAIN) for _ in range(number)))}

        while len(upstream.asked) < 2:
            assert await go(1) == {200}
        assert await go(5) == {200}
        assert len(upstream.asked) == 2
        upstream.script = try_again
        await asyncio.sleep(base_s)
        trying = asyncio.ensure_future(go(8))
        await upstream.wait_asked(3)
        assert await go(5) == {200}
        assert len(upstream.asked) == 3
        is_well.set()
        assert await trying == {200}
        assert await go(6) == {200}
        assert len(upstream.asked) > 3


# 12: what engines add.


async def test_pain_12_engine_extras_and_reasoning_fields_survive_verbatim(
    tmp_path: Path, upstream: FaultServer
) -> None:
    """Both ways: unknown members, number formats, order and spacing; `reasoning` and `reasoning_content` alike."""
    extras = (
        b'"top_k" : 40, "min_p":0.050, "guided_json":{"type":"object","model":"x"}, "chat_template_kwargs":'
        b'{"enable_thinking":false}, "seed":12345678901234567890, "logit_bias":{"1":-1e2}, "x":"\\u00e4\xc3\xa4"'
    )
    body = b'{ "messages":[{"role":"user","content":"hi"}], ' + extras + b',"model" :  "chat"}'
    reply = (
        b'{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":'
        b'"assistant","content":"yes","reasoning_content":"hm","reasoning":"hm"},"finish_reason":"stop","stop_reason"'
        b':151645,"token_ids":[1,2]}],"usage":{"prompt_tokens":1,"completion_tokens":1},"kv_transfer_params":null,'
        b'"cost":1.50}'
    )
    events = [chunk({"reasoning_content": "h"}), chunk({"reasoning": "m"}, token_ids=[1]), chunk({"content": "yes"})]
    upstream.script = answer_with(reply, [*events, chunk({}, "stop", stop_reason=7), DONE])
    async with run_gateway(tmp_path, build_snapshot(clerk(upstream)), SETTINGS) as gateway:
        assert (await ask(gateway, body))[2] == reply
        assert upstream.asked[0].body == body.replace(b'"chat"}', b'"tiny"}')
        assert (await ask(gateway, STREAM))[2] == b"".join([*events, chunk({}, "stop", stop_reason=7), DONE])


# 13: headers, keys, logs.


async def test_pain_13_what_identifies_the_client_never_reaches_the_upstream(
    tmp_path: Path, upstream: FaultServer
) -> None:
    more = (
        "cookie: session=1\r\nx-api-key: client\r\napi-key: client\r\nproxy-authorization: Basic eA==\r\n"
        "openai-organization: org\r\nopenai-project: p\r\nx-forwarded-for: 10.0.0.1\r\nforwarded: for=10.0.0.1\r\n"
        "x-stainless-os: Linux\r\nuser-agent: app\r\nreferer: http://intranet/\r\nx-inhouse-user: ann\r\n"
    )
    snapshot = build_snapshot(clerk(upstream, credential="acme"))
    async with run_gateway(tmp_path, snapshot, SETTINGS, acme=SECRET) as gateway:
        assert (await ask(gateway, PLAIN, more))[0] == 200
        headers = upstream.asked[0].headers
        assert headers.pop("authorization") == f"Bearer {SECRET}"
        assert {name for name in headers if name} <= {"host", "accept", "content-type", "content-length"}


@pytest.mark.parametrize("fault", ["none:before", "401:before", "500:before", "reset:before", "error:after"])
@pytest.mark.parametrize("body", [PLAIN, STREAM])
async def test_pain_13_the_platforms_key_never_reaches_client_log_or_record(
    fault: str, body: bytes, tmp_path: Path, upstream: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does the client's key or text; also where the endpoint quotes its caller's key in an error."""
    caplog.set_level(logging.DEBUG)
    snapshot = build_snapshot(clerk(upstream, f"fault:{fault}", credential="acme"))
    async with run_gateway(tmp_path, snapshot, SETTINGS, acme=SECRET) as gateway:
        _, headers, reply = await ask(gateway, body)
        shown = reply.decode() + repr(headers)
        kept = caplog.text + gateway.spool.path.read_text() + repr(gateway.snapshots.view)
        for secret in (SECRET, "sk-secret"):
            assert secret not in shown + kept
        for private in (KEY, "how are you?"):
            assert private not in kept


async def test_pain_13_what_the_upstream_sets_for_its_caller_stays_here(tmp_path: Path, upstream: FaultServer) -> None:
    async def answer(turn: Turn) -> None:
        more = "\r\nset-cookie: s=1\r\nserver: x\r\nvia: y\r\nopenai-organization: acme\r\nx-request-id: r1"
        await turn.send_whole(turn.whole, more=more)

    upstream.script = answer
    async with run_gateway(tmp_path, build_snapshot(clerk(upstream)), SETTINGS) as gateway:
        _, headers, _ = await ask(gateway, PLAIN)
        assert {name for name in headers if not name.startswith("x-inhouse-")} == {
            "content-type",
            "content-length",
            "connection",
            "x-request-id",
        }


# 15: probes.


async def test_pain_15_nothing_is_asked_that_no_client_asked_for(tmp_path: Path, upstream: FaultServer) -> None:
    """No probe at the start, none while a replica is out, none when its time is over."""
    settings = SETTINGS.model_copy(
        update={
            "ejection": EjectionSettings(consecutive_failures=1, base_s=0.1),
            "retries": RetrySettings(max_attempts=1),
        }
    )
    snapshot = build_snapshot(clerk(upstream, "fault:500:before:1"))
    async with run_gateway(tmp_path, snapshot, settings) as gateway:
        await asyncio.sleep(0.1)
        assert (upstream.asked, upstream.num_open) == ([], 0)
        assert (await ask(gateway, PLAIN))[0] == 502
        await asyncio.sleep(0.3)
        assert len(upstream.asked) == 1
        assert (await ask(gateway, PLAIN))[0] == 200
        assert len(upstream.asked) == 2
        closes: list[TraceClose] = gateway.closes
        assert [close.status for close in closes] == [TraceStatus.FAILED, TraceStatus.COMPLETE]
