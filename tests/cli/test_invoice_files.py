"""Files of charges: OpenAI's and Anthropic's cost exports and tables, read exactly; malformed places named."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from inhouse.cli.costing.period import parse_month, parse_period
from inhouse.cli.invoice_files import InvoiceDocument, InvoiceOptions, read_invoice
from inhouse.domain import ConfigError

NOV, DEC, DAY = 1_793_491_200, 1_796_083_200, 86_400


def read(path: Path, content: str, **changes: Any) -> InvoiceDocument:
    path.write_text(content, encoding="utf-8")
    values: dict[str, Any] = {"provider": "openai"}
    return read_invoice(path, InvoiceOptions(**(values | changes)), 5.0)


def make_openai(*results: dict[str, Any], **changes: Any) -> str:
    bucket = {"object": "bucket", "start_time": NOV, "end_time": NOV + DAY, "results": list(results)}
    return json.dumps({"object": "page", "data": [bucket], "has_more": False} | changes)


def test_openais_cost_pages_are_read_to_the_last_digit(tmp_path: Path) -> None:
    text = make_openai(
        {"amount": {"value": "DIGITS", "currency": "usd"}, "line_item": "gpt-5-mini, input", "project_id": "proj_1"},
        {"amount": {"value": "0.5", "currency": "usd"}, "line_item": None, "project_id": None},
        {"amount": None},
        has_more=True,
    )
    document = read(tmp_path / "c.json", text.replace('"DIGITS"', "0.123456789012"))
    first, second = document.lines
    assert (first.amount, first.currency, first.model) == (Decimal("0.123456789012"), "USD", "gpt-5-mini")
    assert (first.description, first.project) == ("gpt-5-mini, input", "proj_1")
    assert (first.started_at, first.ended_at) == (NOV, NOV + DAY)
    assert (second.amount, second.model) == (Decimal("0.5"), None)
    assert document.about.grouped_by == "openai-costs by day"
    assert (document.about.since, document.about.until) == (NOV, NOV + DAY)
    assert document.warnings == ("the last page says that another follows: charges are missing",)


def test_a_charge_that_two_pages_hold_counts_once_and_another_amount_is_another_part(tmp_path: Path) -> None:
    page = json.loads(
        make_openai({"amount": {"value": 1, "currency": "usd"}}, {"amount": {"value": 2, "currency": "usd"}})
    )
    document = read(tmp_path / "c.json", json.dumps([page, page]))
    assert sorted(line.amount for line in document.lines) == [Decimal(1), Decimal(2)]
    assert document.warnings == ("2 charges stood in the file twice, and count once",)


def test_a_later_export_gives_the_same_charge_the_same_id(tmp_path: Path) -> None:
    (before,) = read(tmp_path / "a.json", make_openai({"amount": {"value": 1, "currency": "usd"}})).lines
    (after,) = read(tmp_path / "b.json", make_openai({"amount": {"value": 2, "currency": "usd"}})).lines
    (other,) = read(tmp_path / "b.json", make_openai({"amount": {"value": 2, "currency": "usd"}}), account="b").lines
    assert before.line_id == after.line_id
    assert before.line_id != other.line_id


def test_openais_cost_table_is_read_and_days_without_charges_are_left_out(tmp_path: Path) -> None:
    text = (
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id\n"
        f"{NOV},{NOV + DAY},x,y,0.8958740000000000,usd,,\n"
        f"{NOV + DAY},{NOV + 2 * DAY},x,y,,,,\n"
    )
    (line,) = read(tmp_path / "c.csv", text).lines
    assert (line.amount, line.currency) == (Decimal("0.895874"), "USD")


def test_anthropics_amounts_are_cents(tmp_path: Path) -> None:
    results = [
        {"currency": "USD", "amount": "123.45", "cost_type": "tokens", "model": "claude-x", "workspace_id": "w"},
        {"currency": "USD", "amount": "50", "cost_type": "web_search", "description": "Web Search"},
    ]
    bucket = {"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z", "results": results}
    page = json.dumps({"data": [bucket], "has_more": False})
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(page.encode()))
    document = read_invoice(tmp_path / "c.json.gz", InvoiceOptions("anthropic"), 5.0)
    tokens, search = document.lines
    assert (tokens.amount, tokens.model, tokens.project, tokens.is_tokens) == (Decimal("1.2345"), "claude-x", "w", True)
    assert (search.amount, search.description, search.is_tokens) == (Decimal("0.5"), "Web Search", False)
    assert (tokens.started_at, tokens.ended_at) == (NOV, NOV + DAY)


def test_a_table_may_state_days_periods_or_months(tmp_path: Path) -> None:
    text = (
        "Date;until;month;Cost;Currency;Item;model;kind\n"
        "2026-11-03;;;1,234.50;eur;tokens of x;x;usage\n"
        "2026-11-01;2026-12-01;;(2.5);EUR;refund;;credit\n"
        ";;2026-11;$3;EUR;;;\n"
        ";;2026-11;$3;EUR;;;\n"
    )
    document = read(tmp_path / "c.csv", text)
    amounts = [(line.started_at, line.ended_at, line.amount, line.is_tokens) for line in document.lines]
    assert amounts == [
        (NOV + 2 * DAY, NOV + 3 * DAY, Decimal("1234.50"), True),
        (NOV, DEC, Decimal("-2.5"), False),
        (NOV, DEC, Decimal(3), True),
        (NOV, DEC, Decimal(3), True),
    ]
    assert len({line.line_id for line in document.lines}) == 4
    assert document.about.grouped_by == "table by month"


def test_rows_without_a_date_are_of_the_month_that_is_given(tmp_path: Path) -> None:
    (line,) = read(tmp_path / "c.csv", "amount_usd\n5\n", month=parse_month("2026-11")).lines
    assert (line.started_at, line.ended_at, line.currency) == (NOV, DEC, "USD")
    text = "date,amount,currency\n2026-11-30,1,USD\n2026-12-01,1,USD\n"
    document = read(tmp_path / "c.csv", text, month=(NOV, DEC))
    assert len(document.lines) == 1
    assert document.warnings == ("1 charges of other months were left out",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,amount,currency\n2026-11-01,12x,USD\n", r"c.csv:2: amount is no amount; it is `12x`"),
        ('date,amount,currency\n2026-11-01,"1.234,56",USD\n', r"c.csv:2: amount is no amount"),
        ('date,amount,currency\n2026-11-01,"12,5",USD\n', r"c.csv:2: amount is no amount"),
        ("date,amount,currency\n2026-11-01,nan,USD\n", r"c.csv:2: amount is no amount"),
        ("date,amount,currency\n2026-11-01,10000000,USD\n", r"c.csv:2: The amount 10000000 is beyond"),
        ("date,amount,currency\nyesterday,1,USD\n", r"c.csv:2: date is no time .* it is `yesterday`"),
        ("date,amount,currency\n2026-11-01,,USD\n", r"c.csv:2: amount: It has no amount"),
        ("date,until,amount,currency\n2026-11-02,2026-11-01,1,USD\n", r"c.csv:2: It ends before it begins"),
        ("date,amount,currency\n2026-11-01,1,dollars\n", r"c.csv:2: Its currency is `DOLLARS`"),
        ("date,amount\n2026-11-01,1\n", r"c.csv:2: It states no currency. Fix: add a column `currency`"),
        ("date,amount,currency\n,1,USD\n", r"c.csv:2: It has neither a date nor a month"),
        ("date,price tag\n2026-11-01,1\n", r"c.csv:1: It has no column with an amount. Fix: name a column"),
        ("amount\n1\n", r"c.csv:1: It has no column with a day or month, and --month is not given"),
        ("date,amount,currency\n", r"It holds no charge"),
        ('{"data": [{"results": []}], "start_time": 1}', r"data\[0\]: It has no start and end"),
        ('{"data": [{"start_time": "x", "amount": 1}]}', r"data\[0\].start_time: Expected `int"),
        ('{"data": [{"starting_at": "2026-11-01", "ending_at": "2026-11-02", "results": [{}]}]}', "It has no amount"),
        ('{"starting_at": "2026-11-02", "ending_at": "2026-11-01"}', "It ends before it begins"),
        ('{"other": 1}', "It is no cost export that is known"),
        ('{"data": [{"start_time": 1, "results": [{"input_tokens": 5}]}]}', "It is a usage export"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "c.csv", text)


def test_periods_are_whole_days() -> None:
    now = NOV + 9 * DAY + 4000.0
    seven = parse_period("7d", None, now)
    assert (seven.since, seven.until) == (NOV + 3 * DAY, NOV + 10 * DAY)
    assert str(parse_period("2026-11-02", "2026-11-03", now).last_day) == "2026-11-03"
    assert parse_period(None, None, now).since == NOV - 20 * DAY
    assert parse_month("2026-12") == (DEC, DEC + 31 * DAY)
    assert parse_month(None) is None
    for since, until in (("soon", None), ("2026-11-05", "2026-11-04"), (None, "tomorrow"), ("99999d", "0050-01-01")):
        with pytest.raises(ConfigError, match=r"--|period"):
            parse_period(since, until, now)
    for word in ("2026", "2026-13", "1900-01"):
        with pytest.raises(ConfigError, match="is no month"):
            parse_month(word)
