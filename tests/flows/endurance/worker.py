"""The gateway's process of the endurance test: a worker as it runs everywhere, which tells on SIGUSR1 what it holds."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from pathlib import Path
from unittest import mock

import msgspec

from inhouse.gateway import GatewayRun, GatewaySettings, run
from inhouse.gateway.attempt import AttemptCall
from inhouse.gateway.machine import RequestMachine
from inhouse.gateway.server import GatewayParts, GatewayServer
from inhouse.gateway.settings import EjectionSettings, RetrySettings, TimeoutSettings

SETTINGS = GatewaySettings(
    port=0,
    drain_s=5,
    timeouts=TimeoutSettings(connect_s=1.0, first_token_s=1.0, idle_s=2.0, total_s=30.0),
    retries=RetrySettings.model_validate({"max_attempts": 2, "backoff_ms": 10, "max_backoff_ms": 20, "budget": 1}),
    ejection=EjectionSettings(base_s=0.05, max_s=0.2),
)
"""Short waits, so that two million requests meet many faults; everything else is as everywhere."""


class Held(msgspec.Struct, frozen=True):
    """What a worker holds. Without a request under way, all but the first two are zero."""

    num_connections: int
    """Clients that are connected."""
    num_blocks: int
    """Pieces of memory that Python has given out."""
    num_in_flight: int
    """Requests counted on replicas; a count below zero is as wrong as one above."""
    num_requests: int
    """Requests and attempts that are not gone."""
    num_sent_upstream: int
    """Connections to endpoints that are neither idle nor closed, or being made."""
    num_trials: int
    """Replicas that wait for a trial request to end."""
    num_unwritten: int
    """Close records that are not on disk."""

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is held for a request, and no close record is missing."""
        held = (self.num_in_flight, self.num_requests, self.num_sent_upstream, self.num_trials, self.num_unwritten)
        return not any(held)


class WatchedServer(GatewayServer):
    """Prints on SIGUSR1 what is held."""

    def __init__(self, parts: GatewayParts) -> None:
        super().__init__(parts)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._tell)

    def _tell(self) -> None:
        gc.collect()
        client, machines = self._client, self.machines
        held = Held(
            num_connections=len(self._connections),
            num_blocks=sys.getallocatedblocks(),
            num_in_flight=sum(map(abs, machines.in_flight.values())),
            num_requests=sum(isinstance(one, RequestMachine | AttemptCall) for one in gc.get_objects()),
            num_sent_upstream=len(client._open) - sum(map(len, client._idle.values())) + len(client._dialing),
            num_trials=sum(record.is_on_trial for record in machines.health._records.values()),
            num_unwritten=machines.num_unwritten_closes,
        )
        sys.stdout.buffer.write(msgspec.json.encode(held) + b"\n")
        sys.stdout.buffer.flush()


def main() -> int:
    """Serve until SIGTERM."""
    with mock.patch.object(run, "GatewayServer", WatchedServer):
        return run.run_gateway(GatewayRun(SETTINGS, Path(sys.argv[1]), 0, {}, bytes.fromhex(sys.argv[2])))


if __name__ == "__main__":
    sys.exit(main())
