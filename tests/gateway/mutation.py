"""Byte-level fuzzing: a kept corpus, changes to it, and cuts of a byte stream. Not a test module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_FOLDER = Path(__file__).parent / "corpus"
_BYTES = st.sampled_from([bytes((code,)) for code in (*range(0x20), 0x20, 0x7F, 0x80, 0xA0, 0xFF)]) | st.binary(
    min_size=1, max_size=4
)


def read_corpus(kind: str) -> dict[str, bytes]:
    """File name → bytes of one folder of the corpus."""
    found = {path.name: path.read_bytes() for path in sorted((_FOLDER / kind).iterdir())}
    assert found
    return found


def mutants(seeds: Sequence[bytes], tokens: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A seed after a few changes: bytes taken away, doubled, replaced, put in, letters turned, two seeds joined."""
    position = st.floats(0, 1)
    piece = st.sampled_from(list(tokens)) | _BYTES
    kinds = st.sampled_from(["none", "cut", "double", "replace", "insert", "swap case", "join"])
    changes = st.lists(st.tuples(kinds, position, st.integers(0, 12), piece, st.sampled_from(seeds)), max_size=4)

    def change(seed: bytes, steps: list[tuple[str, float, int, bytes, bytes]]) -> bytes:
        for kind, where, length, put, other in steps:
            at = int(where * len(seed))
            head, middle, tail = seed[:at], seed[at : at + length], seed[at + length :]
            seed = {
                "none": seed,
                "cut": head + tail,
                "double": head + middle + middle + tail,
                "replace": head + put + seed[at + len(put) :],
                "insert": head + put + middle + tail,
                "swap case": head + middle.swapcase() + tail,
                "join": head + other[int(where * len(other)) :],
            }[kind]
        return seed

    return st.builds(change, st.sampled_from(seeds), changes)


CUTS = st.lists(st.floats(0, 1), max_size=6)
"""Where to cut, as shares of the length."""


def cut(data: bytes, shares: Sequence[float]) -> list[bytes]:
    """The data in pieces; joined they are the data."""
    places = [0, *sorted(int(share * len(data)) for share in shares), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


def fuzz(num_examples: int, check: Callable[..., None], *strategies: st.SearchStrategy[Any]) -> None:
    """Run a check on so many examples; a failing one is made small and shown."""
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run = settings(max_examples=num_examples, deadline=None, suppress_health_check=quiet)(given(*strategies)(check))
    run()
