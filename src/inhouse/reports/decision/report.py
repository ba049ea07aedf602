"""Everything that the decision page says, as values: the decision and where its figures come from. No wording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from inhouse.catalog import LearnRow
from inhouse.planning.economics import Band, Decision


class Basis(StrEnum):
    """What the traffic is known from."""

    TYPED = "typed"
    IMPORTED = "imported"
    MEASURED = "measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the decision is about, and what it is not."""

    title: str
    basis: Basis
    first_day: date | None
    """First day of the traffic; None where only figures were typed."""
    last_day: date | None
    num_days: int | None
    sources: tuple[str, ...]
    """Files or stores that the traffic was read from, or the typed options."""
    is_example: bool
    """Example figures of inhouse's own: every page says so."""
    is_simulated: bool
    """Some of the traffic went to a simulated provider: every page says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseLine:
    """One use case of the bill, dearest first."""

    name: str
    labels: Mapping[str, str]
    """Route or project, key, task, template: what it was found by."""
    models: tuple[str, ...]
    usd_per_month: Decimal | None
    """By own rates or the price book, else as stated; None: unpriced."""
    stated_usd_per_month: Decimal | None
    """As the export states it; None where it states nothing."""
    share_of_bill: float | None
    requests_per_month: float | None
    input_tokens_per_request: float | None
    output_tokens_per_request: float | None
    cached_share: float | None
    peak_factor: float | None
    moved_saving_usd: Band | None
    """Dollars a month that moving its movable share to the chosen open weights saves, without people: its marginal
    worth. None where it cannot be said."""
    is_candidate: bool
    """The best one to begin with."""
    reasons: tuple[str, ...]
    """Codes: `largest_saving`, `one_template`, `short_prompts`, `steady`, `audio`, `batch`, `long_prompts`, `unpriced`,
    `small`, `mixed_templates` …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The bill from tokens and prices beside what was invoiced, for the same period."""

    computed_usd: Decimal | None
    stated_usd: Decimal | None
    """What the export says."""
    invoice_usd: Decimal | None
    """What the invoice says, where one was given."""
    num_unpriced_requests: int | None
    """Without any money, neither by a price nor as stated; None: some of these are not counted."""

    @property
    def unexplained_share(self) -> float | None:
        """(invoice or stated − computed) ÷ (invoice or stated); None where there is nothing to compare."""
        billed = self.invoice_usd if self.invoice_usd is not None else self.stated_usd
        if billed is None or billed == 0 or self.computed_usd is None:
            return None
        return float((billed - self.computed_usd) / billed)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenModelFacts:
    """What would be served instead, and on what."""

    model: str
    licence: str
    licence_answer: str
    """`allowed`, `allowed_with_duties`, `blocked` or `unknown`."""
    duties: tuple[str, ...]
    missing_facts: tuple[str, ...]
    hosted_provider: str | None
    """Whose hosted-open price counts; None: no price of it is known."""
    hosted_usd_per_mtok: tuple[Decimal, Decimal] | None
    """(input, output)."""
    gpu: str | None
    """None: nothing is known about its throughput on any GPU that was asked for."""
    gpus_per_replica: int | None
    engine: str | None
    precision: str | None
    requests_per_second: Band | None
    """Of one saturated replica with this mix."""
    capacity_basis: str | None
    """How the throughput is known, and what its interval is."""
    other_models: tuple[str, ...]
    """Open models of the catalog that could have been asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """Money that is spent whatever is decided."""

    what: str
    usd: Decimal | None
    """None: the amount was not stated (it changes no answer)."""
    until: date | None
    """First day on which it can be cancelled or has ended; None: not stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the traffic the figures stand on."""

    num_days: int | None
    num_requests: int | None
    unpriced_share: float | None
    """Of the requests, or of the tokens where not all requests are counted: those without any money."""
    unlabelled_share: float | None
    notes: tuple[str, ...]
    """Warnings of the import: duplicates, partial files, skipped rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionReport:
    """One decision page."""

    decision: Decision
    scope: Scope
    use_cases: tuple[UseCaseLine, ...]
    reconciliation: Reconciliation
    open_model: OpenModelFacts
    commitments: tuple[Commitment, ...]
    coverage: Coverage
    learn: Mapping[str, LearnRow]
    """By assumption: what finding out takes."""
    command: str
    """The command line that makes this page again."""
    made_on: date
    version: str
    """Of inhouse."""
