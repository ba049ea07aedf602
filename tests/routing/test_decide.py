from __future__ import annotations

import pytest

from inhouse.domain import (
    DataClass,
    Dialect,
    EgressPolicy,
    Endpoint,
    EndpointKind,
    Modality,
    Replica,
    ReplicaState,
    RequestFacts,
    Route,
    Rule,
    Snapshot,
    Variant,
)
from inhouse.routing import decide_route

TEXT_IMAGE = frozenset({Modality.TEXT, Modality.IMAGE})


def endpoint(
    name: str,
    *,
    processor: str = "own",
    modalities: frozenset[Modality] = frozenset({Modality.TEXT}),
    state: ReplicaState = ReplicaState.READY,
) -> Endpoint:
    return Endpoint(
        endpoint_id=name,
        kind=EndpointKind.OWN if processor == "own" else EndpointKind.PROVIDER,
        dialect=Dialect.OPENAI,
        model=name,
        processor=processor,
        replicas=(Replica(replica_id=f"{name}-0", base_url="http://x/v1", state=state),),
        modalities=modalities,
    )


def snapshot(
    *endpoints: Endpoint,
    rules: tuple[Rule, ...] = (),
    fallback: tuple[str, ...] = (),
    processors: frozenset[str] = frozenset({"own", "acme"}),
    default: str = "own",
) -> Snapshot:
    variants = (
        Variant(name="own", endpoint_id="clerk", digest="sha256:own"),
        Variant(name="api", endpoint_id="acme/big"),
        Variant(name="eyes", endpoint_id="eyes"),
    )
    route = Route(
        name="chat", data_class="internal", variants=variants, default=default, rules=rules, fallback=fallback
    )
    return Snapshot(
        version=1,
        created_at=0.0,
        routes={"chat": route},
        endpoints={one.endpoint_id: one for one in endpoints},
        keys=(),
        egress=EgressPolicy((DataClass("internal", processors),)),
    )


CLERK = endpoint("clerk")
API = endpoint("acme/big", processor="acme", modalities=TEXT_IMAGE)
EYES = endpoint("eyes", modalities=TEXT_IMAGE)
BY_TASK = Rule(use="api", task="reasoning")
BY_IMAGE = Rule(use="eyes", modality=Modality.IMAGE)
BY_HEADER = Rule(use="eyes", header=("x-tier", "gold"))
BY_BOTH = Rule(use="api", task="reasoning", header=("x-tier", "gold"))


@pytest.mark.parametrize(
    ("rules", "facts", "variant", "reason"),
    [
        ((), RequestFacts(route="chat"), "own", "own: default"),
        ((BY_TASK,), RequestFacts(route="chat", task="reasoning"), "api", "api: rule task=reasoning"),
        ((BY_TASK,), RequestFacts(route="chat", task="other"), "own", "own: default"),
        ((BY_IMAGE,), RequestFacts(route="chat", modalities=TEXT_IMAGE), "eyes", "eyes: rule modality=image"),
        (
            (BY_HEADER,),
            RequestFacts(route="chat", headers=(("x-tier", "gold"),)),
            "eyes",
            "eyes: rule header x-tier=gold",
        ),
        ((BY_HEADER,), RequestFacts(route="chat", headers=(("x-tier", "tin"),)), "own", "own: default"),
        ((BY_BOTH,), RequestFacts(route="chat", task="reasoning"), "own", "own: default"),
        (
            (BY_BOTH,),
            RequestFacts(route="chat", task="reasoning", headers=(("x-tier", "gold"),)),
            "api",
            "api: rule task=reasoning, header x-tier=gold",
        ),
        ((BY_IMAGE, BY_TASK), RequestFacts(route="chat", task="reasoning"), "api", "api: rule task=reasoning"),
        ((Rule(use="api"),), RequestFacts(route="chat"), "own", "own: default"),
    ],
)
def test_the_first_rule_whose_every_condition_holds_picks_the_variant(
    rules: tuple[Rule, ...], facts: RequestFacts, variant: str, reason: str
) -> None:
    decision = decide_route(facts, snapshot(CLERK, API, EYES, rules=rules))
    assert decision.candidates[0].variant == variant
    assert decision.reasons == (reason,)


def test_fallbacks_follow_once_each_in_their_order_with_their_digests() -> None:
    decision = decide_route(RequestFacts(route="chat"), snapshot(CLERK, API, EYES, fallback=("eyes", "own", "api")))
    assert [(one.variant, one.endpoint_id, one.variant_digest) for one in decision.candidates] == [
        ("own", "clerk", "sha256:own"),
        ("eyes", "eyes", None),
        ("api", "acme/big", None),
    ]
    assert decision.route == "chat"


def test_the_egress_policy_stands_before_the_first_choice_and_before_fallbacks() -> None:
    own_only = frozenset({"own"})
    as_fallback = decide_route(RequestFacts(route="chat"), snapshot(CLERK, API, fallback=("api",), processors=own_only))
    assert [one.variant for one in as_fallback.candidates] == ["own"]
    assert as_fallback.reasons == ("own: default", "left out api: data class internal may not go to acme")
    as_default = decide_route(RequestFacts(route="chat"), snapshot(CLERK, API, default="api", processors=own_only))
    assert as_default.candidates == ()
    assert not as_default.is_capability_refusal


def test_an_endpoint_that_does_not_accept_images_is_left_out_and_the_cause_is_named() -> None:
    facts = RequestFacts(route="chat", modalities=TEXT_IMAGE)
    refused = decide_route(facts, snapshot(CLERK, API))
    assert refused.candidates == ()
    assert refused.is_capability_refusal
    assert refused.reasons[1] == "left out own: endpoint clerk does not accept image input"
    assert [one.variant for one in decide_route(facts, snapshot(CLERK, API, fallback=("api",))).candidates] == ["api"]


def test_a_refusal_for_capability_and_for_egress_is_not_the_clients_alone_to_mend() -> None:
    facts = RequestFacts(route="chat", modalities=TEXT_IMAGE)
    decision = decide_route(facts, snapshot(CLERK, API, fallback=("api",), processors=frozenset({"own"})))
    assert decision.candidates == ()
    assert not decision.is_capability_refusal


def test_endpoints_without_a_ready_replica_or_unknown_are_left_out() -> None:
    starting = endpoint("clerk", state=ReplicaState.STARTING)
    decision = decide_route(RequestFacts(route="chat"), snapshot(starting, fallback=("eyes",)))
    assert decision.candidates == ()
    assert decision.reasons == (
        "own: default",
        "left out own: endpoint clerk has no ready replica",
        "left out eyes: endpoint eyes is not in the snapshot",
    )


def test_a_pin_goes_to_its_endpoint_alone() -> None:
    facts = RequestFacts(route="anything", pinned_endpoint="acme/big")
    decision = decide_route(facts, snapshot(CLERK, API, fallback=("own",)))
    assert [(one.variant, one.endpoint_id) for one in decision.candidates] == [("", "acme/big")]
    assert decision.route == ""
    assert decision.reasons == ("pinned to acme/big",)


def test_a_pin_on_a_known_route_asks_the_egress_policy() -> None:
    facts = RequestFacts(route="chat", pinned_endpoint="acme/big")
    decision = decide_route(facts, snapshot(CLERK, API, processors=frozenset({"own"})))
    assert decision.candidates == ()
    assert decision.reasons[1] == "left out acme/big: data class internal may not go to acme"


def test_a_pin_to_an_endpoint_that_cannot_take_the_request_is_a_capability_refusal() -> None:
    facts = RequestFacts(route="x", pinned_endpoint="clerk", modalities=frozenset({Modality.AUDIO, Modality.FILE}))
    decision = decide_route(facts, snapshot(CLERK))
    assert decision.is_capability_refusal
    assert decision.reasons[1] == "left out clerk: endpoint clerk does not accept audio or file input"


def test_an_unknown_route_is_the_callers_mistake() -> None:
    with pytest.raises(KeyError):
        decide_route(RequestFacts(route="none"), snapshot(CLERK))
