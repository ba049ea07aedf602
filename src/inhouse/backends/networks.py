"""A network as the file has it → as a snapshot holds it. Pure; what it returns holds no secret."""

from __future__ import annotations

from inhouse.backends.proxies import DIRECT, split_login
from inhouse.backends.settings import NetworkSettings
from inhouse.domain import Network


def build_network(settings: NetworkSettings, *, is_private: bool) -> Network:
    """How connections are made. A proxy's login is no part of it: the gateway has it as a credential.

    Args:
        settings: with absolute paths.
        is_private: the address is private whether or not the settings say so.

    Raises:
        BadProxyError: the proxy's address is none (`inhouse check` finds it first).
    """
    proxy = settings.proxy
    return Network(
        proxy=proxy if proxy is None or proxy == DIRECT else split_login(proxy)[0],
        ca_file=settings.ca_file,
        client_cert_file=settings.client_cert_file,
        client_key_file=settings.client_key_file,
        is_declared_private=is_private or settings.private,
    )
