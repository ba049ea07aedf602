"""What `inhouse check` says about the files and commands behind keys, certificates and proxies. Runs no command."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from inhouse.backends.keysources import KeySource, UnreadableKeyError, parse_key, read_key_file
from inhouse.backends.proxies import BadProxyError, parse_proxy, read_proxy_environment
from inhouse.backends.settings import NetworkSettings
from inhouse.backends.tlsfiles import TlsFileError, make_client_context, make_server_context
from inhouse.cli.config import Configuration
from inhouse.cli.outbound import build_key_sources, list_key_settings, mask_network, resolve_path, resolve_tls
from inhouse.cli.yamlfile import KeyPath
from inhouse.domain import ConfigError, Network

_OTHERS = stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class OutboundFindings:
    """What must be mended, and what should be."""

    errors: tuple[ConfigError, ...]
    warnings: tuple[str, ...]


def check_outbound(configuration: Configuration, environment: Mapping[str, str] | None = None) -> OutboundFindings:
    """Look at every key source, PEM file and proxy that the file or the environment names.

    Args:
        configuration: whose references have been checked.
        environment: where `HTTPS_PROXY` and its kin stand; the process's own where not given.
    """
    settings = configuration.settings
    errors: list[ConfigError] = []
    warnings: list[str] = []
    for keys, (_, value) in list_key_settings(settings).items():
        sources = build_key_sources(value, configuration.folder)
        for index, source in enumerate(sources):
            place = (*keys, index) if isinstance(value, tuple) else keys
            errors += _check_source(configuration, place, source)
            if source.file is not None:
                warnings += _warn_open(configuration, place, Path(source.file), "key")
    networks: list[tuple[KeyPath, NetworkSettings]] = [
        (("providers", name), provider.network) for name, provider in settings.providers.items()
    ]
    networks += [(("deployments", name), deployment.network) for name, deployment in settings.deployments.items()]
    for keys, network in networks:
        errors += _check_network(configuration, (*keys, "network"), network)
        if network.client_key_file is not None:
            path = resolve_path(network.client_key_file, configuration.folder)
            warnings += _warn_open(configuration, (*keys, "network", "client_key_file"), path, "private key")
    errors += _check_data_port(configuration)
    if settings.gateway.tls is not None:
        path = resolve_path(settings.gateway.tls.key_file, configuration.folder)
        warnings += _warn_open(configuration, ("gateway", "tls", "key_file"), path, "private key")
    warnings += _warn_environment(os.environ if environment is None else environment)
    return OutboundFindings(tuple(errors), tuple(warnings))


def _check_source(configuration: Configuration, keys: KeyPath, source: KeySource) -> Iterator[ConfigError]:
    location = configuration.locate(keys)
    try:
        if source.literal is not None:
            parse_key(source.literal.encode())
        elif source.file is not None:
            read_key_file(source.file)
    except OSError as error:
        yield ConfigError(
            f"the key file {source.file} cannot be read ({error.strerror}).",
            fix="Give the path of a file that holds the key alone and that this user may read.",
            location=location,
        )
    except UnreadableKeyError as error:
        yield ConfigError(
            f"there is no key in {source.kind}: {error}.",
            fix="Give the key alone, on one line.",
            location=location,
        )
    if source.command is not None and shutil.which(source.command[0]) is None:
        yield ConfigError(
            f"there is no program {source.command[0]!r} to run.",
            fix="Give a program on the PATH, or its path (a relative one counts from the configuration file).",
            location=location,
        )


def _check_network(configuration: Configuration, keys: KeyPath, settings: NetworkSettings) -> Iterator[ConfigError]:
    resolved = mask_network(settings, configuration.folder)
    if resolved.ca_file is None and resolved.client_cert_file is None:
        return
    network = Network(
        ca_file=resolved.ca_file,
        client_cert_file=resolved.client_cert_file,
        client_key_file=resolved.client_key_file,
    )
    try:
        make_client_context(network)
    except TlsFileError as error:
        location = configuration.locate((*keys, error.setting))
        yield ConfigError(f"{error.problem}.", fix=error.fix, location=location)


def _check_data_port(configuration: Configuration) -> Iterator[ConfigError]:
    settings = configuration.settings.gateway.tls
    if settings is None:
        return
    try:
        make_server_context(resolve_tls(settings, configuration.folder))
    except TlsFileError as error:
        location = configuration.locate(("gateway", "tls", error.setting))
        yield ConfigError(f"{error.problem}.", fix=error.fix, location=location)


def _warn_open(configuration: Configuration, keys: KeyPath, path: Path, kind: str) -> Iterator[str]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # an error of its own says so
    if mode & _OTHERS:
        location = configuration.locate(keys)
        yield f"{location}: other users of this machine may read the {kind} in {path}. Run `chmod 600 {path}`."


def _warn_environment(environment: Mapping[str, str]) -> Iterator[str]:
    found = read_proxy_environment(environment)
    for name, value in dict(one for one in (found.https, found.http) if one is not None).items():
        try:
            parse_proxy(value, name)
        except BadProxyError as error:
            yield f"environment: {error}. Providers outside cannot be reached until then."
