"""What each option costs a month: arrays of draws through one formula. Draws nothing, chooses nothing.

The formula, with A the bill as it is, φ the share that moves, ρ the share of it that falls back to the API, n replicas
sized for the peak, r spare ones, g GPUs a replica and h dollars a GPU-hour:

    self-hosted = (1 − φ)·A + φ·ρ·A + (n + r)·g·h·730 + people + on-call + set-up ÷ horizon + running costs

averaged over the horizon in `NUM_STEPS` equal steps, between which volume grows and prices fall. n is whole, so it is
sized at every step. docs/design/decide.md says where each term comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inhouse.planning.economics.assumptions import Draws
from inhouse.planning.economics.options import Family, OptionId, Terms

HOURS_PER_MONTH = 730.0
SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600
NUM_STEPS = 8
_TOKENS_PER_MTOK = 1e6
_MONTHS_PER_YEAR = 12
# A load of exactly two replicas is two, although the division may give a hair more.
_ROUNDING = 1e-9

Values = Mapping[str, Draws]
"""Assumption name → values, each of shape (n,) or (1,)."""
Steps = NDArray[np.float64]
"""Values by step of the horizon and draw, shape (NUM_STEPS, n) or (1, n): sums over few steps are quick this way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """How replicas are made of GPUs, and which GPUs are paid for already."""

    gpus_per_replica: int
    ordered_gpus: int = 0
    """GPUs whose money is committed whatever is decided; only their power can be avoided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionCosts:
    """One option's avoidable dollars a month by line, each of shape (n,) or (1,), and what it runs on."""

    lines: Mapping[str, Draws]
    num_gpus: Draws | None = None
    """Mean number of GPUs over the horizon; None where it runs on none of one's own."""
    utilisation: Draws | None = None
    """Busy share of those GPUs, averaged over the day."""

    @property
    def total(self) -> Draws:
        """All lines together."""
        total = np.zeros(1)
        for line in self.lines.values():
            total = total + line
        return total


@dataclass(frozen=True, slots=True)
class Demand:
    """The traffic of a month by step, and what today's API takes for it at that step's prices."""

    api_usd: Steps
    requests: Steps
    price_factor: Steps
    """A token's price beside today's."""


@dataclass(frozen=True, slots=True)
class _Sizing:
    """Replicas by step for one share of the traffic."""

    replicas: Steps
    """With the spare ones."""
    busy: Steps
    """Replicas that would be busy all the time with it, a fraction."""


def cost_options(values: Values, fleet: Fleet, options: tuple[OptionId, ...]) -> dict[OptionId, OptionCosts]:
    """Each option's costs.

    Args:
        values: values of every assumption (`assumption_names`).
        fleet: GPUs of a replica, and those already paid for.
        options: what to cost.
    """
    demand = read_demand(values)
    sizings: dict[bool, _Sizing] = {}
    costs: dict[OptionId, OptionCosts] = {}
    for option in options:
        moved = moved_share(values, option)
        if option.family is Family.STAY:
            costs[option] = OptionCosts(lines={"api": _average(demand.api_usd)})
        elif option.family is Family.CHEAPER:
            costs[option] = _cost_cheaper(values, demand)
        elif option.family is Family.HOSTED_OPEN:
            costs[option] = _cost_hosted(values, demand, moved)
        else:
            if option.is_hybrid not in sizings:
                sizings[option.is_hybrid] = _size(values, demand, moved, is_hybrid=option.is_hybrid)
            costs[option] = _cost_self_host(option, values, demand, fleet, sizings[option.is_hybrid])
    return costs


def read_demand(values: Values) -> Demand:
    """The month's bill and traffic at each step of the horizon."""
    years = _step_months(values) / _MONTHS_PER_YEAR
    volume = (1 + _column(values, "volume_growth_per_year")) ** years
    price = (1 - _column(values, "api_price_decay_per_year")) ** years
    spend = _column(values, "spend_usd_per_month")
    requests = spend / api_usd_per_request(values)
    return Demand(spend * volume * price, requests * volume, price)


def api_usd_per_request(values: Values) -> Draws:
    """What today's API takes for a mean request, shape (n,)."""
    return _price_request(values, "api")


def hosted_usd_per_request(values: Values) -> Draws:
    """What the hosted-open API takes for the same request."""
    return _price_request(values, "hosted")


def replica_seconds_per_request(values: Values) -> Draws:
    """Seconds of a saturated replica for a mean request; 1 ÷ it is requests per second (two-point method)."""
    uncached = values["input_tokens_per_request"] * (1 - values["cached_share"])
    prefill = uncached * values["seconds_per_input_token"]
    decode = values["output_tokens_per_request"] * values["seconds_per_output_token"]
    return (prefill + decode) / (values["capacity_factor"] * values["traffic_realism"])


def gpu_usd_per_hour(values: Values, terms: Terms | None) -> Draws:
    """What one more GPU-hour costs on these terms; beyond ordered GPUs it is taken on demand."""
    rented_as = Terms.ON_DEMAND if terms is Terms.ORDERED else terms
    return values[f"gpu_usd_per_hour.{rented_as}"]


def read_utilisation(costs: OptionCosts) -> Draws:
    """Busy share of a self-hosted option's GPUs.

    Raises:
        ValueError: the option runs on none.
    """
    if costs.utilisation is None:
        raise ValueError("only a self-hosted option has GPUs that can be busy")
    return costs.utilisation


def moved_share(values: Values, option: OptionId) -> Draws:
    """Share of the traffic that the option moves to open weights."""
    if not option.moves:
        return np.zeros(1)
    return values["movable_share"] if option.is_hybrid else np.ones(1)


def cheaper_parts(values: Values) -> dict[str, Draws]:
    """Share of the bill that each saving at the API takes off, if it were made alone, shape (n,)."""
    uncached_usd = values["input_tokens_per_request"] * (1 - values["cached_share"]) * values["api_input_usd_per_mtok"]
    input_share = uncached_usd / _TOKENS_PER_MTOK / api_usd_per_request(values)
    discount = 1 - values["api_cached_usd_per_mtok"] / np.maximum(values["api_input_usd_per_mtok"], 1e-12)
    return {
        "cheaper_tier": values["cheaper_share"] * (1 - values["cheaper_price_ratio"]),
        "prompt_caching": values["cacheable_share"] * discount * input_share,
        "batch_tariff": values["batchable_share"] * values["batch_discount"],
    }


def _cost_cheaper(values: Values, demand: Demand) -> OptionCosts:
    kept = np.ones(1)
    for saved in cheaper_parts(values).values():
        kept = kept * (1 - saved)
    return OptionCosts(
        lines={
            "api": _average(demand.api_usd * kept),
            "people": _limit_people(values, "cheaper_fte_share") * values["fte_usd_per_month"],
            "setup": values["cheaper_setup_usd"] / values["horizon_months"],
        }
    )


def _cost_hosted(values: Values, demand: Demand, moved: Draws) -> OptionCosts:
    hosted = demand.requests * moved * demand.price_factor * hosted_usd_per_request(values)
    return OptionCosts(
        lines={
            "api": _average(demand.api_usd * (1 - moved)),
            "fallback": _average(demand.api_usd * moved * _column(values, "fallback_share")),
            "hosted_api": _average(hosted),
            "people": _limit_people(values, "hosted_fte_share") * values["fte_usd_per_month"],
            "setup": values["hosted_setup_usd"] / values["horizon_months"],
            "evaluation": values["evaluation_usd_per_month"],
            "inhouse_upkeep": values["inhouse_upkeep_usd_per_month"],
        }
    )


def _cost_self_host(option: OptionId, values: Values, demand: Demand, fleet: Fleet, sizing: _Sizing) -> OptionCosts:
    moved = moved_share(values, option)
    gpus = sizing.replicas * fleet.gpus_per_replica
    compute, power = _price_gpus(option.terms or Terms.ON_DEMAND, values, fleet, gpus)
    return OptionCosts(
        lines={
            "api": _average(demand.api_usd * (1 - moved)),
            "fallback": _average(demand.api_usd * moved * _column(values, "fallback_share")),
            "gpus": compute,
            "power": power,
            "people": values["fte_share"] * values["fte_usd_per_month"],
            "on_call": values["on_call_usd_per_month"],
            "setup": values["setup_usd"] / values["horizon_months"],
            "evaluation": values["evaluation_usd_per_month"],
            "platform": values["platform_usd_per_month"],
            "egress": values["egress_usd_per_month"],
            "inhouse_upkeep": values["inhouse_upkeep_usd_per_month"],
        },
        num_gpus=_average(gpus),
        utilisation=_average(sizing.busy / sizing.replicas),
    )


def _size(values: Values, demand: Demand, moved: Draws, *, is_hybrid: bool) -> _Sizing:
    """Whole replicas for the peak at the utilisation that leaves room, at least one, and the spare ones."""
    seconds = replica_seconds_per_request(values)
    busy = demand.requests * moved * seconds / SECONDS_PER_MONTH
    needed = busy * _column(values, "peak_factor") / _column(values, "run_at_utilisation")
    serving = np.maximum(np.ceil(needed - _ROUNDING), 1)
    return _Sizing(serving + _column(values, "spare_replicas" if is_hybrid else "spare_replicas_alone"), busy)


def _price_gpus(terms: Terms, values: Values, fleet: Fleet, gpus: Steps) -> tuple[Draws, Draws]:
    """(rent, power) in dollars a month. Of ordered GPUs only the power counts; those beyond are taken on demand.

    On-demand and spot prices fall over the horizon; reserved and owned ones are fixed by contract or purchase.
    """
    years = _step_months(values) / _MONTHS_PER_YEAR
    is_fixed = terms in {Terms.RESERVED, Terms.OWNED}
    fall = np.ones((1, 1)) if is_fixed else (1 - _column(values, "gpu_price_decay_per_year")) ** years
    has_own = np.minimum(gpus, fleet.ordered_gpus) if terms is Terms.ORDERED else np.zeros((1, 1))
    rent = (gpus - has_own) * gpu_usd_per_hour(values, terms) * fall * HOURS_PER_MONTH
    return _average(rent), _average(has_own) * values["power_usd_per_gpu_month"]


def _price_request(values: Values, prefix: str) -> Draws:
    tokens = values["input_tokens_per_request"]
    cached = values["cached_share"]
    usd = (
        tokens * (1 - cached) * values[f"{prefix}_input_usd_per_mtok"]
        + tokens * cached * values[f"{prefix}_cached_usd_per_mtok"]
        + values["output_tokens_per_request"] * values[f"{prefix}_output_usd_per_mtok"]
    )
    return usd / _TOKENS_PER_MTOK


def _limit_people(values: Values, name: str) -> Draws:
    """An API-side option never takes more people than the user has said that self-hosting would."""
    return np.minimum(values[name], values["fte_share"])


def _step_months(values: Values) -> Steps:
    """The middle of each step in months from now, shape (NUM_STEPS, n)."""
    return (np.arange(NUM_STEPS) + 0.5)[:, None] * _column(values, "horizon_months") / NUM_STEPS


def _column(values: Values, name: str) -> Steps:
    return values[name][None, :]


def _average(steps: Steps) -> Draws:
    return steps.mean(axis=0)
