"""What a decision is asked with, before anything is looked up: typed figures and the traffic of a month. No wording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from inhouse.planning.economics import Owner, Terms

DAYS_PER_MONTH = 730 / 24
"""A month of 730 hours."""


@dataclass(frozen=True, slots=True)
class TypedRange:
    """Bounds of an assumption as the user gave them; all equal where one value was given."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuOrder:
    """GPUs of one's own, or how they would be paid for."""

    count: int
    gpu: str
    terms: Terms
    usd: Decimal | None = None
    """Committed in all; None: not stated."""
    until: date | None = None
    """First day on which the commitment has ended; None: not stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A month of traffic to paid APIs, 730 hours.

    Rates are what a token costs on average over all its models, less discounts: tokens times rates are the bill.
    """

    owner: Owner
    source: str
    usd_per_month: Decimal
    requests_per_month: float | None = None
    """None: not known; a reference request stands in."""
    input_tokens_per_request: float | None = None
    """Cached ones included."""
    is_request_nominal: bool = False
    """The source counts no requests: tokens per request are those of a nominal one, which changes no cost."""
    output_tokens_per_request: float | None = None
    cached_share: float | None = None
    rates_usd_per_mtok: tuple[Decimal, Decimal, Decimal] | None = None
    """(input that no cache held, input from the cache, output); None: not known."""
    peak_factor: float | None = None
    """One or more; None: only days are known, or nothing."""
    main_model: tuple[str, str] | None = None
    """(provider, model) that most of the money goes to; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Everything that the user said."""

    traffic: Traffic
    fte_share: float
    """Share of full-time engineers that self-hosting would take."""
    fte_usd_per_month: Decimal | None = None
    orders: tuple[GpuOrder, ...] = ()
    open_model: str = "gpt-oss-120b"
    is_open_model_typed: bool = False
    hosted_provider: str | None = None
    """None: any that hosts the open model."""
    is_own_only: bool = False
    """A mandate: content may go to own machines alone."""
    settings: Mapping[str, TypedRange] = field(default_factory=dict[str, TypedRange])
    """Typed assumptions by name; they win over everything else."""
