"""The snapshot compiler: what stands in a snapshot, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from inhouse.backends.settings import ProviderSettings
from inhouse.control import CompileInputs, DesiredState, compile_snapshot, find_misfits
from inhouse.control.compile import is_same_content, recall_replicas
from inhouse.domain import (
    AuthScheme,
    Dialect,
    EndpointKind,
    EngineKind,
    FallbackCause,
    Network,
    Operation,
    Replica,
    ReplicaState,
    Rule,
    digest_variant,
)
from inhouse.routing.settings import RouteSettings
from inhouse.serving.settings import DeploymentSettings, EngineName
from inhouse.store import ReplicaRow

NOW = 1_795_392_000.0
A = "sha256:" + "a" * 64
B = "sha256:" + "b" * 64

Rows = Callable[..., ReplicaRow]


@pytest.fixture
def inputs(desired: DesiredState) -> CompileInputs:
    parts: dict[str, Any] = {name: getattr(desired, name) for name in desired.__dataclass_fields__}
    return CompileInputs(**parts, replicas=(), version=7, now=NOW)


def test_a_deployment_becomes_an_own_endpoint_with_its_replicas(inputs: CompileInputs, make_row: Rows) -> None:
    starting = make_row("clerk-1", state=ReplicaState.STARTING, digest=None, base_url="http://127.0.0.1:4101/v1/")
    clerk = compile_snapshot(replace(inputs, replicas=(starting, make_row()))).endpoints["clerk"]
    assert (clerk.kind, clerk.dialect, clerk.model) == (EndpointKind.OWN, Dialect.OPENAI, "clerk")
    assert (clerk.processor, clerk.credential, clerk.is_simulated) == ("own", None, False)
    assert clerk.digest == A
    assert clerk.replicas == (
        Replica(replica_id="clerk-0", base_url="http://127.0.0.1:4100/v1", state=ReplicaState.READY),
        Replica(replica_id="clerk-1", base_url="http://127.0.0.1:4101/v1", state=ReplicaState.STARTING),
    )


def test_an_external_deployment_is_asked_for_the_model_that_its_engine_knows(inputs: CompileInputs) -> None:
    external = DeploymentSettings(engine=EngineName.EXTERNAL, url="http://box:8000/v1", served_model="llama-70b")
    snapshot = compile_snapshot(replace(inputs, deployments={"clerk": external}))
    assert snapshot.endpoints["clerk"].model == "llama-70b"


def test_a_provider_model_becomes_an_endpoint_with_credential_and_declared_digest(
    inputs: CompileInputs, provider_of: Callable[..., ProviderSettings]
) -> None:
    paid = provider_of(base_url="https://api.example/v1/", api_key="sk-secret-value")
    endpoint = compile_snapshot(replace(inputs, providers={"paid": paid})).endpoints["paid/mid"]
    assert (endpoint.kind, endpoint.model, endpoint.processor) == (EndpointKind.PROVIDER, "mid", "paid")
    assert endpoint.credential == "provider:paid"
    assert endpoint.replicas == (Replica(replica_id="paid/mid", base_url="https://api.example/v1"),)
    assert endpoint.is_simulated is False
    assert endpoint.digest is not None
    assert endpoint.digest.startswith("sha256:")


def test_no_secret_reaches_a_snapshot(inputs: CompileInputs, provider_of: Callable[..., ProviderSettings]) -> None:
    paid = provider_of(base_url="https://api.example/v1", api_key="sk-secret-value")
    assert "sk-secret-value" not in repr(compile_snapshot(replace(inputs, providers={"paid": paid})))


REGIONS = {
    "eu": {"base_url": "https://eu.example/v1/", "api_key": "sk-of-eu"},
    "us": {"base_url": "https://us.example/v1"},
}


def test_each_region_is_a_replica_with_its_own_credential_where_it_has_keys(
    inputs: CompileInputs, provider_of: Callable[..., ProviderSettings]
) -> None:
    paid = provider_of(base_url="https://api.example/v1", api_key="sk-secret-value", regions=REGIONS)
    endpoint = compile_snapshot(replace(inputs, providers={"paid": paid})).endpoints["paid/mid"]

    assert endpoint.credential == "provider:paid"
    assert endpoint.replicas == (
        Replica(replica_id="paid/mid", base_url="https://api.example/v1"),
        Replica(replica_id="paid/mid@eu", base_url="https://eu.example/v1", credential="provider:paid@eu"),
        Replica(replica_id="paid/mid@us", base_url="https://us.example/v1"),
    )


def test_regions_alone_are_addresses_enough(
    inputs: CompileInputs, provider_of: Callable[..., ProviderSettings]
) -> None:
    endpoint = compile_snapshot(replace(inputs, providers={"paid": provider_of(regions=REGIONS)})).endpoints["paid/mid"]

    assert [replica.replica_id for replica in endpoint.replicas] == ["paid/mid@eu", "paid/mid@us"]
    assert endpoint.credential is None


@pytest.mark.parametrize(
    ("dialect", "auth", "operations"),
    [
        ("openai", AuthScheme.BEARER, {Operation.CHAT, Operation.COMPLETIONS, Operation.EMBEDDINGS}),
        (
            "azure_openai",
            AuthScheme.API_KEY,
            {Operation.CHAT, Operation.COMPLETIONS, Operation.EMBEDDINGS, Operation.RESPONSES},
        ),
        ("anthropic", AuthScheme.X_API_KEY, {Operation.MESSAGES, Operation.COUNT_TOKENS}),
    ],
)
def test_a_dialect_decides_how_the_key_is_shown_and_what_is_offered(
    inputs: CompileInputs,
    provider_of: Callable[..., ProviderSettings],
    dialect: str,
    auth: AuthScheme,
    operations: set[Operation],
) -> None:
    paid = provider_of(base_url="https://api.example", dialect=dialect)
    endpoint = compile_snapshot(replace(inputs, providers={"paid": paid})).endpoints["paid/mid"]

    assert (endpoint.auth, endpoint.operations, endpoint.api_version) == (auth, operations, None)


def test_what_the_file_says_wins_over_what_is_known_of_the_dialect(
    inputs: CompileInputs, provider_of: Callable[..., ProviderSettings]
) -> None:
    paid = provider_of(
        base_url="https://api.example",
        dialect="azure_openai",
        auth="bearer",
        api_version="2026-06-01",
        operations=["chat"],
    )
    hosted = provider_of(base_url="https://open.example/v1", engine="vllm")
    endpoints = compile_snapshot(
        replace(inputs, providers={"paid": paid, "hosted": hosted}, data_classes={"internal": frozenset({"own"})})
    ).endpoints

    azure = endpoints["paid/mid"]
    assert (azure.auth, azure.api_version, azure.operations) == (
        AuthScheme.BEARER,
        "2026-06-01",
        frozenset({Operation.CHAT}),
    )
    assert endpoints["hosted/mid"].engine is EngineKind.VLLM
    assert Operation.RESPONSES in endpoints["hosted/mid"].operations


@pytest.mark.parametrize(
    ("fields", "engine"),
    [
        ({"base_url": "https://api.openai.com/v1"}, EngineKind.OPENAI),
        ({"base_url": "https://eu.api.openai.com/v1"}, EngineKind.OPENAI),
        ({"base_url": "https://llm-proxy.example/v1", "engine": "openai"}, EngineKind.OPENAI),
        ({"base_url": "https://llm-proxy.example/v1"}, EngineKind.GENERIC),
        ({"base_url": "https://api.openai.com.example/v1"}, EngineKind.GENERIC),
        ({"base_url": "https://api.openai.com/v1", "engine": "vllm"}, EngineKind.VLLM),
        ({"base_url": "https://api.openai.com", "dialect": "azure_openai"}, EngineKind.GENERIC),
        (
            {"base_url": "https://api.openai.com/v1", "regions": {"x": {"base_url": "https://other.example/v1"}}},
            EngineKind.GENERIC,
        ),
        ({"simulated": {}}, EngineKind.GENERIC),
    ],
)
def test_openais_own_addresses_are_known(
    inputs: CompileInputs, provider_of: Callable[..., ProviderSettings], fields: dict[str, Any], engine: EngineKind
) -> None:
    endpoint = compile_snapshot(replace(inputs, providers={"paid": provider_of(**fields)})).endpoints["paid/mid"]

    assert endpoint.engine is engine


def test_a_network_is_carried_without_its_proxys_login(
    inputs: CompileInputs, provider_of: Callable[..., ProviderSettings]
) -> None:
    network = {"proxy": "http://me:s3cret@proxy:3128", "ca_file": "/ca.pem", "client_cert_file": "/cert.pem"}
    paid = provider_of(base_url="https://api.example", network=network)
    endpoint = compile_snapshot(replace(inputs, providers={"paid": paid})).endpoints["paid/mid"]

    assert endpoint.network == Network(
        proxy="http://proxy:3128", ca_file="/ca.pem", client_cert_file="/cert.pem", is_declared_private=False
    )
    direct = provider_of(base_url="https://api.example", network={"proxy": "none"})
    assert compile_snapshot(replace(inputs, providers={"paid": direct})).endpoints["paid/mid"].network.proxy == "none"


@pytest.mark.parametrize(
    ("changes", "is_private"),
    [
        ({"base_url": "https://api.example"}, False),
        ({"base_url": "https://inside.example", "network": {"private": True}}, True),
        ({"base_url": "http://localhost:4000/v1"}, True),
        ({"base_url": "http://192.168.1.4:4000/v1"}, True),
        ({"base_url": "http://192.168.1.4:4000/v1", "regions": REGIONS}, False),
        ({"simulated": {}}, True),
    ],
)
def test_private_is_what_says_so_itself_or_is_declared(
    inputs: CompileInputs,
    provider_of: Callable[..., ProviderSettings],
    changes: dict[str, Any],
    is_private: bool,
) -> None:
    """A public name is never private by itself: whoever answers for it could send requests inside."""
    endpoint = compile_snapshot(replace(inputs, providers={"paid": provider_of(**changes)})).endpoints["paid/mid"]

    assert endpoint.network.is_declared_private is is_private


def test_own_machines_are_private_by_nature_and_an_external_engine_has_a_key_and_ways_of_its_own(
    inputs: CompileInputs,
) -> None:
    box = DeploymentSettings.model_validate(
        {"url": "https://box:8000/v1", "server": "sglang", "api_key": "sk-box", "network": {"ca_file": "/ca.pem"}}
    )
    clerk = DeploymentSettings(model="clerk")
    snapshot = compile_snapshot(replace(inputs, deployments={"clerk": clerk, "box": box}))
    external, embedded = snapshot.endpoints["box"], snapshot.endpoints["clerk"]

    assert external.network == Network(ca_file="/ca.pem", is_declared_private=True)
    assert (external.engine, external.credential) == (EngineKind.SGLANG, "deployment:box")
    assert Operation.MESSAGES in external.operations
    assert embedded.network == Network(is_declared_private=True)
    assert (embedded.engine, embedded.credential) == (EngineKind.LLAMACPP, None)
    assert "sk-box" not in repr(snapshot)


def test_a_route_carries_what_else_falls_back_and_whether_answers_are_held(
    inputs: CompileInputs, route_of: Callable[..., RouteSettings]
) -> None:
    route = route_of(fallback_on=["refusal"], buffered=True)
    compiled = compile_snapshot(replace(inputs, routes={"support": route})).routes["support"]

    assert (compiled.fallback_on, compiled.is_buffered) == (frozenset({FallbackCause.REFUSAL}), True)
    plain = compile_snapshot(inputs).routes["support"]
    assert (plain.fallback_on, plain.is_buffered) == (frozenset(), False)


def test_a_provider_digest_covers_regions_and_version_and_is_otherwise_as_ever(
    inputs: CompileInputs, provider_of: Callable[..., ProviderSettings]
) -> None:
    """A new version of inhouse changes no digest: the plain one is written out."""

    def digest(**changes: Any) -> str | None:
        paid = provider_of(base_url="https://api.example/v1", **changes)
        return compile_snapshot(replace(inputs, providers={"paid": paid})).endpoints["paid/mid"].digest

    plain = digest()
    assert plain == "sha256:1b1e25984a1e2ebbde1abaf8e6306ec4294383fc8409afc939701db92292d3dd"
    assert digest(api_key="sk-x", auth="api_key", network={"private": True}, operations=["chat"]) == plain
    moved = {"eu": {"base_url": "https://eu2.example/v1"}}
    others = {digest(regions=REGIONS), digest(regions=moved), digest(dialect="anthropic", api_version="2026-01-01")}
    assert len(others | {plain}) == 4


def test_a_simulated_provider_is_flagged_and_found_where_up_started_it(inputs: CompileInputs) -> None:
    endpoint = compile_snapshot(inputs).endpoints["paid/mid"]
    assert endpoint.is_simulated is True
    assert endpoint.replicas[0].base_url == "http://127.0.0.1:4001/v1"


def test_a_simulated_providers_digest_survives_a_new_port_and_changes_with_its_behaviour(
    inputs: CompileInputs, provider_of: Callable[..., ProviderSettings]
) -> None:
    def digest(changed: CompileInputs) -> str | None:
        return compile_snapshot(changed).endpoints["paid/mid"].digest

    moved = replace(inputs, provider_urls={"paid": "http://127.0.0.1:5555/v1"})
    reseeded = replace(inputs, providers={"paid": provider_of(simulated={"seed": 8})})
    assert digest(moved) == digest(inputs)
    assert digest(reseeded) != digest(inputs)


def test_a_provider_digest_covers_the_pinned_model_and_its_address(
    inputs: CompileInputs, provider_of: Callable[..., ProviderSettings]
) -> None:
    addresses = [
        provider_of(base_url="https://one.example/v1"),
        provider_of(base_url="https://two.example/v1"),
        provider_of(base_url="https://one.example/v1", models={"mid": {"upstream_model": "mid-2026-09-01"}}),
    ]
    found = {
        compile_snapshot(replace(inputs, providers={"paid": paid})).endpoints["paid/mid"].digest for paid in addresses
    }
    assert len(found) == 3


def test_a_simulated_provider_without_an_address_yet_has_no_replica(inputs: CompileInputs) -> None:
    assert compile_snapshot(replace(inputs, provider_urls={})).endpoints["paid/mid"].replicas == ()


def test_a_route_keeps_its_order_rules_and_digests(inputs: CompileInputs, make_row: Rows) -> None:
    route = compile_snapshot(replace(inputs, replicas=(make_row(),))).routes["support"]
    assert [variant.name for variant in route.variants] == ["in-house", "api"]
    assert route.variant("in-house").digest == digest_variant(A).value
    assert (route.default, route.fallback, route.data_class) == ("in-house", ("api",), "internal")
    assert route.rules == (Rule(use="api", task="reasoning"),)


def test_a_variant_has_no_digest_before_a_replica_was_measured(inputs: CompileInputs) -> None:
    assert compile_snapshot(inputs).routes["support"].variant("in-house").digest is None


def test_header_rules_are_written_in_lower_case(inputs: CompileInputs, route_of: Callable[..., RouteSettings]) -> None:
    use = {"default": "in-house", "when": [{"header": {"X-Tier": "Gold"}, "use": "api"}]}
    snapshot = compile_snapshot(replace(inputs, routes={"support": route_of(use=use)}))
    assert snapshot.routes["support"].rules[0].header == ("x-tier", "Gold")


def test_sampled_capture_carries_its_share(inputs: CompileInputs, route_of: Callable[..., RouteSettings]) -> None:
    route = route_of(capture={"content": "sampled 2%"})
    compiled = compile_snapshot(replace(inputs, routes={"support": route})).routes["support"]
    assert (compiled.capture.value, compiled.capture_share) == ("sampled", 0.02)


def test_egress_classes_and_keys_are_carried(inputs: CompileInputs) -> None:
    snapshot = compile_snapshot(inputs)
    assert snapshot.egress.check("paid", "internal").is_allowed
    assert not snapshot.egress.check("other", "internal").is_allowed
    assert [key.key_id for key in snapshot.keys] == ["demo"]
    assert (snapshot.version, snapshot.created_at, snapshot.is_open) == (7, NOW, False)


def test_a_replica_of_another_digest_than_most_is_left_out_and_reported(inputs: CompileInputs, make_row: Rows) -> None:
    rows = (make_row("clerk-0", digest=B), make_row("clerk-1"), make_row("clerk-2"))
    clerk = compile_snapshot(replace(inputs, replicas=rows)).endpoints["clerk"]
    assert clerk.digest == A
    assert [replica.replica_id for replica in clerk.replicas] == ["clerk-1", "clerk-2"]
    (misfit,) = find_misfits(rows)
    assert str(misfit) == (
        "replica clerk-0 of clerk has digest bbbbbbbbbbbb, its deployment serves aaaaaaaaaaaa: it takes no traffic"
    )


def test_a_tie_goes_to_the_first_replica(make_row: Rows) -> None:
    (misfit,) = find_misfits([make_row("clerk-1", digest=B), make_row("clerk-0")])
    assert misfit.replica_id == "clerk-1"


def test_replicas_that_serve_outvote_those_that_are_down(make_row: Rows) -> None:
    down = [make_row(f"clerk-{number}", digest=B, state=ReplicaState.DOWN) for number in (0, 1)]
    assert [misfit.replica_id for misfit in find_misfits([*down, make_row("clerk-2")])] == ["clerk-0", "clerk-1"]


def test_a_ready_replica_without_a_digest_is_no_proof(make_row: Rows) -> None:
    (misfit,) = find_misfits([make_row("clerk-0"), make_row("clerk-1", digest=None)])
    assert "clerk-1 of clerk is ready without a digest" in str(misfit)


def test_deployments_do_not_vote_on_each_other(make_row: Rows) -> None:
    assert find_misfits([make_row(), make_row("other-0", deployment="other", digest=B)]) == []


def test_same_content_ignores_version_and_time(inputs: CompileInputs, make_row: Rows) -> None:
    snapshot = compile_snapshot(inputs)
    assert is_same_content(snapshot, compile_snapshot(replace(inputs, version=8, now=NOW + 1)))
    assert not is_same_content(snapshot, compile_snapshot(replace(inputs, replicas=(make_row(),))))
    assert not is_same_content(None, snapshot)


def test_recalled_replicas_compile_to_the_same_content(inputs: CompileInputs, make_row: Rows) -> None:
    snapshot = compile_snapshot(replace(inputs, replicas=(make_row(), make_row("clerk-1"))))
    assert is_same_content(snapshot, compile_snapshot(replace(inputs, replicas=recall_replicas(snapshot))))


def test_inputs_are_only_read(inputs: CompileInputs) -> None:
    before = repr(asdict(inputs))
    compile_snapshot(inputs)
    assert repr(asdict(inputs)) == before
