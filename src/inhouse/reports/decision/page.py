"""The decision page as values: every figure with its text, every sentence. HTML, terminal and JSON all show this one.

Money is kept as text with cents, other figures as floats of six digits; a figure that is not known has the value None
and a text that says so.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = 1
"""Of the JSON document; it grows with every change that takes something away or gives it another meaning."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: `value` for machines (money as text with cents, else a float), `text` for people."""

    value: str | float | None
    text: str

    @property
    def number(self) -> float:
        """The value to draw with.

        Raises:
            ValueError: it is not known.
        """
        if self.value is None:
            raise ValueError("a figure that is not known cannot be drawn")
        return float(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A quantity over the draws."""

    p10: Figure
    p50: Figure
    p90: Figure
    mean: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The answer."""

    family: str
    option: str
    option_name: str
    short: str
    sentence: str
    scope: str
    amounts: str
    basis: str
    changes: tuple[str, ...]
    """What would change it: the nearest flip, then that to or from self-hosting; one sentence where nothing can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRow:
    """One line of an option's cost."""

    line: str
    name: str
    usd: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionRow:
    """One option, dollars a month."""

    option: str
    family: str
    name: str
    is_chosen: bool
    is_choosable: bool
    reason_code: str | None
    reason: str | None
    """Why it may not be chosen."""
    has_figures: bool
    """False: what its figures are made of is not known, so none are shown."""
    is_twin: bool
    """The other form of an option that the page shows already: all of the traffic instead of a share, or a share."""
    total_usd: Spread | None
    saving_usd: Spread | None
    chance_cheapest: Figure
    chance_saves: Figure
    num_gpus: Spread | None
    utilisation: Spread | None
    lines: tuple[LineRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEvenView:
    """Where self-hosting begins to pay."""

    option_name: str
    spend_now: Figure
    spend_beside_stay: Figure
    spend_beside_best: Figure
    utilisation_now: Spread
    utilisation_beside_api: Spread
    utilisation_beside_hosted: Spread | None
    """None: no hosted-open price is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCaseRow:
    """One use case of the bill."""

    name: str
    labels: tuple[tuple[str, str], ...]
    models: tuple[str, ...]
    usd_per_month: Figure
    stated_usd_per_month: Figure
    share_of_bill: Figure
    requests_per_month: Figure
    input_tokens_per_request: Figure
    output_tokens_per_request: Figure
    cached_share: Figure
    peak_factor: Figure
    moved_saving_usd: Spread | None
    is_candidate: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillView:
    """The bill beside what was billed."""

    computed_usd: Figure
    stated_usd: Figure
    invoice_usd: Figure
    unexplained_share: Figure
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumptionView:
    """One assumption."""

    name: str
    label: str
    value: Figure
    low: Figure
    high: Figure
    unit: str
    period: str
    owner: str
    owner_text: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TornadoRow:
    """What one assumption does to the saving of self-hosting beside the best other option."""

    name: str
    label: str
    low_value: Figure
    high_value: Figure
    low_usd: Figure
    high_usd: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipRow:
    """Where one assumption alone changes the answer."""

    name: str
    label: str
    taken: str
    flips_at: Figure
    to_family: str | None
    to: str
    nearness: str
    distance: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingRow:
    """A saving at today's API."""

    saving: str
    name: str
    usd: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    """What is worth finding out, and what it takes."""

    name: str
    label: str
    usd_per_month: Figure
    usd_over_horizon: Figure
    usd: Figure
    hours: Figure
    how: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """The open model: what is known of it, its licence's answer and duties."""

    model: str
    facts: tuple[tuple[str, str], ...]
    licence: str
    answer: str
    answer_text: str
    duties: tuple[str, ...]
    missing_facts: tuple[str, ...]
    other_models: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRow:
    """Money that is spent whatever is decided."""

    what: str
    usd: Figure
    until: str | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """The trial, priced; figures are None where none can be."""

    advice: str
    is_advised: bool
    cost_usd: Spread | None
    gain_usd: Figure
    chance_go: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStepView:
    """What to do now."""

    step: str
    cap_usd: Figure
    cap: str
    stop: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """How the page was made."""

    command: str
    version: str
    made_on: str
    num_draws: int
    seed: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything that the page says, in its order."""

    schema: int
    title: str
    banners: tuple[str, ...]
    """Example figures, simulated traffic: to be shown before anything else."""
    headline: Headline
    options: tuple[OptionRow, ...]
    options_note: str
    break_even: BreakEvenView | None
    break_even_sentences: tuple[str, ...]
    use_cases: tuple[UseCaseRow, ...]
    bill: BillView
    assumptions: tuple[AssumptionView, ...]
    tornado: tuple[TornadoRow, ...]
    tornado_note: str
    flips: tuple[FlipRow, ...]
    self_host_flips: tuple[FlipRow, ...]
    num_never: int
    """Assumptions of which no searched value changes the answer."""
    savings: tuple[SavingRow, ...]
    coverage: tuple[tuple[str, str], ...]
    coverage_notes: tuple[str, ...]
    commitments: tuple[CommitmentRow, ...]
    findings: tuple[FindingRow, ...]
    findings_note: str
    gaps: tuple[str, ...]
    model: ModelView
    trial: TrialView
    next_step: NextStepView
    footer: Footer
