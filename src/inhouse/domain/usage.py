"""Token usage in disjoint buckets, and the price vector that a bucket count is multiplied with. No wire formats."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from msgspec import Struct


class UsageBasis(StrEnum):
    """Where a usage record comes from."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


class Usage(Struct, frozen=True, omit_defaults=True, gc=False):
    """Tokens of one request, each token in exactly one bucket; the sum is what the endpoint reported in total."""

    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output_visible: int = 0
    output_reasoning: int = 0
    cache_write_1h: int = 0
    """Tokens written to a cache that keeps them for an hour; `cache_write` holds those of the shortest lifetime."""
    input_audio: int = 0
    """Audio tokens of the prompt that no cache held."""
    output_audio: int = 0
    """Audio tokens of the answer."""

    @property
    def input_total(self) -> int:
        """Prompt tokens, cached ones and audio included."""
        return self.input_uncached + self.cache_read + self.cache_write + self.cache_write_1h + self.input_audio

    @property
    def output_total(self) -> int:
        """Completion tokens, reasoning and audio included."""
        return self.output_visible + self.output_reasoning + self.output_audio


USAGE_BUCKETS: tuple[str, ...] = Usage.__struct_fields__


class PriceVector(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """US dollars per token by bucket, and per request, compiled for the hot path.

    Floats on purpose: one request's cost is a sum of a few products, exact to 1e-15 relative. Totals over periods are
    summed as Decimal elsewhere. `price_id` names the dated price-book row that the vector was compiled from.

    A bucket whose rate is None has no price: a request with tokens in it is unpriced.
    """

    price_id: str
    input_uncached: float
    cache_read: float
    cache_write: float
    output_visible: float
    output_reasoning: float
    per_request: float = 0.0
    cache_write_1h: float | None = None
    input_audio: float | None = None
    output_audio: float | None = None
    longer: tuple[tuple[int, PriceVector], ...] = ()
    """(from how many prompt tokens on, the vector that prices the whole request then), ascending."""
    tiers: dict[str, PriceVector] | None = None
    """Vectors of the provider's other tariffs by `ServiceTier`; one that is not there is unpriced.

    None: the same price under every tariff, as of one's own rates and machines.
    """

    def price(self, usage: Usage) -> float | None:
        """Usage-based cost of one request in US dollars; None where it has tokens that have no price."""
        if self.longer and usage.input_total >= self.longer[0][0]:
            return self.reach(usage.input_total).price(usage)
        if usage.cache_write_1h or usage.input_audio or usage.output_audio:
            return self._price_rare(usage)
        return (
            usage.input_uncached * self.input_uncached
            + usage.cache_read * self.cache_read
            + usage.cache_write * self.cache_write
            + usage.output_visible * self.output_visible
            + usage.output_reasoning * self.output_reasoning
            + self.per_request
        )

    def select(self, usage: Usage, tier: str | None) -> PriceVector | None:
        """The vector that holds for a request of this size that ran under `tier`; None where that tariff has no price.

        Args:
            usage: the request's tokens.
            tier: the tariff that the reply names; None for the standard one.
        """
        vector = self if tier is None or self.tiers is None else self.tiers.get(tier)
        return None if vector is None else vector.reach(usage.input_total)

    def reach(self, num_input: int) -> PriceVector:
        """The vector of the largest threshold that a prompt of `num_input` tokens reaches."""
        found = self
        for threshold, vector in self.longer:
            if num_input < threshold:
                break
            found = vector
        return found

    def _price_rare(self, usage: Usage) -> float | None:
        """The cost of a request that has tokens of the rarer kinds, each by a rate of its own."""
        total = self.per_request
        for bucket in USAGE_BUCKETS:
            num_tokens, rate = getattr(usage, bucket), getattr(self, bucket)
            if num_tokens and rate is None:
                return None
            if num_tokens:
                total += num_tokens * rate
        return total


def format_usd(amount: float | Decimal | None) -> str:
    """Dollars for people: cents, below one cent two significant digits, `unpriced` where there is no price."""
    if amount is None:
        return "unpriced"
    value = Decimal(str(amount))
    if value == 0:
        return "$0"
    if abs(value) >= Decimal("0.01"):
        return f"${value:,.2f}"
    return f"${value:.{1 - value.adjusted()}f}"
