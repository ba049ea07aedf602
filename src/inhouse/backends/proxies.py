"""Which proxy a connection goes through: the setting, else the environment's variables. Pure; connects nothing."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlsplit

from inhouse.backends.denylist import is_plainly_private, read_literal
from inhouse.backends.target import Target
from inhouse.domain import InhouseError, Network

DIRECT = "none"
"""`network.proxy` of an endpoint that is connected to directly, whatever the environment says."""
_SETTING = "network.proxy"
_DEFAULT_PORT = 80


class BadProxyError(InhouseError):
    """The address of a proxy that cannot be used. Never shows the address, which may hold a password."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that is asked to CONNECT.

    Args:
        host: name or address.
        port: TCP port.
        login: `user:password`, where it wants one.
        source: the setting or variable that names it.
    """

    host: str
    port: int
    login: str | None = field(default=None, repr=False)
    source: str = _SETTING

    @property
    def place(self) -> str:
        """`host:port`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def login_name(self) -> str:
        """The credential under which the login of a proxy from the settings is held."""
        return f"proxy:{self.place}"

    @property
    def authorization(self) -> str | None:
        """Value of `proxy-authorization`."""
        return None if self.login is None else f"Basic {b64encode(self.login.encode()).decode()}"

    def with_login(self, login: str) -> Proxy:
        """The same proxy, asked as somebody: `login` as `split_login` gives it."""
        return replace(self, login=unquote(login))


@dataclass(frozen=True, slots=True)
class ProxyEnvironment:
    """What the environment says about proxies: variable and value for each scheme, and what is reached without."""

    https: tuple[str, str] | None = field(default=None, repr=False)
    http: tuple[str, str] | None = field(default=None, repr=False)
    exceptions: tuple[str, ...] = ()


def read_proxy_environment(environment: Mapping[str, str]) -> ProxyEnvironment:
    """`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`; of two spellings the lower-case one wins, as in curl."""
    every = _look_up(environment, "ALL_PROXY")
    exceptions = _look_up(environment, "NO_PROXY")
    words = exceptions[1].replace(",", " ").split() if exceptions else ()
    return ProxyEnvironment(
        https=_look_up(environment, "HTTPS_PROXY") or every,
        http=_look_up(environment, "HTTP_PROXY") or every,
        exceptions=tuple(word.lower() for word in words),
    )


def choose_proxy(target: Target, network: Network, environment: ProxyEnvironment) -> Proxy | None:
    """The proxy of a connection; None for a direct one.

    The setting wins. The environment's proxy is for the world outside: an endpoint declared private is reached without.

    Raises:
        BadProxyError: the address that applies is none of an HTTP proxy.
    """
    if network.proxy is not None:
        return None if network.proxy == DIRECT else parse_proxy(network.proxy, _SETTING)
    found = environment.https if target.is_tls else environment.http
    if found is None or network.is_declared_private or is_plainly_private(target.host):
        return None
    if is_excepted(target, environment.exceptions):
        return None
    return parse_proxy(found[1], found[0])


def parse_proxy(text: str, source: str) -> Proxy:
    """Read `http://user:password@host:port`; the scheme may be left out, as in curl.

    Raises:
        BadProxyError: another scheme, or no host.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadProxyError(f"{source} is no address of a proxy: give http://host:port") from None
    if parts.scheme != "http":
        words = f"{source} names a proxy of the kind {parts.scheme}://, which is not supported"
        raise BadProxyError(f"{words}: give an http:// proxy that takes CONNECT, or `network: {{proxy: none}}`")
    if not host:
        raise BadProxyError(f"{source} is no address of a proxy: give http://host:port")
    login = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(host, port or _DEFAULT_PORT, login, source)


def split_login(text: str) -> tuple[str, str | None]:
    """A proxy's address without its login, and the login: the one is shown, the other is a secret.

    The login is `user:password` in percent-encoding, so that it is printable like any other key.

    Raises:
        BadProxyError: as `parse_proxy`.
    """
    proxy = parse_proxy(text, _SETTING)
    return f"http://{proxy.place}", None if proxy.login is None else quote(proxy.login, safe=":")


def is_excepted(target: Target, exceptions: tuple[str, ...]) -> bool:
    """Whether `NO_PROXY` names a target: `*`, a name and all below it, an address, a range, each with a port or not."""
    return any(_names(word, target) for word in exceptions)


def _names(word: str, target: Target) -> bool:
    if word == "*":
        return True
    pattern, port = _split_port(word)
    if port is not None and port != target.port:
        return False
    host = target.host.rstrip(".").lower()
    literal = read_literal(host)
    if literal is not None:
        try:
            return literal in ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            return False
    suffix = pattern.removeprefix("*").strip(".")
    return bool(suffix) and (host == suffix or host.endswith(f".{suffix}"))


def _split_port(word: str) -> tuple[str, int | None]:
    """`host:8080` → host, 8080; `[::1]:8080` likewise; a bare IPv6 address or range has no port."""
    if word.startswith("["):
        address, _, rest = word[1:].partition("]")
        port = rest.removeprefix(":")
        return address, int(port) if port.isdigit() else None
    name, colon, port = word.rpartition(":")
    if colon and ":" not in name and port.isdigit():
        return name, int(port)
    return word, None


def _look_up(environment: Mapping[str, str], name: str) -> tuple[str, str] | None:
    for spelling in (name.lower(), name):
        value = environment.get(spelling, "").strip()
        if value:
            return spelling, value
    return None
