"""How endpoints are connected to, as a snapshot says it: addresses, names of credentials, network. Pure, no secrets."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from inhouse.backends.credentials import name_provider_credential
from inhouse.backends.denylist import is_plainly_private
from inhouse.backends.networks import build_network
from inhouse.backends.quirks import native_operations
from inhouse.backends.settings import ProviderSettings
from inhouse.domain import AuthScheme, Dialect, EngineKind, Network, Operation, Replica
from inhouse.serving.settings import DeploymentSettings

_OPENAI_HOST = "api.openai.com"
_AUTH = {
    Dialect.OPENAI: AuthScheme.BEARER,
    Dialect.AZURE_OPENAI: AuthScheme.API_KEY,
    Dialect.ANTHROPIC: AuthScheme.X_API_KEY,
}


def list_addresses(settings: ProviderSettings) -> dict[str | None, str]:
    """Region → base URL of a provider; its own `base_url` under None."""
    own = {} if settings.base_url is None else {None: settings.base_url}
    return own | {name: region.base_url for name, region in settings.regions.items()}


def build_provider_replicas(
    name: str, endpoint_id: str, settings: ProviderSettings, simulated_urls: Mapping[str, str]
) -> tuple[Replica, ...]:
    """One replica for each address of a provider; none for a simulated one that has not been started yet."""
    if settings.simulated is not None:
        url = simulated_urls.get(name)
        return () if url is None else (Replica(replica_id=endpoint_id, base_url=url.rstrip("/")),)
    return tuple(
        Replica(
            replica_id=endpoint_id if region is None else f"{endpoint_id}@{region}",
            base_url=url.rstrip("/"),
            credential=name_provider_credential(name, region) if _has_own_keys(settings, region) else None,
        )
        for region, url in list_addresses(settings).items()
    )


def build_provider_network(settings: ProviderSettings) -> Network:
    """A provider's network. One whose every address says itself that it is private needs no declaration beside it."""
    urls = list_addresses(settings).values()
    is_plain = bool(urls) and all(is_plainly_private(host_of(url)) for url in urls)
    return build_network(settings.network, is_private=settings.simulated is not None or is_plain)


def build_deployment_network(settings: DeploymentSettings) -> Network:
    """A deployment's network: own machines are private by nature."""
    return build_network(settings.network, is_private=True)


def choose_auth(settings: ProviderSettings) -> AuthScheme:
    """How a provider's key is shown: as the file says, else as the dialect wants."""
    return settings.auth or _AUTH[settings.dialect]


def choose_operations(settings: ProviderSettings) -> frozenset[Operation]:
    """What a provider offers natively: as the file says, else what is known of its dialect and engine."""
    return settings.operations or native_operations(settings.dialect, choose_provider_engine(settings))


def choose_provider_engine(settings: ProviderSettings) -> EngineKind:
    """Which server answers for a provider: as the file says, else OpenAI's own where every address is one of its."""
    hosts = [host_of(url) for url in list_addresses(settings).values()]
    is_openai = settings.dialect is Dialect.OPENAI and bool(hosts) and all(map(_is_openai, hosts))
    return EngineKind.OPENAI if settings.engine is EngineKind.GENERIC and is_openai else settings.engine


def choose_engine(settings: DeploymentSettings) -> EngineKind:
    """Which server answers for a deployment."""
    return EngineKind.LLAMACPP if settings.url is None else settings.server


def host_of(url: str) -> str:
    """The host of a base URL; empty where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_openai(host: str) -> bool:
    """Whether a host is OpenAI's API: the one address, or a region's (`eu.api.openai.com`)."""
    return host == _OPENAI_HOST or host.endswith(f".{_OPENAI_HOST}")


def _has_own_keys(settings: ProviderSettings, region: str | None) -> bool:
    return region is not None and bool(settings.regions[region].api_key)
