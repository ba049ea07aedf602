"""Every reference that leads nowhere is found, with its place and its fix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from inhouse.backends.settings import ProviderSettings
from inhouse.control import DesiredState, ReferenceProblem, check_references, list_endpoint_ids
from inhouse.routing.settings import RouteSettings
from inhouse.serving.settings import DeploymentSettings, EngineName

Routes = Callable[..., RouteSettings]


def check(desired: DesiredState) -> list[ReferenceProblem]:
    return check_references(
        routes=desired.routes,
        deployments=desired.deployments,
        providers=desired.providers,
        data_classes=desired.data_classes,
        price_book=desired.price_book,
    )


def only(desired: DesiredState) -> ReferenceProblem:
    (problem,) = check(desired)
    return problem


def with_route(desired: DesiredState, route: RouteSettings) -> DesiredState:
    return replace(desired, routes={"support": route})


def test_a_sound_configuration_has_no_problem(desired: DesiredState) -> None:
    assert check(desired) == []


def test_an_unknown_endpoint_names_its_place_and_the_nearest_one(desired: DesiredState, route_of: Routes) -> None:
    variants = {"in-house": {"endpoint": "clerk"}, "api": {"endpoint": "paid/mif"}}
    problem = only(with_route(desired, route_of(variants=variants)))
    assert problem.path == "routes.support.variants.api.endpoint"
    assert problem.problem == "the endpoint 'paid/mif' is neither a deployment nor a PROVIDER/MODEL."
    assert problem.fix == "Did you mean 'paid/mid'?"
    assert not problem.is_warning


def test_a_name_like_no_other_gets_the_whole_list(desired: DesiredState, route_of: Routes) -> None:
    variants = {"in-house": {"endpoint": "clerk"}, "api": {"endpoint": "zzz"}}
    assert only(with_route(desired, route_of(variants=variants))).fix == "Use one of: clerk, paid/mid."


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"fallback": ["apj"]}, "routes.support.fallback[0]"),
        ({"use": {"default": "in-hous"}, "fallback": ["api", "in-house"]}, "routes.support.use.default"),
        (
            {"use": {"default": "in-house", "when": [{"task": "x", "use": "apj"}]}, "fallback": ["api"]},
            "routes.support.use.when[0].use",
        ),
    ],
)
def test_unknown_variants_are_found_wherever_they_are_named(
    desired: DesiredState, route_of: Routes, changes: dict[str, Any], path: str
) -> None:
    problem = only(with_route(desired, route_of(**changes)))
    assert problem.path == path
    assert problem.fix.startswith("Did you mean")


def test_keys_locate_names_that_have_dots(desired: DesiredState, route_of: Routes) -> None:
    problem = only(replace(desired, routes={"gpt-4.1": route_of(fallback=["apj"])}))
    assert problem.keys == ("routes", "gpt-4.1", "fallback", 0)


def test_an_undeclared_data_class_is_found(desired: DesiredState, route_of: Routes) -> None:
    problem = only(with_route(desired, route_of(data_class="internl")))
    assert (problem.path, problem.fix) == ("routes.support.data_class", "Did you mean 'internal'?")


def test_a_variant_that_the_data_class_forbids_is_an_error(desired: DesiredState) -> None:
    problem = only(replace(desired, data_classes={"internal": frozenset({"own"})}))
    assert problem.path == "routes.support.variants.api.endpoint"
    assert "data class 'internal' may not go to 'paid', so variant 'api' could never be used" in problem.problem
    assert not problem.is_warning


def test_an_unknown_processor_is_found(desired: DesiredState) -> None:
    problem = only(replace(desired, data_classes={"internal": frozenset({"own", "paid", "piad"})}))
    assert (problem.path, problem.fix) == ("data_classes.internal.processors", "Did you mean 'paid'?")


def test_a_provider_without_an_address_is_found(
    desired: DesiredState, provider_of: Callable[..., ProviderSettings]
) -> None:
    assert only(replace(desired, providers={"paid": provider_of()})).path == "providers.paid"


def test_a_provider_with_an_address_that_is_simulated_too_is_found(
    desired: DesiredState, provider_of: Callable[..., ProviderSettings]
) -> None:
    paid = provider_of(base_url="https://x", simulated={})
    assert only(replace(desired, providers={"paid": paid})).path == "providers.paid.simulated"


def test_an_external_deployment_without_an_address_is_found(desired: DesiredState) -> None:
    external = DeploymentSettings(model="clerk", engine=EngineName.EXTERNAL)
    assert only(replace(desired, deployments={"clerk": external})).path == "deployments.clerk.engine"


def test_a_slash_in_a_deployments_name_is_refused(desired: DesiredState) -> None:
    deployments = {**desired.deployments, "a/b": DeploymentSettings(model="clerk")}
    problem = only(replace(desired, deployments=deployments))
    assert (problem.path, problem.fix) == ("deployments.a/b", "Call it 'a-b'.")


def test_a_rule_that_every_request_matches_is_refused(desired: DesiredState, route_of: Routes) -> None:
    use = {"default": "in-house", "when": [{"use": "api"}]}
    assert only(with_route(desired, route_of(use=use))).path == "routes.support.use.when[0]"


def test_a_modality_rule_needs_a_model_that_accepts_it(desired: DesiredState, route_of: Routes) -> None:
    use = {"default": "in-house", "when": [{"modality": "image", "use": "api"}]}
    problem = only(with_route(desired, route_of(use=use)))
    assert problem.problem == "the rule sends image to 'paid/mid', which accepts only text."


def test_a_variant_that_takes_no_traffic_is_a_warning(desired: DesiredState, route_of: Routes) -> None:
    problem = only(with_route(desired, route_of(use={"default": "in-house"}, fallback=[])))
    assert (problem.path, problem.is_warning) == ("routes.support.variants.api", True)


def test_unpriced_endpoints_are_warnings_after_the_errors(desired: DesiredState, route_of: Routes) -> None:
    broken = replace(
        with_route(desired, route_of(fallback=["apj"])),
        deployments={"clerk": DeploymentSettings(model="w.gguf")},
        providers={"paid": ProviderSettings.model_validate({"base_url": "https://x", "models": {"mid": {}}})},
    )
    assert [(problem.path, problem.is_warning) for problem in check(broken)] == [
        ("routes.support.fallback[0]", False),
        ("deployments.clerk", True),
        ("providers.paid.models.mid", True),
    ]


def test_endpoint_ids_come_with_their_processor(desired: DesiredState) -> None:
    assert list_endpoint_ids(desired.deployments, desired.providers) == {"clerk": "own", "paid/mid": "paid"}
