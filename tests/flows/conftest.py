"""Fixtures of the whole paths."""

from collections.abc import Iterator

import pytest

from flows.installation import FILE, KEY, Running, answers, run_up, wait_until
from flows.scripted import ScriptedProvider
from inhouse.domain import ReplicaState


@pytest.fixture(scope="package")
def scripted() -> Iterator[ScriptedProvider]:
    """A provider that fails in the way that the model's name says."""
    with ScriptedProvider() as provider:
        yield provider


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory, scripted: ScriptedProvider) -> Iterator[Running]:
    """One installation for all tests of this folder."""
    environment = {"FLOW_KEY": KEY, "FLAKY_URL": scripted.base_url}
    with run_up(tmp_path_factory.mktemp("installation"), FILE, environment) as running:
        yield running


@pytest.fixture
def installation(started: Running) -> Running:
    """The installation, with everything back that an earlier test has killed."""
    wait_until(lambda: answers(f"{started.base_url.removesuffix('/v1')}/readyz"), what="the data port")
    wait_until(lambda: answers(f"{started.admin_url}/api/healthz"), what="the admin port")
    wait_until(lambda: [row.state for row in started.replicas()] == [ReplicaState.READY], what="the engine")
    return started
