"""Fixtures of the serving room."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package: this is how they share a module

from serving_bench import AgentProcess, Deployments, StartAgent, write_tiny_gguf  # after the path is set


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_tiny_gguf(path)
    return path


@pytest.fixture
def start_agent(tmp_path: Path) -> Generator[StartAgent]:
    started: list[AgentProcess] = []

    def start(deployments: Deployments) -> AgentProcess:
        started.append(AgentProcess(tmp_path, deployments))
        return started[-1]

    yield start
    for agent in started:
        agent.stop()
        agent.store.close()
