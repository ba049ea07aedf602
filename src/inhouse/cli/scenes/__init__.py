"""The scenes of `inhouse demo`: each shows one behaviour for real, in a few lines, and says what it saw."""

from inhouse.cli.scenes.decision import show_decision
from inhouse.cli.scenes.faults import show_faults
from inhouse.cli.scenes.hybrid import show_hybrid
from inhouse.cli.scenes.quantization import show_quantization
from inhouse.cli.scenes.sdk import show_sdk
from inhouse.cli.scenes.stage import SceneFailedError, Stage
from inhouse.cli.scenes.storm import show_storm

__all__ = [
    "SceneFailedError",
    "Stage",
    "show_decision",
    "show_faults",
    "show_hybrid",
    "show_quantization",
    "show_sdk",
    "show_storm",
]
