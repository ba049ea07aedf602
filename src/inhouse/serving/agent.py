"""The host agent: owns the engines of this machine, ships its trace spools, shows its metrics. Decides no routes."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inhouse.backends import CredentialBook, Dialer, HttpClient, KeySource
from inhouse.backends.credentials import name_deployment_credential
from inhouse.backends.networks import build_network
from inhouse.domain import ConfigError, Network, StateError
from inhouse.serving.engines import ExternalAdapter, LlamacppAdapter
from inhouse.serving.expiry import purge_responses
from inhouse.serving.metrics_server import serve_metrics
from inhouse.serving.models import prepare_weights
from inhouse.serving.ports import PortBook
from inhouse.serving.replica import KeeperParts, PreparedModel, ReplicaKeeper
from inhouse.serving.rows import RowWriter
from inhouse.serving.settings import DeploymentSettings
from inhouse.serving.shipper import Shipper
from inhouse.serving.weights import read_weights
from inhouse.store import Store, open_store
from inhouse.telemetry import RedactingFormatter, TraceMetrics

_LOG = logging.getLogger(__name__)
_STORE_RETRY_S = 1.0
_SILENCE_S = 60.0
_EXIT_CONFIG = 2


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One run of the host agent.

    Args:
        deployments: by name; relative model paths count from the working directory.
        state_dir: the installation's state folder.
        store_url: SQLite or PostgreSQL.
        host_id: this machine's name; part of each replica's id.
        metrics_port: loopback port of `/metrics`; 0 picks a free one.
        start_timeout_s: time that a replica has from its launch to its first token.
        credentials: where the keys of engines come from that somebody else runs, and the logins of their proxies.
    """

    deployments: Mapping[str, DeploymentSettings]
    state_dir: Path
    store_url: str
    host_id: str
    metrics_port: int
    start_timeout_s: float = 600.0
    credentials: Mapping[str, Sequence[KeySource]] = field(default_factory=dict[str, Sequence[KeySource]], repr=False)


def run_agent(run: AgentRun) -> int:
    """Run until SIGTERM or SIGINT, from the main thread. Returns 0, or 2 where the store's URL must be mended.

    A deployment whose weights are missing or broken does not stop the others: its replicas are `down` and say why.
    While the store is down, engines run on and traces wait in the spool.
    """
    _log_to_stderr()
    return asyncio.run(_Agent(run).run())


def make_replica_id(deployment: str, index: int, host_id: str) -> str:
    """`clerk-0@host`: unique over hosts, the same over restarts."""
    return f"{deployment}-{index}@{host_id}"


class _Agent:
    def __init__(self, run: AgentRun) -> None:
        self._run = run
        self._metrics = TraceMetrics()
        self._rows = RowWriter(self._metrics)
        self._models = _ModelShelf(run.state_dir / "models")
        self._book = CredentialBook(run.credentials)
        self._clients: list[HttpClient] = []
        self._stop = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Start replicas and shipping, keep both until a signal; then end the engines and ship what is left."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        keepers = self._build_keepers()
        with serve_metrics(self._metrics, self._run.metrics_port):
            try:
                async with asyncio.TaskGroup() as group:
                    engines_ended = asyncio.Event()
                    group.create_task(self._serve_store(engines_ended))
                    keys = group.create_task(self._keep_keys())
                    tasks = [group.create_task(keeper.run()) for keeper in keepers]
                    await self._stop.wait()
                    for keeper in keepers:
                        keeper.stop()
                    await asyncio.gather(*tasks)
                    engines_ended.set()
                    keys.cancel()
            finally:
                for client in self._clients:
                    await client.aclose()
        return self._exit_code

    async def _keep_keys(self) -> None:
        await self._book.load()
        await self._book.watch()

    def _open_client(self, network: Network) -> HttpClient:
        client = HttpClient(Dialer(logins=self._book.keys), network=network, max_idle_per_origin=0)
        self._clients.append(client)  # none is kept idle: each probe proves that a new connection works
        return client

    def _open_external(self, name: str, settings: DeploymentSettings) -> ExternalAdapter:
        credential = name_deployment_credential(name)
        client = self._open_client(build_network(settings.network, is_private=True))
        return ExternalAdapter(client, keys=lambda: self._book.keys(credential))

    def _build_keepers(self) -> list[ReplicaKeeper]:
        ports = PortBook(self._run.state_dir / "run" / "ports.json")
        own = LlamacppAdapter(self._open_client(Network(is_declared_private=True)))
        keepers: list[ReplicaKeeper] = []
        for name, settings in self._run.deployments.items():
            parts = KeeperParts(
                host_id=self._run.host_id,
                adapter=own if settings.url is None else self._open_external(name, settings),
                prepare=lambda name=name, settings=settings: self._models.prepare(name, settings),
                ports=ports,
                logs_dir=self._run.state_dir / "logs",
                note=self._rows.note,
                start_timeout_s=self._run.start_timeout_s,
            )
            indexes = range(settings.replicas.min if settings.url is None else 1)
            ids = [make_replica_id(name, index, self._run.host_id) for index in indexes]
            keepers += [ReplicaKeeper(replica_id, name, settings, parts) for replica_id in ids]
        ports.keep_only({keeper.replica_id for keeper in keepers})
        return keepers

    async def _serve_store(self, engines_ended: asyncio.Event) -> None:
        """Open the store as soon as it can be, then write rows, ship traces and purge until the engines have ended."""
        store = await self._open_store(engines_ended)
        if store is None:
            return
        try:
            shipper = Shipper(self._run.state_dir / "spool", store.traces, self._metrics)
            async with asyncio.TaskGroup() as group:
                rows = group.create_task(self._rows.run(store.replicas, self._run.host_id))
                purging = group.create_task(purge_responses(store.responses))
                await shipper.run(engines_ended)
                rows.cancel()
                purging.cancel()
            await self._rows.drop_all(store.replicas)
        finally:
            store.close()

    async def _open_store(self, give_up: asyncio.Event) -> Store | None:
        clock = asyncio.get_running_loop().time
        silent_until = 0.0
        while not give_up.is_set():
            try:
                return await asyncio.to_thread(open_store, self._run.store_url)
            except ConfigError as error:
                _LOG.error("%s", error)
                self._exit_code = _EXIT_CONFIG
                self._stop.set()
                return None
            except StateError as error:
                if clock() >= silent_until:
                    _LOG.warning("engines run, traces wait in the spool: %s", error)
                    silent_until = clock() + _SILENCE_S
            try:
                await asyncio.wait_for(give_up.wait(), _STORE_RETRY_S)
            except TimeoutError:
                continue
        return None


class _ModelShelf:
    """Makes each deployment's weights once in this agent's life, and reads their facts at each launch."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        self._paths: dict[str, Path | None] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def prepare(self, name: str, settings: DeploymentSettings) -> PreparedModel:
        async with self._locks[name]:
            if name not in self._paths:
                self._paths[name] = await asyncio.to_thread(prepare_weights, name, settings, self._models_dir)
            path = self._paths[name]
            if path is None:
                return PreparedModel(None, None)
            facts = await asyncio.to_thread(read_weights, path, self._models_dir / "weights.json")
            return PreparedModel(path, facts)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("alembic", "gguf"):
        logging.getLogger(name).setLevel(logging.WARNING)
