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


@pytest.mark.parametrize(
    ("changes", "problem", "fix"),
    [
        (
            {"price_book": "opnai"},
            "the price book knows no company 'opnai'.",
            "Use one of: {}; or remove it and give `price:` below the model.",
        ),
        (
            {"price_book": "simulated"},
            "the price book knows no company 'simulated'.",
            "Use one of: {}; or remove it and give `price:` below the model.",
        ),
        (
            {"price_book": "openai", "simulated": {}, "base_url": None},
            "provider 'paid' is simulated, and so is its price: `price_book` would do nothing.",
            "Remove `price_book:`, or give `price:` below the model.",
        ),
    ],
)
def test_a_price_book_that_prices_nothing_is_an_error(
    desired: DesiredState, changes: dict[str, Any], problem: str, fix: str
) -> None:
    paid = ProviderSettings.model_validate({"base_url": "https://x", "models": {"mid": {}}} | changes)
    wanted = replace(desired, providers={"paid": paid})
    found = next(one for one in check(wanted) if not one.is_warning)

    fix = fix.format(", ".join(desired.price_book.companies))
    assert (found.path, found.problem, found.fix) == ("providers.paid.price_book", problem, fix)


@pytest.mark.parametrize(
    ("model", "fix"),
    [
        ("gpt-4o-mini", "Give `price_book: openai` if its list prices apply, else `price: {RATES}`."),
        ("mid", "Give `price: {RATES}`."),
    ],
)
def test_an_unpriced_model_that_a_company_has_is_told_how_to_be_priced(
    desired: DesiredState, model: str, fix: str
) -> None:
    paid = ProviderSettings.model_validate({"base_url": "https://x", "models": {model: {}}})
    problems = check(replace(desired, routes={}, providers={"paid": paid}))

    rates = "input_usd_per_mtok: …, output_usd_per_mtok: …"
    assert [problem.fix for problem in problems if problem.is_warning] == [fix.replace("RATES", rates)]


def test_endpoint_ids_come_with_their_processor(desired: DesiredState) -> None:
    assert list_endpoint_ids(desired.deployments, desired.providers) == {"clerk": "own", "paid/mid": "paid"}


def provider_problems(desired: DesiredState, **changes: Any) -> list[tuple[str, str]]:
    price = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1}
    paid = ProviderSettings.model_validate({"models": {"mid": {"price": price}}} | changes)
    return [(problem.path, problem.problem) for problem in check(replace(desired, providers={"paid": paid}))]


def test_regions_are_address_enough(desired: DesiredState) -> None:
    assert provider_problems(desired, regions={"eu": {"base_url": "https://eu.example"}}) == []


def test_a_simulated_provider_with_regions_is_found(desired: DesiredState) -> None:
    ((path, _),) = provider_problems(desired, regions={"eu": {"base_url": "https://eu.example"}}, simulated={})
    assert path == "providers.paid.simulated"


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        (
            {"base_url": "http://169.254.169.254/v1", "network": {"private": True}},
            "providers.paid.base_url",
            "169.254.169.254 is a cloud's metadata address, which nothing may use.",
        ),
        (
            {"regions": {"a": {"base_url": "https://a.example"}, "b": {"base_url": "http://10.0.0.1"}}},
            "providers.paid.regions.b.base_url",
            "which only an endpoint declared private may use (`network: {private: true}`).",
        ),
        (
            {"base_url": "https://user:s3cret@api.example/v1"},
            "providers.paid.base_url",
            "the address cannot be used: the URL must not carry a user name or password.",
        ),
        (
            {"base_url": "https://api.example", "network": {"proxy": "http://me:s3cret@proxy:99999"}},
            "providers.paid.network.proxy",
            "this is no address of a proxy.",
        ),
        (
            {"base_url": "https://api.example", "network": {"client_key_file": "k.pem"}},
            "providers.paid.network.client_key_file",
            "there is a client's key without its certificate.",
        ),
        (
            {"base_url": "https://api.example", "api_version": "2026-01-01"},
            "providers.paid.api_version",
            "the dialect `openai` has no API version, so that `api_version` would do nothing.",
        ),
        (
            {"base_url": "https://api.example", "dialect": "anthropic", "engine": "vllm"},
            "providers.paid.engine",
            "so that `engine` would do nothing at `anthropic`.",
        ),
    ],
)
def test_addresses_and_networks_that_could_never_work_are_found(
    desired: DesiredState, changes: dict[str, Any], path: str, words: str
) -> None:
    ((found_path, found_words),) = provider_problems(desired, **changes)

    assert found_path == path
    assert found_words.endswith(words)


def test_a_provider_at_a_private_address_needs_no_declaration_beside_it(desired: DesiredState) -> None:
    """Who writes 127.0.0.1 means it; only a name that resolves there is suspicious."""
    assert provider_problems(desired, base_url="http://127.0.0.1:4000/v1") == []
    assert provider_problems(desired, base_url="http://localhost:4000/v1") == []


def test_a_region_without_a_key_among_those_that_have_one_is_a_warning(desired: DesiredState) -> None:
    regions = {"a": {"base_url": "https://a.example", "api_key": "sk-a"}, "b": {"base_url": "https://b.example"}}
    assert provider_problems(desired, regions=regions) == [
        ("providers.paid.regions.b", "region 'b' has no key, while others have: it is called without one.")
    ]
    assert provider_problems(desired, regions=regions, api_key="sk-all") == []


@pytest.mark.parametrize(
    ("settings", "setting"),
    [({"api_key": "sk-x"}, "api_key"), ({"network": {"private": True}}, "network"), ({"server": "vllm"}, "server")],
)
def test_settings_of_an_external_engine_need_its_address(
    desired: DesiredState, settings: dict[str, Any], setting: str
) -> None:
    clerk = DeploymentSettings.model_validate({"model": "clerk"} | settings)
    problem = only(replace(desired, deployments={"clerk": clerk}))

    assert problem.path == f"deployments.clerk.{setting}"
    assert problem.problem == f"deployment 'clerk' has no `url`, so that `{setting}` would do nothing."


def test_an_external_engines_address_is_judged_as_private(desired: DesiredState) -> None:
    box = {"url": "http://10.0.0.9:8000/v1", "model": "clerk", "hardware": {"usd_per_hour": 1}}
    assert check(replace(desired, deployments={"clerk": DeploymentSettings.model_validate(box)})) == []
    never = {**box, "url": "http://100.64.0.9:8000/v1"}
    problem = only(replace(desired, deployments={"clerk": DeploymentSettings.model_validate(never)}))
    assert problem.path == "deployments.clerk.url"
    assert "carrier's shared range" in problem.problem
