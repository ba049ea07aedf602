"""One running installation in this process tree: prepare the state folder, start the processes, wait, stop."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from inhouse.cli.config import Configuration
from inhouse.cli.launch import build_children, choose_addresses
from inhouse.cli.state import Addresses, StateFolder, write_atomically
from inhouse.cli.supervisor import ChildEvent, Supervisor
from inhouse.domain import ReplicaState, StateError
from inhouse.store import ReplicaRow, Store, open_store

_POLL_S = 0.05
_PROBE_TIMEOUT_S = 2.0
_PROBES_PER_WORKER = 8
"""The kernel chooses the worker by the connection: so many leave one of two out once in thirty thousand starts."""


@dataclass(frozen=True, slots=True)
class Platform:
    """Handles of a running installation."""

    configuration: Configuration
    state: StateFolder
    addresses: Addresses
    supervisor: Supervisor
    store: Store

    def list_replicas(self) -> list[ReplicaRow]:
        """Replicas as the host agent last wrote them."""
        return self.store.replicas.list()

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until every replica of every deployment is ready and the data port says so too.

        Raises:
            StateError: not within the time; the message says what is missing.
        """
        missing = "nothing has started"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while missing:
                    missing = await asyncio.to_thread(self._find_missing)
                    if missing:
                        await asyncio.sleep(_POLL_S)
        if missing:
            raise StateError(
                f"the platform is not ready after {timeout_s:.0f} s: {missing}.",
                fix=f"Look into {self.state.logs}.",
            )

    def _find_missing(self) -> str:
        rows = self.list_replicas()
        for name, deployment in self.configuration.settings.deployments.items():
            mine = [row for row in rows if row.deployment == name]
            num_ready = sum(row.state is ReplicaState.READY for row in mine)
            if num_ready < deployment.replicas.min:
                detail = next((row.detail for row in mine if row.detail), "")
                state = f"{num_ready} of {deployment.replicas.min} replicas ready"
                return f"deployment {name}: {state}" + (f" ({detail})" if detail else "")
        num_workers = self.configuration.settings.gateway.workers
        num_probes = 1 if num_workers == 1 else num_workers * _PROBES_PER_WORKER
        for name, url, count in (
            ("the data port", f"{self.addresses.local_url}/readyz", num_probes),
            ("the admin port", f"{self.addresses.admin_url}/api/healthz", 1),
        ):
            problem = next(filter(None, (probe(url) for _ in range(count))), "")
            if problem:
                return f"{name}: {problem}"
        for name, url in self.addresses.providers.items():
            problem = probe(f"{url}/models")
            if problem.startswith("does not"):  # one that asks for a key is there
                return f"the simulated provider {name}: {problem}"
        return ""


@contextlib.asynccontextmanager
async def run_platform(
    configuration: Configuration, on_event: Callable[[ChildEvent], None] = lambda _event: None
) -> AsyncGenerator[Platform]:
    """Start every process of a checked configuration; stop them all at the end of the block.

    Raises:
        ConfigError: a port is in use.
        StateError: another `up` holds the state folder; the store cannot be opened.
    """
    state = StateFolder(configuration.state_dir)
    state.prepare()
    with state.lock(), contextlib.ExitStack() as stack:
        previous = state.read_addresses() if state.addresses.exists() else None
        addresses = choose_addresses(configuration, previous, stack)
        state.write_addresses(addresses)
        write_atomically(state.config, configuration.source.text.encode())
        store = stack.enter_context(contextlib.closing(open_store(configuration.store_url)))
        supervisor = Supervisor(build_children(configuration, state, addresses), state.logs, on_event)
        running = asyncio.ensure_future(supervisor.run())
        try:
            yield Platform(configuration, state, addresses, supervisor, store)
        finally:
            supervisor.stop()
            await running


def probe(url: str) -> str:
    """Ask a health path once: empty text when it answers 200, else what it said."""
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT_S):  # noqa: S310 -- our own loopback address
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"answers {error.code}"
    except (urllib.error.URLError, OSError) as error:
        return f"does not answer ({getattr(error, 'reason', error)})"
