"""Replies in the shapes that providers document: their usage in buckets, its sum, its cost; streamed as unstreamed.

Each file in `data/usage` holds a whole reply, the events of the same reply streamed (null where there is no stream),
what the provider bills in total, and what is expected of it, with the cost written out.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from inhouse.backends import ReplyFacts
from inhouse.backends.dialects import meter_operation, read_operation_facts
from inhouse.backends.settings import ProviderSettings
from inhouse.catalog import load_price_book
from inhouse.control.pricing import price_list_model, price_provider_model
from inhouse.domain import Operation, PriceVector, Usage, UsageBasis

FOLDER = Path(__file__).parent / "data" / "usage"
DAY = date(2026, 11, 28)
BOOK = load_price_book()
GOLDEN: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.iterdir())}
golden = pytest.mark.parametrize("name", GOLDEN)
_EXACT = Decimal("0.000000000001")


def read_whole(name: str) -> ReplyFacts:
    case = GOLDEN[name]
    facts = read_operation_facts(Operation(case["operation"]), json.dumps(case["whole"]).encode())
    assert facts is not None
    return facts


def read_stream(name: str, *, separators: tuple[str, str]) -> ReplyFacts:
    case = GOLDEN[name]
    meter = meter_operation(Operation(case["operation"]))
    for number, event in enumerate(case["events"]):
        data = event if isinstance(event, str) else json.dumps(event, separators=separators)
        head = "" if isinstance(event, str) or "type" not in event else f"event: {event['type']}\n"
        meter.feed(f"{head}data: {data}\n\n".encode(), float(number))
    assert meter.is_complete
    return meter.facts()


def find_price(name: str) -> PriceVector:
    asked = GOLDEN[name]["price"]
    if "own" in asked:
        models = {"m": {"price": asked["own"]}}
        settings = ProviderSettings.model_validate({"base_url": "https://x.example/v1", "models": models})
        vector = price_provider_model("mine", "m", settings, BOOK, DAY)
    else:
        vector = price_list_model(asked["company"], asked["model"], BOOK, DAY)
    assert vector is not None
    return vector


def price_facts(facts: ReplyFacts, vector: PriceVector) -> Decimal | None:
    assert facts.usage is not None
    chosen = vector.select(facts.usage, facts.tier)
    cost = None if chosen is None else chosen.price(facts.usage)
    return None if cost is None else Decimal(repr(cost)).quantize(_EXACT)


@golden
def test_a_reply_is_metered_to_the_token_and_priced_exactly(name: str) -> None:
    case = GOLDEN[name]
    facts = read_whole(name)
    assert (facts.usage, facts.usage_basis) == (Usage(**case["expected"]), UsageBasis.MEASURED)
    assert facts.usage is not None
    assert facts.usage.input_total + facts.usage.output_total == case["provider_total"]
    assert facts.tier == case["tier"]
    assert price_facts(facts, find_price(name)) == (None if case["cost_usd"] is None else Decimal(case["cost_usd"]))


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("name", [name for name in GOLDEN if GOLDEN[name]["events"]])
def test_streamed_it_costs_the_same(name: str, separators: tuple[str, str]) -> None:
    whole, streamed = read_whole(name), read_stream(name, separators=separators)
    assert (streamed.usage, streamed.usage_basis, streamed.tier) == (whole.usage, whole.usage_basis, whole.tier)


def test_every_dialect_and_kind_of_token_has_a_golden_reply() -> None:
    assert {case["operation"] for case in GOLDEN.values()} == {
        "chat",
        "completions",
        "embeddings",
        "messages",
        "responses",
    }
    assert {bucket for case in GOLDEN.values() for bucket in case["expected"]} == set(Usage.__struct_fields__)
    assert all(case["source"].startswith("https://") for case in GOLDEN.values())
