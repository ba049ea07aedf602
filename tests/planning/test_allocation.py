"""Paid machines split into what was used and what stood idle."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.planning import allocate_machines, pay_machines

AMOUNTS = st.decimals(min_value=0, max_value=100_000, places=12)


def test_idle_time_is_its_own_line_and_users_pay_in_proportion() -> None:
    paid = pay_machines(Decimal("3.50"), 2, 10 * 3600.0)
    found = allocate_machines(paid, {"triage": Decimal(21), "search": Decimal(7)}, 40_000_000)
    assert found.paid_usd == Decimal(70)
    assert found.used_usd == Decimal(28)
    assert found.idle_usd == Decimal(42)
    assert found.utilisation == Decimal("0.4")
    assert [(share.name, share.usage_usd, share.allocated_usd) for share in found.shares] == [
        ("triage", Decimal(21), Decimal("52.5")),
        ("search", Decimal(7), Decimal("17.5")),
    ]
    assert found.usage_usd_per_mtok == Decimal("0.7")
    assert found.allocation_usd_per_mtok == Decimal("1.75")


def test_machines_that_nobody_used_are_all_idle() -> None:
    found = allocate_machines(Decimal(10), {}, 0)
    assert found.idle_usd == Decimal(10)
    assert found.utilisation == 0
    assert found.allocation_usd_per_mtok is None
    assert allocate_machines(Decimal(10), {"a": Decimal(0)}, 5).shares[0].allocated_usd == 0


def test_machines_that_cost_nothing_have_no_utilisation() -> None:
    assert allocate_machines(Decimal(0), {}, 1).utilisation is None


def test_rates_that_charge_more_than_was_paid_show_as_negative_idle_time() -> None:
    assert allocate_machines(Decimal(1), {"a": Decimal(3)}, 1).idle_usd == Decimal(-2)


@pytest.mark.parametrize(("price", "replicas", "seconds"), [(-1, 1, 1.0), (1, -1, 1.0), (1, 1, -1.0)])
def test_negative_machines_are_refused(price: int, replicas: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="zero or more"):
        pay_machines(Decimal(price), replicas, seconds)


@pytest.mark.parametrize(("paid", "used", "tokens"), [(-1, 1, 1), (1, -1, 1), (1, 1, -1)])
def test_negative_amounts_are_refused(paid: int, used: int, tokens: int) -> None:
    with pytest.raises(ValueError, match="zero or more"):
        allocate_machines(Decimal(paid), {"a": Decimal(used)}, tokens)


@given(AMOUNTS, st.dictionaries(st.text(max_size=3), AMOUNTS, max_size=5))
def test_used_and_idle_are_what_was_paid_and_so_are_the_parts(paid: Decimal, usage: dict[str, Decimal]) -> None:
    found = allocate_machines(paid, usage, 1)
    assert found.used_usd + found.idle_usd == paid
    assert sum((share.usage_usd for share in found.shares), Decimal(0)) == found.used_usd
    if found.used_usd:
        total = sum((share.allocated_usd for share in found.shares), Decimal(0))
        assert abs(total - paid) < Decimal("1e-15")
