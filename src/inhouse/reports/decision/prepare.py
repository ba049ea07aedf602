"""From what is asked to a question that can be decided: which model, which GPUs, which host, what is ruled out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from inhouse.catalog import CapacityRow, Catalog, LearnRow, MachineTerms, ModelRow, TokenPriceRow, load_assumptions
from inhouse.domain import ConfigError
from inhouse.planning import CompanyFacts, LicenceState, LicenceVerdict, judge_model
from inhouse.planning.economics import (
    SECONDS_PER_MONTH,
    Assumptions,
    Family,
    Fleet,
    Question,
    Terms,
    read_assumption,
)
from inhouse.reports.decision.assume import assume, find_gpu_prices
from inhouse.reports.decision.inputs import DAYS_PER_MONTH, Ask, GpuOrder

_COMMITTED = frozenset({Terms.ORDERED, Terms.OWNED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A question with the facts that it rests on."""

    question: Question
    model: ModelRow
    licence: LicenceVerdict
    capacity: CapacityRow | None
    hosted: tuple[TokenPriceRow, ...]
    committed: tuple[GpuOrder, ...]
    is_request_nominal: bool
    """Requests are not counted: figures per request are those of a nominal one."""
    other_models: tuple[str, ...]
    """Open models that have a capacity or a hosted price too."""
    learn: Mapping[str, LearnRow]
    """By assumption: what finding out takes."""


def prepare(ask: Ask, catalog: Catalog, company: CompanyFacts, at: date) -> Prepared:
    """Look everything up and put the question.

    Raises:
        ConfigError: a model, GPU, host or typed assumption is not known (names it, with the nearest that is), or a
            commitment has ended.
    """
    model = _find_model(ask.open_model, catalog)
    licence = judge_model(model, catalog, company, at)
    orders = tuple(_name_gpu(order, catalog, at) for order in ask.orders)
    committed = tuple(order for order in orders if order.terms in _COMMITTED or order.usd is not None)
    ranges = load_assumptions()
    reference = Assumptions({row.name: read_assumption(row) for row in ranges})
    capacity = _find_capacity(catalog.capacity_of(model.model, at), orders, ask, catalog, reference, at)
    hosted = _find_hosted(model, ask, catalog, at)
    assumptions = assume(ask, catalog, reference=reference, capacity=capacity, hosted=hosted, at=at)
    fleet = Fleet(
        gpus_per_replica=capacity.num_gpus if capacity else 1,
        ordered_gpus=sum(order.count for order in committed if capacity and order.gpu == capacity.gpu),
        paid_months=_count_paid_months(committed, capacity, at),
    )
    terms = _list_terms(capacity, fleet, catalog, at)
    return Prepared(
        question=Question(
            assumptions=assumptions,
            fleet=fleet,
            terms=terms,
            has_hosted=bool(hosted),
            excluded=_exclude(ask, licence, capacity, terms),
        ),
        model=model,
        licence=licence,
        capacity=capacity,
        hosted=hosted,
        committed=committed,
        is_request_nominal=ask.traffic.is_request_nominal,
        other_models=_list_models(catalog, at),
        learn={row.name: row.learn for row in ranges if row.learn is not None},
    )


def _find_model(name: str, catalog: Catalog) -> ModelRow:
    found = catalog.model(name)
    if found is not None:
        return found
    names = sorted({row.model for row in catalog.models})
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    fix = f"Did you mean {', '.join(close)}?" if close else "`inhouse catalog models` lists them."
    raise ConfigError(f"there is no open model {name!r} in the catalog.", fix=fix)


def _name_gpu(order: GpuOrder, catalog: Catalog, at: date) -> GpuOrder:
    """The order with the GPU's name in the catalog."""
    found = catalog.gpu(order.gpu)
    if found is None:
        names = sorted({row.gpu for row in catalog.gpus})
        raise ConfigError(
            f"--gpus: there is no GPU {order.gpu!r} in the catalog.", fix=f"Use one of {', '.join(names)}."
        )
    if order.until is not None and order.until <= at:
        raise ConfigError(
            f"--gpus: the commitment of {order.count} × {found.gpu} ended on {order.until}.",
            fix="Leave it out, or give the day on which it ends.",
        )
    return replace(order, gpu=found.gpu)


def _count_paid_months(committed: tuple[GpuOrder, ...], capacity: CapacityRow | None, at: date) -> float | None:
    """Months until the first commitment of the GPUs that are used ends; None where none is said to end."""
    ends = [order.until for order in committed if order.until and capacity and order.gpu == capacity.gpu]
    return (min(ends) - at).days / DAYS_PER_MONTH if ends else None


def _find_capacity(
    rows: tuple[CapacityRow, ...],
    orders: tuple[GpuOrder, ...],
    ask: Ask,
    catalog: Catalog,
    reference: Assumptions,
    at: date,
) -> CapacityRow | None:
    """The cheapest configuration for this traffic; on the GPUs that were named, if any, and small enough for them."""
    if orders:
        counts = {order.gpu: sum(other.count for other in orders if other.gpu == order.gpu) for order in orders}
        named = [row for row in rows if row.gpu in counts]
        rows = tuple([row for row in named if row.num_gpus <= counts[row.gpu]] or named)
    priced = [row for row in rows if orders or MachineTerms.ON_DEMAND in find_gpu_prices(catalog, row.gpu, at)]
    return min(priced, key=lambda row: _rate_capacity(row, ask, catalog, reference, at), default=None)


def _rate_capacity(
    row: CapacityRow, ask: Ask, catalog: Catalog, reference: Assumptions, at: date
) -> tuple[float, float]:
    """Dollars an hour (GPUs, where the GPU has no price) of the replicas that the peak needs, then of a request.

    By the middle of each assumption; the second figure tells apart what one replica serves anyway.
    """
    traffic = ask.traffic
    tokens_in = traffic.input_tokens_per_request or _mid(reference, "input_tokens_per_request")
    tokens_out = traffic.output_tokens_per_request or _mid(reference, "output_tokens_per_request")
    rate_in, _, rate_out = traffic.rates_usd_per_mtok or (
        _mid(reference, "api_input_usd_per_mtok"), 0, _mid(reference, "api_output_usd_per_mtok"),
    )  # fmt: skip
    usd_per_request = (tokens_in * float(rate_in) + tokens_out * float(rate_out)) / 1e6
    requests = traffic.requests_per_month or float(traffic.usd_per_month) / max(usd_per_request, 1e-9)
    seconds = float(row.seconds_per_input_token) * tokens_in + float(row.seconds_per_output_token) * tokens_out
    peak = traffic.peak_factor or _mid(reference, "peak_factor")
    busy = _mid(reference, "movable_share") * requests * seconds / SECONDS_PER_MONTH * peak
    price = find_gpu_prices(catalog, row.gpu, at).get(MachineTerms.ON_DEMAND)
    usd_per_hour = row.num_gpus * (float(price.usd_per_hour) if price else 1.0)
    return max(1, math.ceil(busy / _mid(reference, "run_at_utilisation"))) * usd_per_hour, seconds * usd_per_hour


def _mid(reference: Assumptions, name: str) -> float:
    return reference[name].mid


def _find_hosted(model: ModelRow, ask: Ask, catalog: Catalog, at: date) -> tuple[TokenPriceRow, ...]:
    rows = _take_cheapest(catalog.prices.hosted_open(model.model, at))
    if ask.hosted_provider is None:
        return rows
    named = tuple(row for row in rows if row.provider == ask.hosted_provider)
    if not named:
        known = ", ".join(sorted({row.provider for row in rows})) or "nobody that the catalog knows"
        raise ConfigError(
            f"--hosted: no price of {model.model} at {ask.hosted_provider!r} is known.", fix=f"It is hosted by {known}."
        )
    return named


def _take_cheapest(rows: tuple[TokenPriceRow, ...]) -> tuple[TokenPriceRow, ...]:
    """One price of each host; some offer a model twice."""
    hosts: dict[str, TokenPriceRow] = {}
    for row in rows:
        hosts.setdefault(row.provider, row)
    return tuple(hosts.values())


def _list_terms(capacity: CapacityRow | None, fleet: Fleet, catalog: Catalog, at: date) -> tuple[Terms, ...]:
    """Terms with a price; `ordered` where GPUs of this kind are committed."""
    if capacity is None:
        return ()
    priced = find_gpu_prices(catalog, capacity.gpu, at)
    terms = [Terms(item.value) for item in priced]
    if fleet.ordered_gpus and MachineTerms.ON_DEMAND in priced:
        terms.insert(0, Terms.ORDERED)
    return tuple(terms)


def _exclude(
    ask: Ask, licence: LicenceVerdict, capacity: CapacityRow | None, terms: tuple[Terms, ...]
) -> Mapping[Family, str]:
    excluded: dict[Family, str] = {}
    if ask.is_own_only:
        excluded = dict.fromkeys((Family.STAY, Family.CHEAPER, Family.HOSTED_OPEN), "own_only")
    if licence.state is LicenceState.BLOCKED:
        excluded[Family.SELF_HOST] = "licence"
    elif capacity is None:
        excluded[Family.SELF_HOST] = "no_capacity"
    elif not terms:
        excluded[Family.SELF_HOST] = "no_gpu_price"
    return excluded


def _list_models(catalog: Catalog, at: date) -> tuple[str, ...]:
    names = dict.fromkeys(row.model for row in catalog.models)
    return tuple(name for name in names if catalog.capacity_of(name, at) or catalog.prices.hosted_open(name, at))
