"""Settings of paid (or hosted-open) providers: address, key, models, prices of one's own contract."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, SecretStr, Tag, model_validator

from inhouse.backends.target import parse_target
from inhouse.domain.settings import Settings, Share, parse_share
from inhouse.domain.snapshot import AuthScheme, Dialect, EngineKind, Modality, Operation


class ProviderPriceSettings(Settings):
    """The user's own rates for one provider model, in US dollars per million tokens. They win over the price book.

    They hold under every service tier and for prompts of every length.
    """

    input_usd_per_mtok: Decimal = Field(ge=0)
    """Prompt tokens."""
    cache_read_usd_per_mtok: Decimal | None = Field(default=None, ge=0)
    """Cached prompt tokens; the input rate where not given."""
    cache_write_usd_per_mtok: Decimal | None = Field(default=None, ge=0)
    """Prompt tokens written to the cache; the input rate where not given."""
    cache_write_1h_usd_per_mtok: Decimal | None = Field(default=None, ge=0)
    """Prompt tokens written to a cache that keeps them for an hour; a request with such is unpriced where not given."""
    output_usd_per_mtok: Decimal = Field(ge=0)
    """Completion tokens, reasoning included."""
    input_audio_usd_per_mtok: Decimal | None = Field(default=None, ge=0)
    """Audio tokens of the prompt; a request with such is unpriced where not given."""
    output_audio_usd_per_mtok: Decimal | None = Field(default=None, ge=0)
    """Audio tokens of the answer; a request with such is unpriced where not given."""
    usd_per_request: Decimal = Field(default=Decimal(0), ge=0)
    """US dollars for each request, whatever its tokens."""


class ProviderModelSettings(Settings):
    """One model of a provider, as routes may name it (`PROVIDER/NAME`)."""

    upstream_model: str | None = None
    """The model name sent to the provider, if it differs from the key."""
    modalities: frozenset[Modality] = frozenset({Modality.TEXT})
    """What the model accepts."""
    price: ProviderPriceSettings | None = None
    """Own rates; without them the price book is asked, and an unknown model is `unpriced`."""


class SimulationSettings(Settings):
    """How the simulated provider behaves. Every answer of it says that it is simulated."""

    seed: int = 7
    """Decides which requests it gets wrong and how long each takes."""
    error_rate: Annotated[float, BeforeValidator(parse_share)] = Field(default=0.02, ge=0, le=1)
    """Share of wrong answers."""
    first_token_ms_median: float = Field(default=180.0, gt=0)
    """Median of the log-normal time to first token."""
    first_token_sigma: float = Field(default=0.35, ge=0)
    """Sigma of its logarithm."""
    token_ms_mean: float = Field(default=8.0, ge=0)
    """Mean time per output token after the first (exponential gaps)."""


class KeySourceSettings(Settings):
    """Where a key is read from, when it does not stand in an environment variable. Exactly one of the two."""

    file: str | None = None
    """A file that holds the key alone; read again when it changes."""
    command: tuple[str, ...] | None = Field(default=None, min_length=1)
    """A program and its arguments that print the key (no shell), e.g. one that fetches an Entra token."""
    refresh_s: float = Field(default=300.0, ge=1)
    """With `command`: how often it is run again. A failing run keeps the last key."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.file is None) == (self.command is None):
            raise ValueError("give `file` or `command`, one of the two")
        return self


def _tag_key(value: object) -> str:
    """Which form of a key was meant, so that an error speaks of that one alone."""
    if isinstance(value, dict | KeySourceSettings):
        return "(source)"
    return "(list)" if isinstance(value, list | tuple) else "(key)"


KeySource = Annotated[
    Annotated[SecretStr, Tag("(key)")] | Annotated[KeySourceSettings, Tag("(source)")], Discriminator(_tag_key)
]
"""A key as `${VARIABLE}`, or where to read it."""
KeySources = Annotated[
    Annotated[SecretStr, Tag("(key)")]
    | Annotated[KeySourceSettings, Tag("(source)")]
    | Annotated[tuple[KeySource, ...], Tag("(list)")],
    Discriminator(_tag_key),
]
"""One key, or several that are used in turn."""


class NetworkSettings(Settings):
    """How connections to an API or engine are made. `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured too."""

    proxy: str | None = Field(default=None, pattern=r"^(http://|none$)")
    """`http://host:port` of a proxy that takes CONNECT; wins over the environment. `none`: direct."""
    ca_file: str | None = None
    """PEM bundle of the authorities to trust instead of the system's."""
    client_cert_file: str | None = None
    """PEM certificate to show (mTLS)."""
    client_key_file: str | None = None
    """Its private key; where not given, it stands in `client_cert_file`."""
    private: bool = False
    """The address is meant to be loopback or private. Without it, a provider's name that resolves there is refused."""


class RegionSettings(Settings):
    """One more address of a provider."""

    base_url: str = Field(pattern=r"^https?://")
    """Root of the API in this region."""
    api_key: KeySources | None = None
    """Its own key or keys; the provider's where not given."""


class ProviderSettings(Settings):
    """A company's API."""

    dialect: Dialect = Dialect.OPENAI
    """Wire dialect of the API."""
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    """Root of the API, e.g. `https://host/v1`. Required unless `simulated` or `regions` is set."""
    api_key: KeySources | None = None
    """The key, given as `${VARIABLE}`, `{file: PATH}` or `{command: […]}`; a list is used in turn."""
    regions: dict[str, RegionSettings] = Field(default_factory=dict[str, RegionSettings])
    """Several addresses of the same API by name; requests spread over them, and a failing one is left out."""
    auth: AuthScheme | None = None
    """How the key is shown; where not given, as the dialect wants (`bearer`, Azure: `api_key`, Anthropic:
    `x_api_key`)."""
    api_version: str | None = None
    """Azure's `api-version` (left out: the v1 API), or another `anthropic-version`."""
    engine: EngineKind = EngineKind.GENERIC
    """For an OpenAI-compatible API: the server behind it, where it is known. OpenAI's own addresses are known; behind
    another address (a proxy of yours) say `openai`."""
    operations: frozenset[Operation] | None = None
    """What it offers natively; where not given, what its dialect and engine are known to offer."""
    network: NetworkSettings = NetworkSettings()
    """Proxy, authorities, client certificate."""
    discount: Share = Field(default=Decimal(0), ge=0, lt=1)
    """Contract discount on list prices as a share (`12%` or `0.12`)."""
    price_book: str | None = None
    """The company whose list prices apply, as the price book names it (`openai`); where not given, the provider's name.
    For a second account of one company."""
    models: dict[str, ProviderModelSettings] = Field(min_length=1)
    """Models that routes may use."""
    simulated: SimulationSettings | None = None
    """Start a simulated provider in place of a real one (for demos and tests)."""


def _check_address(url: str) -> str:
    parse_target(url)
    return url


class ObserveSettings(Settings):
    """Observe mode: everything passes untouched to one API with the caller's own key, and becomes a trace."""

    base_url: Annotated[str, AfterValidator(_check_address)]
    """The API's address, with or without `/v1`: what clients had as their base URL."""
    provider: str | None = None
    """Whose list prices apply; where not given, the company that the address belongs to, if it is known."""
    network: NetworkSettings = NetworkSettings()
    """Proxy, authorities, client certificate."""
