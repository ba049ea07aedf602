"""The process of one gateway worker: spool, snapshot, listener, signals, drain. Decides nothing about requests."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inhouse.domain import StateError
from inhouse.gateway.server import GatewayParts, GatewayServer
from inhouse.gateway.settings import GatewaySettings
from inhouse.gateway.snapshots import SnapshotWatcher
from inhouse.telemetry import SpoolWriter

try:
    import uvloop
except ImportError:  # no build for this platform: asyncio's own loop serves, with more CPU per request
    uvloop = None

_BACKLOG = 2048
_STATE_EXIT_CODE = 3
_log = logging.getLogger("inhouse.gateway")


@dataclass(frozen=True, slots=True)
class GatewayRun:
    """One gateway worker.

    Args:
        settings: the data port.
        state_dir: the state folder.
        worker_index: 0-based, part of the spool writer's name.
        credentials: credential name (`Endpoint.credential`) → API key.
        pepper: secret of the key hashes.
    """

    settings: GatewaySettings
    state_dir: Path
    worker_index: int
    credentials: Mapping[str, str] = field(repr=False)
    pepper: bytes = field(repr=False)


def run_gateway(run: GatewayRun) -> int:
    """Serve until SIGTERM or SIGINT, then drain; blocks.

    Prints `LISTENING http://host:port` on stdout once it accepts connections; logs to stderr.

    Returns:
        Exit code: 0 after a drain, 3 where the state is not as needed (port in use, spool not writable).
    """
    _log_to_stderr()
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
    snapshots = SnapshotWatcher(run.state_dir / "run" / "snapshot.json", run.pepper, run.credentials)
    snapshots.poll()
    writer = sink.path.name.rpartition("-")[0]
    server = GatewayServer(GatewayParts(run.settings, snapshots, sink, writer))
    accepting = await loop.create_server(server.build_protocol, sock=listener, backlog=_BACKLOG)
    _announce(listener)
    gc.collect()
    gc.freeze()  # what start-up made lives for ever: no collection need look at it again
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(snapshots.watch())
        await stop.wait()
        _log.info("draining")
        await asyncio.sleep(0)  # connections that the kernel has accepted already are taken in
        accepting.close()
        await server.drain(run.settings.drain_s)
        watching.cancel()


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


def _announce(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"LISTENING http://{f'[{host}]' if ':' in host else host}:{port}\n")
    sys.stdout.flush()


def _name_writer(worker_index: int) -> str:
    return f"gw{worker_index}-{int(time.time() * 1000)}-{os.getpid()}"


def _log_to_stderr() -> None:
    if not _log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s gateway %(levelname)s %(message)s"))
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)
        _log.propagate = False
