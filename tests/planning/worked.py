"""A question with every assumption written out: the workload of the published break-even tables, all exact."""

from __future__ import annotations

from collections.abc import Mapping

from inhouse.catalog import Unit
from inhouse.planning.economics import Assumption, Assumptions, Fleet, Owner, Question, Terms

BASE: Mapping[str, float] = {
    "spend_usd_per_month": 20_000,
    "input_tokens_per_request": 2_000,
    "output_tokens_per_request": 400,
    "cached_share": 0,
    "api_input_usd_per_mtok": 2,
    "api_cached_usd_per_mtok": 0.5,
    "api_output_usd_per_mtok": 10,
    "hosted_input_usd_per_mtok": 0.15,
    "hosted_cached_usd_per_mtok": 0.15,
    "hosted_output_usd_per_mtok": 0.60,
    "seconds_per_input_token": 1 / 17_400,
    "seconds_per_output_token": 1 / 11_300,
    "capacity_factor": 1,
    "traffic_realism": 1,
    "peak_factor": 4,
    "run_at_utilisation": 0.7,
    "spare_replicas": 0,
    "spare_replicas_alone": 1,
    "gpu_usd_per_hour.on_demand": 3.5,
    "gpu_usd_per_hour.reserved": 1.6,
    "gpu_usd_per_hour.spot": 1.45,
    "gpu_usd_per_hour.owned": 1.41,
    "power_usd_per_gpu_month": 126,
    "movable_share": 0.8,
    "fallback_share": 0,
    "volume_growth_per_year": 0,
    "api_price_decay_per_year": 0,
    "gpu_price_decay_per_year": 0,
    "fte_share": 0,
    "fte_usd_per_month": 18_000,
    "hosted_fte_share": 0,
    "cheaper_fte_share": 0,
    "on_call_usd_per_month": 0,
    "setup_usd": 0,
    "hosted_setup_usd": 0,
    "cheaper_setup_usd": 0,
    "evaluation_usd_per_month": 0,
    "platform_usd_per_month": 0,
    "egress_usd_per_month": 0,
    "inhouse_upkeep_usd_per_month": 0,
    "horizon_months": 24,
    "cheaper_share": 0,
    "cheaper_price_ratio": 0.2,
    "cacheable_share": 0,
    "batchable_share": 0,
    "batch_discount": 0.5,
    "labelling_usd": 0,
    "trial_months": 3,
}


def make_assumption(name: str, *bounds: float) -> Assumption:
    """One value, or low, mid and high."""
    low, mid, high = bounds if len(bounds) == 3 else bounds * 3
    return Assumption(
        name=name, low=low, mid=mid, high=high, unit=_find_unit(name), owner=Owner.TYPED, label=name, source="the test"
    )


def make_question(
    terms: tuple[Terms, ...] = (Terms.ON_DEMAND,),
    ordered_gpus: int = 0,
    gpus: int = 1,
    /,
    **changed: float | tuple[float, ...],
) -> Question:
    """The base with some assumptions changed; a tuple gives low, mid and high."""
    values: dict[str, float | tuple[float, ...]] = {**BASE, **changed}
    assumptions = {
        name: make_assumption(name, *(value if isinstance(value, tuple) else (value,)))
        for name, value in values.items()
    }
    return Question(
        assumptions=Assumptions(assumptions),
        fleet=Fleet(gpus_per_replica=gpus, ordered_gpus=ordered_gpus),
        terms=terms,
    )


def _find_unit(name: str) -> Unit:
    for part, unit in (
        ("usd_per_hour", Unit.USD_PER_HOUR),
        ("usd_per_mtok", Unit.USD_PER_MTOK),
        ("_per_year", Unit.SHARE_PER_YEAR),
        ("fte_share", Unit.FTE),
        ("factor", Unit.FACTOR),
        ("realism", Unit.FACTOR),
        ("usd_per", Unit.USD_PER_MONTH),
        ("_usd", Unit.USD),
        ("share", Unit.SHARE),
        ("_months", Unit.MONTHS),
        ("seconds", Unit.SECONDS_PER_TOKEN),
    ):
        if part in name:
            return unit
    return Unit.COUNT
