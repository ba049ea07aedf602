"""Settings of the data port: where it listens, what it refuses, how long it waits."""

from __future__ import annotations

from pydantic import Field

from inhouse.domain.settings import Settings


class TimeoutSettings(Settings):
    """Deadlines of one request, in seconds."""

    connect_s: float = Field(default=5.0, gt=0)
    """TCP (and TLS) connection to an endpoint."""
    first_token_s: float = Field(default=120.0, gt=0)
    """From sending the request to the reply's first body byte (a stream's first event)."""
    idle_s: float = Field(default=60.0, gt=0)
    """Between two reads of a reply under way."""
    total_s: float = Field(default=600.0, gt=0)
    """The whole request."""


class LimitSettings(Settings):
    """Sizes and times beyond which a client is refused."""

    max_header_bytes: int = Field(default=32_768, ge=1024)
    """Request line and headers together; more is answered 431."""
    max_body_bytes: int = Field(default=20_971_520, ge=1024)
    """Request body; more is answered 413. Twenty MiB admit a few images in base64."""
    header_timeout_s: float = Field(default=10.0, gt=0)
    """From a connection's (or request's) first byte to the end of its headers; slower is answered 408."""
    body_timeout_s: float = Field(default=60.0, gt=0)
    """From the end of the headers to the end of the body; slower is answered 408."""
    idle_timeout_s: float = Field(default=75.0, gt=0)
    """A kept-alive connection without a request is closed after this time."""
    max_connections: int = Field(default=10_000, ge=1)
    """Open client connections per worker; more are answered 503."""


class GatewaySettings(Settings):
    """The data port."""

    host: str = "127.0.0.1"
    """Address to listen on. Any other than loopback needs at least one key under `keys`."""
    port: int = Field(default=8080, ge=0, le=65_535)
    """Data port; 0 picks a free one."""
    workers: int = Field(default=1, ge=1, le=64)
    """Gateway processes that share the port (SO_REUSEPORT)."""
    drain_s: float = Field(default=30.0, ge=0)
    """After SIGTERM, how long requests under way may finish."""
    timeouts: TimeoutSettings = TimeoutSettings()
    """Deadlines."""
    limits: LimitSettings = LimitSettings()
    """What a client is refused for."""
