"""What the tables of costs say in the rarer cases: nothing priced, uncounted requests, negative idle time."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

from rich.console import Console

from inhouse.catalog import PriceBook
from inhouse.cli.costing.view import format_count, render_report
from inhouse.domain import Usage
from inhouse.reports.costs import (
    DOLLARS,
    CostBasis,
    CostLine,
    CostPeriod,
    CostQuestion,
    Elsewhere,
    Machines,
    parse_dimensions,
    report_costs,
)
from inhouse.reports.pricing import Pricer

PRICER = Pricer(PriceBook(token_prices=(), machines=(), engine_rates=()))


def make_line(**changes: Any) -> CostLine:
    values: dict[str, Any] = {
        "source": "traces", "started_at": 0, "provider": "own", "model": "scout", "project": "desk", "key": None,
        "task": None, "num_requests": 4, "usage": Usage(input_uncached=1500), "usd": Decimal(3),
        "basis": CostBasis.TRACE,
    }  # fmt: skip
    return CostLine(**(values | changes))


def show(*lines: CostLine, usd_per_hour: str = "1", num_replicas: int = 1, elsewhere: bool = False) -> list[str]:
    machines = Machines(
        deployment="scout", num_replicas=num_replicas, usd_per_hour=Decimal(usd_per_hour), price_id="own", up_s=3600.0,
        hours_basis="the whole period",
    )  # fmt: skip
    other = Elsewhere(asked="hosted:x", provider="p", model="x", at=0.0)
    question = CostQuestion(
        period=CostPeriod(since=0.0, until=86_400.0),
        dimensions=parse_dimensions(["model"]),
        currency=DOLLARS,
        elsewhere=(other,) if elsewhere else (),
        machines=(machines,),
    )
    stream = io.StringIO()
    Console(file=stream, width=120, highlight=False).print(render_report(report_costs(question, lines, PRICER), 120))
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def test_usage_that_charges_more_than_was_paid_is_said() -> None:
    rows = show(make_line(), make_line(usd=None, basis=CostBasis.UNPRICED), num_replicas=2)
    assert "idle -$1.00 -50.0% in the shares" in rows
    assert "scout $3.00 150.0% $2.00 $666.67" in rows
    assert any("usage charges more than was paid" in row for row in rows)
    assert "· scout: 4 requests without a cost: idle time, as it looks here" in rows
    assert any(row.startswith("· scout: 2 × $1.00/h (own) × 1.0 h") for row in rows)


def test_machines_that_cost_nothing_have_no_share() -> None:
    rows = show(usd_per_hour="0")
    assert "no requests and no imported usage in this period" in rows
    assert "scout $0 $0" in rows


def test_tokens_stand_in_where_requests_are_not_counted() -> None:
    uncounted = make_line(provider="x", model="y", num_requests=None)
    unpriced = make_line(provider="x", num_requests=None, usd=None, basis=CostBasis.UNPRICED)
    rows = show(uncounted, make_line(provider="x", model="y"), unpriced)
    assert any(row.startswith("x/y ≥ 4 3.00k 0 0 $6.00") for row in rows)
    assert any(row.startswith("x/scout ? 1.50k 0 0 unpriced 1.50k tok") for row in rows)
    assert any("some sources do not count requests" in row for row in rows)


def test_amounts_as_stated_and_models_without_a_price_elsewhere_are_said() -> None:
    stated = make_line(provider="x", usd=Decimal(2), basis=CostBasis.STATED)
    rows = show(stated, make_line(usage=None, num_requests=0, num_failed=2, usd=None), elsewhere=True)
    assert "· $2.00 is as the imported source states it: the price book has no price" in rows
    assert "x/scout 4 1.50k 0 0 $2.00 $1,333.33 unpriced" in rows
    assert any(row.startswith("own/scout 0 2 0 0 0 -") for row in rows)
    assert any("on hosted:x (p/x)" in row for row in rows)


def test_token_counts_have_three_digits() -> None:
    assert [format_count(number) for number in (0, 999, 1234, 45_600, 789_000, 2_345_678, 10**10, 10**12)] == [
        "0", "999", "1.23k", "45.6k", "789k", "2.35M", "10.0G", "1.00T",
    ]  # fmt: skip
