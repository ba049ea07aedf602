"""Settings of the data port: where it listens, what it refuses, how long it waits."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from inhouse.domain.settings import Period, Settings, Share


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
    max_headers: int = Field(default=100, ge=1)
    """Header lines of one request; more are answered 431."""
    max_body_bytes: int = Field(default=20_971_520, ge=1024)
    """Request body; more is answered 413. Twenty MiB admit a few images in base64."""
    header_timeout_s: float = Field(default=10.0, gt=0)
    """From a connection's (or request's) first byte to the end of its headers; slower is answered 408."""
    body_timeout_s: float = Field(default=60.0, gt=0)
    """From the end of the headers to the end of the body; slower is answered 408."""
    idle_timeout_s: float = Field(default=75.0, gt=0)
    """A kept-alive connection without a request is closed after this time, at the latest after twice as long."""
    max_connections: int = Field(default=10_000, ge=1)
    """Open client connections per worker; more are answered 503."""


class RetrySettings(Settings):
    """What happens before the first byte when an attempt fails."""

    max_attempts: int = Field(default=4, ge=1, le=20)
    """Attempts of one request over all candidates and replicas, the first one counted."""
    backoff_ms: float = Field(default=50.0, ge=0)
    """Upper end of the random wait before the first retry at the same endpoint; it doubles with each further one."""
    max_backoff_ms: float = Field(default=2000.0, ge=0)
    """Upper end that the doubling stops at."""
    max_retry_after_s: float = Field(default=5.0, ge=0)
    """A `retry-after` up to this is waited for where nothing else is left to try; a longer one goes to the client."""
    budget: Share = Field(default=Decimal("0.2"), ge=0, le=1)
    """Retries may be this share of the requests of the last ten seconds (ten are always allowed), so that a failing
    endpoint is not buried under retries."""


class EjectionSettings(Settings):
    """When a replica or a provider's address is left out because requests to it fail."""

    consecutive_failures: int = Field(default=5, ge=1)
    """Failures in a row (no answer, 5xx, cut replies, refused keys) that eject it."""
    base_s: float = Field(default=5.0, gt=0)
    """First ejection; it doubles with each that follows at once. Afterwards one single trial request decides."""
    max_s: float = Field(default=300.0, gt=0)
    """Longest ejection."""
    panic_share: Share = Field(default=Decimal("0.5"), ge=0, le=1)
    """Where more than this share of an endpoint's replicas is ejected, ejections are ignored: too many at once are
    more likely the network's or our own fault, and the rest would be overrun."""


class DataPortTlsSettings(Settings):
    """TLS on the data port; PEM files, read again when they change."""

    cert_file: str
    """Certificate chain."""
    key_file: str
    """Private key."""
    client_ca_file: str | None = None
    """With it, clients must show a certificate of this authority."""


class ResponseStoreSettings(Settings):
    """Responses that clients may come back to."""

    keep: Period
    """How long a response is kept, such as `12h` or `30d`; then it is gone. It is content, so this has no default."""


class GatewaySettings(Settings):
    """The data port."""

    host: str = "127.0.0.1"
    """Address to listen on. Any other than loopback needs at least one key under `keys`."""
    port: int = Field(default=8080, ge=0, le=65_535)
    """Data port; 0 picks a free one."""
    workers: int = Field(default=1, ge=1, le=64)
    """Gateway processes that share the port (SO_REUSEPORT); the kernel gives each connection to one of them. One for
    each core that requests may take is enough."""
    drain_s: float = Field(default=30.0, ge=0)
    """After SIGTERM, how long requests under way may finish."""
    timeouts: TimeoutSettings = TimeoutSettings()
    """Deadlines."""
    limits: LimitSettings = LimitSettings()
    """What a client is refused for."""
    retries: RetrySettings = RetrySettings()
    """Retries before the first byte."""
    ejection: EjectionSettings = EjectionSettings()
    """Passive ejection of failing replicas."""
    tls: DataPortTlsSettings | None = None
    """TLS on the data port; plain HTTP where not given."""
    signals: bool = True
    """Measure the free quality signals of every answer; they stand in its trace."""
    responses: ResponseStoreSettings | None = None
    """Keep Responses that were not asked with `store: false` in the store, for `previous_response_id` and
    `GET /v1/responses/ID`; nothing is kept where not given, nor on a route whose data class may not be on own
    machines."""
