"""Fixtures of the whole paths."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from flows.installation import FILE, KEY, Running, answers, run_up, wait_until
from flows.scripted import ScriptedProvider
from inhouse.domain import ReplicaState


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Callable[[], Any]]:
    """The data plane's tests run on the loop that it runs on."""
    return {"uvloop": uvloop.new_event_loop}


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
    wait_until(lambda: _answers_from_clerk(started), what="the gateway's snapshot with the engine")
    return started


def _answers_from_clerk(running: Running) -> bool:
    """The store knows of a replica a moment before the gateway does."""
    body = b'{"model":"only-clerk","messages":[{"role":"user","content":"hi"}],"max_tokens":1}'
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    request = urllib.request.Request(  # noqa: S310  # our own loopback address
        f"{running.base_url}/chat/completions", body, headers
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310  # same
            return reply.status == 200
    except urllib.error.HTTPError as error:
        error.close()
        return False
