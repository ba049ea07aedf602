"""Computed against invoiced: the unexplained share, what may explain it, and costs computed again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from inhouse.domain import PriceVector, Usage
from inhouse.reports.costs import (
    DOLLARS,
    CostBasis,
    CostLine,
    Currency,
    Difference,
    Reconciled,
    Repricing,
    reconcile_invoices,
)
from inhouse.store import InvoiceLine, PricedRequest, RepricedCost

DAY = 86_400
NOV = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
DEC = NOV + 30 * DAY
LATER = DEC + 40 * DAY
TWO_PERCENT = Decimal("0.02")


def make_line(**changes: Any) -> CostLine:
    values: dict[str, Any] = {
        "source": "traces", "started_at": NOV, "provider": "openai", "model": "big", "project": "p", "key": None,
        "task": None, "num_requests": 10, "usage": Usage(input_uncached=5), "usd": Decimal(100),
        "basis": CostBasis.TRACE,
    }  # fmt: skip
    return CostLine(**(values | changes))


def make_charge(amount: str, **changes: Any) -> InvoiceLine:
    values: dict[str, Any] = {
        "provider": "openai", "line_id": "x", "started_at": NOV, "ended_at": DEC, "amount": Decimal(amount),
        "currency": "USD",
    }  # fmt: skip
    return InvoiceLine(**(values | changes))


def cover(*, usd: str, **changes: Any) -> list[CostLine]:
    """A line on every day of November; they add up to `usd`, exactly."""
    part = (Decimal(usd) / 30).quantize(Decimal("0.01"))
    amounts = [part] * 29 + [Decimal(usd) - 29 * part]
    return [make_line(started_at=NOV + day * DAY, usd=amount, **changes) for day, amount in enumerate(amounts)]


def reconcile(lines: Sequence[CostLine], charges: Sequence[InvoiceLine], currency: Currency = DOLLARS) -> Reconciled:
    (found,) = reconcile_invoices(lines, charges, currency, LATER)
    return found


def test_a_bill_that_agrees_is_within_the_tolerance() -> None:
    found = reconcile(cover(usd="99"), [make_charge("100")])
    assert (found.provider, found.month, found.computed_from) == ("openai", "2026-11", "traces")
    assert found.computed_usd == Decimal(99)
    assert found.difference_usd == Decimal(1)
    assert found.unexplained_share == Decimal("0.01")
    assert not found.is_over(TWO_PERCENT)
    assert found.reasons == ()


def test_unpriced_requests_explain_a_larger_invoice() -> None:
    found = reconcile([*cover(usd="90"), make_line(usd=None, basis=CostBasis.UNPRICED)], [make_charge("100")])
    assert found.is_over(TWO_PERCENT)
    assert found.unexplained_share == Decimal("0.1")
    (reason,) = found.reasons
    assert reason == (
        "usage without a price (10 requests) is not in what was computed; `inhouse costs reprice` tries again"
    )


def test_days_without_a_request_of_ours_are_requests_outside() -> None:
    days = [make_charge("10", started_at=NOV + day * DAY, ended_at=NOV + (day + 1) * DAY) for day in range(30)]
    lines = [make_line(started_at=NOV + day * DAY, usd=Decimal(10)) for day in range(28)]
    found = reconcile(lines, days)
    assert found.reasons == ("$20.00 charged on 2 days (first 2026-11-29) on which inhouse saw no request of it",)
    whole = reconcile(lines, [make_charge("300")])
    assert whole.reasons == ("inhouse saw no request of it on 2 days (first 2026-11-29) of the charged period",)


def test_charges_for_something_else_than_tokens_explain_themselves() -> None:
    found = reconcile(cover(usd="100"), [make_charge("100"), make_charge("25", is_tokens=False)])
    assert (found.difference_usd, found.other_usd, found.unexplained_share) == (Decimal(25), Decimal(25), Decimal(0))


def test_models_that_went_around_are_named_with_their_amount() -> None:
    charges = [make_charge("100", model="big-2026-08-07"), make_charge("9", model="image"), make_charge("1", model="a")]
    assert reconcile(cover(usd="100"), charges).reasons == (
        "models charged that inhouse did not see: image $9.00, a $1.00",
    )


def test_a_discount_is_offered_where_the_invoice_is_smaller() -> None:
    found = reconcile(cover(usd="100"), [make_charge("88")])
    assert found.reasons == ("a discount of 12.0% on what was computed would explain it (`providers.openai.discount`)",)


def test_the_providers_own_usage_says_what_went_around() -> None:
    lines = [*cover(usd="60"), *cover(usd="100", source="openai-usage", basis=CostBasis.COMPUTED)]
    found = reconcile(lines, [make_charge("100")])
    assert (found.computed_usd, found.computed_from) == (Decimal(60), "traces")
    assert found.reasons == ("the imported usage of it comes to $40.00 more than the traces: requests outside inhouse",)
    alone = reconcile(cover(usd="100", source="openai-usage"), [make_charge("100")])
    assert (alone.computed_usd, alone.computed_from) == (Decimal(100), "imports")


def test_only_the_days_that_charges_are_there_for_are_compared() -> None:
    charge = make_charge("45", started_at=NOV, ended_at=NOV + 15 * DAY)
    found = reconcile(cover(usd="90"), [charge])
    assert found.computed_usd == Decimal(45)
    assert found.reasons == ("charges are there for 2026-11-01 to 2026-11-15 alone: only that is compared",)


def test_a_real_invoice_is_never_held_against_simulated_requests() -> None:
    found = reconcile(cover(usd="100", is_simulated=True), [make_charge("100")])
    assert (found.computed_usd, found.is_simulated, found.unexplained_share) == (Decimal(0), True, Decimal(1))
    no_invoice = reconcile(cover(usd="100", is_simulated=True), [])
    assert (no_invoice.computed_usd, no_invoice.invoiced_usd) == (Decimal(100), None)
    assert no_invoice.unexplained_share is None
    assert not no_invoice.is_over(Decimal(0))


def test_another_currency_needs_its_rate() -> None:
    charge = make_charge("92", currency="EUR")
    unknown = reconcile(cover(usd="100"), [charge])
    assert (unknown.unknown_currencies, unknown.invoiced_usd) == (("EUR",), None)
    assert unknown.is_over(Decimal(1))
    known = reconcile(cover(usd="100"), [charge], Currency("EUR", Decimal("0.92"), date(2026, 11, 1)))
    assert known.invoiced_usd == Decimal(100)


def test_months_and_providers_stand_apart_and_own_machines_have_no_invoice() -> None:
    lines = [make_line(), make_line(started_at=DEC), make_line(provider="own"), make_line(provider=None)]
    found = reconcile_invoices(lines, [make_charge("100", provider="anthropic")], DOLLARS, LATER)
    assert [(one.provider, one.month) for one in found] == [
        ("anthropic", "2026-11"), ("openai", "2026-11"), ("openai", "2026-12"),
    ]  # fmt: skip
    assert found[0].unexplained_share == Decimal(1)


def test_a_month_that_is_not_over_says_so_and_nothing_over_nothing_agrees() -> None:
    (found,) = reconcile_invoices(cover(usd="0"), [make_charge("0")], DOLLARS, NOV + 20 * DAY)
    assert found.unexplained_share == Decimal(0)
    assert found.reasons == ("the month is not over: charges may come later than the requests",)


def make_request(trace_id: str, **changes: Any) -> PricedRequest:
    values: dict[str, Any] = {
        "trace_id": trace_id, "started_at": float(NOV), "endpoint_id": "openai/big", "tier": None,
        "is_simulated": False, "usage": Usage(input_uncached=1_000_000), "cost_usd": None,
    }  # fmt: skip
    return PricedRequest(**(values | changes))


def make_vector(price_id: str, rate: float) -> PriceVector:
    return PriceVector(
        price_id=price_id, input_uncached=rate, cache_read=0.0, cache_write=0.0, output_visible=0.0,
        output_reasoning=0.0, tiers={},
    )  # fmt: skip


def test_costs_are_computed_again_at_each_requests_day() -> None:
    asked: list[tuple[str, date, bool]] = []

    def find(endpoint_id: str, day: date, is_simulated: bool) -> PriceVector | None:
        asked.append((endpoint_id, day, is_simulated))
        return make_vector(f"p@{day}", 2e-6 if day.month == 11 else 3e-6) if endpoint_id == "openai/big" else None

    repricing = Repricing(find)
    requests = [
        make_request("a"),
        make_request("b", started_at=float(DEC)),
        make_request("c", cost_usd=1.0),
        make_request("d", cost_usd=2.0),
        make_request("e", tier="flex"),
        make_request("f", endpoint_id="own"),
        make_request("g", endpoint_id="own", cost_usd=1.0),
    ]
    assert list(repricing.run(requests)) == [
        RepricedCost(trace_id="a", cost_usd=2.0, price_id="p@2026-11-01"),
        RepricedCost(trace_id="b", cost_usd=3.0, price_id="p@2026-12-01"),
        RepricedCost(trace_id="c", cost_usd=2.0, price_id="p@2026-11-01"),
    ]
    assert len(asked) == 3
    big, own = repricing.differences.values()
    assert big == Difference("openai/big", False, 5, 3, 2, 1, Decimal("1.0"), Decimal("7.0"))
    assert (own.num_looked_at, own.num_changed, own.num_still_unpriced) == (2, 0, 1)
    assert big.describe() == "$1.00 → $7.00"
    assert own.describe() == "no change"
