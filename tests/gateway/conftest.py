from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this is how they share a module

from scripted_endpoint import ScriptedUpstream  # after the path is set


def pytest_asyncio_loop_factories(config: Any, item: Any) -> dict[str, Callable[[], Any]]:
    """The data plane's tests run on the loop that it runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    running = ScriptedUpstream()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def second() -> AsyncIterator[ScriptedUpstream]:
    running = ScriptedUpstream()
    await running.start()
    yield running
    await running.stop()
