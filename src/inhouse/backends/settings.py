"""Settings of paid (or hosted-open) providers: address, key, models, prices of one's own contract."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from inhouse.domain.settings import Settings, Share, parse_share
from inhouse.domain.snapshot import Dialect, Modality


class ProviderPriceSettings(Settings):
    """The user's own rates for one provider model, in US dollars per million tokens. They win over the price book."""

    input_usd_per_mtok: Decimal = Field(ge=0)
    """Prompt tokens."""
    cache_read_usd_per_mtok: Decimal | None = Field(default=None, ge=0)
    """Cached prompt tokens; the input rate where not given."""
    output_usd_per_mtok: Decimal = Field(ge=0)
    """Completion tokens, reasoning included."""


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


class ProviderSettings(Settings):
    """A company's API."""

    dialect: Dialect = Dialect.OPENAI
    """Wire dialect of the API."""
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    """Root of the API, e.g. `https://host/v1`. Required unless `simulated` is set."""
    api_key: SecretStr | None = None
    """The key, given as `${VARIABLE}`."""
    discount: Share = Field(default=Decimal(0), ge=0, lt=1)
    """Contract discount on list prices as a share (`12%` or `0.12`)."""
    models: dict[str, ProviderModelSettings] = Field(min_length=1)
    """Models that routes may use."""
    simulated: SimulationSettings | None = None
    """Start a simulated provider in place of a real one (for demos and tests)."""
