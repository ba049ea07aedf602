"""What a company says of itself, and what follows from it. A fact that is not stated is unknown, never assumed."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from inhouse.catalog import CompanyFact, Comparison, FactTest, Region
from inhouse.domain.settings import Settings

EU_COUNTRIES = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905 - legible
)
"""ISO 3166 codes of the members of the European Union (27, since 2020-02-01)."""
_COUNTRIES = {Region.UK: "GB", Region.KR: "KR"}


def _read_number(value: object) -> object:
    """`5e6` and `5_000_000` are numbers too, however a file's reader took them."""
    if isinstance(value, bool):
        raise ValueError("write a number")  # noqa: TRY004 - pydantic wants it
    return str(value).replace("_", "") if isinstance(value, float | str) else value


def _read_country(value: object) -> object:
    return (
        {"UK": "GB", "EL": "GR"}.get(value.strip().upper(), value.strip().upper()) if isinstance(value, str) else value
    )


Number = Annotated[Decimal, BeforeValidator(_read_number), Field(ge=0, allow_inf_nan=False)]
Country = Annotated[str, BeforeValidator(_read_country), Field(pattern=r"^[A-Z]{2}$")]


class CompanyFacts(Settings):
    """What licences of models ask about whoever deploys them. Everything may be left out: it is then not known."""

    internal_use: bool | None = None
    """Only the company's own people use it: nothing is offered to others, and no weights are passed on."""
    commercial_use: bool | None = None
    """It is used in or for a business; false for research and private use alone."""
    offers_maas: bool | None = None
    """Others may call the model as a service ("model as a service")."""
    ai_assistant_product: bool | None = None
    """The product is an AI work assistant that others use."""
    distributes_weights: bool | None = None
    """Weights, or models made from them, are passed on to others."""
    trains_on_outputs: bool | None = None
    """What the model writes is used to train or improve another model."""
    uses_multimodal: bool | None = None
    """The model is given images, audio or video."""
    mau: Number | None = None
    """People who use the company's products in a month."""
    mau_at_release_incl_affiliates: Number | None = None
    """The same on the day of the model's release, affiliates counted (Llama's question)."""
    revenue_year_usd: Number | None = None
    """The company's revenue in a year, in US dollars."""
    revenue_month_usd: Number | None = None
    """The company's revenue in a month, worldwide, in US dollars."""
    group_revenue_year_usd: Number | None = None
    """The whole group's revenue in a year, in US dollars."""
    arr_usd: Number | None = None
    """Recurring revenue in a year, in US dollars."""
    eu_based: bool | None = None
    """Its principal place of business is in the European Union."""
    country: Country | None = None
    """Country of its principal place of business, ISO 3166 with two letters (`DE`, `GB`, `KR`)."""

    @model_validator(mode="after")
    def _check_agreement(self) -> Self:
        for fact in ("offers_maas", "ai_assistant_product", "distributes_weights"):
            if self.internal_use and getattr(self, fact):
                raise ValueError(f"internal_use and {fact} contradict each other")
        if None not in (self.country, self.eu_based) and (self.country in EU_COUNTRIES) != self.eu_based:
            raise ValueError(f"eu_based does not agree with the country {self.country}")
        return self

    def read(self, fact: CompanyFact) -> bool | Decimal | str | None:
        """A fact as stated, or as it follows from the others; None where it is not known."""
        stated: bool | Decimal | str | None = getattr(self, fact.value)
        if stated is not None:
            return stated
        if fact is CompanyFact.EU_BASED and self.country is not None:
            return self.country in EU_COUNTRIES
        outward = (self.offers_maas, self.ai_assistant_product, self.distributes_weights)
        if fact is CompanyFact.INTERNAL_USE and any(outward):
            return False
        is_outward = fact in {
            CompanyFact.OFFERS_MAAS,
            CompanyFact.AI_ASSISTANT_PRODUCT,
            CompanyFact.DISTRIBUTES_WEIGHTS,
        }
        return False if is_outward and self.internal_use else None

    def is_true(self, fact: CompanyFact) -> bool | None:
        """A yes-or-no fact."""
        value = self.read(fact)
        return value if isinstance(value, bool) else None

    def passes(self, test: FactTest) -> bool | None:
        """Whether a licence's question is answered with yes; None where the fact is not known."""
        value = self.read(test.fact)
        if value is None:
            return None
        if test.op is None or test.than is None:
            return value == test.equals
        number = Decimal(str(value))
        if test.op is Comparison.MORE_THAN:
            return number > test.than
        return number >= test.than if test.op is Comparison.AT_LEAST else number < test.than

    def is_based_in(self, region: Region) -> bool | None:
        """Whether its principal place of business is there; None where it is not known."""
        is_in_eu = self.is_true(CompanyFact.EU_BASED)
        if region is Region.EU:
            return is_in_eu
        if self.country is not None:
            return self.country == _COUNTRIES[region]
        return False if is_in_eu else None


def all_true(values: tuple[bool | None, ...]) -> bool | None:
    """Kleene's "and": false where one is false, else unknown where one is unknown."""
    if False in values:
        return False
    return None if None in values else True


def any_true(values: tuple[bool | None, ...]) -> bool | None:
    """Kleene's "or": true where one is true, else unknown where one is unknown."""
    if True in values:
        return True
    return None if None in values else False
