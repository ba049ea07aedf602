"""Snapshots, readiness, drain and the worker process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from scripted_endpoint import (
    ANSWER,
    DONE,
    HELLO,
    STREAM_HEAD,
    RunningGateway,
    ScriptedUpstream,
    UpstreamRequest,
    World,
    delta,
    endpoint,
    http_chunk,
    post,
    run_gateway_here,
    split_reply,
)

from inhouse.backends import KeySource
from inhouse.domain import Route, TraceClose, TraceOpen, Variant
from inhouse.gateway import GatewayRun, GatewaySettings
from inhouse.gateway.server import GatewayServer

STREAM = HELLO | {"stream": True}


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()


async def test_without_a_snapshot_nothing_is_served_until_one_appears(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async with run_gateway_here(tmp_path, None) as gateway:
        assert split_reply(await gateway.raw(get("/healthz")))[0] == 200
        status, _, body = split_reply(await gateway.raw(get("/readyz")))
        assert (status, json.loads(body)["reason"]) == (503, "the gateway has no snapshot")
        assert split_reply(await gateway.raw(post(HELLO)))[0] == 503
        assert split_reply(await gateway.raw(get("/v1/models")))[0] == 503
        gateway.publish(World([endpoint("clerk", upstream.base_url)]).build())
        assert split_reply(await gateway.raw(get("/readyz")))[0] == 200
        assert split_reply(await gateway.raw(post(HELLO)))[0] == 200


async def test_readiness_needs_a_route_with_a_ready_replica(tmp_path: Path) -> None:
    async with run_gateway_here(tmp_path, World([endpoint("clerk")]).build()) as gateway:
        status, _, body = split_reply(await gateway.raw(get("/readyz")))
        assert (status, json.loads(body)["reason"]) == (503, "no route has a ready replica")
        empty = msgspec.structs.replace(World([endpoint("clerk")]).build(), routes={})
        gateway.publish(empty)
        assert b"no routes" in await gateway.raw(get("/readyz"))


async def test_a_bad_snapshot_is_refused_and_the_old_one_stays(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    world = World([endpoint("clerk", upstream.base_url)])
    broken = Route(name="broken", data_class="internal", variants=(), default="gone")
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        for bad in (
            b"{",
            b'{"version":2}',
            msgspec.json.encode(World(world.endpoints, version=2, more_routes=(broken,)).build()),
            msgspec.json.encode(World([endpoint("clerk", "ftp://nowhere")], version=3).build()),
        ):
            gateway.path.write_bytes(bad)
            assert not gateway.snapshots.poll()
            assert gateway.snapshots.view is not None
            assert gateway.snapshots.view.snapshot.version == 1
        assert split_reply(await gateway.raw(post(HELLO)))[0] == 200


async def test_a_swap_drops_keys_at_once_and_leaves_requests_under_way_alone(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()

    async def held(_: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + http_chunk(delta("a")))
        await go_on.wait()
        writer.write(http_chunk(delta(finish="stop") + DONE) + b"0\r\n\r\n")

    upstream.script = held
    other = Route(name="other", data_class="internal", variants=(Variant(name="v", endpoint_id="clerk"),), default="v")
    world = World([endpoint("clerk", upstream.base_url)])
    async with run_gateway_here(tmp_path, world.build()) as gateway:
        reader, writer = await gateway.connect()
        writer.write(post(STREAM))
        await reader.readuntil(delta("a"))
        swapped = World(world.endpoints, version=2, more_routes=(other,)).build()
        gateway.publish(msgspec.structs.replace(swapped, keys=()))
        assert split_reply(await gateway.raw(post(HELLO)))[0] == 401
        go_on.set()
        assert (await reader.read()).endswith(b"0\r\n\r\n")
        assert [close.status for close in gateway.sink.closes] == ["complete"]
        assert gateway.sink.opens[0].snapshot_version == 1


async def test_an_unexpected_failure_ends_its_request_and_not_the_gateway(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: object
) -> None:
    failures: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(str(context["message"])))
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        view = gateway.snapshots.view
        gateway.snapshots.view = object()  # type: ignore[assignment]
        status, _, body = split_reply(await gateway.raw(post(HELLO)))
        assert (status, json.loads(body)["error"]["code"]) == (500, "internal_error")
        gateway.snapshots.view = view
        assert split_reply(await gateway.raw(post(HELLO)))[0] == 200


async def keep_asking(gateway: RunningGateway, results: list[bytes]) -> None:
    """One kept-alive client: ask again and again until the gateway closes; keep each reply that was begun."""
    reader, writer = await gateway.connect()
    while True:
        writer.write(post(HELLO, closes=False))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            results.append(b"lost")
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        results.append(head[9:12] if json.loads(await reader.readexactly(length)) == ANSWER else b"bad")
        if b"connection: close" in head:
            return


async def test_a_drain_under_load_loses_nothing(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async def slowly(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.005)
        body = json.dumps(ANSWER).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )

    upstream.script = slowly
    results: list[bytes] = []
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        clients = [asyncio.ensure_future(keep_asking(gateway, results)) for _ in range(20)]
        while len(results) < 100:
            await asyncio.sleep(0.005)
        gateway.listener.close()
        await gateway.server.drain(10.0)
        await asyncio.gather(*clients)
        assert set(results) == {b"200"}
        assert len(gateway.sink.opens) == len(gateway.sink.closes) == len(results)
        assert {close.status for close in gateway.sink.closes} == {"complete"}


async def test_what_outlasts_the_drain_ends_visibly(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    async def endless(request: UpstreamRequest, writer: asyncio.StreamWriter) -> None:
        if request.json.get("stream"):
            writer.write(STREAM_HEAD + http_chunk(delta("a")))
        await asyncio.Event().wait()

    upstream.script = endless
    async with run_gateway_here(tmp_path, World([endpoint("clerk", upstream.base_url)]).build()) as gateway:
        streaming, writer = await gateway.connect()
        writer.write(post(STREAM))
        await streaming.readuntil(delta("a"))
        waiting, writer = await gateway.connect()
        writer.write(post(HELLO))
        while len(upstream.requests) < 2:
            await asyncio.sleep(0.005)
        gateway.listener.close()
        draining = asyncio.ensure_future(gateway.server.drain(0.05))
        ending = await streaming.read()
        assert b'"code":"shutting_down"' in ending
        assert ending.endswith(b"0\r\n\r\n")
        assert b"[DONE]" not in ending
        status, _, body = split_reply(await waiting.read())
        assert (status, json.loads(body)["error"]["code"]) == (503, "shutting_down")
        await draining
        assert {(close.status.value, close.error_code) for close in gateway.sink.closes} == {
            ("aborted", "shutting_down"),
            ("failed", "shutting_down"),
        }


WORKER = """
import sys
from pathlib import Path
from inhouse.gateway import GatewayRun, GatewaySettings, run_gateway
settings = GatewaySettings(port=int(sys.argv[2]), workers=int(sys.argv[3]), drain_s=5)
sys.exit(run_gateway(GatewayRun(settings, Path(sys.argv[1]), 0, {}, bytes(range(32)))))
"""


@asynccontextmanager
async def worker(
    state_dir: Path, port: int = 0, workers: int = 1
) -> AsyncGenerator[tuple[asyncio.subprocess.Process, int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(state_dir), str(port), str(workers), stdout=-1, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 10)
        assert line.startswith(b"LISTENING http://127.0.0.1:")
        yield process, int(line.rpartition(b":")[2])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


async def ask(port: int, payload: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(payload)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.transport.abort()


def make_state(tmp_path: Path, upstream: ScriptedUpstream) -> Path:
    (tmp_path / "run").mkdir()
    payload = msgspec.json.encode(World([endpoint("clerk", upstream.base_url)]).build())
    (tmp_path / "run" / "snapshot.json").write_bytes(payload)
    return tmp_path


def read_spool(state_dir: Path) -> list[TraceOpen | TraceClose]:
    (path,) = (state_dir / "spool").glob("gw0-*.spool")
    decode = msgspec.json.Decoder(TraceOpen | TraceClose).decode
    return [decode(line) for line in path.read_bytes().splitlines()]


async def test_a_worker_serves_spools_drains_and_exits_zero(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    state_dir = make_state(tmp_path, upstream)
    async with worker(state_dir) as (process, port):
        assert split_reply(await ask(port, post(HELLO)))[0] == 200
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        opened, closed = read_spool(state_dir)
        assert isinstance(opened, TraceOpen)
        assert isinstance(closed, TraceClose)
        assert opened.trace_id == closed.trace_id
        assert opened.writer.startswith("gw0-")
        assert opened.writer.endswith(f"-{process.pid}")


async def test_after_kill_nine_the_open_record_of_a_request_under_way_is_on_disk(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    upstream.script = silent
    state_dir = make_state(tmp_path, upstream)
    async with worker(state_dir) as (process, port):
        asking = asyncio.ensure_future(ask(port, post(HELLO)))
        await asyncio.wait_for(upstream.arrived.wait(), 5)
        process.kill()
        await process.wait()
        await asyncio.gather(asking, return_exceptions=True)
        (only,) = read_spool(state_dir)
        assert isinstance(only, TraceOpen)


async def test_workers_share_a_port_and_a_taken_port_is_a_clear_error(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    state_dir = make_state(tmp_path, upstream)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with worker(state_dir, port, 2), worker(state_dir, port, 2):
        assert split_reply(await ask(port, get("/readyz")))[0] == 200
        taken = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, str(tmp_path / "b"), str(port), "1", stdout=-1, stderr=-1
        )
        _, stderr = await asyncio.wait_for(taken.communicate(), 10)
        assert taken.returncode == 3
        assert f"127.0.0.1:{port} is already in use".encode() in stderr
        assert b"gateway.port" in stderr
    several = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(tmp_path / "c"), "0", "2", stdout=-1, stderr=-1
    )
    _, stderr = await several.communicate()
    assert several.returncode == 3
    assert b"fixed port" in stderr


def test_secrets_stay_out_of_every_repr(tmp_path: Path) -> None:
    run = GatewayRun(GatewaySettings(), tmp_path, 0, {"acme": (KeySource(literal="sk-secret"),)}, os.urandom(32))
    assert "sk-secret" not in repr(run)
    assert "pepper" not in repr(run)
    assert "credentials" not in repr(run)
    assert GatewayServer.__repr__ is object.__repr__
