"""Checks of endpoints' addresses, proxies and keys, as far as the file alone shows. Pure: reads nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inhouse.backends.denylist import judge_address, read_literal
from inhouse.backends.proxies import DIRECT, BadProxyError, split_login
from inhouse.backends.settings import NetworkSettings, ProviderSettings
from inhouse.backends.target import parse_target
from inhouse.control.outbound import build_provider_network, host_of, list_addresses
from inhouse.control.problems import KeyPath, ReferenceProblem
from inhouse.domain import Dialect, EngineKind
from inhouse.serving.settings import DeploymentSettings, EngineName


def check_provider(name: str, provider: ProviderSettings) -> Iterator[ReferenceProblem]:
    """Everything about one provider's addresses."""
    place: KeyPath = ("providers", name)
    if provider.simulated is None and not list_addresses(provider):
        yield ReferenceProblem(
            place,
            f"provider {name!r} has no address.",
            "Add `base_url:`, or `regions:`, or `simulated: {}` to try things out.",
        )
    if provider.simulated is not None and list_addresses(provider):
        yield ReferenceProblem(
            (*place, "simulated"),
            f"provider {name!r} has an address and is simulated too, so that one of them would do nothing.",
            "Remove `simulated:` to call the address, or the address to simulate.",
        )
    yield from _check_network((*place, "network"), provider.network)
    if not _has_proxy_problem(provider.network):
        yield from _check_provider_addresses(place, provider)
    yield from _check_dialect(place, provider)
    yield from _warn_keyless_regions(place, provider)


def check_deployment(name: str, deployment: DeploymentSettings) -> Iterator[ReferenceProblem]:
    """Everything about one deployment's address."""
    place: KeyPath = ("deployments", name)
    if deployment.engine is EngineName.EXTERNAL and deployment.url is None:
        yield ReferenceProblem(
            (*place, "engine"),
            f"deployment {name!r} is external and has no address.",
            "Add `url:`, the engine's OpenAI-compatible address.",
        )
    if deployment.url is not None:
        yield from _check_address((*place, "url"), deployment.url, is_private=True)
        yield from _check_network((*place, "network"), deployment.network)
        return
    given: Mapping[str, bool] = {
        "api_key": bool(deployment.api_key),
        "network": deployment.network != NetworkSettings(),
        "server": deployment.server is not EngineKind.GENERIC,
    }
    for setting, is_given in given.items():
        if is_given:
            yield ReferenceProblem(
                (*place, setting),
                f"deployment {name!r} has no `url`, so that `{setting}` would do nothing.",
                f"Remove `{setting}:`, or add the `url:` of an engine that somebody else runs.",
            )


def _check_provider_addresses(place: KeyPath, provider: ProviderSettings) -> Iterator[ReferenceProblem]:
    is_private = build_provider_network(provider).is_declared_private
    for region, url in list_addresses(provider).items():
        keys = ("base_url",) if region is None else ("regions", region, "base_url")
        yield from _check_address((*place, *keys), url, is_private=is_private)


def _check_address(place: KeyPath, url: str, *, is_private: bool) -> Iterator[ReferenceProblem]:
    try:
        parse_target(url)
    except ValueError as error:
        yield ReferenceProblem(place, f"the address cannot be used: {error}.", "Give `https://host/v1` and its like.")
        return
    literal = read_literal(host_of(url))
    if literal is None:
        return
    reason = judge_address(literal, is_declared_private=is_private)
    if reason is not None:
        is_liftable = judge_address(literal, is_declared_private=True) is None
        yield ReferenceProblem(
            place,
            f"no connection may be made to this address: {reason}.",
            "Add `network: {private: true}` if all addresses of this provider are meant to be on your own network."
            if is_liftable
            else "Give an address that the gateway may connect to (docs/guides/networks.md lists those it never does).",
        )


def _check_network(place: KeyPath, network: NetworkSettings) -> Iterator[ReferenceProblem]:
    if network.client_key_file is not None and network.client_cert_file is None:
        yield ReferenceProblem(
            (*place, "client_key_file"),
            "there is a client's key without its certificate.",
            "Add `client_cert_file:`, or remove `client_key_file:`.",
        )
    if _has_proxy_problem(network):
        yield ReferenceProblem(
            (*place, "proxy"),
            "this is no address of a proxy.",
            "Give `http://host:port`, or `none` to connect directly.",
        )


def _has_proxy_problem(network: NetworkSettings) -> bool:
    if network.proxy is None or network.proxy == DIRECT:
        return False
    try:
        split_login(network.proxy)
    except BadProxyError:
        return True
    return False


def _check_dialect(place: KeyPath, provider: ProviderSettings) -> Iterator[ReferenceProblem]:
    if provider.api_version is not None and provider.dialect is Dialect.OPENAI:
        yield ReferenceProblem(
            (*place, "api_version"),
            "the dialect `openai` has no API version, so that `api_version` would do nothing.",
            "Remove it, or give `dialect: azure_openai` or `anthropic`.",
        )
    if provider.engine is not EngineKind.GENERIC and provider.dialect is not Dialect.OPENAI:
        yield ReferenceProblem(
            (*place, "engine"),
            f"only the dialect `openai` has different servers behind it, so that `engine` would do nothing at "
            f"`{provider.dialect.value}`.",
            "Remove `engine:`.",
        )


def _warn_keyless_regions(place: KeyPath, provider: ProviderSettings) -> Iterator[ReferenceProblem]:
    if provider.api_key or not any(region.api_key for region in provider.regions.values()):
        return
    for region in sorted(name for name, settings in provider.regions.items() if not settings.api_key):
        yield ReferenceProblem(
            (*place, "regions", region),
            f"region {region!r} has no key, while others have: it is called without one.",
            "Give it `api_key:`, or the provider, whose key a region without one uses.",
            is_warning=True,
        )
