"""What the control room's tests compile from: one own deployment, one simulated provider, one route."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from inhouse.backends.settings import ProviderSettings
from inhouse.catalog import load_price_book
from inhouse.control import DesiredState
from inhouse.domain import ApiKey, ReplicaState
from inhouse.routing.settings import RouteSettings
from inhouse.serving.settings import DeploymentSettings
from inhouse.store import ReplicaRow, Store, open_store

NOW = 1_795_392_000.0
"""2026-11-23 00:00 UTC, after the first rows of the price book."""


class Clock:
    """Unix seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    (folder / "run").mkdir(parents=True)
    return folder


@pytest.fixture
def store_url(state_dir: Path) -> str:
    return f"sqlite:///{state_dir / 'inhouse.db'}"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def desired() -> DesiredState:
    return DesiredState(
        routes={"support": make_route()},
        deployments={"clerk": DeploymentSettings(model="clerk")},
        providers={"paid": make_provider(simulated={})},
        data_classes={"internal": frozenset({"own", "paid"})},
        keys=(ApiKey(key_id="demo", key_hash="f" * 64, team="desk"),),
        is_open=False,
        price_book=load_price_book(),
        provider_urls={"paid": "http://127.0.0.1:4001/v1/"},
    )


@pytest.fixture
def make_row() -> Callable[..., ReplicaRow]:
    def make(replica_id: str = "clerk-0", **changes: Any) -> ReplicaRow:
        values: dict[str, Any] = {
            "replica_id": replica_id,
            "deployment": "clerk",
            "host_id": "box",
            "base_url": "http://127.0.0.1:4100/v1",
            "state": ReplicaState.READY,
            "digest": "sha256:" + "a" * 64,
            "updated_at": NOW,
        }
        return ReplicaRow(**(values | changes))

    return make


def make_route(**changes: Any) -> RouteSettings:
    values: dict[str, Any] = {
        "data_class": "internal",
        "variants": {"in-house": {"endpoint": "clerk"}, "api": {"endpoint": "paid/mid"}},
        "use": {"default": "in-house", "when": [{"task": "reasoning", "use": "api"}]},
        "fallback": ["api"],
    }
    return RouteSettings.model_validate(values | changes)


def make_provider(**changes: Any) -> ProviderSettings:
    price = {"input_usd_per_mtok": Decimal(2), "output_usd_per_mtok": Decimal(10)}
    return ProviderSettings.model_validate({"models": {"mid": {"price": price}}} | changes)


@pytest.fixture
def route_of() -> Callable[..., RouteSettings]:
    return make_route


@pytest.fixture
def provider_of() -> Callable[..., ProviderSettings]:
    return make_provider
