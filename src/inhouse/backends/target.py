"""The parts of an upstream address that a request and a connection need. Resolves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect (`host`, `port`, `is_tls`), and what to ask there (`path`, with the query, `host_header`)."""

    host: str
    port: int
    is_tls: bool
    path: str
    host_header: str

    @property
    def origin(self) -> tuple[str, int, bool]:
        """What a pooled connection is good for."""
        return (self.host, self.port, self.is_tls)


def parse_target(url: str) -> Target:
    """Split an http or https URL.

    Raises:
        ValueError: no http(s) URL with a host, or it carries user information, spaces or control characters.
    """
    if any(character <= " " or character == "\x7f" for character in url):
        raise ValueError("the URL holds spaces or control characters")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the URL must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL must not carry a user name or password")
    is_tls = parts.scheme == "https"
    default_port = 443 if is_tls else 80
    port = parts.port or default_port
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path or "/"
    return Target(
        host=parts.hostname,
        port=port,
        is_tls=is_tls,
        path=f"{path}?{parts.query}" if parts.query else path,
        host_header=name if port == default_port else f"{name}:{port}",
    )
