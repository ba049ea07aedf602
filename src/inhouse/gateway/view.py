"""A snapshot made ready to serve from: keys by hash, parsed addresses, ready header bytes. Built once per snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from inhouse.backends import CHAT_PATH, Target, parse_target
from inhouse.domain import (
    OWN_PROCESSOR,
    Candidate,
    CaptureMode,
    Endpoint,
    EndpointError,
    ErrorCode,
    InhouseError,
    Replica,
    ReplicaState,
    RequestFacts,
    Route,
    RouteDecision,
    Snapshot,
)
from inhouse.gateway.auth import Authenticator
from inhouse.gateway.replies import header_line
from inhouse.routing import decide_route

_MAX_DECISIONS = 1024


class BadSnapshotError(InhouseError):
    """A snapshot that cannot be served from; the one before stays."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a replica is asked, and the request's first header lines, authentication included."""

    target: Target
    head: bytes

    def __repr__(self) -> str:
        return f"Address({self.target.host_header})"


class ServingView:
    """What the request path reads.

    Args:
        snapshot: checked here: every variant named must exist, every address must be an http(s) URL.
        pepper: secret of the key hashes.
        credentials: credential name → API key.

    Raises:
        BadSnapshotError: the snapshot contradicts itself.
    """

    def __init__(self, snapshot: Snapshot, pepper: bytes, credentials: Mapping[str, str]) -> None:
        self.snapshot = snapshot
        self.auth = Authenticator(snapshot.keys, pepper, is_open=snapshot.is_open)
        self._addresses: dict[tuple[str, str], Address | None] = {}
        self._decisions: dict[RequestFacts, RouteDecision] = {}
        self._reply_headers: dict[tuple[str, str, str], bytes] = {}
        self._captures = {name: _decide_capture(route, snapshot) for name, route in snapshot.routes.items()}
        for route in snapshot.routes.values():
            _check_route(route)
        for endpoint in snapshot.endpoints.values():
            for replica in endpoint.replicas:
                address = _prepare_address(endpoint, replica, credentials)
                self._addresses[endpoint.endpoint_id, replica.replica_id] = address

    def address(self, endpoint: Endpoint, replica: Replica) -> Address:
        """Where to send.

        Raises:
            EndpointError: the gateway holds no credential for the endpoint.
        """
        address = self._addresses[endpoint.endpoint_id, replica.replica_id]
        if address is None:
            message = f"no credential is held for endpoint {endpoint.endpoint_id}"
            raise EndpointError(ErrorCode.UPSTREAM_AUTH_FAILED, message)
        return address

    def decide(self, facts: RequestFacts) -> RouteDecision:
        """`decide_route` on this snapshot. It is pure, so equal facts are decided once; the memory is bounded."""
        decision = self._decisions.get(facts)
        if decision is None:
            if len(self._decisions) >= _MAX_DECISIONS:
                self._decisions.clear()
            decision = self._decisions[facts] = decide_route(facts, self.snapshot)
        return decision

    def reply_headers(self, route: str, candidate: Candidate) -> bytes:
        """Header lines that tell the client what was decided."""
        key = (route, candidate.variant, candidate.endpoint_id)
        lines = self._reply_headers.get(key)
        if lines is None:
            lines = (
                header_line("x-inhouse-route", route)
                + header_line("x-inhouse-variant", candidate.variant)
                + header_line("x-inhouse-endpoint", candidate.endpoint_id)
            )
            if self.snapshot.endpoints[candidate.endpoint_id].is_simulated:
                lines += b"x-inhouse-simulated: true\r\n"
            self._reply_headers[key] = lines
        return lines

    def capture(self, route: str) -> tuple[CaptureMode, float]:
        """How much content of a route is kept, and of which share of its requests; none for a pinned request."""
        return self._captures.get(route, (CaptureMode.NONE, 0.0))

    def find_unready(self) -> str | None:
        """Why nothing can be served; None where at least one route has a variant with a ready replica."""
        if not self.snapshot.routes:
            return "the snapshot has no routes"
        for route in self.snapshot.routes.values():
            for variant in route.variants:
                endpoint = self.snapshot.endpoints.get(variant.endpoint_id)
                if endpoint is not None and any(replica.state is ReplicaState.READY for replica in endpoint.replicas):
                    return None
        return "no route has a ready replica"


def read_view(payload: bytes, pepper: bytes, credentials: Mapping[str, str]) -> ServingView:
    """Decode a snapshot file.

    Raises:
        BadSnapshotError: it is no snapshot, or contradicts itself.
    """
    try:
        snapshot = msgspec.json.decode(payload, type=Snapshot)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadSnapshotError(f"it is no snapshot: {error}") from None
    return ServingView(snapshot, pepper, credentials)


def _check_route(route: Route) -> None:
    names = {variant.name for variant in route.variants}
    for name in (route.default, *route.fallback, *(rule.use for rule in route.rules)):
        if name not in names:
            raise BadSnapshotError(f"route {route.name} names the variant {name}, which it does not have")


def _prepare_address(endpoint: Endpoint, replica: Replica, credentials: Mapping[str, str]) -> Address | None:
    """None where the endpoint needs a credential that is not held: the content must not go out unauthenticated."""
    try:
        target = parse_target(replica.base_url.rstrip("/") + CHAT_PATH)
    except ValueError as error:
        raise BadSnapshotError(f"replica {replica.replica_id}: {error}") from None
    head = f"POST {target.path} HTTP/1.1\r\nhost: {target.host_header}\r\n".encode()
    if endpoint.credential is None:
        return Address(target, head)
    secret = credentials.get(endpoint.credential)
    return None if secret is None else Address(target, head + header_line("authorization", f"Bearer {secret}"))


def _decide_capture(route: Route, snapshot: Snapshot) -> tuple[CaptureMode, float]:
    """The spool is a sink like any other: content is kept here only where its data class may be on own machines."""
    if not snapshot.egress.check(OWN_PROCESSOR, route.data_class).is_allowed:
        return CaptureMode.NONE, 0.0
    return route.capture, 1.0 if route.capture is CaptureMode.FULL else route.capture_share
