"""Settings of deployments: a model, an engine and its configuration, served as one unit."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from inhouse.backends.settings import KeySources, NetworkSettings
from inhouse.domain import EngineKind
from inhouse.domain.settings import Settings


class EngineName(StrEnum):
    """Engines with an adapter."""

    LLAMACPP = "llamacpp"
    """llama.cpp's server from the xllamacpp wheel, in a child process of the host agent."""
    EXTERNAL = "external"
    """Any OpenAI-compatible URL that somebody else runs."""


class ReplicaSettings(Settings):
    """How many replicas run. Their number is fixed in this version, so `max` must equal `min`."""

    min: int = Field(default=1, ge=1, le=64)
    """Replicas to keep running."""
    max: int | None = Field(default=None, ge=1, le=64)
    """Equal to `min`, or left out."""

    @model_validator(mode="after")
    def _check_fixed(self) -> Self:
        if self.max is not None and self.max != self.min:
            raise ValueError("replicas do not scale by themselves yet: set max equal to min, or leave it out")
        return self


class HardwareSettings(Settings):
    """What a replica runs on, and what that costs."""

    machine: str = "cpu"
    """Row of the price book's machines (`inhouse catalog` names them); `cpu` is this machine."""
    usd_per_hour: Decimal | None = Field(default=None, ge=0)
    """Own price of the machine; wins over the price book."""


class DeploymentSettings(Settings):
    """Model + engine + configuration, served with N replicas."""

    model: str | None = None
    """`clerk` (the demonstration model in the package) or a path to a GGUF file. Required unless `url` is set."""
    engine: EngineName = EngineName.LLAMACPP
    """What serves the model."""
    quantization: str | None = None
    """For clerk: F16, Q8_0, Q4_0, Q4_K, Q3_K or Q2_K. For a file: what it holds is read from it."""
    url: str | None = Field(default=None, pattern=r"^https?://")
    """OpenAI-compatible address of an engine that somebody else runs; its digest is `declared`."""
    served_model: str | None = None
    """With `url`: the model name that the engine expects; the deployment's own name where not given."""
    server: EngineKind = EngineKind.GENERIC
    """With `url`: which server answers there, so that its own ways are known."""
    api_key: KeySources | None = None
    """With `url`: the key that the engine wants, given as at a provider."""
    network: NetworkSettings = NetworkSettings()
    """With `url`: proxy, authorities, client certificate. The address may be private without saying so."""
    context_tokens: int = Field(default=1024, ge=64)
    """Context length of one slot, in tokens."""
    slots: int = Field(default=4, ge=1, le=256)
    """Requests that one replica works on at once; each has the whole `context_tokens`."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of one replica."""
    replicas: ReplicaSettings = ReplicaSettings()
    """How many run."""
    hardware: HardwareSettings = HardwareSettings()
    """What a replica runs on, for its price."""
