"""How figures read: about three digits, never NaN, and what is not known says so."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.catalog import Unit
from inhouse.reports.decision.formats import (
    format_count,
    format_dollars,
    format_factor,
    format_rate,
    format_share,
    format_value,
    format_with_unit,
    keep_together,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "not known"), (0, "$0"), (0.4, "$0"), (-0.4, "$0"), (642.2, "$642"), (999.4, "$999"), (999.6, "$1.0k"),
        (8_752, "$8.8k"), (99_949, "$99.9k"), (99_951, "$100k"), (128_400, "$128k"), (999_600, "$1.0M"),
        (1_990_764, "$2.0M"), (99_960_000, "$100M"), (-9_939, "−$9.9k"), (Decimal("21540.12"), "$21.5k"),
    ],
)  # fmt: skip
def test_dollars(value: float | None, expected: str) -> None:
    assert format_dollars(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "not known"), (0, "$0.00"), (0.15, "$0.15"), (0.075, "$0.075"), (3.5, "$3.50"), (4.025, "$4.03"),
     (0.0004, "$0.0004"), (15, "$15.00"), (1_250, "$1.2k")],
)  # fmt: skip
def test_rates(value: float | None, expected: str) -> None:
    assert format_rate(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "not known"), (0, "0 %"), (1, "100 %"), (0.462, "46 %"), (0.035, "3.5 %"), (0.03, "3 %"), (0.0996, "10 %"),
     (0.0004, "below 0.1 %"), (0.9995, "above 99.9 %"), (0.996, "99.6 %"), (-0.05, "−5 %"), (0.001, "0.1 %")],
)  # fmt: skip
def test_shares_are_never_rounded_to_none_or_all(value: float | None, expected: str) -> None:
    assert format_share(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "not known"), (0, "0"), (3.2, "3.2"), (89.9, "90"), (2_000, "2,000"), (27_577, "27.6k"), (651_000, "651k"),
     (2_731_904, "2.73M"), (1.2e9, "1.2G")],
)  # fmt: skip
def test_counts(value: float | None, expected: str) -> None:
    assert format_count(value) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.15, Unit.SHARE_PER_YEAR, "15 % a year"),
        (18_000, Unit.USD_PER_MONTH, "$18.0k a month"),
        (3.5, Unit.USD_PER_HOUR, "$3.50 an hour"),
        (0.6, Unit.USD_PER_MTOK, "$0.60 per M tokens"),
        (1 / 17_400, Unit.SECONDS_PER_TOKEN, "57.5 µs a token"),
        (0.05, Unit.FTE, "0.05 FTE"),
        (1, Unit.MONTHS, "1 month"),
        (24, Unit.MONTHS, "24 months"),
        (4, Unit.FACTOR, "4×"),
        (None, Unit.USD, "not known"),
    ],
)
def test_values_with_their_units(value: float | None, unit: Unit, expected: str) -> None:
    assert format_with_unit(value, unit) == expected


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12), st.sampled_from(Unit))
def test_every_finite_value_has_a_text_without_nan_or_exponent(value: float, unit: Unit) -> None:
    text = format_value(value, unit)

    assert text
    assert "nan" not in text.lower()
    assert math.isfinite(value)


def test_factors_and_spaces_that_hold() -> None:
    assert [format_factor(value) for value in (None, 4, 2.38, 0.701, 12.3)] == [
        "not known",
        "4×",
        "2.4×",
        "0.7×",
        "12×",
    ]
    assert keep_together("P10 $6.7k, 98 % of 2 × H100") == "P10\u00a0$6.7k, 98\u00a0% of 2\u00a0×\u00a0H100"
