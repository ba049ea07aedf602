"""Drafts of the two classification tasks: topic (eight labels) and sentiment (three). Text only, no scoring."""

from .draw import FIRST_NAMES, Draw, swap_letters
from .phrases import BAD, CLOSINGS, GOOD, GREETINGS, NEUTRAL, SUBJECTS, TOPICS, Phrases
from .ticket import Draft, Split

TOPIC_QUESTION = "What is the topic of this ticket? Reply with one label."
SENTIMENT_QUESTION = "Is this message positive, negative or neutral? Reply with one word."

_UNSEEN_TOPIC_SHARE = 0.12
_UNSEEN_SENTIMENT_SHARE = 0.06
_TYPO_SHARE = 0.15
_HELD_OUT_SWAPS = 2


def draft_topic(draw: Draw, split: Split) -> Draft:
    """A ticket about one of eight topics; a third first mention another, solved matter."""
    label = draw.one_of(tuple(TOPICS))
    phrase, slices = _pick(draw, TOPICS[label], split, _UNSEEN_TOPIC_SHARE)
    phrase, slices = _with_typos(draw, phrase, slices, split)
    parts = [draw.one_of(GREETINGS)]
    if draw.chance(0.3):
        other = draw.one_of([name for name in TOPICS if name != label])
        parts.append(f"last time {draw.one_of(TOPICS[other].seen)}, that is solved. Now")
    parts += [phrase + ".", _detail(draw), draw.one_of(CLOSINGS)]
    return Draft(f"{TOPIC_QUESTION}\n{_sentence(parts)}", label, slices)


def draft_sentiment(draw: Draw, split: Split) -> Draft:
    """A message with a plain, negated or contrasted opinion, or a fact without one."""
    subject = draw.one_of(SUBJECTS)
    if draw.chance(0.28):
        phrase, slices = _pick(draw, NEUTRAL, split, _UNSEEN_SENTIMENT_SHARE)
        text, label = phrase.format(subject=subject), "neutral"
    else:
        text, label, slices = _opinion(draw, subject, split)
    text, slices = _with_typos(draw, text, slices, split)
    return Draft(f"{SENTIMENT_QUESTION}\n{_sentence([text + '.', _detail(draw)])}", label, slices)


def _opinion(draw: Draw, subject: str, split: Split) -> tuple[str, str, tuple[str, ...]]:
    positive = draw.chance(0.5)
    word, slices = _pick(draw, GOOD if positive else BAD, split, _UNSEEN_SENTIMENT_SHARE)
    kind = draw.one_of(("plain", "plain", "negated", "contrast", "contrast"))
    opener = draw.one_of(("The", "Your", "I think the", "We find the"))
    label = "positive" if positive else "negative"
    if kind == "plain":
        return f"{opener} {subject} is {word}", label, slices
    if kind == "negated":
        good = draw.one_of(GOOD.seen[:3])
        return f"{opener} {subject} is not {good} at all", "negative", ()
    before = draw.one_of((BAD if positive else GOOD).seen)
    return f"{opener} {subject} was {before} last year, but now it is {word}", label, slices


def _pick(draw: Draw, phrases: Phrases, split: Split, unseen_share: float) -> tuple[str, tuple[str, ...]]:
    if split is Split.HELD_OUT and draw.chance(unseen_share):
        return draw.one_of(phrases.unseen), ("unseen-phrase",)
    return draw.one_of(phrases.seen), ()


def _with_typos(draw: Draw, text: str, slices: tuple[str, ...], split: Split) -> tuple[str, tuple[str, ...]]:
    if slices or not draw.chance(_TYPO_SHARE):
        return text, slices
    swapped = swap_letters(draw, text, _HELD_OUT_SWAPS if split is Split.HELD_OUT else 1)
    return (text, slices) if swapped == text else (swapped, ("typos",))


def _detail(draw: Draw) -> str:
    number = draw.between(100, 999)
    name = draw.one_of(FIRST_NAMES)
    day = draw.one_of(("Monday", "Tuesday", "Friday", "Sunday"))
    return draw.one_of((f"Order {number}.", f"It is {day}.", f"My name is {name}.", f"I use version {number}."))


def _sentence(parts: list[str]) -> str:
    text = " ".join(part for part in parts if part)
    return text[0].upper() + text[1:]
