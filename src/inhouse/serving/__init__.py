"""Engines of this host: launch, probe, read back, digest, restart; shipping of trace spools. Sees no prompts.

Names are loaded when they are first asked for: the embedded engine is a module of this package, and starts in a tenth
of a second only because it does not load the agent, the store and numpy with it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inhouse.serving.agent import AgentRun, make_replica_id, run_agent
    from inhouse.serving.engines import (
        Deployment,
        EffectiveConfig,
        EngineAdapter,
        ExternalAdapter,
        LaunchCommand,
        LlamacppAdapter,
        ProbeState,
        ReadinessProbe,
        ReplicaAddress,
        find_mismatches,
    )
    from inhouse.serving.models import CLERK, prepare_weights, resolve_deployment, validate_deployment
    from inhouse.serving.process import bind_to_parent
    from inhouse.serving.settings import DeploymentSettings, EngineName, HardwareSettings, ReplicaSettings
    from inhouse.serving.shipper import Shipper
    from inhouse.serving.weights import WeightsFacts, read_weights

__all__ = [
    "CLERK",
    "AgentRun",
    "Deployment",
    "DeploymentSettings",
    "EffectiveConfig",
    "EngineAdapter",
    "EngineName",
    "ExternalAdapter",
    "HardwareSettings",
    "LaunchCommand",
    "LlamacppAdapter",
    "ProbeState",
    "ReadinessProbe",
    "ReplicaAddress",
    "ReplicaSettings",
    "Shipper",
    "WeightsFacts",
    "bind_to_parent",
    "find_mismatches",
    "make_replica_id",
    "prepare_weights",
    "read_weights",
    "resolve_deployment",
    "run_agent",
    "validate_deployment",
]

_MODULES = {
    "agent": ("AgentRun", "make_replica_id", "run_agent"),
    "engines": (
        "Deployment", "EffectiveConfig", "EngineAdapter", "ExternalAdapter", "LaunchCommand", "LlamacppAdapter",
        "ProbeState", "ReadinessProbe", "ReplicaAddress", "find_mismatches",
    ),
    "models": ("CLERK", "prepare_weights", "resolve_deployment", "validate_deployment"),
    "process": ("bind_to_parent",),
    "settings": ("DeploymentSettings", "EngineName", "HardwareSettings", "ReplicaSettings"),
    "shipper": ("Shipper",),
    "weights": ("WeightsFacts", "read_weights"),
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
