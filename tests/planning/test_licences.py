"""Licences as conditions on the company: known cases, and that what is decided stays decided."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.catalog import CompanyFact, Confidence, LicenceRow, ModelRow, Region, load_catalog
from inhouse.planning import CompanyFacts, LicenceState, LicenceVerdict, judge_licence, judge_model

CATALOG = load_catalog()
DAY = date(2026, 11, 28)
ALLOWED, DUTIES = LicenceState.ALLOWED, LicenceState.ALLOWED_WITH_DUTIES
BLOCKED, UNKNOWN = LicenceState.BLOCKED, LicenceState.UNKNOWN
RELEASE = "mau_at_release_incl_affiliates"


def get_model(name: str) -> ModelRow:
    row = CATALOG.model(name)
    assert row is not None
    return row


def get_licence(name: str) -> LicenceRow:
    row = CATALOG.licence(name, DAY)
    assert row is not None
    return row


def judge(name: str, **facts: object) -> LicenceVerdict:
    """By model, or by licence where no model has that name (as of a model that reads text alone)."""
    stated = CompanyFacts.model_validate(facts)
    model = CATALOG.model(name)
    return judge_model(model, CATALOG, stated, DAY) if model else judge_licence(get_licence(name), stated, DAY)


@pytest.mark.parametrize(
    ("name", "facts", "state", "missing"),
    [
        # permissive: nothing turns on the company
        ("gpt-oss-120b", {}, DUTIES, ""),
        ("qwen3-32b", {"mau": 2e9, "offers_maas": True, "country": "KR"}, DUTIES, ""),
        ("deepseek-r1", {}, DUTIES, ""),
        # Llama: 700 million users on the day of the release
        ("llama-3.3-70b", {}, UNKNOWN, "mau_at_release_incl_affiliates"),
        ("llama-3.3-70b", {"mau": 1e9}, UNKNOWN, "mau_at_release_incl_affiliates"),
        ("llama-3.3-70b", {RELEASE: 700e6}, DUTIES, ""),
        ("llama-3.3-70b", {RELEASE: "700000001"}, BLOCKED, ""),
        ("llama-3.3-70b", {RELEASE: 1e6, "country": "DE", "uses_multimodal": True}, DUTIES, ""),
        # Llama 4 and 3.2: multimodal models in the EU
        ("llama-4-scout", {RELEASE: 1e6}, UNKNOWN, "country uses_multimodal"),
        ("llama-4-scout", {RELEASE: 1e6, "eu_based": True, "uses_multimodal": True}, BLOCKED, ""),
        ("llama-4-scout", {"country": "FR", "uses_multimodal": True}, BLOCKED, ""),
        ("llama-4-scout", {RELEASE: 1e6, "country": "US", "uses_multimodal": True}, DUTIES, ""),
        ("llama-4-scout", {RELEASE: 1e6, "country": "US"}, DUTIES, ""),
        ("llama-4-scout", {RELEASE: 1e6, "country": "FR"}, UNKNOWN, "uses_multimodal"),
        ("llama-4-scout", {RELEASE: 1e6, "country": "FR", "uses_multimodal": False}, UNKNOWN, ""),
        ("llama-4-scout", {RELEASE: 1e6, "uses_multimodal": False}, UNKNOWN, "country"),
        ("llama-3.2-11b-vision", {"country": "ES", "uses_multimodal": True}, BLOCKED, ""),
        ("llama-3.2-3b", {RELEASE: 1e6, "country": "ES", "uses_multimodal": False}, DUTIES, ""),
        # Llama 2 and 3: outputs must not improve other models
        ("llama-2-70b", {RELEASE: 1e6}, UNKNOWN, "trains_on_outputs"),
        ("llama-2-70b", {"trains_on_outputs": True}, BLOCKED, ""),
        ("llama-3-8b", {RELEASE: 1e6, "trains_on_outputs": False}, DUTIES, ""),
        # a model made from another keeps its licence
        ("deepseek-r1-distill-llama-70b", {}, UNKNOWN, "mau_at_release_incl_affiliates"),
        ("deepseek-r1-distill-llama-70b", {RELEASE: 1e9}, BLOCKED, ""),
        ("deepseek-r1-distill-qwen-32b", {}, DUTIES, ""),
        # Qwen: 100 million users; research licence
        ("qwen2.5-72b", {}, UNKNOWN, "mau"),
        ("qwen2.5-72b", {"mau": 100e6}, DUTIES, ""),
        ("qwen2.5-72b", {"mau": 101e6}, BLOCKED, ""),
        ("qwen2.5-3b", {}, UNKNOWN, "commercial_use"),
        ("qwen2.5-3b", {"commercial_use": True}, BLOCKED, ""),
        ("qwen2.5-3b", {"commercial_use": False}, DUTIES, ""),
        # model as a service, assistants, and internal use, which is exempt
        ("qwen-community-1.0", {"offers_maas": True}, BLOCKED, ""),
        ("qwen-community-1.0", {"ai_assistant_product": True}, BLOCKED, ""),
        ("qwen-community-1.0", {"internal_use": True}, DUTIES, ""),
        ("qwen-community-1.0", {"internal_use": True, "mau": 1e9, "revenue_month_usd": 1e9}, DUTIES, ""),
        ("qwen-community-1.0", {"internal_use": False, "offers_maas": False, "mau": 1}, UNKNOWN,
         "ai_assistant_product revenue_month_usd"),
        ("kimi-k3", {"offers_maas": True, "group_revenue_year_usd": 21e6}, BLOCKED, ""),
        ("kimi-k3", {"offers_maas": True, "mau": 1, "revenue_month_usd": 1}, UNKNOWN, "group_revenue_year_usd"),
        ("kimi-k3", {"offers_maas": True, "group_revenue_year_usd": 2e7, "mau": 1, "revenue_month_usd": 1}, DUTIES, ""),
        ("kimi-k3", {"internal_use": True}, DUTIES, ""),
        ("glm-5.3", {"offers_maas": False}, DUTIES, ""),
        ("glm-5.3", {"internal_use": True}, DUTIES, ""),
        ("glm-5.3", {"offers_maas": True}, UNKNOWN, "group_revenue_year_usd"),
        ("glm-5.3", {"offers_maas": True, "group_revenue_year_usd": 11e9}, BLOCKED, ""),
        # names to show
        ("kimi-k2", {}, UNKNOWN, "mau revenue_month_usd"),
        ("kimi-k2", {"mau": 1e6, "revenue_month_usd": 1e6}, DUTIES, ""),
        ("kimi-k2", {"mau": 200e6, "revenue_month_usd": 1e6}, DUTIES, ""),
        ("minimax-m2.5", {"mau": 1e6, "arr_usd": 31e6}, DUTIES, ""),
        ("minimax-m3-community", {}, UNKNOWN, "revenue_year_usd"),
        ("minimax-m3-community", {"revenue_year_usd": 20e6}, BLOCKED, ""),
        ("minimax-m3-community", {"revenue_year_usd": 19e6}, DUTIES, ""),
        ("mistral-medium-3.5-modified-mit", {"revenue_month_usd": 21e6}, BLOCKED, ""),
        ("mistral-medium-3.5-modified-mit", {"revenue_month_usd": 20e6}, DUTIES, ""),
        ("stability-community", {"revenue_year_usd": 2e6}, BLOCKED, ""),
        ("stability-community", {"revenue_year_usd": 1e6}, DUTIES, ""),
        # Tencent: not in the EU, the UK, South Korea
        ("hunyuan-a13b", {"country": "GB"}, BLOCKED, ""),
        ("hunyuan-a13b", {"country": "KR"}, BLOCKED, ""),
        ("hunyuan-a13b", {"eu_based": True}, BLOCKED, ""),
        ("hunyuan-a13b", {"eu_based": False, "mau": 1, "trains_on_outputs": False}, UNKNOWN, "country"),
        ("hunyuan-a13b", {"country": "US", "mau": 1, "trains_on_outputs": False}, DUTIES, ""),
        ("hunyuan-a13b", {"country": "US", "mau": 200e6}, BLOCKED, ""),
        ("hunyuan-a13b", {"country": "US", "mau": 1, "trains_on_outputs": True}, BLOCKED, ""),
        # not for business
        ("command-r-08-2024", {"commercial_use": True}, BLOCKED, ""),
        ("mistral-large-2", {"commercial_use": True}, BLOCKED, ""),
        ("mistral-non-production", {}, UNKNOWN, "commercial_use"),
        # use restrictions that travel
        ("gemma-3-27b", {}, DUTIES, ""),
        ("deepseek-v3", {}, DUTIES, ""),
        ("openrail-m", {}, DUTIES, ""),
        ("nvidia-open-model", {}, DUTIES, ""),
        ("openmdw-1.0", {}, DUTIES, ""),
        # nobody has read it
        ("unknown", {"commercial_use": False, "country": "US", "internal_use": True}, UNKNOWN, ""),
    ],
)  # fmt: skip
def test_known_cases(name: str, facts: dict[str, object], state: LicenceState, missing: str) -> None:
    verdict = judge(name, **facts)
    assert (verdict.state, [fact.value for fact in verdict.missing]) == (state, missing.split())
    assert verdict.state.is_allowed == (state in {ALLOWED, DUTIES})
    assert bool(verdict.reasons) == (state in {BLOCKED, UNKNOWN})


def due_kinds(verdict: LicenceVerdict) -> set[str]:
    return {duty.kind for duty in verdict.duties if duty.is_due}


def test_gemmas_restrictions_flow_down_to_whoever_uses_the_api() -> None:
    assert "flow_down" in due_kinds(judge("gemma-3-27b", offers_maas=True))
    assert "flow_down" in due_kinds(judge("gemma-3-27b", distributes_weights=True))
    assert due_kinds(judge("gemma-3-27b", internal_use=True)) == {"use_policy"}
    unknown = {duty.kind for duty in judge("gemma-3-27b").duties if duty.is_due is None}
    assert unknown == {"flow_down", "licence_copy", "notice_file", "mark_changes"}


def test_llamas_name_is_shown_where_others_use_it_and_on_models_made_from_it() -> None:
    small = {RELEASE: 1}
    assert "display" in due_kinds(judge("llama-3.3-70b", internal_use=False, **small))
    assert "display" not in due_kinds(judge("llama-3.3-70b", internal_use=True, **small))
    passed_on = {"distributes_weights": True, **small}
    assert "name_prefix" in due_kinds(judge("llama-3.3-70b", trains_on_outputs=True, **passed_on))
    assert "name_prefix" not in due_kinds(judge("llama-3.3-70b", **passed_on))


def test_a_name_to_show_is_due_where_its_number_is_passed() -> None:
    assert due_kinds(judge("kimi-k2", mau=2e8, revenue_month_usd=1)) == {"display"}
    assert due_kinds(judge("kimi-k2", mau=1, revenue_month_usd=1)) == set()
    assert due_kinds(judge("minimax-m3-community", revenue_year_usd=1)) == {"notice", "use_policy"}


def test_outputs_that_must_not_train_are_a_duty_where_it_is_allowed() -> None:
    assert "outputs" in due_kinds(judge("llama-3-8b", mau_at_release_incl_affiliates=1, trains_on_outputs=False))


def test_an_answer_that_turns_on_numbers_is_asked_again() -> None:
    verdict = judge("kimi-k2", mau=1, revenue_month_usd=1)
    assert verdict.recheck_by == DAY + timedelta(days=90)
    assert verdict.thresholds == ((CompanyFact.MAU, Decimal("100e6")), (CompanyFact.REVENUE_MONTH, Decimal("20e6")))
    assert judge("gpt-oss-120b").recheck_by is None


def test_the_verdict_says_how_its_rows_were_made() -> None:
    assert judge("gpt-oss-120b").confidence is Confidence.PRIMARY
    assert judge("deepseek-r1-distill-llama-70b").confidence is Confidence.SECONDARY
    assert judge("command-r-08-2024").confidence is Confidence.MEMORY


def test_a_licence_that_was_not_in_force_is_unknown() -> None:
    verdict = judge_model(get_model("llama-4-scout"), CATALOG, CompanyFacts(), date(2020, 1, 1))
    assert (verdict.state, verdict.confidence, verdict.missing) == (UNKNOWN, None, ())
    assert [reason.is_unsettled for reason in verdict.reasons] == [True]


def test_a_licence_without_conditions_and_duties_is_allowed() -> None:
    bare = get_licence("apache-2.0").model_copy(update={"duties": ()})
    assert judge_licence(bare, CompanyFacts(), DAY).state is ALLOWED


AMOUNTS = st.sampled_from([0, 10**6, 2 * 10**7, 2 * 10**7 + 1, 10**8, 10**8 + 1, 7 * 10**8 + 1, 2 * 10**10])


@st.composite
def whole_companies(draw: st.DrawFn) -> dict[str, object]:
    """A company that states everything."""
    is_internal = draw(st.booleans())
    facts: dict[str, object] = {"internal_use": is_internal}
    for name in ("offers_maas", "ai_assistant_product", "distributes_weights"):
        facts[name] = False if is_internal else draw(st.booleans())
    for name in ("commercial_use", "trains_on_outputs", "uses_multimodal"):
        facts[name] = draw(st.booleans())
    for name in (
        "mau", "mau_at_release_incl_affiliates", "revenue_year_usd", "revenue_month_usd", "group_revenue_year_usd",
        "arr_usd",
    ):  # fmt: skip
        facts[name] = draw(AMOUNTS)
    facts["country"] = draw(st.sampled_from(["DE", "GB", "KR", "US", "CN"]))
    facts["eu_based"] = facts["country"] == "DE"
    return facts


@settings(max_examples=300)
@given(st.data(), whole_companies())
def test_what_is_decided_stays_decided_when_further_facts_are_stated(
    data: st.DataObject, company: dict[str, object]
) -> None:
    names = st.sets(st.sampled_from(sorted(company)))
    first, more = data.draw(names), data.draw(names)
    row, is_multimodal = data.draw(st.sampled_from(CATALOG.licences)), data.draw(st.booleans())
    before, after = (
        judge_licence(
            row,
            CompanyFacts.model_validate({name: company[name] for name in stated}),
            DAY,
            is_multimodal=is_multimodal,
        )
        for stated in (first, first | more)
    )
    if before.state is not UNKNOWN:
        assert after.state is before.state
        assert {duty.words: duty.is_due for duty in before.duties if duty.is_due is not None}.items() <= {
            duty.words: duty.is_due for duty in after.duties
        }.items()


@settings(max_examples=200)
@given(st.data(), whole_companies())
def test_stating_what_is_missing_decides(data: st.DataObject, company: dict[str, object]) -> None:
    """Round by round the facts that the verdict asks for lead to an answer, or to somebody who reads the licence."""
    row = data.draw(st.sampled_from(CATALOG.licences))
    stated: dict[str, object] = {}
    verdict = judge_licence(row, CompanyFacts(), DAY, is_multimodal=True)
    while verdict.missing:
        asked = {fact.value: company[fact.value] for fact in verdict.missing}
        assert not asked.keys() & stated.keys()
        stated |= asked
        verdict = judge_licence(row, CompanyFacts.model_validate(stated), DAY, is_multimodal=True)
    assert verdict.state is not UNKNOWN or any(reason.is_unsettled for reason in verdict.reasons)


def test_facts_follow_from_others() -> None:
    internal = CompanyFacts(internal_use=True)
    assert internal.read(CompanyFact.OFFERS_MAAS) is False
    assert internal.read(CompanyFact.DISTRIBUTES_WEIGHTS) is False
    assert CompanyFacts(offers_maas=True).read(CompanyFact.INTERNAL_USE) is False
    assert CompanyFacts(internal_use=False).read(CompanyFact.OFFERS_MAAS) is None
    assert CompanyFacts().read(CompanyFact.INTERNAL_USE) is None
    assert CompanyFacts(country="DE").is_true(CompanyFact.EU_BASED) is True
    assert CompanyFacts(country="CH").is_true(CompanyFact.EU_BASED) is False
    assert CompanyFacts(country="uk").is_based_in(Region.UK) is True
    assert CompanyFacts(eu_based=True).is_based_in(Region.KR) is False
    assert CompanyFacts(eu_based=False).is_based_in(Region.UK) is None
    assert CompanyFacts(country="KR").is_true(CompanyFact.COUNTRY) is None


@pytest.mark.parametrize(("written", "read"), [("5e6", 5_000_000), (5e6, 5_000_000), ("5_000_000", 5_000_000), (7, 7)])
def test_a_number_is_read_however_it_is_written(written: object, read: int) -> None:
    assert CompanyFacts.model_validate({"mau": written}).mau == read


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"internal_use": True, "offers_maas": True}, "internal_use and offers_maas contradict"),
        ({"country": "DE", "eu_based": False}, "eu_based does not agree with the country DE"),
        ({"country": "Germany"}, "pattern"),
        ({"country": 49}, "string"),
        ({"mau": True}, "write a number"),
        ({"mau": -1}, "greater than or equal to 0"),
        ({"mau": [1]}, "decimal"),
        ({"mau": float("inf")}, "finite"),
    ],
)
def test_facts_that_cannot_be_are_refused(facts: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CompanyFacts.model_validate(facts)
