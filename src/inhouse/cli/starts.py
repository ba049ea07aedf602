"""The start messages that a process reads from its standard input; JSON, one line, secrets included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from inhouse.domain import ApiKey


class GatewayStart(Struct, frozen=True, kw_only=True):
    """What one gateway worker needs; `settings` is JSON of GatewaySettings, `pepper` hex."""

    state_dir: str
    worker_index: int
    settings: Mapping[str, Any]
    credentials: Mapping[str, str]
    pepper: str


class AgentStart(Struct, frozen=True, kw_only=True):
    """What the host agent needs; `deployments` is JSON of DeploymentSettings by name."""

    state_dir: str
    store_url: str
    host_id: str
    metrics_port: int
    deployments: Mapping[str, Any]


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


class ProviderStart(Struct, frozen=True, kw_only=True):
    """What a simulated provider needs; `settings` is JSON of SimulationSettings."""

    name: str
    model_names: tuple[str, ...]
    settings: Mapping[str, Any]
    host: str
    port: int
    api_key: str | None
