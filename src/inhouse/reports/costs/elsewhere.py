"""What the same tokens would cost on another model: `PROVIDER/MODEL`, or open weights at their cheapest host."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from inhouse.catalog import PriceBook
from inhouse.domain import ConfigError, ServiceTier, UsageRow
from inhouse.planning import CostBreakdown
from inhouse.reports.costs.lines import CostLine
from inhouse.reports.pricing import Pricer

_HOSTED = "hosted:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Another model, at its price of one day."""

    asked: str
    """As the user wrote it."""
    provider: str
    model: str
    at: float
    """Unix seconds of the day whose price is taken."""

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"

    def price(self, line: CostLine, pricer: Pricer) -> CostBreakdown:
        """What a line's tokens would cost there: cached tokens as cached ones, by the line's tariff if it has a price.

        Unpriced where the line states no tokens, or a bucket has no price. Another tokenizer would count other tokens.
        """
        cost = self._price(line, pricer, line.tier)
        if cost.is_unpriced and line.tier is not ServiceTier.STANDARD:
            return self._price(line, pricer, ServiceTier.STANDARD)
        return cost

    def _price(self, line: CostLine, pricer: Pricer, tier: ServiceTier) -> CostBreakdown:
        row = UsageRow(
            source=line.source,
            started_at=int(self.at),
            provider=self.provider,
            model=self.model,
            tier=tier,
            num_requests=line.num_requests,
            usage=line.usage,
        )
        return pricer.price_row(row)


def find_elsewhere(asked: str, book: PriceBook, pricer: Pricer, day: date, at: float) -> Elsewhere:
    """The model that `PROVIDER/MODEL` or `hosted:OPEN-MODEL` names.

    Args:
        asked: by the user.
        book: knows where open weights are hosted.
        pricer: knows the user's own rates too.
        day: whose prices apply.
        at: Unix seconds of that day.

    Raises:
        ConfigError: it has another form, or no price is known on that day.
    """
    if asked.startswith(_HOSTED):
        open_model = asked.removeprefix(_HOSTED)
        rows = book.hosted_open(open_model, day)
        if not rows:
            known = sorted({row.open_model for row in book.token_prices if row.open_model})
            fix = f"choose from {', '.join(known)}." if known else "name PROVIDER/MODEL."
            raise ConfigError(f"--on {asked}: nobody is known to host {open_model!r} on {day}.", fix=fix)
        return Elsewhere(asked=asked, provider=rows[0].provider, model=rows[0].model, at=at)
    provider, slash, model = asked.partition("/")
    if not slash or not provider or not model:
        raise ConfigError(f"--on {asked!r} names no model.", fix="write PROVIDER/MODEL or hosted:OPEN-MODEL.")
    if pricer.find_price(provider, model, ServiceTier.STANDARD, at, 0) is None:
        models = sorted({row.model for row in book.token_prices if row.provider == provider})
        fix = f"choose from {', '.join(models)}." if models else f"providers are {', '.join(book.companies)}."
        raise ConfigError(f"--on {asked}: no price of it is known on {day}.", fix=fix)
    return Elsewhere(asked=asked, provider=provider, model=model, at=at)
