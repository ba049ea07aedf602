"""What a machine that is paid for by the hour cost, and who used how much of it: usage, and the idle rest. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

_TOKENS_PER_MTOK = Decimal(1_000_000)
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserShare:
    """One user's part of a machine, in US dollars."""

    name: str
    usage_usd: Decimal
    """For the seconds that the machine was busy for it (usage-based)."""
    allocated_usd: Decimal
    """The same with its part of the idle time, in proportion (allocation-based)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What a deployment cost over a period: `used_usd` + `idle_usd` is `paid_usd`, to the last digit."""

    paid_usd: Decimal
    """Everything paid for its machines (allocation-based)."""
    used_usd: Decimal
    """The busy share of it (usage-based)."""
    shares: tuple[UserShare, ...]
    """Largest first; usage adds up to `used_usd`, allocated parts to `paid_usd` unless nobody used it."""
    num_tokens: int

    @property
    def idle_usd(self) -> Decimal:
        """What was paid while the machines stood idle.

        Negative where the usage charges more than was paid: then the engine's measured seconds per token are too many
        for the load that it has.
        """
        return self.paid_usd - self.used_usd

    @property
    def utilisation(self) -> Decimal | None:
        """The busy share; None where nothing was paid."""
        return self.used_usd / self.paid_usd if self.paid_usd else None

    @property
    def usage_usd_per_mtok(self) -> Decimal | None:
        """Usage-based dollars per million tokens; not to be compared with a provider's price. None: no tokens."""
        return self._per_mtok(self.used_usd)

    @property
    def allocation_usd_per_mtok(self) -> Decimal | None:
        """Allocation-based dollars per million tokens; comparable with a provider's price. None: no tokens."""
        return self._per_mtok(self.paid_usd)

    def _per_mtok(self, amount: Decimal) -> Decimal | None:
        return amount * _TOKENS_PER_MTOK / self.num_tokens if self.num_tokens else None


def pay_machines(usd_per_hour: Decimal, num_replicas: int, seconds: float) -> Decimal:
    """What machines cost that were up for some seconds, one for each replica.

    Raises:
        ValueError: a price, number or time is negative.
    """
    if usd_per_hour < 0 or num_replicas < 0 or seconds < 0:
        raise ValueError("price, number of replicas and time are zero or more")
    return usd_per_hour * num_replicas * Decimal(str(seconds)) / 3600


def allocate_machines(paid_usd: Decimal, usage_usd: Mapping[str, Decimal], num_tokens: int) -> Allocation:
    """Split what was paid by the seconds that the machines were busy, of which usage-based dollars are the measure.

    The idle part is spread over the users in proportion; what rounding leaves goes to the largest of them.

    Args:
        paid_usd: see `pay_machines`.
        usage_usd: usage-based dollars by user (route, key …).
        num_tokens: of all of them, prompt and answer.

    Raises:
        ValueError: an amount or number is negative.
    """
    if paid_usd < 0 or num_tokens < 0 or any(amount < 0 for amount in usage_usd.values()):
        raise ValueError("amounts and tokens are zero or more")
    used_usd = sum(usage_usd.values(), _ZERO)
    ordered = sorted(usage_usd.items(), key=lambda item: (-item[1], item[0]))
    parts = [paid_usd * amount / used_usd if used_usd else _ZERO for _, amount in ordered]
    if used_usd:
        parts[0] += paid_usd - sum(parts, _ZERO)
    shares = (
        UserShare(name=name, usage_usd=amount, allocated_usd=part)
        for (name, amount), part in zip(ordered, parts, strict=True)
    )
    return Allocation(paid_usd=paid_usd, used_usd=used_usd, shares=tuple(shares), num_tokens=num_tokens)
