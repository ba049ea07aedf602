"""The currency that amounts are shown in, at a rate that a person gave. Converts nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from inhouse.domain import format_usd

USD = "USD"


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency and what one US dollar is in it."""

    code: str = USD
    """Three letters, upper case."""
    usd_rate: Decimal = Decimal(1)
    """Units of it for one US dollar."""
    as_of: date | None = None
    """The day of the rate; None for dollars."""

    @property
    def is_usd(self) -> bool:
        """Whether amounts are shown as they are computed."""
        return self.code == USD

    def show(self, usd: Decimal | None) -> str:
        """An amount in US dollars for people, in this currency; `unpriced` where there is none."""
        if usd is None:
            return format_usd(usd)
        text = format_usd(abs(usd * self.usd_rate))
        sign = "-" if usd < 0 else ""
        return sign + text if self.is_usd else f"{sign}{self.code} {text.removeprefix('$')}"

    def to_usd(self, amount: Decimal, code: str) -> Decimal | None:
        """US dollars of an amount in dollars or in this currency; None where no rate for its currency was given."""
        if code == USD:
            return amount
        return amount / self.usd_rate if code == self.code else None

    def describe(self) -> str:
        """Rate and day in words; nothing for dollars."""
        return "" if self.is_usd else f"1 USD = {self.usd_rate} {self.code}, rate of {self.as_of}, given by you"


DOLLARS = Currency()
