"""Charges in the store: each once, replaced by what is added later, taken back by import."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from inhouse.domain import StateError
from inhouse.store import InvoiceFile, InvoiceLine, Store

DAY = 86_400


def make_line(name: str, amount: str, **changes: Any) -> InvoiceLine:
    values: dict[str, Any] = {
        "provider": "openai",
        "line_id": name,
        "started_at": 0,
        "ended_at": DAY,
        "amount": Decimal(amount),
        "currency": "USD",
    }
    return InvoiceLine(**(values | changes))


def make_file(**changes: Any) -> InvoiceFile:
    values: dict[str, Any] = {
        "provider": "openai",
        "file": "may.csv",
        "sha256": "0" * 64,
        "grouped_by": "openai-costs by day",
        "imported_at": 5.0,
        "since": 0,
        "until": 2 * DAY,
    }
    return InvoiceFile(**(values | changes))


def test_a_file_added_twice_changes_nothing(store: Store) -> None:
    lines = [make_line("a", "0.123456789012", model="gpt-5", project="p"), make_line("b", "-3", is_tokens=False)]
    first = store.invoices.add(lines, make_file())
    assert (first.num_new, first.num_replaced, first.num_same) == (2, 0, 0)
    again = store.invoices.add(lines, make_file())
    assert (again.import_id, again.num_new, again.num_replaced, again.num_same) == (None, 0, 0, 2)
    assert store.invoices.lines() == lines
    assert [found.file for found in store.invoices.imports()] == ["may.csv"]


def test_the_amount_that_was_added_last_counts(store: Store) -> None:
    store.invoices.add([make_line("a", "1")], make_file())
    counts = store.invoices.add([make_line("a", "2"), make_line("b", "1", started_at=DAY)], make_file())
    assert (counts.num_new, counts.num_replaced, counts.num_same) == (1, 1, 0)
    assert [line.amount for line in store.invoices.lines()] == [Decimal(2), Decimal(1)]
    assert [line.line_id for line in store.invoices.lines(since=DAY, until=2 * DAY, provider="openai")] == ["b"]
    assert store.invoices.lines(provider="anthropic") == []


def test_two_forms_of_one_time_are_refused_as_they_would_count_twice(store: Store) -> None:
    store.invoices.add([make_line("a", "1")], make_file())
    other = make_file(file="invoice.csv", grouped_by="csv by month", since=DAY, until=3 * DAY)
    with pytest.raises(StateError, match=r"Invoice \d+ \(may.csv\) covers the same time as openai-costs by day"):
        store.invoices.add([make_line("c", "1")], other)
    assert len(store.invoices.lines()) == 1
    store.invoices.add([make_line("c", "1")], make_file(grouped_by="csv by month", account="second"))
    store.invoices.add([make_line("d", "1")], make_file(grouped_by="csv by month", since=2 * DAY, until=3 * DAY))


def test_an_import_is_taken_back(store: Store) -> None:
    counts = store.invoices.add([make_line("a", "1")], make_file())
    assert counts.import_id is not None
    assert store.invoices.remove(counts.import_id) == 1
    assert store.invoices.remove(counts.import_id) is None
    assert store.invoices.lines() == []
