"""How values look on pages."""

from __future__ import annotations

import pytest

from inhouse.console.formats import (
    format_age,
    format_bytes,
    format_count,
    format_digest,
    format_iso,
    format_ms,
    format_ms_pair,
    format_score,
    format_share,
)

THIN = "\u202f"
NONE = "\u2013"


@pytest.mark.parametrize(
    ("value", "words"), [(None, NONE), (0.0, "0.0 ms"), (3.44, "3.4 ms"), (182.4, "182 ms"), (12_340, "12.3 s")]
)
def test_times(value: float | None, words: str) -> None:
    assert format_ms(value) == words


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(7.42, 8.84, "7.4 / 8.8 ms"), (150, 269, "150 / 269 ms"), (900, 12_000, "0.9 / 12.0 s"), (None, None, NONE)],
)
def test_two_times_share_a_unit(low: float | None, high: float | None, words: str) -> None:
    assert format_ms_pair(low, high) == words


@pytest.mark.parametrize(
    ("value", "words"), [(None, NONE), (0.0, "0 %"), (0.004, "0.4 %"), (0.714, "71 %"), (1.0, "100 %")]
)
def test_shares(value: float | None, words: str) -> None:
    assert format_share(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "less than 1 s"), (42, "42 s"), (300, "5 min"), (11_400, "3 h 10 min"), (187_200, "2 d 4 h")],
)
def test_ages(seconds: float, words: str) -> None:
    assert format_age(seconds) == words


def test_the_rest() -> None:
    assert format_count(1_234_567) == f"1{THIN}234{THIN}567"
    assert format_count(None) == NONE
    assert format_bytes(512) == "512 B"
    assert format_bytes(5 * 1024 * 1024) == "5.0 MiB"
    assert format_digest("sha256:" + "ab" * 32) == "abababababab"
    assert format_digest(None) == "not known yet"
    assert format_score(0.9144) == "0.914"
    assert format_score(None) == NONE
    assert format_iso(0) == "1970-01-01T00:00:00+00:00"
