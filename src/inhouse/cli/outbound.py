"""Settings of keys and networks made ready for the processes: key sources for those that call, masks for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr

from inhouse.backends.credentials import name_deployment_credential, name_provider_credential
from inhouse.backends.keysources import KeySource
from inhouse.backends.proxies import DIRECT, parse_proxy, split_login
from inhouse.backends.settings import KeySourceSettings, NetworkSettings, ProviderSettings
from inhouse.cli.config import InhouseFile
from inhouse.cli.yamlfile import KeyPath
from inhouse.gateway.settings import DataPortTlsSettings
from inhouse.serving.settings import DeploymentSettings

ApiKeySetting = SecretStr | KeySourceSettings | tuple[SecretStr | KeySourceSettings, ...] | None
"""`api_key` as the settings have it."""
SettingsT = TypeVar("SettingsT", bound=BaseModel)

_MASK = SecretStr("set")
"""In place of a key, where a process only needs to know that there is one. Shown as asterisks all the same."""
_TLS_FILES = ("cert_file", "key_file", "client_ca_file")
_NETWORK_FILES = ("ca_file", "client_cert_file", "client_key_file")


def list_key_settings(settings: InhouseFile) -> dict[KeyPath, tuple[str, ApiKeySetting]]:
    """Where each `api_key` of the file stands → the credential that it is, and its value."""
    found: dict[KeyPath, tuple[str, ApiKeySetting]] = {}
    for name, provider in settings.providers.items():
        found["providers", name, "api_key"] = name_provider_credential(name), provider.api_key
        for region, chosen in provider.regions.items():
            place = ("providers", name, "regions", region, "api_key")
            found[place] = name_provider_credential(name, region), chosen.api_key
    for name, deployment in settings.deployments.items():
        found["deployments", name, "api_key"] = name_deployment_credential(name), deployment.api_key
    return found


def build_credentials(settings: InhouseFile, folder: Path) -> dict[str, tuple[KeySource, ...]]:
    """Credential name → key sources, for the gateway: keys of endpoints, and logins of the proxies that the file names.

    Args:
        settings: the whole file.
        folder: what relative paths count from.
    """
    credentials = {name: build_key_sources(value, folder) for name, value in list_key_settings(settings).values()}
    networks = [provider.network for provider in settings.providers.values()]
    networks += [deployment.network for deployment in settings.deployments.values()]
    return {name: sources for name, sources in (credentials | _build_logins(networks)).items() if sources}


def build_probe_credentials(settings: InhouseFile, folder: Path) -> dict[str, tuple[KeySource, ...]]:
    """The part of them that the host agent needs to probe engines that somebody else runs."""
    deployments = settings.deployments
    keys = {
        name_deployment_credential(name): build_key_sources(one.api_key, folder) for name, one in deployments.items()
    }
    logins = _build_logins([deployment.network for deployment in deployments.values()])
    return {name: sources for name, sources in (keys | logins).items() if sources}


def build_key_sources(value: ApiKeySetting, folder: Path) -> tuple[KeySource, ...]:
    """The sources of one `api_key`, in its order; an empty literal (`${NAME:-}`) is none."""
    given = value if isinstance(value, tuple) else (value,)
    return tuple(_build_source(one, folder) for one in given if one)


def mask_provider(settings: ProviderSettings, folder: Path) -> ProviderSettings:
    """A provider for a process that makes no calls to it: no key, no command, no proxy's login; absolute paths."""
    regions = {
        name: region.model_copy(update={"api_key": _mask(region.api_key)}) for name, region in settings.regions.items()
    }
    changes = {"api_key": _mask(settings.api_key), "regions": regions}
    return settings.model_copy(update=changes | {"network": mask_network(settings.network, folder)})


def mask_deployment(settings: DeploymentSettings, folder: Path) -> DeploymentSettings:
    """The same for a deployment."""
    changes = {"api_key": _mask(settings.api_key), "network": mask_network(settings.network, folder)}
    return settings.model_copy(update=changes)


def mask_network(settings: NetworkSettings, folder: Path) -> NetworkSettings:
    """A network without its proxy's login, with absolute paths."""
    proxy = settings.proxy
    shown = proxy if proxy is None or proxy == DIRECT else split_login(proxy)[0]
    return resolve_files(settings, folder, _NETWORK_FILES).model_copy(update={"proxy": shown})


def resolve_tls(settings: DataPortTlsSettings, folder: Path) -> DataPortTlsSettings:
    """The data port's files with absolute paths."""
    return resolve_files(settings, folder, _TLS_FILES)


def resolve_files(settings: SettingsT, folder: Path, names: tuple[str, ...]) -> SettingsT:
    """Settings whose files count from the configuration file, with absolute paths."""
    given: Mapping[str, Any] = {name: getattr(settings, name) for name in names}
    return settings.model_copy(
        update={name: str(resolve_path(path, folder)) for name, path in given.items() if path is not None}
    )


def resolve_path(path: str, folder: Path) -> Path:
    """An absolute path; a relative one counts from `folder`."""
    return (folder / Path(path).expanduser()).absolute()


def _build_logins(networks: Iterable[NetworkSettings]) -> dict[str, tuple[KeySource, ...]]:
    logins: dict[str, tuple[KeySource, ...]] = {}
    for proxy in (network.proxy for network in networks):
        if proxy is not None and proxy != DIRECT:
            login = split_login(proxy)[1]
            if login is not None:
                logins[parse_proxy(proxy, "network.proxy").login_name] = (KeySource(literal=login),)
    return logins


def _build_source(value: SecretStr | KeySourceSettings, folder: Path) -> KeySource:
    if isinstance(value, SecretStr):
        return KeySource(literal=value.get_secret_value())
    if value.command is None:
        return KeySource(file=str(resolve_path(value.file or "", folder)))
    program, *arguments = value.command
    if "/" in program:
        program = str(resolve_path(program, folder))
    return KeySource(command=(program, *arguments), refresh_s=value.refresh_s)


def _mask(value: ApiKeySetting) -> SecretStr | None:
    return _MASK if build_key_sources(value, Path()) else None
