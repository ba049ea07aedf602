"""Seeded drawing of choices, names and typos. Uses only `Random.random()`, the one method Python keeps stable."""

import random
from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")

FIRST_NAMES = (
    "Anna",
    "Ben",
    "Carla",
    "David",
    "Elena",
    "Felix",
    "Grace",
    "Hugo",
    "Irene",
    "Jonas",
    "Karin",
    "Luis",
    "Maria",
    "Nils",
    "Olga",
    "Paul",
    "Rosa",
    "Simon",
    "Tina",
    "Victor",
)
_SYLLABLES = (
    "ba",
    "lo",
    "mi",
    "ren",
    "tas",
    "vo",
    "kel",
    "dra",
    "qui",
    "zor",
    "fen",
    "pha",
    "nu",
    "gar",
    "sti",
    "wex",
    "hol",
    "jun",
    "bri",
    "cam",
)
_CONSONANTS = "bcdfghjklmnprstvwxz"
_VOWELS = "aeiou"


class Draw:
    """A random source that gives the same sequence for the same seed on every Python version and platform.

    Python promises this for `random()` alone, so every other draw is built on it.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def chance(self, probability: float) -> bool:
        """True with the given probability (0 to 1)."""
        return self._random.random() < probability

    def below(self, limit: int) -> int:
        """An integer from 0 to limit - 1."""
        return int(self._random.random() * limit)

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + self.below(high - low + 1)

    def one_of(self, items: Sequence[_Item]) -> _Item:
        """One item, each equally likely."""
        return items[self.below(len(items))]

    def weighted(self, items: Sequence[_Item], weights: Sequence[float]) -> _Item:
        """One item, likely in proportion to its weight."""
        point = self._random.random() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            point -= weight
            if point < 0:
                return item
        return items[-1]

    def shuffled(self, items: Sequence[_Item]) -> list[_Item]:
        """A copy of the items in random order (Fisher and Yates)."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.below(last + 1)
            result[last], result[other] = result[other], result[last]
        return result


def syllable_name(draw: Draw) -> str:
    """A made-up name of two or three common syllables, such as "Keldra"."""
    return "".join(draw.one_of(_SYLLABLES) for _ in range(draw.between(2, 3))).capitalize()


def letter_name(draw: Draw) -> str:
    """A made-up name put together letter by letter, such as "Xobefu": copying it needs the letters themselves."""
    pairs = (draw.one_of(_CONSONANTS) + draw.one_of(_VOWELS) for _ in range(draw.between(2, 4)))
    tail = draw.one_of(_CONSONANTS) if draw.chance(0.4) else ""
    return ("".join(pairs) + tail).capitalize()


def swap_letters(draw: Draw, text: str, swaps: int) -> str:
    """Swap neighbouring letters inside long words, so that a person still reads the text without doubt.

    First and last letters stay, words below five letters stay, and a word is hit at most once.
    """
    words = text.split(" ")
    candidates = [index for index, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    for index in draw.shuffled(candidates)[:swaps]:
        word = words[index]
        at = draw.between(1, len(word) - 3)
        words[index] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)
