"""What bench/economics.py checks beside the clock: golden replies, the published table, one decision to time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from backends.test_usage_golden import GOLDEN, find_price, price_facts, read_whole  # after the path is set
from inhouse.catalog import load_catalog  # same
from inhouse.planning import CompanyFacts  # same
from inhouse.planning.economics import NUM_DRAWS, OptionId, cost_options, decide  # same
from inhouse.reports.decision import Ask, TypedTraffic, prepare, type_bill  # same
from inhouse.reports.pricing import Pricer  # same
from planning.test_worked_table import HOSTED, HYBRID, TABLE  # same
from planning.worked import make_question  # same

DAY = date(2026, 11, 28)
_MICRO = Decimal(1_000_000)
_ROUNDING = 0.5
"""Half a percent point; what contains people or set-up was rounded twice."""


def check_golden() -> dict[str, float]:
    """Metered buckets against the provider's total, and money against the amount that is written out."""
    worst, wrong, priced = Decimal(0), 0, 0
    for name, case in GOLDEN.items():
        facts = read_whole(name)
        if facts.usage is None or facts.usage.input_total + facts.usage.output_total != case["provider_total"]:
            wrong += 1
            continue
        cost = price_facts(facts, find_price(name))
        if (cost is None) != (case["cost_usd"] is None):
            wrong += 1
        elif cost is not None:
            priced += 1
            worst = max(worst, abs(cost - Decimal(case["cost_usd"])))
    return {
        "replies": len(GOLDEN),
        "priced": priced,
        "wrong sums": wrong,
        "largest error, micro-dollars": float(worst * _MICRO),
    }


def check_table() -> dict[str, float]:
    """Cells of the published table that the formula does not give within their rounding."""
    differ = cells = 0
    for spend, gpus, busy, displaced, plain, spare, people, fte, setup, setup_usd, hosted in TABLE:
        question = make_question(spend_usd_per_month=spend)
        costs = cost_options(question.assumptions.mids(), question.fleet, (HYBRID,))[HYBRID]
        if costs.num_gpus is None or costs.utilisation is None:
            raise SystemExit("a self-hosted option has GPUs")
        found = [
            (float(costs.num_gpus[0]), gpus, 0.0),
            (float(costs.utilisation[0]) * 100, busy, _ROUNDING),
            (float(costs.lines["gpus"][0]) / (0.8 * spend) * 100, displaced, _ROUNDING),
            (float(costs.total[0]) / spend * 100, plain, _ROUNDING),
            (_share(spend, HYBRID, spare_replicas=1), spare, _ROUNDING),
            (_share(spend, HYBRID, spare_replicas=1, fte_share=fte), people, 2 * _ROUNDING),
            (_share(spend, HYBRID, spare_replicas=1, fte_share=fte, setup_usd=setup_usd), setup, 2 * _ROUNDING),
            (_share(spend, HOSTED), hosted, _ROUNDING),
        ]
        cells += len(found)
        differ += sum(abs(value - expected) > rounding for value, expected, rounding in found)
    return {"cells": cells, "cells that differ": differ}


def make_decision() -> tuple[Callable[[], object], int, int]:
    """(a typed decision to run, its number of options, its number of draws); everything is loaded."""
    catalog = load_catalog()
    traffic, _ = type_bill(TypedTraffic(usd_per_month=Decimal(22_000)), Pricer(catalog.prices), DAY)
    question = prepare(Ask(traffic=traffic, fte_share=0.5), catalog, CompanyFacts(), DAY).question
    return lambda: decide(question), len(question.options), NUM_DRAWS


def _share(spend: float, option: OptionId, /, **changed: float) -> float:
    question = make_question(spend_usd_per_month=spend, **changed)
    costs = cost_options(question.assumptions.mids(), question.fleet, (option,))[option]
    return float(costs.total[0]) / spend * 100
