"""Which variants may serve a request, in which order, and why. Pure: no clock, no state, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from inhouse.domain import (
    Candidate,
    Endpoint,
    Modality,
    ReplicaState,
    RequestFacts,
    Route,
    RouteDecision,
    Rule,
    Snapshot,
)


class _Bar(Enum):
    """Why a hard filter leaves a candidate out."""

    EGRESS = "egress"
    MODALITY = "modality"
    READINESS = "readiness"
    UNKNOWN = "unknown"


def decide_route(facts: RequestFacts, snapshot: Snapshot) -> RouteDecision:
    """Order the candidates of a request: pinned endpoint, or rule (else default), then fallbacks.

    Hard filters stand before every candidate, fallbacks included: the egress policy, the modalities that the endpoint
    accepts, and a ready replica. Each candidate left out leaves a reason in words.

    Raises:
        KeyError: the request is not pinned and `facts.route` is not a route of the snapshot.
    """
    if facts.pinned_endpoint is not None:
        return _decide_pinned(facts, facts.pinned_endpoint, snapshot)
    route = snapshot.routes[facts.route]
    first, why = _choose_variant(facts, route)
    reasons = [why]
    candidates: list[Candidate] = []
    bars: list[_Bar] = []
    for name in dict.fromkeys((first, *route.fallback)):
        variant = route.variant(name)
        barred = _find_bar(facts, route.data_class, variant.endpoint_id, snapshot)
        if barred is not None:
            bar, reason = barred
            bars.append(bar)
            reasons.append(f"left out {name}: {reason}")
            continue
        candidates.append(Candidate(variant=name, variant_digest=variant.digest, endpoint_id=variant.endpoint_id))
    return RouteDecision(
        route=route.name,
        candidates=tuple(candidates),
        reasons=tuple(reasons),
        is_capability_refusal=not candidates and set(bars) == {_Bar.MODALITY},
    )


def _decide_pinned(facts: RequestFacts, endpoint_id: str, snapshot: Snapshot) -> RouteDecision:
    """One candidate or none. The egress policy is asked where `model` names a route, whose data class is then known."""
    route = snapshot.routes.get(facts.route)
    barred = _find_bar(facts, None if route is None else route.data_class, endpoint_id, snapshot)
    if barred is not None:
        bar, reason = barred
        return RouteDecision(
            route="",
            candidates=(),
            reasons=(f"pinned to {endpoint_id}", f"left out {endpoint_id}: {reason}"),
            is_capability_refusal=bar is _Bar.MODALITY,
        )
    candidate = Candidate(variant="", variant_digest=None, endpoint_id=endpoint_id)
    return RouteDecision(route="", candidates=(candidate,), reasons=(f"pinned to {endpoint_id}",))


def _choose_variant(facts: RequestFacts, route: Route) -> tuple[str, str]:
    """The first rule whose every given condition holds, else the default, and why."""
    for rule in route.rules:
        conditions = tuple(_judge_conditions(facts, rule))
        if conditions and all(holds for holds, _ in conditions):
            return rule.use, f"{rule.use}: rule {', '.join(words for _, words in conditions)}"
    return route.default, f"{route.default}: default"


def _judge_conditions(facts: RequestFacts, rule: Rule) -> Iterator[tuple[bool, str]]:
    """Each given condition of a rule: whether it holds, and its words."""
    if rule.task is not None:
        yield facts.task == rule.task, f"task={rule.task}"
    if rule.modality is not None:
        yield rule.modality in facts.modalities, f"modality={rule.modality.value}"
    if rule.header is not None:
        name, value = rule.header
        yield rule.header in facts.headers, f"header {name}={value}"


def _find_bar(
    facts: RequestFacts, data_class: str | None, endpoint_id: str, snapshot: Snapshot
) -> tuple[_Bar, str] | None:
    """The first hard filter that leaves the endpoint out, with its words."""
    endpoint = snapshot.endpoints.get(endpoint_id)
    if endpoint is None:
        return _Bar.UNKNOWN, f"endpoint {endpoint_id} is not in the snapshot"
    if data_class is not None:
        verdict = snapshot.egress.check(endpoint.processor, data_class)
        if not verdict.is_allowed:
            return _Bar.EGRESS, verdict.reason
    refused = _list_refused(facts, endpoint)
    if refused:
        return _Bar.MODALITY, f"endpoint {endpoint_id} does not accept {' or '.join(refused)} input"
    if not any(replica.state is ReplicaState.READY for replica in endpoint.replicas):
        return _Bar.READINESS, f"endpoint {endpoint_id} has no ready replica"
    return None


def _list_refused(facts: RequestFacts, endpoint: Endpoint) -> list[str]:
    """Modalities of the request that the endpoint does not accept; text is accepted everywhere."""
    return sorted(modality.value for modality in facts.modalities - endpoint.modalities - {Modality.TEXT})
