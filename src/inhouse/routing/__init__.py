"""Pure decisions: which variant and replica serves a request, with reasons. No I/O, no logs, no company names."""

from inhouse.routing.decide import decide_route
from inhouse.routing.pick import pick_replica
from inhouse.routing.settings import (
    AllowedLossSettings,
    CaptureSettings,
    RouteSettings,
    RuleSettings,
    UseSettings,
    VariantSettings,
)

__all__ = [
    "AllowedLossSettings",
    "CaptureSettings",
    "RouteSettings",
    "RuleSettings",
    "UseSettings",
    "VariantSettings",
    "decide_route",
    "pick_replica",
]
