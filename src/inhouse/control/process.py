"""The control process: reconciler and admin port side by side, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.routing import BaseRoute

from inhouse.control.admin import Admin, AdminIdentity
from inhouse.control.api import build_app
from inhouse.control.guard import check_admin_host
from inhouse.control.reconciler import DesiredState, Reconciler
from inhouse.control.settings import AdminSettings
from inhouse.control.storelink import StoreLink
from inhouse.domain import ConfigError, SourceLocation
from inhouse.telemetry import RedactingFormatter

EXIT_OK = 0
EXIT_CONFIG = 2
_GRACE_S = 3
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ControlRun:
    """What the control process needs.

    Args:
        settings: the admin port; port 0 picks a free one.
        desired: the configuration to compile.
        state_dir: the state folder.
        store_url: as `open_store` takes it.
        gateway_url: root of the data port, shown to users.
        extra_routes: pages served beside the API (`console.build_routes()`).
    """

    settings: AdminSettings
    desired: DesiredState
    state_dir: Path
    store_url: str
    gateway_url: str
    extra_routes: Sequence[BaseRoute] = ()


def run_control(run: ControlRun) -> int:
    """Compile snapshots and serve the admin port until SIGTERM or SIGINT; call it from the main thread.

    Prints `LISTENING http://host:port` on standard output once the port answers.

    Returns:
        0 after a clean end, 2 where the admin port cannot be opened as asked.
    """
    with _logging_to_stderr():
        try:
            check_admin_host(run.settings.host)
            listener = _open_listener(run.settings)
        except ConfigError as error:
            _LOG.error("%s", error)
            return EXIT_CONFIG
        with listener:
            asyncio.run(_serve(run, listener))
    return EXIT_OK


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to us and says where it listens."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are handled by `_serve`, which ends the reconciler too."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then say so."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            sys.stdout.write(f"LISTENING http://{shown}:{port}\n")
            sys.stdout.flush()


async def _serve(run: ControlRun, listener: socket.socket) -> None:
    link = StoreLink(run.store_url)
    reconciler = Reconciler(run.desired, link, run.state_dir, time.time)
    identity = AdminIdentity(
        state_dir=run.state_dir, gateway_url=run.gateway_url, started_at=time.time(), pid=os.getpid()
    )
    app = build_app(Admin(reconciler, link, identity, time.time), run.extra_routes)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    try:
        async with asyncio.TaskGroup() as group:
            reconciling = group.create_task(reconciler.run())
            await server.serve(sockets=[listener])
            reconciling.cancel()
    finally:
        await asyncio.to_thread(link.close)


def _open_listener(settings: AdminSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"the admin port {settings.host}:{settings.port} cannot be opened: {error.strerror}.",
            fix="Stop the program that uses it, or give another `admin.port` (0 picks a free one).",
            location=SourceLocation("inhouse.yaml", path="admin.port"),
        ) from error
    return listener


@contextlib.contextmanager
def _logging_to_stderr() -> Generator[None]:
    """Our log and uvicorn's on standard error, redacted, for as long as the process serves."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("inhouse", "uvicorn.error")]
    for logger in loggers:
        logger.addHandler(handler)
    loggers[0].setLevel(logging.INFO)
    loggers[1].setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
