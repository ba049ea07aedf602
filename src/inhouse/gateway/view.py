"""A snapshot made ready to serve from: keys by hash, parsed addresses, ready header bytes. Built once per snapshot."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from inhouse.backends import ExchangePlan, KeyRing, Way, build_url, name_pool, parse_target, plan_exchange
from inhouse.domain import (
    OWN_PROCESSOR,
    ApiKey,
    AuthScheme,
    Candidate,
    CaptureMode,
    Endpoint,
    EndpointError,
    ErrorCode,
    InhouseError,
    Operation,
    Replica,
    ReplicaState,
    RequestFacts,
    Route,
    RouteDecision,
    Snapshot,
)
from inhouse.gateway.attempt import AttemptTerms
from inhouse.gateway.auth import Authenticator
from inhouse.gateway.record import TraceLabels
from inhouse.gateway.replies import header_line
from inhouse.gateway.settings import GatewaySettings
from inhouse.routing import decide_route

_MAX_DECISIONS = 1024
_MAX_HEADS = 64
_AUTH_HEADERS = {
    AuthScheme.BEARER: ("authorization", "Bearer "),
    AuthScheme.API_KEY: ("api-key", ""),
    AuthScheme.X_API_KEY: ("x-api-key", ""),
}


Keys = Callable[[str], KeyRing | None]
"""Credential name → its keys."""


class BadSnapshotError(InhouseError):
    """A snapshot that cannot be served from; the one before stays."""


class Address:
    """Where a replica is asked, and the request's first header lines, authentication included.

    Args:
        head: request line and header lines without authentication.
        auth: how a key is shown.
        ring: the keys; None where none is needed.
        way: how connections are made.
    """

    __slots__ = ("_auth", "_head", "_heads", "ring", "way")

    def __init__(self, head: bytes, auth: AuthScheme, ring: KeyRing | None, way: Way) -> None:
        self.way = way
        self.ring = ring
        self._head = head
        self._auth = auth
        self._heads: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"Address({self.way.target.host_header})"

    def choose_head(self, now: float) -> tuple[bytes, str | None]:
        """The header lines with the key to use now, and that key.

        Raises:
            EndpointError: there is no key.
        """
        if self.ring is None:
            return self._head, None
        key = self.ring.choose(now)
        if key is None:
            raise EndpointError(ErrorCode.UPSTREAM_AUTH_FAILED, "no key is held for the endpoint", is_retryable=False)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            name, prefix = _AUTH_HEADERS[self._auth]
            head = self._heads[key] = self._head + header_line(name, prefix + key)
        return head, key


class Lane(Struct, frozen=True):
    """One way that a request may take: a candidate's replica, how the exchange goes there, and where it is.

    `address` is None where no key is held for it. `reply_lines` are header lines that tell the client what was decided;
    `only` holds the replica's id.
    """

    candidate: Candidate
    endpoint: Endpoint
    replica: Replica
    plan: ExchangePlan
    address: Address | None
    terms: AttemptTerms
    reply_lines: bytes
    replica_id: str
    only: frozenset[str]
    reply_starts: dict[bytes, bytes] = {}
    """The first bytes of unstreamed answers, by the endpoint's header lines that pass."""


class ServingView:
    """What the request path reads.

    Args:
        snapshot: checked here: every variant named must exist, every address must be an http(s) URL.
        pepper: secret of the key hashes.
        credentials: credential name → its keys, None where none is held.
        settings: the gateway's, for the terms of attempts.

    Raises:
        BadSnapshotError: the snapshot contradicts itself.
    """

    def __init__(self, snapshot: Snapshot, pepper: bytes, credentials: Keys, settings: GatewaySettings) -> None:
        self.snapshot = snapshot
        self._settings = settings
        self.auth = Authenticator(snapshot.keys, pepper, is_open=snapshot.is_open)
        self._credentials = credentials
        self._lanes: dict[tuple[str, str, str, Operation], Lane] = {}
        self._plans: dict[tuple[str, Operation], ExchangePlan | None] = {}
        self.plain_routes = {
            name: RequestFacts(route=name)
            for name, route in snapshot.routes.items()
            if not any(rule.header is not None for rule in route.rules)
        }
        """Facts of a request of which only the route is known, for routes whose rules ask for no header."""
        self._decisions: dict[tuple[RequestFacts, Operation], RouteDecision] = {}
        self._labels: dict[tuple[str, str, bool], TraceLabels] = {}
        captures = {name: _decide_capture(route, snapshot) for name, route in snapshot.routes.items()}
        self.captures = {name: capture for name, capture in captures.items() if capture[0] is not CaptureMode.NONE}
        for route in snapshot.routes.values():
            _check_route(route)
        for endpoint in snapshot.endpoints.values():
            for replica in endpoint.replicas:
                _parse_base_url(replica)

    def plan(self, operation: Operation, endpoint: Endpoint) -> ExchangePlan | None:
        """How the endpoint serves the operation; None where it cannot."""
        key = (endpoint.endpoint_id, operation)
        try:
            return self._plans[key]
        except KeyError:
            plan = self._plans[key] = plan_exchange(operation, endpoint)
            return plan

    def lane(self, route: str, candidate: Candidate, replica: Replica, operation: Operation) -> Lane:
        """The way to the replica of a route's candidate for an operation that its endpoint serves."""
        key = (route, candidate.variant, replica.replica_id, operation)
        lane = self._lanes.get(key)
        if lane is None:
            endpoint = self.snapshot.endpoints[candidate.endpoint_id]
            plan = self.plan(operation, endpoint)
            if plan is None:
                raise AssertionError("only endpoints that serve the operation are candidates")
            address = self._prepare_address(endpoint, replica, plan)
            lane = self._lanes[key] = Lane(
                candidate,
                endpoint,
                replica,
                plan,
                address,
                self._terms(route, plan),
                _name_decision(route, candidate, endpoint),
                replica.replica_id,
                frozenset({replica.replica_id}),
            )
        return lane

    def only_lane(self, decision: RouteDecision, operation: Operation) -> Lane | None:
        """The way to the first candidate, where it has one replica and so there is nothing to pick."""
        candidate = decision.candidates[0]
        replicas = self.snapshot.endpoints[candidate.endpoint_id].replicas
        return self.lane(decision.route, candidate, replicas[0], operation) if len(replicas) == 1 else None

    def _prepare_address(self, endpoint: Endpoint, replica: Replica, plan: ExchangePlan) -> Address | None:
        """Where an endpoint needs a credential that is not held, nothing goes out unauthenticated."""
        target = parse_target(build_url(plan.upstream, endpoint, replica.base_url))
        head = f"POST {target.path} HTTP/1.1\r\nhost: {target.host_header}\r\n".encode()
        for name, value in plan.headers:
            head += header_line(name, value)
        credential = replica.credential or endpoint.credential
        ring = None if credential is None else self._credentials(credential)
        if credential is not None and ring is None:
            return None
        connect_s = self._settings.timeouts.connect_s
        way = Way(target, endpoint.network, connect_s, name_pool(target, endpoint.network))
        return Address(head, endpoint.auth, ring, way)

    def _terms(self, route_name: str, plan: ExchangePlan) -> AttemptTerms:
        """What attempts of a route are made under."""
        route, timeouts = self.snapshot.routes.get(route_name), self._settings.timeouts
        is_held = route is not None and route.is_buffered
        return AttemptTerms(plan, timeouts.first_token_s, timeouts.idle_s, is_held, self._settings.signals)

    def plain_labels(self, key: ApiKey, route: str, *, is_stream: bool) -> TraceLabels | None:
        """Labels kept for calls that differ in nothing else."""
        return self._labels.get((key.key_id, route, is_stream))

    def keep_labels(self, labels: TraceLabels) -> None:
        """Keep labels for the next such call."""
        if len(self._labels) >= _MAX_DECISIONS:
            self._labels.clear()
        self._labels[labels.key_id, labels.route, labels.is_stream] = labels

    def decide(self, facts: RequestFacts, operation: Operation) -> RouteDecision:
        """`decide_route` on this snapshot, less the endpoints that cannot serve the operation.

        It is pure, so equal facts are decided once; the memory is bounded.
        """
        key = (facts, operation)
        decision = self._decisions.get(key)
        if decision is None:
            if len(self._decisions) >= _MAX_DECISIONS:
                self._decisions.clear()
            decision = self._decisions[key] = self._leave_out_unable(decide_route(facts, self.snapshot), operation)
        return decision

    def _leave_out_unable(self, decision: RouteDecision, operation: Operation) -> RouteDecision:
        able: list[Candidate] = []
        reasons = list(decision.reasons)
        for candidate in decision.candidates:
            if self.plan(operation, self.snapshot.endpoints[candidate.endpoint_id]) is None:
                name = candidate.variant or candidate.endpoint_id
                reasons.append(f"left out {name}: endpoint {candidate.endpoint_id} does not offer {operation.value}")
            else:
                able.append(candidate)
        if len(able) == len(decision.candidates):
            return decision
        return msgspec.structs.replace(
            decision, candidates=tuple(able), reasons=tuple(reasons), is_capability_refusal=not able
        )

    def capture(self, route: str) -> tuple[CaptureMode, float]:
        """How much content of a route is kept, and of which share of its requests; none for a pinned request."""
        return self.captures.get(route, (CaptureMode.NONE, 0.0))

    def may_keep(self, route: str) -> bool:
        """Whether content of a route may be kept on own machines; of one that is not there, it may not."""
        known = self.snapshot.routes.get(route)
        return known is not None and self.snapshot.egress.check(OWN_PROCESSOR, known.data_class).is_allowed

    def find_unready(self) -> str | None:
        """Why nothing can be served; None where at least one route has a variant with a ready replica."""
        if self.snapshot.observed is not None:
            return None
        if not self.snapshot.routes:
            return "the snapshot has no routes"
        for route in self.snapshot.routes.values():
            for variant in route.variants:
                endpoint = self.snapshot.endpoints.get(variant.endpoint_id)
                if endpoint is not None and any(replica.state is ReplicaState.READY for replica in endpoint.replicas):
                    return None
        return "no route has a ready replica"


def read_view(payload: bytes, pepper: bytes, credentials: Keys, settings: GatewaySettings) -> ServingView:
    """Decode a snapshot file.

    Raises:
        BadSnapshotError: it is no snapshot, or contradicts itself.
    """
    try:
        snapshot = msgspec.json.decode(payload, type=Snapshot)
    except (ValueError, RecursionError) as error:
        raise BadSnapshotError(f"it is no snapshot: {error}") from None
    return ServingView(snapshot, pepper, credentials, settings)


def _name_decision(route: str, candidate: Candidate, endpoint: Endpoint) -> bytes:
    """Header lines that tell the client what was decided."""
    lines = (
        header_line("x-inhouse-route", route)
        + header_line("x-inhouse-variant", candidate.variant)
        + header_line("x-inhouse-endpoint", candidate.endpoint_id)
    )
    return lines + b"x-inhouse-simulated: true\r\n" if endpoint.is_simulated else lines


def _check_route(route: Route) -> None:
    names = {variant.name for variant in route.variants}
    for name in (route.default, *route.fallback, *(rule.use for rule in route.rules)):
        if name not in names:
            raise BadSnapshotError(f"route {route.name} names the variant {name}, which it does not have")


def _parse_base_url(replica: Replica) -> None:
    try:
        parse_target(replica.base_url)
    except ValueError as error:
        raise BadSnapshotError(f"replica {replica.replica_id}: {error}") from None


def _decide_capture(route: Route, snapshot: Snapshot) -> tuple[CaptureMode, float]:
    """The spool is a sink like any other: content is kept here only where its data class may be on own machines."""
    if not snapshot.egress.check(OWN_PROCESSOR, route.data_class).is_allowed:
        return CaptureMode.NONE, 0.0
    return route.capture, 1.0 if route.capture is CaptureMode.FULL else route.capture_share
