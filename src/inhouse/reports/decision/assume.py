"""From what was said, imported or measured to the assumptions of a question. Typed wins, then meters, then facts."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal

from inhouse.catalog import CapacityRow, Catalog, MachineRow, MachineTerms, TokenPriceRow, Unit
from inhouse.domain import ConfigError
from inhouse.planning import read_token_price
from inhouse.planning.economics import Assumption, Assumptions, Owner
from inhouse.reports.decision.inputs import Ask, Traffic, TypedRange

_LIST_PRICE_RANGE = {
    MachineTerms.ON_DEMAND: (0.9, 1.15),
    MachineTerms.RESERVED: (0.85, 1.3),
    MachineTerms.SPOT: (0.8, 1.6),
    MachineTerms.OWNED: (0.85, 1.3),
}
"""How far what a team really pays for a GPU-hour lies from the catalog's row: regions, haggling, interruptions."""
_PEAK_RANGE = (0.9, 1.3)
"""Other months peak otherwise than the one that was seen."""
_OWN_ONLY = {"movable_share": 1.0, "fallback_share": 0.0}
"""What a mandate fixes: nothing may be sent to the API."""
_LEAST = {"peak_factor": 1.0, "volume_growth_per_year": -0.99, "horizon_months": 1.0}
"""The least that an assumption may be, where that is not zero."""
_MORE_THAN_ZERO = frozenset({"spend_usd_per_month", "run_at_utilisation", "capacity_factor", "traffic_realism"})
_TIER_REACH = Decimal("0.6")
"""A cheaper tier costs at most this share of today's model for the same request."""


def assume(
    ask: Ask,
    catalog: Catalog,
    *,
    reference: Assumptions,
    capacity: CapacityRow | None,
    hosted: tuple[TokenPriceRow, ...],
    at: date,
) -> Assumptions:
    """Every assumption of the question.

    Args:
        ask: what the user said, with the traffic.
        catalog: facts.
        reference: what counts where nothing else is known.
        capacity: the replica to run on; None where none is known.
        hosted: prices of the open model at hosted-open APIs, cheapest first.
        at: the day of the facts.

    Raises:
        ConfigError: a typed assumption is not known, or cannot have that value; a request would cost nothing.
    """
    known = reference
    for item in (
        *_read_traffic(ask.traffic),
        *_read_people(ask, reference),
        *_read_hosted(hosted),
        *_read_capacity(capacity, catalog, at),
        *_read_cheaper(ask.traffic, catalog, reference, at),
        *_read_mandate(ask, reference),
    ):
        known = known.put(item)
    known = _apply_typed(known, ask)
    _check_whole(known)
    return known


def _read_traffic(traffic: Traffic) -> Iterator[Assumption]:
    def exact(name: str, label: str, value: float | Decimal, unit: Unit) -> Assumption:
        return _make(name, label, _exactly(value), unit, (traffic.owner, traffic.source))

    yield exact("spend_usd_per_month", "the API bill of a month", traffic.usd_per_month, Unit.USD_PER_MONTH)
    for name, label, value in (
        ("input_tokens_per_request", "prompt tokens of a request", traffic.input_tokens_per_request),
        ("output_tokens_per_request", "answer tokens of a request", traffic.output_tokens_per_request),
    ):
        if value is not None:
            yield _say_nominal(exact(name, label, value, Unit.COUNT), traffic)
    if traffic.cached_share is not None:
        yield exact("cached_share", "input that the API reads from its cache today", traffic.cached_share, Unit.SHARE)
    if traffic.rates_usd_per_mtok is not None:
        words = ("input", "cached input", "output")
        for name, word, rate in zip(("input", "cached", "output"), words, traffic.rates_usd_per_mtok, strict=True):
            yield exact(f"api_{name}_usd_per_mtok", f"price of {word} at the API today", rate, Unit.USD_PER_MTOK)
    if traffic.peak_factor is not None:
        peak = traffic.peak_factor
        bounds = (max(1.0, peak * _PEAK_RANGE[0]), peak, peak * _PEAK_RANGE[1])
        label = "busiest hour beside the mean hour"
        yield _make("peak_factor", label, bounds, Unit.FACTOR, (traffic.owner, traffic.source))


def _say_nominal(item: Assumption, traffic: Traffic) -> Assumption:
    if not traffic.is_request_nominal:
        return item
    words = "requests are not counted; a nominal one stands in, whose size changes no cost"
    return replace(item, source=f"{item.source}; {words}")


def _read_people(ask: Ask, reference: Assumptions) -> Iterator[Assumption]:
    by_user = (Owner.TYPED, "given by you")
    yield _make("fte_share", "engineers for self-hosting, full-time", _exactly(ask.fte_share), Unit.FTE, by_user)
    if ask.fte_usd_per_month is not None:
        value = float(ask.fte_usd_per_month)
        yield replace(
            reference["fte_usd_per_month"], low=value, mid=value, high=value, owner=Owner.TYPED, source="given by you"
        )


def _read_hosted(hosted: tuple[TokenPriceRow, ...]) -> Iterator[Assumption]:
    """The middle host's price, from the cheapest one's to that of the one at three quarters."""
    if not hosted:
        return
    cheapest, middle, dear = hosted[0], pick_host(hosted), hosted[len(hosted) * 3 // 4]
    source = f"{middle.provider}, list price checked {middle.checked_on}"
    if len(hosted) > 1:
        source += f"; the middle of {len(hosted)} hosts, {cheapest.provider} is the cheapest"
    prices = [read_token_price(row) for row in (cheapest, middle, dear)]
    rates = {
        "input": [price.input_usd_per_mtok for price in prices],
        "cached": [price.cache_read_usd_per_mtok for price in prices],
        "output": [price.output_usd_per_mtok for price in prices],
    }
    for name, found in rates.items():
        low, mid, high = (float(rate) for rate in found)
        label = f"price of {'cached input' if name == 'cached' else name} at a hosted-open API"
        bounds = (min(low, mid), mid, max(mid, high))
        yield _make(f"hosted_{name}_usd_per_mtok", label, bounds, Unit.USD_PER_MTOK, (Owner.CATALOG, source))


def pick_host(hosted: tuple[TokenPriceRow, ...]) -> TokenPriceRow:
    """The host whose price stands for all: the middle one, cheapest first; the cheapest may not be the one to trust."""
    return hosted[len(hosted) // 2]


def _read_capacity(capacity: CapacityRow | None, catalog: Catalog, at: date) -> Iterator[Assumption]:
    if capacity is None:
        return
    by_catalog = (Owner.CATALOG, f"{capacity.engine}, {capacity.precision}, {capacity.basis}: {capacity.source}")
    for name, label, value in (
        ("seconds_per_input_token", "seconds of a replica for a prompt token", capacity.seconds_per_input_token),
        ("seconds_per_output_token", "seconds of a replica for an answer token", capacity.seconds_per_output_token),
    ):
        yield _make(name, label, _exactly(value), Unit.SECONDS_PER_TOKEN, by_catalog)
    error = min(float(capacity.relative_error), 0.9)
    label = "throughput beside what two points predict"
    interval = (Owner.CATALOG, f"P90 of the error of such a prediction: ± {error:.0%} ({capacity.num_points} points)")
    yield _make("capacity_factor", label, (1 - error, 1.0, 1 + error), Unit.FACTOR, interval)
    for terms, row in find_gpu_prices(catalog, capacity.gpu, at).items():
        yield _read_gpu_price(terms, row)


def find_gpu_prices(catalog: Catalog, gpu: str, at: date) -> dict[MachineTerms, MachineRow]:
    """The catalog's price of one GPU-hour on each of the terms that it knows."""
    found = {terms: catalog.gpu_usd_per_hour(gpu, terms, at) for terms in MachineTerms}
    return {terms: row for terms, row in found.items() if row is not None}


def _read_gpu_price(terms: MachineTerms, row: MachineRow) -> Assumption:
    rate = float(row.usd_per_hour)
    low, high = _LIST_PRICE_RANGE[terms]
    label = f"price of a {row.gpu}-hour, {terms.value.replace('_', ' ')}"
    source = f"{row.description}, checked {row.checked_on}"
    bounds = (rate * low, rate, rate * high)
    return _make(f"gpu_usd_per_hour.{terms}", label, bounds, Unit.USD_PER_HOUR, (Owner.CATALOG, source))


def _read_cheaper(traffic: Traffic, catalog: Catalog, reference: Assumptions, at: date) -> Iterator[Assumption]:
    """What cheaper models of the same company cost for the same request; the nearest to the main model is likeliest."""
    if traffic.main_model is None:
        return
    provider, model = traffic.main_model
    today = catalog.prices.token_price(provider, model, at)
    if today is None or not _blend(today, traffic):
        return
    ratio = {row.model: _blend(row, traffic) / _blend(today, traffic) for row in _list_rivals(catalog, provider, at)}
    cheaper = sorted((share, name) for name, share in ratio.items() if share <= _TIER_REACH)
    if not cheaper:
        return
    (lowest, _), (nearest, name) = cheaper[0], cheaper[-1]
    source = (
        f"{len(cheaper)} cheaper models of {provider}; {name} is the nearest, list prices checked {today.checked_on}"
    )
    bounds = (float(lowest), float(nearest), float(nearest))
    yield replace(
        reference["cheaper_price_ratio"],
        low=bounds[0], mid=bounds[1], high=bounds[2], owner=Owner.CATALOG, source=source,
    )  # fmt: skip


def _list_rivals(catalog: Catalog, provider: str, at: date) -> Iterator[TokenPriceRow]:
    """The prices in force of a company's models, one row for each."""
    for name in dict.fromkeys(row.model for row in catalog.prices.token_prices if row.provider == provider):
        row = catalog.prices.token_price(provider, name, at)
        if row is not None and row.output_usd_per_mtok > 0:
            yield row


def _blend(row: TokenPriceRow, traffic: Traffic) -> Decimal:
    """Dollars per million of this traffic's tokens, cached ones as input; five to one where the mix is not known."""
    known = traffic.input_tokens_per_request, traffic.output_tokens_per_request
    tokens_in, tokens_out = (Decimal(str(tokens)) for tokens in ((5, 1) if None in known else known))
    return (tokens_in * row.input_usd_per_mtok + tokens_out * row.output_usd_per_mtok) / (tokens_in + tokens_out)


def _read_mandate(ask: Ask, reference: Assumptions) -> Iterator[Assumption]:
    """Where content may go to own machines alone, everything moves and nothing falls back to the API."""
    if not ask.is_own_only:
        return
    for name, value in _OWN_ONLY.items():
        words = "content may go to own machines alone (--own-only)"
        yield replace(reference[name], low=value, mid=value, high=value, owner=Owner.TYPED, source=words)


def _apply_typed(known: Assumptions, ask: Ask) -> Assumptions:
    for name, typed in ask.settings.items():
        if name not in known.by_name:
            close = difflib.get_close_matches(name, known.by_name, n=3, cutoff=0.4)
            fix = f"Did you mean {', '.join(close)}?" if close else "`inhouse decide … --json` lists them."
            raise ConfigError(f"--set: there is no assumption {name!r}.", fix=fix)
        if ask.is_own_only and name in _OWN_ONLY and (typed.low, typed.high) != (_OWN_ONLY[name], _OWN_ONLY[name]):
            raise ConfigError(f"--set {name}: with --own-only it is {_OWN_ONLY[name]:g}.", fix="Leave one of them out.")
        known = known.put(_read_typed(known[name], typed))
    return known


def _read_typed(item: Assumption, typed: TypedRange) -> Assumption:
    is_growth = item.name == "volume_growth_per_year"
    is_share = item.unit in {Unit.SHARE, Unit.SHARE_PER_YEAR} and not is_growth
    least = _LEAST.get(item.name, 0.0)
    if typed.low < least:
        raise ConfigError(f"--set {item.name}: {typed.low:g} is too low.", fix=f"Give {least:g} or more.")
    if typed.low == 0 and item.name in _MORE_THAN_ZERO:
        raise ConfigError(f"--set {item.name}: it cannot be nothing.", fix="Give more than zero.")
    if is_share and typed.high > 1:
        raise ConfigError(f"--set {item.name}: {typed.high:g} is no share.", fix="Write a share as 0.8 or 80%.")
    return replace(
        item, low=typed.low, mid=typed.mid, high=typed.high, owner=Owner.TYPED, source="given by you (--set)"
    )


def _check_whole(known: Assumptions) -> None:
    """No mean request may be free or take no time: costs are divided by both."""
    prompt, answer = known["input_tokens_per_request"].low, known["output_tokens_per_request"].low
    cached = known["cached_share"]
    for prefix, where in (("api", "the API today"), ("hosted", "the hosted-open API")):
        if f"{prefix}_input_usd_per_mtok" not in known.by_name:
            continue
        rate_in, rate_cached, rate_out = (
            known[f"{prefix}_{name}_usd_per_mtok"].low for name in ("input", "cached", "output")
        )
        if not (prompt * ((1 - cached.high) * rate_in + cached.low * rate_cached) + answer * rate_out):
            raise ConfigError(
                f"A request may cost nothing at {where}.",
                fix="Give tokens of a request (`--set input_tokens_per_request=…`) and prices above zero.",
            )
    if "seconds_per_input_token" not in known.by_name:
        return
    prefill, decode = known["seconds_per_input_token"].low, known["seconds_per_output_token"].low
    if not (prompt * (1 - cached.high) * prefill + answer * decode):
        raise ConfigError(
            "A request may take a replica no time.",
            fix="Give tokens of a request (`--set output_tokens_per_request=…`) and seconds per token above zero.",
        )


def _exactly(value: float | Decimal) -> tuple[float, float, float]:
    return (float(value), float(value), float(value))


def _make(
    name: str, label: str, bounds: tuple[float, float, float], unit: Unit, basis: tuple[Owner, str]
) -> Assumption:
    low, mid, high = bounds
    owner, source = basis
    return Assumption(name=name, low=low, mid=mid, high=high, unit=unit, owner=owner, label=label, source=source)
