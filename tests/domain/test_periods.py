"""A length of time is written with its unit, and read back from what it is dumped as."""

from datetime import timedelta

import pytest

from inhouse.domain.settings import Period, Settings


class Example(Settings):
    keep: Period


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90s", 90), ("45m", 2700), (" 12h ", 43_200), ("30d", 2_592_000), (timedelta(hours=1), 3600)],
)
def test_a_period_is_a_whole_number_and_a_unit(given: object, seconds: int) -> None:
    example = Example.model_validate({"keep": given})
    assert example.keep == timedelta(seconds=seconds)
    assert Example.model_validate(example.model_dump(mode="json")) == example


@pytest.mark.parametrize("given", [30, "30", "0d", "-1h", "1.5h", "1w", "", None])
def test_a_period_without_a_unit_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="a whole number and a unit"):
        Example.model_validate({"keep": given})
