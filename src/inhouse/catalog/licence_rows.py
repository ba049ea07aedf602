"""The dated rows about licences: conditions on whoever deploys a model, as data. Judging them is planning's work."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from inhouse.catalog.rows import Amount, DatedRow
from inhouse.domain.settings import Settings


class CompanyFact(StrEnum):
    """What licences ask about whoever deploys a model."""

    INTERNAL_USE = "internal_use"
    COMMERCIAL_USE = "commercial_use"
    OFFERS_MAAS = "offers_maas"
    AI_ASSISTANT_PRODUCT = "ai_assistant_product"
    DISTRIBUTES_WEIGHTS = "distributes_weights"
    TRAINS_ON_OUTPUTS = "trains_on_outputs"
    USES_MULTIMODAL = "uses_multimodal"
    MAU = "mau"
    MAU_AT_RELEASE = "mau_at_release_incl_affiliates"
    REVENUE_YEAR = "revenue_year_usd"
    REVENUE_MONTH = "revenue_month_usd"
    GROUP_REVENUE_YEAR = "group_revenue_year_usd"
    ARR = "arr_usd"
    EU_BASED = "eu_based"
    COUNTRY = "country"


YES_NO_FACTS = frozenset(
    {
        CompanyFact.INTERNAL_USE,
        CompanyFact.COMMERCIAL_USE,
        CompanyFact.OFFERS_MAAS,
        CompanyFact.AI_ASSISTANT_PRODUCT,
        CompanyFact.DISTRIBUTES_WEIGHTS,
        CompanyFact.TRAINS_ON_OUTPUTS,
        CompanyFact.USES_MULTIMODAL,
    }
)
"""Facts that are true or false."""
AMOUNT_FACTS = frozenset(
    {
        CompanyFact.MAU,
        CompanyFact.MAU_AT_RELEASE,
        CompanyFact.REVENUE_YEAR,
        CompanyFact.REVENUE_MONTH,
        CompanyFact.GROUP_REVENUE_YEAR,
        CompanyFact.ARR,
    }
)
"""Facts that are numbers."""


class Comparison(StrEnum):
    """How a number is held against a threshold."""

    MORE_THAN = ">"
    AT_LEAST = ">="
    LESS_THAN = "<"


class FactTest(Settings):
    """One question about the company: a yes-or-no fact (`is`), or a number against a threshold (`than`)."""

    fact: CompanyFact
    equals: bool | None = None
    """For a yes-or-no fact."""
    op: Comparison | None = None
    than: Amount | None = None
    """For a number: the threshold, in the fact's unit (users, US dollars)."""

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        is_yes_no = self.fact in YES_NO_FACTS and self.equals is not None and self.op is None and self.than is None
        is_amount = self.fact in AMOUNT_FACTS and self.equals is None and self.op is not None and self.than is not None
        if not (is_yes_no or is_amount):
            raise ValueError(f"{self.fact} is asked with {'`equals`' if self.fact in YES_NO_FACTS else '`op`, `than`'}")
        return self


class LicenceEffect(StrEnum):
    """What follows where a condition holds."""

    BLOCKED = "blocked"
    """The licence does not allow it."""
    NEED_LICENCE = "need_licence"
    """Only under a separate licence from the owner: blocked until there is one."""
    NEED_DISPLAY = "need_display"
    NEED_NOTICE = "need_notice"
    NEED_REGISTRATION = "need_registration"


class LicenceCondition(Settings):
    """Where every test holds, the effect follows."""

    when: tuple[FactTest, ...] = Field(min_length=1)
    effect: LicenceEffect
    words: str
    """What it means for the company, one sentence without its full stop."""


class Region(StrEnum):
    """Places that licences leave out."""

    EU = "EU"
    UK = "UK"
    KR = "KR"


class RegionScope(StrEnum):
    """What is left out there."""

    ALL = "all"
    MULTIMODAL = "multimodal"
    """Models that read more than text. Whether such a model may be used for text alone is not settled."""


class RegionExclusion(Settings):
    """A place in which the licence grants nothing, or nothing of one kind, to companies that are based there."""

    region: Region
    scope: RegionScope
    words: str


class DutyTrigger(StrEnum):
    """When a standing duty falls due."""

    ALWAYS = "always"
    OUTSIDE = "outside"
    """Where anybody outside the company uses it."""
    DISTRIBUTION = "distribution"
    """Where weights, or models made from them, are passed on."""
    DISTRIBUTION_OR_API = "distribution_or_api"
    """The same, and where the model is offered as an API."""
    TRAINED_MODEL = "trained_model"
    """Where another model is made from it or from its outputs, and passed on."""


class LicenceDuty(Settings):
    """Something to do for as long as the model is used."""

    kind: str
    """`licence_copy`, `notice_file`, `display`, `use_policy`, `flow_down`, `name_prefix`, `registration` …"""
    words: str
    """What is to be done, in the imperative, without its full stop."""
    trigger: DutyTrigger = DutyTrigger.ALWAYS


class Commercial(StrEnum):
    """Whether the licence lets a business use the model at all."""

    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"


class Confidence(StrEnum):
    """How the row was made."""

    PRIMARY = "primary"
    """From the licence's own text."""
    SECONDARY = "secondary"
    """From somebody's account of it."""
    MEMORY = "memory"
    """From general knowledge, not compared with a text on that day."""


class LicenceRow(DatedRow):
    """One licence, told in our own words. It is no legal advice, and no substitute for the text."""

    licence: str
    """Name in the catalog."""
    title: str
    commercial: Commercial
    confidence: Confidence
    conditions: tuple[LicenceCondition, ...] = ()
    is_internal_use_exempt: bool = False
    """The conditions do not hold for use within the company alone."""
    regions_excluded: tuple[RegionExclusion, ...] = ()
    outputs_must_not_train: bool = False
    """What the model writes must not improve other models."""
    duties: tuple[LicenceDuty, ...] = ()
    remarks: tuple[str, ...] = ()
    """What else to know: patents, when the rights end, terms that may change."""

    @property
    def key(self) -> tuple[str, ...]:
        """The licence's name."""
        return (self.licence,)

    @property
    def thresholds(self) -> tuple[tuple[CompanyFact, Decimal], ...]:
        """The numbers that its conditions turn on."""
        tests = [test for condition in self.conditions for test in condition.when]
        return tuple((test.fact, test.than) for test in tests if test.than is not None)
