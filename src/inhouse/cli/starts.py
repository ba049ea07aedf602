"""The start messages that a process reads from its standard input; JSON, one line, secrets included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from inhouse.backends import KeySource
from inhouse.domain import ApiKey


class GatewayStart(Struct, frozen=True, kw_only=True):
    """What one gateway worker needs; `settings` is JSON of GatewaySettings, `pepper` hex.

    `credentials` says where the keys of each credential come from: literals are the keys themselves. `store_url` is
    given only to a worker that keeps responses.
    """

    state_dir: str
    worker_index: int
    settings: Mapping[str, Any]
    credentials: Mapping[str, tuple[KeySource, ...]]
    pepper: str
    admin_url: str | None = None
    local_port: int = 0
    store_url: str | None = None


class AgentStart(Struct, frozen=True, kw_only=True):
    """What the host agent needs; `deployments` is JSON of DeploymentSettings by name.

    `credentials` are those that probing an engine needs which somebody else runs.
    """

    state_dir: str
    store_url: str
    host_id: str
    metrics_port: int
    deployments: Mapping[str, Any]
    credentials: Mapping[str, tuple[KeySource, ...]] = {}


class ControlStart(Struct, frozen=True, kw_only=True):
    """What control needs; settings as JSON by name, secrets masked, keys hashed."""

    state_dir: str
    store_url: str
    admin: Mapping[str, Any]
    routes: Mapping[str, Any]
    deployments: Mapping[str, Any]
    providers: Mapping[str, Any]
    data_classes: Mapping[str, frozenset[str]]
    keys: tuple[ApiKey, ...]
    is_open: bool
    provider_urls: Mapping[str, str]
    gateway_url: str
    observe: Mapping[str, Any] | None = None


class ProviderStart(Struct, frozen=True, kw_only=True):
    """What a simulated provider needs; `settings` is JSON of SimulationSettings."""

    name: str
    model_names: tuple[str, ...]
    settings: Mapping[str, Any]
    host: str
    port: int
    api_key: str | None
