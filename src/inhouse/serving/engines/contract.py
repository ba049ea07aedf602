"""What an engine adapter must do, and the plain values that it takes and gives. Starts nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from inhouse.domain import DigestField
from inhouse.serving.settings import DeploymentSettings
from inhouse.serving.weights import WeightsFacts


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment with its weights prepared. `weights` is None where somebody else runs the engine."""

    name: str
    settings: DeploymentSettings
    weights: Path | None = None

    @property
    def served_model(self) -> str:
        """The model name that the engine expects in a request."""
        return self.settings.served_model or self.name


@dataclass(frozen=True, slots=True)
class ReplicaAddress:
    """Which replica, and where it listens. `base_url` is the root of the OpenAI paths (`…/v1`)."""

    replica_id: str
    base_url: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class LaunchCommand:
    """How to start an engine process; `env` is added to the agent's own environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])


class ProbeState(StrEnum):
    """What a probe found. `ready`: it answers, and (where asked) generated a token within the deadline."""

    REFUSED = "refused"
    LOADING = "loading"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class ReadinessProbe:
    """A probe's finding; `detail` says in words what was missing."""

    state: ProbeState
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EffectiveConfig:
    """What a running engine says of itself; None where it does not say. `context_tokens` is per slot, the least."""

    model: str | None = None
    model_path: str | None = None
    context_tokens: int | None = None
    slots: int | None = None
    chat_template: str | None = None
    sampling_defaults: str | None = None


class EngineAdapter(Protocol):
    """One engine's launch line, probes, read-back and digest. Stateless: the deployment comes with each call."""

    def launch(self, deployment: Deployment, replica: ReplicaAddress) -> LaunchCommand | None:
        """The command that starts a replica; None where nothing is launched."""
        ...

    async def probe(self, deployment: Deployment, base_url: str, *, is_deep: bool) -> ReadinessProbe:
        """Ask whether the engine answers, and with `is_deep` whether it generates a token within a deadline."""
        ...

    async def effective_config(self, base_url: str) -> EffectiveConfig:
        """Read back what runs. Raises EndpointError where the engine does not answer."""
        ...

    async def read_progress(self, base_url: str) -> int | None:
        """A counter that grows while the engine works; None where it has none or does not answer."""
        ...

    def digest_fields(
        self, deployment: Deployment, effective: EffectiveConfig, weights: WeightsFacts | None
    ) -> tuple[DigestField, ...]:
        """The facts that decide what the deployment answers, each with its basis."""
        ...


def find_mismatches(deployment: Deployment, effective: EffectiveConfig) -> tuple[str, ...]:
    """Fields in which a launched engine differs from what was asked, in words; more context or slots is no fault."""
    settings = deployment.settings
    found: list[str] = []
    for name, asked, runs in (
        ("context_tokens", settings.context_tokens, effective.context_tokens),
        ("slots", settings.slots, effective.slots),
    ):
        if runs is None or runs < asked:
            found.append(f"{name}: asked {asked}, runs {'unknown' if runs is None else runs}")
    if effective.model != deployment.served_model:
        found.append(f"model: asked {deployment.served_model}, runs {effective.model}")
    if effective.model_path != str(deployment.weights):
        found.append(f"weights: asked {deployment.weights}, runs {effective.model_path}")
    return tuple(found)
