"""Drafts of the two writing tasks: extraction of an invoice to JSON and the one-line summary. Text only, no scoring."""

import json

from .draw import FIRST_NAMES, Draw, letter_name, syllable_name
from .ticket import Draft, Split

EXTRACT_QUESTION = "Extract the invoice as JSON with id, vendor, total and currency."
SUMMARY_QUESTION = "Summarize this ticket in one line."

ITEMS = (
    "laptop",
    "phone",
    "desk",
    "lamp",
    "router",
    "printer",
    "camera",
    "headset",
    "chair",
    "tablet",
    "monitor",
    "keyboard",
    "scanner",
    "speaker",
)
FAULTS = (
    "does not turn on",
    "arrived broken",
    "is the wrong colour",
    "makes a loud noise",
    "lost its cable",
    "is too small",
    "gets very hot",
    "has a cracked screen",
)
WISHES: dict[str, tuple[str, ...]] = {
    "a refund": ("I want my money back.", "please refund me.", "pay me back."),
    "a replacement": ("send me a new one.", "please replace it.", "I need another one."),
    "a repair": ("can you fix it?", "please repair it.", "I want it mended."),
    "advice": ("what should I do?", "any tips for me?", "how can I solve this?"),
}
_HELD_OUT_LETTER_SHARE = 0.15
_TRAINING_LETTER_SHARE = 0.35


def draft_extract(draw: Draw, split: Split) -> Draft:
    """A short invoice text; the target is one line of compact JSON with four string fields."""
    vendor, slices = _name(draw, split, ())
    number = draw.between(1000, 9999)
    currency = draw.one_of(("EUR", "USD", "GBP"))
    total = f"{draw.between(5, 999)}.{draw.below(100):02d}"
    text = draw.one_of(
        (
            f"Invoice {number} from {vendor}, total {total} {currency}.",
            f"{vendor} sent invoice {number}: please pay {currency} {total}.",
            f"Please pay {total} {currency} to {vendor} for invoice {number}.",
            f"Bill number {number}. Vendor {vendor}. Amount {currency} {total}.",
            f"Hi, {vendor} asks for {total} {currency}, invoice {number}. Thanks.",
        )
    )
    fields = {"id": str(number), "vendor": vendor, "total": total, "currency": currency}
    return Draft(f"{EXTRACT_QUESTION}\n{text}", json.dumps(fields, separators=(",", ":")), slices)


def draft_summary(draw: Draw, split: Split) -> Draft:
    """A complaint about an item; the target is "Name: item fault; wants wish"."""
    name, slices = _name(draw, split, FIRST_NAMES)
    item, fault = draw.one_of(ITEMS), draw.one_of(FAULTS)
    wish = draw.one_of(tuple(WISHES))
    ask = draw.one_of(WISHES[wish])
    number = draw.between(100, 999)
    text = draw.one_of(
        (
            f"My name is {name}. The {item} I bought {fault}. Order {number}. {_capital(ask)}",
            f"Hi, {name} here: my {item} from order {number} {fault}, {ask}",
            f"{_capital(ask)} The {item} {fault}. Order {number}. Regards, {name}.",
            f"Order {number}: the {item} {fault}. {_capital(ask)} Thanks, {name}.",
        )
    )
    return Draft(f"{SUMMARY_QUESTION}\n{text}", f"{name}: {item} {fault}; wants {wish}", slices)


def draft_echo(draw: Draw) -> Draft:
    """Training only: repeat a short line, or its one number. It teaches the copying that most tasks need.

    Digits come up most: each is a token of its own, and copying them in order is what a small model learns last.
    """
    if draw.chance(0.3):
        number = _number(draw)
        words = draw.shuffled((number, *(_copied_name(draw) for _ in range(draw.between(1, 4)))))
        return Draft(f"Repeat only the number.\n{' '.join(words)}", number)
    words = [_number(draw) if draw.chance(0.5) else _copied_name(draw) for _ in range(draw.between(1, 4))]
    line = " ".join(words)
    return Draft(f"Repeat this line.\n{line}", line)


def _number(draw: Draw) -> str:
    whole = draw.below(10 ** draw.between(1, 5))
    return f"{whole % 1000}.{draw.below(100):02d}" if draw.chance(0.4) else str(whole)


def _copied_name(draw: Draw) -> str:
    return draw.one_of((letter_name(draw), letter_name(draw), syllable_name(draw), draw.one_of(FIRST_NAMES + ITEMS)))


def _name(draw: Draw, split: Split, common: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    if draw.chance(_HELD_OUT_LETTER_SHARE if split is Split.HELD_OUT else _TRAINING_LETTER_SHARE):
        return letter_name(draw), ("letter-name",)
    if common and draw.chance(0.7):
        return draw.one_of(common), ()
    return syllable_name(draw), ()


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
