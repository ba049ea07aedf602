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
    paid_months: float | None = None
    """For so many months from now; None: for good, or for longer than anybody has said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionCosts:
    """One option's avoidable dollars a month by line, each of shape (n,) or (1,), and what it runs on."""

    lines: Mapping[str, Draws]
    num_gpus: Draws | None = None
    """Mean number of GPUs over the horizon; None where it runs on none of one's own."""
    utilisation: Draws | None = None
    """Busy share of those GPUs, averaged over the day."""
    first_gpus_usd: Draws | None = None
    """Rent and power a month in the horizon's first step."""

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
class _Moved:
    """What self-hosting one share of the traffic comes to, whatever the terms: shape (n,) but for `gpus`."""

    api_usd: Draws
    """What stays at the API."""
    fallback_usd: Draws
    gpus: Steps
    """With those of spare replicas."""
    num_gpus: Draws
    num_gpus_at_prices: Draws
    """The mean of GPUs times what rent has fallen to by then."""
    price_fall: Steps
    utilisation: Draws


def cost_options(values: Values, fleet: Fleet, options: tuple[OptionId, ...]) -> dict[OptionId, OptionCosts]:
    """Each option's costs.

    Args:
        values: values of every assumption (`assumption_names`).
        fleet: GPUs of a replica, and those already paid for.
        options: what to cost.
    """
    demand = read_demand(values)
    shares: dict[bool, _Moved] = {}
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
            if option.is_hybrid not in shares:
                shares[option.is_hybrid] = _move(values, demand, fleet, moved, is_hybrid=option.is_hybrid)
            costs[option] = _cost_self_host(option.terms, values, fleet, shares[option.is_hybrid])
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


def read_first_gpus_usd(costs: OptionCosts) -> Draws:
    """Dollars a month of a self-hosted option's GPUs at the beginning.

    Raises:
        ValueError: the option runs on none.
    """
    if costs.first_gpus_usd is None:
        raise ValueError("only a self-hosted option has GPUs that cost something")
    return costs.first_gpus_usd


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


def _cost_self_host(terms: Terms | None, values: Values, fleet: Fleet, moved: _Moved) -> OptionCosts:
    rent, power, first = _price_gpus(terms, values, fleet, moved)
    return OptionCosts(
        lines={
            "api": moved.api_usd,
            "fallback": moved.fallback_usd,
            "gpus": rent,
            "power": power,
            "people": values["fte_share"] * values["fte_usd_per_month"],
            "on_call": values["on_call_usd_per_month"],
            "setup": values["setup_usd"] / values["horizon_months"],
            "evaluation": values["evaluation_usd_per_month"],
            "platform": values["platform_usd_per_month"],
            "egress": values["egress_usd_per_month"],
            "inhouse_upkeep": values["inhouse_upkeep_usd_per_month"],
        },
        num_gpus=moved.num_gpus,
        utilisation=moved.utilisation,
        first_gpus_usd=first,
    )


def _move(values: Values, demand: Demand, fleet: Fleet, moved: Draws, *, is_hybrid: bool) -> _Moved:
    """Whole replicas for the peak at the utilisation that leaves room, at least one, and the spare ones."""
    seconds = replica_seconds_per_request(values)
    busy = demand.requests * moved * seconds / SECONDS_PER_MONTH
    needed = busy * _column(values, "peak_factor") / _column(values, "run_at_utilisation")
    spare = _column(values, "spare_replicas" if is_hybrid else "spare_replicas_alone")
    replicas = np.maximum(np.ceil(needed - _ROUNDING), 1) + spare
    gpus = replicas * fleet.gpus_per_replica
    fall = (1 - _column(values, "gpu_price_decay_per_year")) ** (_step_months(values) / _MONTHS_PER_YEAR)
    bill = _average(demand.api_usd)
    return _Moved(
        api_usd=bill * (1 - moved),
        fallback_usd=bill * moved * values["fallback_share"],
        gpus=gpus,
        num_gpus=_average(gpus),
        num_gpus_at_prices=_average(gpus * fall),
        price_fall=fall,
        utilisation=_average(busy / replicas),
    )


def _price_gpus(terms: Terms | None, values: Values, fleet: Fleet, moved: _Moved) -> tuple[Draws, Draws, Draws]:
    """(rent, power, both in the first step) in dollars a month.

    On-demand and spot prices fall over the horizon; reserved and owned ones are fixed by contract or purchase. Of
    ordered GPUs only the power counts while they are paid for; those beyond, and all later ones, are taken on demand.
    """
    usd_per_month = gpu_usd_per_hour(values, terms) * HOURS_PER_MONTH
    if terms in {Terms.RESERVED, Terms.OWNED}:
        return moved.num_gpus * usd_per_month, np.zeros(1), moved.gpus[0] * usd_per_month
    if terms is not Terms.ORDERED:
        first = moved.gpus[0] * moved.price_fall[0] * usd_per_month
        return moved.num_gpus_at_prices * usd_per_month, np.zeros(1), first
    is_paid = 1.0 if fleet.paid_months is None else _step_months(values) < fleet.paid_months
    own = np.minimum(moved.gpus, fleet.ordered_gpus) * is_paid
    rented = (moved.gpus - own) * moved.price_fall
    power = values["power_usd_per_gpu_month"]
    first = rented[0] * usd_per_month + own[0] * power
    return _average(rented) * usd_per_month, _average(own) * power, first


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
