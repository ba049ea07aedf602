"""The process of one gateway worker: spool, snapshot, listener, signals, drain. Decides nothing about requests."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inhouse.backends import CredentialBook, Dialer, KeySource, ServerTlsWatcher, TlsFileError, make_server_context
from inhouse.domain import StateError
from inhouse.gateway.server import GatewayParts, GatewayServer
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.snapshots import SnapshotWatcher
from inhouse.gateway.stored import ResponseKeeper
from inhouse.telemetry import SpoolWriter

try:
    import uvloop
except ImportError:  # no build for this platform: asyncio's own loop serves, with more CPU per request
    uvloop = None

_BACKLOG = 2048
_MAX_FILES = 65_536
_STATE_EXIT_CODE = 3
_log = logging.getLogger("inhouse.gateway")


@dataclass(frozen=True, slots=True)
class GatewayRun:
    """One gateway worker.

    Args:
        settings: the data port.
        state_dir: the state folder.
        worker_index: 0-based, part of the spool writer's name.
        credentials: credential name (`Endpoint.credential`) → where its keys come from.
        pepper: secret of the key hashes.
        admin_url: where control is asked for older traces; None: only what the worker remembers is shown.
        keeper: keeps Responses; None: none are kept.
        local_port: where TLS is on, a loopback port that speaks plain HTTP, for the platform's own calls; 0: none.
    """

    settings: GatewaySettings
    state_dir: Path
    worker_index: int
    credentials: Mapping[str, Sequence[KeySource]] = field(repr=False)
    pepper: bytes = field(repr=False)
    admin_url: str | None = None
    keeper: ResponseKeeper | None = None
    local_port: int = 0


def run_gateway(run: GatewayRun) -> int:
    """Serve until SIGTERM or SIGINT, then drain; blocks.

    Prints `LISTENING http://host:port` on stdout once it accepts connections; logs to stderr.

    Returns:
        Exit code: 0 after a drain, 3 where the state is not as needed (port in use, spool not writable).
    """
    _log_to_stderr()
    _raise_file_limit()
    try:
        listener = _bind(run.settings)
        with (
            listener,
            SpoolWriter(run.state_dir / "spool", _name_writer(run.worker_index)) as sink,
            asyncio.Runner(loop_factory=None if uvloop is None else uvloop.new_event_loop) as runner,
        ):
            runner.run(_serve(run, listener, sink))
    except StateError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return _STATE_EXIT_CODE
    return 0


async def _serve(run: GatewayRun, listener: socket.socket, sink: SpoolWriter) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    tls = _make_tls(run.settings)
    book = CredentialBook(run.credentials)
    await book.load()
    snapshots = SnapshotWatcher(run.state_dir / "run" / "snapshot.json", run.pepper, book.ring, run.settings)
    snapshots.poll()
    writer = sink.path.name.rpartition("-")[0]
    dialer = Dialer(logins=book.keys)
    server = GatewayServer(GatewayParts(run.settings, snapshots, sink, writer, dialer, run.admin_url, run.keeper))
    accepting = await loop.create_server(server.build_protocol, sock=listener, backlog=_BACKLOG, ssl=tls)
    local = await _listen_locally(run, server) if run.local_port else None
    _announce(listener, run.settings)
    gc.collect()
    gc.freeze()  # what start-up made lives for ever: no collection need look at it again
    async with asyncio.TaskGroup() as group:
        watching = [group.create_task(snapshots.watch()), group.create_task(book.watch())]
        if tls is not None and run.settings.tls is not None:
            watching.append(group.create_task(ServerTlsWatcher(run.settings.tls, tls).watch()))
        await stop.wait()
        _log.info("draining")
        await asyncio.sleep(0)  # connections that the kernel has accepted already are taken in
        accepting.close()
        if local is not None:
            local.close()
        await server.drain(run.settings.drain_s)
        for task in watching:
            task.cancel()


async def _listen_locally(run: GatewayRun, server: GatewayServer) -> asyncio.Server:
    """Plain HTTP for the platform's own calls; several workers share this port too."""
    loop = asyncio.get_running_loop()
    is_shared = run.settings.workers > 1
    return await loop.create_server(server.build_protocol, "127.0.0.1", run.local_port, reuse_port=is_shared or None)


def _bind(settings: GatewaySettings) -> socket.socket:
    """A bound, non-blocking TCP socket.

    Raises:
        StateError: the address cannot be listened on.
    """
    if settings.workers > 1 and settings.port == 0:
        raise StateError("Several workers need one fixed port.", fix="Set gateway.port, or gateway.workers to 1.")
    place = f"{settings.host}:{settings.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise StateError(f"The address {place} cannot be used: {error.strerror}.", fix="Set gateway.host.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.workers > 1:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            fix = "Stop what listens there, or set gateway.port to another."
            raise StateError(f"The address {place} is already in use.", fix=fix) from None
        fix = "Set gateway.host and gateway.port to an address of this machine."
        raise StateError(f"The address {place} cannot be listened on: {error.strerror}.", fix=fix) from None
    listener.setblocking(False)
    return listener


def _make_tls(settings: GatewaySettings) -> ssl.SSLContext | None:
    """The data port's TLS; None where it speaks plain HTTP.

    Raises:
        StateError: a file cannot be used.
    """
    if settings.tls is None:
        return None
    try:
        return make_server_context(settings.tls)
    except TlsFileError as error:
        raise StateError(f"gateway.tls.{error.setting}: {error.problem}.", fix=error.fix) from None


def _announce(listener: socket.socket, settings: GatewaySettings) -> None:
    host, port = listener.getsockname()[:2]
    scheme = "http" if settings.tls is None else "https"
    sys.stdout.write(f"LISTENING {scheme}://{f'[{host}]' if ':' in host else host}:{port}\n")
    sys.stdout.flush()


def _name_writer(worker_index: int) -> str:
    return f"gw{worker_index}-{int(time.time() * 1000)}-{os.getpid()}"


def _raise_file_limit() -> None:
    """Each request under way holds two connections: use all the open files that the system grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or soft < hard):
        limit = _MAX_FILES if hard == resource.RLIM_INFINITY else hard
        with contextlib.suppress(ValueError, OSError):  # some systems name a hard limit that they do not grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _log_to_stderr() -> None:
    package = logging.getLogger("inhouse")
    if not package.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s gateway %(levelname)s %(message)s"))
        package.addHandler(handler)
        package.setLevel(logging.INFO)
        package.propagate = False
