"""The dated rows of the price book, validated. A row that was released is never edited: a change is a new row."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from inhouse.domain import ServiceTier
from inhouse.domain.settings import Settings

ANY_MODEL = "*"
"""In a simulated provider's row: every model of it."""


def _refuse_float(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError("write the number in quotes, so that it is read exactly")  # noqa: TRY004 - pydantic wants it
    return value


Amount = Annotated[Decimal, BeforeValidator(_refuse_float), Field(ge=0)]
"""A number of zero or more, read exactly."""


class DatedRow(Settings):
    """What every row says of itself.

    `source` is an https address, or says in words which assumption it is. `checked_on` is the day on which somebody
    (or a release script) compared the row with its source.
    """

    effective_from: date
    """First day on which the row holds; it holds until a later row of the same key begins."""
    effective_until: date | None = None
    """First day on which it no longer holds, where no later row says so."""
    checked_on: date
    source: str
    note: str = ""

    @model_validator(mode="after")
    def _check_row(self) -> Self:
        if "https://" not in self.source and "assumption" not in self.source.lower():
            raise ValueError("source must be an https address, or say that it is an assumption")
        if self.effective_until is not None and self.effective_until <= self.effective_from:
            raise ValueError("effective_until must be later than effective_from")
        if self.effective_from > self.checked_on and "announced" not in self.note.lower():
            raise ValueError("a row that begins after checked_on must say in its note who announced it")
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """What the row is about, without its dates."""
        raise NotImplementedError

    def is_in_force(self, at: date) -> bool:
        """Whether `at` lies within the row's own dates."""
        return self.effective_from <= at and (self.effective_until is None or at < self.effective_until)


class TokenPriceRow(DatedRow):
    """A provider's list price of one model under one tariff, in US dollars per million tokens.

    A price that depends on the prompt's length is several rows: the one with the largest `from_input_tokens` that the
    prompt reaches prices the whole request.
    """

    provider: str
    """Name of the provider as users write it under `providers`; `simulated` for the simulated one."""
    model: str
    """The provider's model name."""
    also: tuple[str, ...] = ()
    """Other names of the same model: dated snapshots, aliases."""
    input_usd_per_mtok: Amount
    cache_read_usd_per_mtok: Amount | None = None
    """Cached prompt tokens; the input rate where the provider states none."""
    cache_write_usd_per_mtok: Amount | None = None
    """Tokens written to the cache (shortest lifetime); the input rate where the provider states none."""
    cache_write_1h_usd_per_mtok: Amount | None = None
    """Tokens written to the cache for an hour; unpriced where the provider states none."""
    output_usd_per_mtok: Amount
    """Visible and reasoning tokens."""
    input_audio_usd_per_mtok: Amount | None = None
    """Audio tokens of the prompt; unpriced where the provider states none."""
    output_audio_usd_per_mtok: Amount | None = None
    """Audio tokens of the answer; unpriced where the provider states none."""
    tier: ServiceTier = ServiceTier.STANDARD
    """The tariff."""
    from_input_tokens: int = Field(default=0, ge=0)
    """Prompts of at least so many tokens, cached ones included."""
    open_model: str | None = None
    """The model of the catalog whose open weights are behind it."""
    is_simulated: bool = False

    @model_validator(mode="after")
    def _check_wildcard(self) -> Self:
        if self.model == ANY_MODEL and not self.is_simulated:
            raise ValueError("only a simulated row may stand for every model")
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """Provider and model, and where they are not the usual ones, tariff and length."""
        return (self.provider, self.model, *self._particulars)

    @property
    def price_id(self) -> str:
        """`provider/model@effective-date`, kept with every trace that was priced from the row.

        Another tariff than the standard one and a length follow: `…@2026-11-23+flex+272001`.
        """
        return "+".join((f"{self.provider}/{self.model}@{self.effective_from.isoformat()}", *self._particulars))

    @property
    def _particulars(self) -> tuple[str, ...]:
        tier = () if self.tier is ServiceTier.STANDARD else (self.tier.value,)
        return (*tier, str(self.from_input_tokens)) if self.from_input_tokens else tier


class MachineTerms(StrEnum):
    """How a machine is paid for."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"
    OWNED = "owned"
    """Hardware of one's own: purchase spread over its life, housing and power."""


class MachineRow(DatedRow):
    """What a machine costs per hour."""

    machine: str
    """Name that a deployment's `hardware.machine` refers to."""
    description: str
    gpu: str | None = None
    num_gpus: int = Field(default=0, ge=0)
    terms: MachineTerms = MachineTerms.ON_DEMAND
    usd_per_hour: Amount

    @model_validator(mode="after")
    def _check_gpus(self) -> Self:
        if (self.gpu is None) != (self.num_gpus == 0):
            raise ValueError("gpu and num_gpus must be given together")
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """The machine's name."""
        return (self.machine,)

    @property
    def price_id(self) -> str:
        """`machine:name@effective-date`."""
        return f"machine:{self.machine}@{self.effective_from.isoformat()}"


class RateBasis(StrEnum):
    """Whether a rate was measured or is taken on trust."""

    MEASURED = "measured"
    DECLARED = "declared"


class EngineRateRow(DatedRow):
    """How long a machine is busy for each token of a model."""

    model: str
    quantization: str | None = None
    """None: holds for every quantization of the model that has no row of its own."""
    machine: str
    seconds_per_input_token: Amount
    seconds_per_cached_token: Amount
    """Prompt tokens found in the engine's prefix cache."""
    seconds_per_output_token: Amount
    basis: RateBasis
    method: str
    """How it was measured, or who declared it: machine, engine, load, spread."""

    @property
    def key(self) -> tuple[str, ...]:
        """Model, quantization (empty for all) and machine."""
        return (self.model, self.quantization or "", self.machine)


class CapacityRow(DatedRow):
    """How fast one replica of a model is when it is saturated: seconds of the replica for each token.

    Solved from two or more measured saturated points by `seconds = a · input + b · output` (the two-point method).
    """

    model: str
    """Model of the catalog."""
    gpu: str
    """GPU of the catalog."""
    num_gpus: int = Field(ge=1)
    """GPUs of one replica."""
    engine: str
    """Engine and version, as measured."""
    precision: str
    """Format of the weights (`fp8`, `mxfp4`, `bf16` …)."""
    seconds_per_input_token: Amount
    seconds_per_output_token: Amount
    relative_error: Amount
    """P90 of the relative error of a prediction of this kind; the throughput's interval."""
    num_points: int = Field(ge=1)
    """Measured points that it was solved from."""
    basis: RateBasis
    method: str

    @property
    def key(self) -> tuple[str, ...]:
        """Model, GPU, how many, engine and precision."""
        return (self.model, self.gpu, str(self.num_gpus), self.engine, self.precision)
