"""The data plane: server protocol, auth, decide, send, stream, record. Knows no SQL, no policy and no scoring."""

from inhouse.gateway.record import TraceSink
from inhouse.gateway.run import GatewayRun, run_gateway
from inhouse.gateway.settings import GatewaySettings, LimitSettings, TimeoutSettings
from inhouse.gateway.stored import ResponseKeeper

__all__ = [
    "GatewayRun",
    "GatewaySettings",
    "LimitSettings",
    "ResponseKeeper",
    "TimeoutSettings",
    "TraceSink",
    "run_gateway",
]
