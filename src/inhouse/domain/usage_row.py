"""What one hour (or day) of traffic used, wherever it is known from: our own traces or somebody's export."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from inhouse.domain.usage import Usage

HOUR_S = 3600
DAY_S = 86_400


class ServiceTier(StrEnum):
    """Which of a provider's tariffs a request ran under."""

    STANDARD = "standard"
    BATCH = "batch"
    FLEX = "flex"
    PRIORITY = "priority"


def read_service_tier(name: str | None) -> ServiceTier:
    """The tariff that a reply names; standard where it names none, or one that the price book does not know."""
    return next((tier for tier in ServiceTier if tier.value == name), ServiceTier.STANDARD)


class UsageRow(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Requests and tokens of one period with equal labels.

    None in a label is "not stated". Periods are UTC and aligned to their width.
    """

    source: str
    """`traces`, or the format that it was imported from (`openai-usage`, `csv` …)."""
    started_at: int
    """Unix seconds of the period's start."""
    width_s: int = HOUR_S
    """Length of the period: an hour, or a day where the source says no more."""
    provider: str | None = None
    """The company as the price book names it."""
    model: str | None = None
    """The provider's name of the model."""
    project: str | None = None
    """Project or workspace; the route, for traces."""
    key: str | None = None
    """Id or name of the API key; never the key."""
    task: str | None = None
    """Task type, tag or operation."""
    template: str | None = None
    """Name or fingerprint of the prompt template."""
    tier: ServiceTier = ServiceTier.STANDARD
    is_simulated: bool = False
    num_requests: int | None = None
    """None where the source does not count requests."""
    usage: Usage | None = None
    """None where no tokens are stated (a bill by amounts alone)."""
    stated_usd: Decimal | None = None
    """What the source says it cost; None where it says nothing. Not our own price."""
    num_unpriced: int = 0
    """Of traces: requests of these that have no cost."""
