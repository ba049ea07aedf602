"""The options of a decision and how they are called. No figures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """What a decision is between."""

    STAY = "stay"
    CHEAPER = "stay_cheaper"
    HOSTED_OPEN = "hosted_open"
    SELF_HOST = "self_host"


class Terms(StrEnum):
    """How the GPUs of a self-hosted option are paid for."""

    ON_DEMAND = "on_demand"
    RESERVED = "reserved"
    SPOT = "spot"
    OWNED = "owned"
    ORDERED = "ordered"
    """Already ordered or bought: their money is committed; more of them are taken on demand."""


@dataclass(frozen=True, slots=True, order=True)
class OptionId:
    """One option, written `stay`, `hosted_open/hybrid` or `self_host/spot/all`."""

    family: Family
    terms: Terms | None = None
    is_hybrid: bool = False
    """A share of the traffic moves and the rest stays at the API; else all of it moves."""

    @property
    def is_self_host(self) -> bool:
        """Whether it runs on GPUs of one's own."""
        return self.family is Family.SELF_HOST

    @property
    def moves(self) -> bool:
        """Whether traffic moves to open weights."""
        return self.family in {Family.HOSTED_OPEN, Family.SELF_HOST}

    def __str__(self) -> str:
        parts = [self.family.value] + ([self.terms.value] if self.terms else [])
        return "/".join([*parts, "hybrid" if self.is_hybrid else "all"] if self.moves else parts)


STAY = OptionId(Family.STAY)
CHEAPER = OptionId(Family.CHEAPER)


def list_options(terms: tuple[Terms, ...], *, has_hosted: bool = True) -> tuple[OptionId, ...]:
    """Every option; hosted-open (where it has a price), and self-hosted on each of the terms, also as hybrids."""
    moving = [OptionId(Family.HOSTED_OPEN, None, is_hybrid) for is_hybrid in (True, False) if has_hosted]
    moving += [OptionId(Family.SELF_HOST, item, is_hybrid) for item in terms for is_hybrid in (True, False)]
    return (STAY, CHEAPER, *moving)
