"""Passive health: which replicas failed too often lately and are left out for a while. Fed by requests, asks nobody."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from inhouse.domain import Endpoint
from inhouse.gateway.settings import EjectionSettings


class _Record(Struct):
    """What is remembered of a replica that failed; one that succeeds is forgotten."""

    num_failures: int = 0
    num_ejections: int = 0
    out_until: float = 0.0
    is_ejected: bool = False
    is_on_trial: bool = False
    reason: str = ""


class ReplicaHealth:
    """Failures in a row eject a replica; afterwards one single trial request decides whether it stays out longer.

    Times are seconds on the caller's clock, passed in.

    Args:
        settings: when and how long.
    """

    def __init__(self, settings: EjectionSettings) -> None:
        self._settings = settings
        self._records: dict[str, _Record] = {}
        self.troubled: Collection[str] = self._records.keys()
        """Replicas that have failed since their last success; of the others, nothing need be looked at."""

    def list_out(self, endpoint: Endpoint, now: float) -> dict[str, str]:
        """Replicas of the endpoint that take no request now, with the reason in words.

        Where more than `panic_share` of several replicas would be out, none is: that many at once are more likely the
        network's fault, and the rest would be overrun.
        """
        out: dict[str, str] = {}
        for replica in endpoint.replicas:
            record = self._records.get(replica.replica_id)
            if record is None or (not record.is_ejected and now >= record.out_until):
                continue
            if now < record.out_until:
                out[replica.replica_id] = f"{record.reason}, left out for {record.out_until - now:.1f} s more"
            elif record.is_on_trial:
                out[replica.replica_id] = f"{record.reason}, one trial request is under way"
        num_replicas = len(endpoint.replicas)
        is_panic = num_replicas > 1 and len(out) > float(self._settings.panic_share) * num_replicas
        return {} if is_panic else out

    def begin(self, replica_id: str, now: float) -> None:
        """A request goes to the replica. The first after an ejection is its trial."""
        record = self._records.get(replica_id)
        if record is not None and record.is_ejected and now >= record.out_until:
            record.is_on_trial = True

    def note_success(self, replica_id: str) -> None:
        """It answered as it should: forget what was."""
        self._records.pop(replica_id, None)

    def note_failure(self, replica_id: str, reason: str, now: float, *, is_unreachable: bool = False) -> None:
        """It failed: eject it where that was one too many, or its trial, or where nobody is there at all."""
        record = self._records.setdefault(replica_id, _Record())
        record.num_failures += 1
        is_trial = record.is_on_trial
        record.is_on_trial = False
        if is_trial or is_unreachable or record.num_failures >= self._settings.consecutive_failures:
            out_s = min(self._settings.base_s * 2.0 ** min(record.num_ejections, 32), self._settings.max_s)
            record.num_ejections += 1
            record.num_failures = 0
            record.is_ejected = True
            record.out_until = now + out_s
            record.reason = reason if is_unreachable else f"it failed too often ({reason})"

    def note_unjudged(self, replica_id: str) -> None:
        """The request ended without telling anything of the replica (its client left): a trial is free again."""
        record = self._records.get(replica_id)
        if record is not None:
            record.is_on_trial = False

    def rest(self, replica_id: str, rest_s: float, now: float) -> None:
        """It asked to slow down: leave it out for as long as it said, at most for the longest ejection."""
        record = self._records.setdefault(replica_id, _Record())
        record.is_on_trial = False
        record.out_until = max(record.out_until, now + min(rest_s, self._settings.max_s))
        record.reason = "it asked to slow down (429)"
