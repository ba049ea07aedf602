"""One record of a usage export, flat: a request, or what the source itself had summed up. Tokens stand in buckets."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from inhouse.domain.usage_row import ServiceTier

PICO_PER_USD = 1_000_000_000_000
"""Money of records is counted in whole pico-dollars: exact for every price per token, and summed without rounding."""
_PICO_PER_USD = Decimal(PICO_PER_USD)
MOMENT_S = 0
"""Width of a record that is one request, at one moment."""


class UsageRecord(Struct, frozen=True, omit_defaults=True, gc=False):
    """What one record of a source says. None is "not stated", never zero.

    Flat and positional, because there are millions of them. The eight token buckets are disjoint, in the order of
    `USAGE_BUCKETS`; either all are stated or none is. Labels hold no secret: a reader puts a fingerprint in its place.
    """

    source: str
    """The format that it comes from (`openai-usage`, `csv` …)."""
    record_id: str
    """The same for the same record of a later export of this source."""
    started_at: int
    """Unix seconds: of the request, or of the period's start."""
    width_s: int
    """Length of the period in seconds; `MOMENT_S` for one request."""
    provider: str | None = None
    model: str | None = None
    project: str | None = None
    key: str | None = None
    task: str | None = None
    template: str | None = None
    tier: ServiceTier = ServiceTier.STANDARD
    num_requests: int | None = None
    input_uncached: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    output_visible: int | None = None
    output_reasoning: int | None = None
    cache_write_1h: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    stated_pico_usd: int | None = None
    """What the source says it cost, in pico-dollars."""

    @property
    def num_tokens(self) -> int | None:
        """Tokens of every bucket; None where none is stated."""
        if self.input_uncached is None:
            return None
        return sum(self.buckets)

    @property
    def buckets(self) -> tuple[int, ...]:
        """The eight token counts in the order of `USAGE_BUCKETS`; zeros where none is stated."""
        return (
            self.input_uncached or 0,
            self.cache_read or 0,
            self.cache_write or 0,
            self.output_visible or 0,
            self.output_reasoning or 0,
            self.cache_write_1h or 0,
            self.input_audio or 0,
            self.output_audio or 0,
        )


def to_pico_usd(amount: Decimal) -> int:
    """Whole pico-dollars, nearest.

    Sources that compute in binary floats state more digits than that; what is rounded off here is their noise.
    """
    return int((amount * _PICO_PER_USD).to_integral_value())


def from_pico_usd(amount: int) -> Decimal:
    """Dollars, exact."""
    return Decimal(amount).scaleb(-12)
