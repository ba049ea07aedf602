"""Engine adapters: how an engine is launched, probed, read back and digested."""

from inhouse.serving.engines.contract import (
    Deployment,
    EffectiveConfig,
    EngineAdapter,
    LaunchCommand,
    ProbeState,
    ReadinessProbe,
    ReplicaAddress,
    find_mismatches,
)
from inhouse.serving.engines.external import ExternalAdapter
from inhouse.serving.engines.llamacpp import LlamacppAdapter

__all__ = [
    "Deployment",
    "EffectiveConfig",
    "EngineAdapter",
    "ExternalAdapter",
    "LaunchCommand",
    "LlamacppAdapter",
    "ProbeState",
    "ReadinessProbe",
    "ReplicaAddress",
    "find_mismatches",
]
