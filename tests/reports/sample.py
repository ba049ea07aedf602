"""Sample decision reports: typed, imported with six use cases, self-hosting wins, blocked, own machines only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache

from inhouse.catalog import Unit, load_assumptions
from inhouse.planning.economics import (
    Assumption,
    Assumptions,
    Band,
    Decision,
    Family,
    Fleet,
    Owner,
    Question,
    Terms,
    decide,
    read_assumption,
)
from inhouse.reports.decision.report import (
    Basis,
    Commitment,
    Coverage,
    DecisionReport,
    OpenModelFacts,
    Reconciliation,
    Scope,
    UseCaseLine,
)

ALL_TERMS = (Terms.ON_DEMAND, Terms.RESERVED, Terms.SPOT, Terms.OWNED)
_RATES = {"api": (2, 0.5, 10), "hosted": (0.15, 0.15, 0.6)}
_HOURLY = {"on_demand": 3.5, "reserved": 1.6, "spot": 1.45, "owned": 1.41}
_ROWS = load_assumptions()
_LABELS = {
    "spend_usd_per_month": "API bill",
    "fte_share": "people for self-hosting",
    "spare_replicas": "spare replicas",
    "seconds_per_input_token": "a replica's time for a prompt token",
    "seconds_per_output_token": "a replica's time for an answer token",
    "capacity_factor": "throughput beside the published one",
    "api_input_usd_per_mtok": "today's API, prompt tokens",
    "api_cached_usd_per_mtok": "today's API, cached prompt tokens",
    "api_output_usd_per_mtok": "today's API, answer tokens",
    "hosted_input_usd_per_mtok": "hosted-open API, prompt tokens",
    "hosted_cached_usd_per_mtok": "hosted-open API, cached prompt tokens",
    "hosted_output_usd_per_mtok": "hosted-open API, answer tokens",
    "gpu_usd_per_hour.on_demand": "one H200 on demand",
    "gpu_usd_per_hour.reserved": "one H200 reserved",
    "gpu_usd_per_hour.spot": "one H200 on the spot market",
    "gpu_usd_per_hour.owned": "one H200 of one's own",
}


def assume(name: str, value: float | tuple[float, float, float], unit: Unit, owner: Owner) -> Assumption:
    """One value, or low, mid and high."""
    low, mid, high = value if isinstance(value, tuple) else (value, value, value)
    source = {
        Owner.TYPED: "typed on the command line",
        Owner.CATALOG: "https://example.com/a-page/with-a-rather-long-address/prices, checked 2026-11-23",
    }.get(owner, "openai-usage-october.json, 30 days")
    return Assumption(
        name=name, low=low, mid=mid, high=high, unit=unit, owner=owner, label=_LABELS.get(name, name), source=source
    )


def make_assumptions(changed: Mapping[str, float | tuple[float, float, float]] | None = None) -> Assumptions:
    """The reference ranges with a typed bill, list prices and a measured capacity; some of them changed."""
    found = {row.name: read_assumption(row) for row in _ROWS}
    rows: list[tuple[str, float | tuple[float, float, float], Unit, Owner]] = [
        ("spend_usd_per_month", 22_000, Unit.USD_PER_MONTH, Owner.TYPED),
        ("fte_share", 0.5, Unit.FTE, Owner.TYPED),
        ("spare_replicas", 0, Unit.COUNT, Owner.ASSUMED),
        ("seconds_per_input_token", 1 / 17_400, Unit.SECONDS_PER_TOKEN, Owner.CATALOG),
        ("seconds_per_output_token", 1 / 11_300, Unit.SECONDS_PER_TOKEN, Owner.CATALOG),
        ("capacity_factor", (0.68, 1, 1.32), Unit.FACTOR, Owner.CATALOG),
    ]
    for prefix, rates in _RATES.items():
        for part, rate in zip(("input", "cached", "output"), rates, strict=True):
            rows.append((f"{prefix}_{part}_usd_per_mtok", rate, Unit.USD_PER_MTOK, Owner.CATALOG))
    for terms, rate in _HOURLY.items():
        bounds = (rate * 0.9, rate, rate * 1.15)
        rows.append((f"gpu_usd_per_hour.{terms}", bounds, Unit.USD_PER_HOUR, Owner.CATALOG))
    for name, value, unit, owner in rows:
        found[name] = assume(name, value, unit, owner)
    for name, value in (changed or {}).items():
        owner = Owner.IMPORTED if isinstance(value, tuple) else Owner.TYPED
        found[name] = replace(assume(name, value, found[name].unit, owner), label=found[name].label)
    return Assumptions(found)


@cache
def decide_typed() -> Decision:
    """A bill of $22k, two GPUs ordered."""
    fleet = Fleet(gpus_per_replica=1, ordered_gpus=2)
    return decide(Question(assumptions=make_assumptions(), fleet=fleet, terms=tuple(Terms)))


@cache
def decide_six() -> Decision:
    """An imported bill whose open model passes less often and whose people are shared: nearer than the typed one."""
    changed = {
        "spend_usd_per_month": 21_933.8,
        "fte_share": 0.1,
        "movable_share": (0.25, 0.55, 0.8),
        "hosted_input_usd_per_mtok": 0.6,
        "hosted_cached_usd_per_mtok": 0.6,
        "hosted_output_usd_per_mtok": 2.4,
        "input_tokens_per_request": 1_910.0,
        "output_tokens_per_request": 340.0,
        "cached_share": 0.12,
        "peak_factor": 3.4,
        "setup_usd": (8_000, 15_000, 40_000),
    }
    fleet = Fleet(gpus_per_replica=1, ordered_gpus=2)
    return decide(Question(assumptions=make_assumptions(changed), fleet=fleet, terms=tuple(Terms)))


@cache
def decide_self_host() -> Decision:
    """A bill of $400k whose hosted-open price is dear: GPUs of one's own win."""
    changed = {
        "spend_usd_per_month": 400_000.0,
        "hosted_input_usd_per_mtok": 0.9,
        "hosted_cached_usd_per_mtok": 0.9,
        "hosted_output_usd_per_mtok": 3.6,
        "movable_share": (0.72, 0.78, 0.84),
        "peak_factor": (2.4, 2.6, 2.8),
    }
    assumptions = make_assumptions(changed)
    return decide(Question(assumptions=assumptions, fleet=Fleet(gpus_per_replica=1), terms=ALL_TERMS))


@cache
def decide_blocked() -> Decision:
    """The licence blocks the model, and nothing is known about its throughput."""
    excluded = {Family.HOSTED_OPEN: "licence", Family.SELF_HOST: "licence"}
    fleet = Fleet(gpus_per_replica=1)
    return decide(Question(assumptions=make_assumptions(), fleet=fleet, terms=(), excluded=excluded))


@cache
def decide_own_only() -> Decision:
    """Only own machines may see the data, so all of it moves or none."""
    excluded = {family: "own_only" for family in Family if family is not Family.SELF_HOST}
    assumptions = make_assumptions({"movable_share": 1.0})
    fleet = Fleet(gpus_per_replica=1)
    return decide(Question(assumptions=assumptions, fleet=fleet, terms=ALL_TERMS, excluded=excluded))


def typed_report() -> DecisionReport:
    """Nothing but figures that were typed."""
    return DecisionReport(
        decision=decide_typed(),
        scope=Scope(
            title="one bill of $22,000 a month",
            basis=Basis.TYPED,
            first_day=None,
            last_day=None,
            num_days=None,
            sources=("--spend 22000", "--fte 0.5"),
            is_example=False,
            is_simulated=False,
        ),
        use_cases=(),
        reconciliation=Reconciliation(computed_usd=None, stated_usd=None, invoice_usd=None, num_unpriced_requests=None),
        open_model=open_model(),
        commitments=(Commitment(what="2 × H100, ordered", usd=None, until=None),),
        coverage=Coverage(num_days=None, num_requests=None, unpriced_share=None, unlabelled_share=None, notes=()),
        learn={row.name: row.learn for row in _ROWS if row.learn is not None},
        command="inhouse decide --spend 22000 --fte 0.5 --ordered-gpus 2",
        made_on=date(2026, 11, 28),
        version="0.1.0",
    )


def six_use_cases_report() -> DecisionReport:
    """An imported example: six use cases, one unpriced, an invoice."""
    return replace(
        typed_report(),
        decision=decide_six(),
        scope=Scope(
            title="Example Ltd, customer service",
            basis=Basis.IMPORTED,
            first_day=date(2026, 10, 1),
            last_day=date(2026, 10, 30),
            num_days=30,
            sources=("example-openai-usage.json.gz",),
            is_example=True,
            is_simulated=False,
        ),
        use_cases=_USE_CASES,
        reconciliation=Reconciliation(
            computed_usd=Decimal("21540.12"),
            stated_usd=Decimal("21933.80"),
            invoice_usd=Decimal("22108.00"),
            num_unpriced_requests=3_112,
        ),
        commitments=(
            Commitment(what="2 × H100, ordered", usd=None, until=None),
            Commitment(what="API commit with a provider", usd=Decimal(60_000), until=date(2027, 3, 1)),
        ),
        coverage=Coverage(
            num_days=30,
            num_requests=2_731_904,
            unpriced_share=0.0011,
            unlabelled_share=0.043,
            notes=("12 records were in two files and are counted once", "the last page of one file says has_more"),
        ),
        command="inhouse decide --from example-openai-usage.json.gz --invoice 22108 --fte 0.5 --ordered-gpus 2",
    )


def self_host_report() -> DecisionReport:
    """Self-hosting wins; some of the traffic went to the simulated provider."""
    scope = Scope(
        title="all routes of this installation",
        basis=Basis.MEASURED,
        first_day=date(2026, 8, 1),
        last_day=date(2026, 10, 31),
        num_days=92,
        sources=("traces",),
        is_example=False,
        is_simulated=True,
    )
    return replace(
        typed_report(),
        decision=decide_self_host(),
        scope=scope,
        commitments=(),
        command="inhouse decide -c inhouse.yaml --fte 0.5",
    )


def blocked_report() -> DecisionReport:
    """The licence blocks the model, and its throughput is not known."""
    model = replace(
        open_model(),
        model="llama-4-maverick",
        licence="Llama 4 Community License Agreement",
        licence_answer="blocked",
        duties=(),
        missing_facts=("group_revenue_year_usd",),
        hosted_provider=None,
        hosted_usd_per_mtok=None,
        gpu=None,
        gpus_per_replica=None,
        engine=None,
        precision=None,
        requests_per_second=None,
        capacity_basis=None,
    )
    return replace(typed_report(), decision=decide_blocked(), open_model=model, commitments=(), learn={})


def own_only_report() -> DecisionReport:
    """Only own machines may see the data."""
    return replace(
        typed_report(),
        decision=decide_own_only(),
        commitments=(),
        command="inhouse decide --spend 22000 --fte 0.5 --own-only",
    )


def open_model() -> OpenModelFacts:
    """What is known of one open model."""
    return OpenModelFacts(
        model="gpt-oss-120b",
        licence="Apache-2.0",
        licence_answer="allowed_with_duties",
        duties=("Ship the licence text and the notices with every copy of the weights.",),
        missing_facts=(),
        hosted_provider="groq",
        hosted_usd_per_mtok=(Decimal("0.15"), Decimal("0.6")),
        gpu="H200",
        gpus_per_replica=1,
        engine="TensorRT-LLM 1.1",
        precision="mxfp4",
        requests_per_second=Band(4.4, 5.7, 7.1, 5.7),
        capacity_basis="two published saturated points; P90 of the relative error of such predictions is 32 %",
        other_models=("llama-3.3-70b", "qwen3-235b-a22b"),
    )


def _use_case(
    name: str, usd: str | None, share: float | None, saving: float | None, *reasons: str, is_candidate: bool = False
) -> UseCaseLine:
    project, _, task = name.partition("/")
    moved = None if saving is None else Band(saving * 0.7, saving, saving * 1.2, saving)
    return UseCaseLine(
        name=name,
        labels={"project": project, "task": task} if task else {"project": project},
        models=("gpt-5-mini", "gpt-4.1") if is_candidate else ("gpt-4.1",),
        usd_per_month=None if usd is None else Decimal(usd),
        stated_usd_per_month=None,
        share_of_bill=share,
        requests_per_month=None if usd is None else float(usd) / 0.008,
        input_tokens_per_request=1830 if is_candidate else 6210,
        output_tokens_per_request=212,
        cached_share=0.31 if is_candidate else None,
        peak_factor=None if usd is None else 3.4,
        moved_saving_usd=moved,
        is_candidate=is_candidate,
        reasons=reasons,
    )


_USE_CASES = (
    _use_case("example-support-triage/classify-incoming-tickets", "9120.40", 0.423, 5410,
              "largest_saving", "one_template", "short_prompts", "steady", is_candidate=True),
    _use_case("example-knowledge-search", "5204.11", 0.242, 2380, "long_prompts", "mixed_templates"),
    _use_case("example-contract-review", "3911.02", 0.182, 1630, "long_prompts"),
    _use_case("example-nightly-enrichment", "2104.87", 0.098, 1010, "batch", "one_template"),
    _use_case("example-voice-notes", None, None, None, "audio", "unpriced"),
    _use_case("other (11)", "1199.72", 0.056, 240, "small"),
)  # fmt: skip

SAMPLES = {
    "typed": typed_report,
    "six": six_use_cases_report,
    "self-host": self_host_report,
    "blocked": blocked_report,
    "own-only": own_only_report,
}
