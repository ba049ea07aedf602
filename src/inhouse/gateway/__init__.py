"""The data plane: server protocol, auth, decide, send, stream, record. Knows no SQL, no policy and no scoring."""

from inhouse.gateway.record import TraceSink
from inhouse.gateway.run import GatewayRun, run_gateway
from inhouse.gateway.settings import GatewaySettings, LimitSettings, TimeoutSettings

__all__ = ["GatewayRun", "GatewaySettings", "LimitSettings", "TimeoutSettings", "TraceSink", "run_gateway"]
