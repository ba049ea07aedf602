"""From a valid configuration to the processes that serve it: addresses, start messages, child specs."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from inhouse.cli.config import Configuration
from inhouse.cli.outbound import (
    ApiKeySetting,
    build_credentials,
    build_key_sources,
    build_probe_credentials,
    mask_deployment,
    mask_provider,
    resolve_tls,
)
from inhouse.cli.starts import AgentStart, ControlStart, GatewayStart, ProviderStart
from inhouse.cli.state import Addresses, StateFolder
from inhouse.cli.supervisor import ChildSpec
from inhouse.domain import ApiKey, ConfigError, StateError
from inhouse.serving import resolve_deployment

EVAL_KEY_ID = "eval"


def choose_addresses(configuration: Configuration, previous: Addresses | None, held: ExitStack) -> Addresses:
    """Pick an address for every process; ports of 0 become free ones, the previous ones where still free.

    Every port picked stays reserved until `held` is closed: no other process is given it by the system, neither before
    its own process listens nor while that is being restarted.

    Raises:
        ConfigError: a port that the file names is in use.
    """
    settings = configuration.settings
    gateway, admin = settings.gateway, settings.admin

    def choose(path: tuple[str, ...], host: str, wanted: int, last: int | None) -> int:
        return _claim(configuration, path, host, (wanted, last), held)

    metrics, last_local = settings.agent.metrics_port, previous and previous.local_port
    addresses = Addresses(
        gateway_host=gateway.host,
        gateway_port=choose(("gateway", "port"), gateway.host, gateway.port, previous and previous.gateway_port),
        admin_host=admin.host,
        admin_port=choose(("admin", "port"), admin.host, admin.port, previous and previous.admin_port),
        metrics_port=choose(("agent", "metrics_port"), "127.0.0.1", metrics, previous and previous.metrics_port),
        local_port=0 if gateway.tls is None else choose(("gateway", "tls"), "127.0.0.1", 0, last_local),
        has_tls=gateway.tls is not None,
    )
    simulated = [name for name, provider in settings.providers.items() if provider.simulated]
    known: Mapping[str, str] = previous.providers if previous else {}
    urls: dict[str, str] = {}
    for name in simulated:
        port = choose(("providers", name), "127.0.0.1", 0, _port_of(known[name]) if name in known else None)
        urls[name] = f"http://127.0.0.1:{port}/v1"
    return msgspec.structs.replace(addresses, providers=urls)


def build_children(configuration: Configuration, state: StateFolder, addresses: Addresses) -> list[ChildSpec]:
    """Child specs in the order of starting: simulated providers, control, the agent, gateway workers."""
    children = [
        ChildSpec(f"simulated-{start.name}", "inhouse.cli.provider_process", msgspec.json.encode(start))
        for start in _provider_starts(configuration, addresses)
    ]
    control = _control_start(configuration, state, addresses)
    children.append(ChildSpec("control", "inhouse.cli.control_process", msgspec.json.encode(control)))
    agent = AgentStart(
        state_dir=str(state.root),
        store_url=configuration.store_url,
        host_id=socket.gethostname(),
        metrics_port=addresses.metrics_port,
        deployments=_dump_deployments(configuration),
        credentials=build_probe_credentials(configuration.settings, configuration.folder),
    )
    children.append(ChildSpec("agent", "inhouse.cli.agent_process", msgspec.json.encode(agent), stop_timeout_s=15.0))
    children.extend(_gateway_specs(configuration, state, addresses))
    return children


def _gateway_specs(configuration: Configuration, state: StateFolder, addresses: Addresses) -> Sequence[ChildSpec]:
    gateway = configuration.settings.gateway.model_copy(update={"port": addresses.gateway_port})
    if gateway.tls is not None:
        gateway = gateway.model_copy(update={"tls": resolve_tls(gateway.tls, configuration.folder)})
    credentials = build_credentials(configuration.settings, configuration.folder)
    module = "inhouse.cli.gateway_process" if gateway.responses is None else "inhouse.cli.keeping_gateway_process"
    specs: list[ChildSpec] = []
    for index in range(gateway.workers):
        start = GatewayStart(
            state_dir=str(state.root),
            worker_index=index,
            settings=gateway.model_dump(mode="json"),
            credentials=credentials,
            pepper=state.read_pepper().hex(),
            admin_url=addresses.admin_url,
            local_port=addresses.local_port,
            store_url=None if gateway.responses is None else configuration.store_url,
        )
        name = "gateway" if gateway.workers == 1 else f"gateway-{index}"
        stop_timeout_s = gateway.drain_s + 5.0
        specs.append(ChildSpec(name, module, msgspec.json.encode(start), stop_timeout_s))
    return specs


def _control_start(configuration: Configuration, state: StateFolder, addresses: Addresses) -> ControlStart:
    settings = configuration.settings
    return ControlStart(
        state_dir=str(state.root),
        store_url=configuration.store_url,
        admin=settings.admin.model_copy(update={"port": addresses.admin_port}).model_dump(mode="json"),
        routes=_dump(settings.routes),
        deployments=_dump_deployments(configuration),
        providers=_dump(
            {name: mask_provider(provider, configuration.folder) for name, provider in settings.providers.items()}
        ),
        data_classes={name: data_class.processors for name, data_class in settings.data_classes.items()},
        keys=build_keys(configuration, state),
        is_open=not settings.keys,
        provider_urls=addresses.providers,
        gateway_url=addresses.gateway_url,
        observe=None if settings.observe is None else settings.observe.model_dump(mode="json"),
    )


def build_keys(configuration: Configuration, state: StateFolder) -> tuple[ApiKey, ...]:
    """The file's keys and the evaluation key, hashed as the snapshot holds them."""
    keys = [
        ApiKey(
            key_id=name,
            key_hash=state.hash_token(settings.key.get_secret_value()),
            team=settings.team,
            routes=settings.routes,
        )
        for name, settings in configuration.settings.keys.items()
    ]
    return (*keys, ApiKey(key_id=EVAL_KEY_ID, key_hash=state.hash_token(state.read_eval_key()), is_eval=True))


def _provider_starts(configuration: Configuration, addresses: Addresses) -> list[ProviderStart]:
    starts: list[ProviderStart] = []
    for name, provider in configuration.settings.providers.items():
        if provider.simulated is not None:
            names = tuple(model.upstream_model or key for key, model in provider.models.items())
            starts.append(
                ProviderStart(
                    name=name,
                    model_names=names,
                    settings=provider.simulated.model_dump(mode="json"),
                    host="127.0.0.1",
                    port=_port_of(addresses.providers[name]),
                    api_key=_find_only_key(provider.api_key),
                )
            )
    return starts


def _find_only_key(value: ApiKeySetting) -> str | None:
    """The key that a simulated provider asks for; it takes any where the file gives several, or none itself."""
    sources = build_key_sources(value, Path())
    return sources[0].literal if len(sources) == 1 else None


def _port_of(url: str) -> int:
    return urlsplit(url).port or 0


def _dump_deployments(configuration: Configuration) -> dict[str, Any]:
    """Deployments with absolute paths: the file's relative ones count from the file, not from a process's folder."""
    folder = configuration.folder
    return _dump(
        {
            name: mask_deployment(resolve_deployment(deployment, folder), folder)
            for name, deployment in configuration.settings.deployments.items()
        }
    )


def _dump(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON values; what is secret in them has been masked before."""
    return {name: value.model_dump(mode="json") for name, value in settings.items()}


def _claim(
    configuration: Configuration, path: tuple[str, ...], host: str, ports: tuple[int, int | None], held: ExitStack
) -> int:
    wanted, last = ports
    if wanted == 0:
        return _reserve(host, last or 0, held) or _reserve(host, 0, held)
    if _reserve(host, wanted, held):
        return wanted
    raise ConfigError(
        f"port {wanted} of {host} is in use by another program.",
        fix=f"Stop that program, or give another `{'.'.join(path)}` (0 picks a free one).",
        location=configuration.locate(path),
    )


def _reserve(host: str, port: int, held: ExitStack) -> int:
    """Bind a port without listening on it, and return it; 0 where it is in use.

    Linux lets our own process listen on it all the same, because both allow the address to be reused and this one does
    not listen. Other systems would not, so there the port is let go at once.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
        found = int(holder.getsockname()[1])
    except socket.gaierror as error:
        holder.close()
        raise StateError(
            f"{host} is no address of this machine: {error}.", fix="Give an address to listen on."
        ) from error
    except OSError:
        holder.close()
        return 0
    if sys.platform == "linux":
        held.callback(holder.close)
    else:
        holder.close()
    return found
