"""Drafts of the reasoning task: add up the amounts named in a ticket. Text only, no scoring."""

from .draw import FIRST_NAMES, Draw
from .ticket import Draft

REASONING_QUESTION = "What is the total of this order? Reply with the number only."

_GOODS = ("cable", "lamp", "mouse", "filter", "charger", "stand", "case", "battery", "hub", "pad")
_THREE_SHARE = 0.2
_SMALL_SHARE = 0.5


def draft_reasoning(draw: Draw) -> Draft:
    """Two or three line items in whole euros; the target is their sum."""
    count = 3 if draw.chance(_THREE_SHARE) else 2
    goods = draw.shuffled(_GOODS)[:count]
    prices = [draw.between(2, 9) if draw.chance(_SMALL_SHARE) else draw.between(10, 39) for _ in goods]
    items = [f"a {name} for {price} EUR" for name, price in zip(goods, prices, strict=True)]
    listed = ", ".join(items[:-1]) + " and " + items[-1]
    text = draw.one_of(
        (
            f"I ordered {listed}.",
            f"Hi, {draw.one_of(FIRST_NAMES)} here. My order has {listed}.",
            f"Order {draw.between(100, 999)} has {listed}. Thanks.",
        )
    )
    return Draft(f"{REASONING_QUESTION}\n{text}", str(sum(prices)), ("three-items",) if count == 3 else ())
