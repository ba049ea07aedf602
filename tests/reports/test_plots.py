"""Plots: positions on their scale, text that is escaped, ticks that are round."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from inhouse.reports.decision.plots import (
    Segment,
    Stretch,
    draw_axis,
    draw_band,
    draw_diverging,
    draw_point,
    draw_stack,
    make_close_scale,
    make_log_scale,
    make_scale,
)


def read(drawn: Markup) -> ET.Element:
    return ET.fromstring(str(drawn))  # noqa: S314 - our own


AMOUNTS = st.lists(st.floats(min_value=-1e9, max_value=1e9, allow_nan=False), min_size=1, max_size=20)


@given(AMOUNTS)
def test_every_value_lies_on_a_linear_scale_and_so_does_zero(values: list[float]) -> None:
    scale = make_scale(values)

    assert scale.low <= min(0.0, *values)
    assert scale.high >= max(0.0, *values)
    assert all(0 <= scale.at(value) <= 100 for value in values)
    assert len(scale.ticks) <= 9


@given(AMOUNTS)
def test_a_close_scale_holds_every_value(values: list[float]) -> None:
    scale = make_close_scale(values)

    assert scale.low <= min(values)
    assert scale.high >= max(values)
    assert scale.low < scale.high


def test_a_close_scale_reaches_for_zero_only_where_it_is_near() -> None:
    assert make_close_scale([-3_600, -300]).high > 0
    assert make_close_scale([300, 3_600]).low < 0
    assert make_close_scale([-12_300, -9_900]).high < 0


def test_scales_have_round_ticks() -> None:
    assert make_scale([23_000]).ticks == (0, 5_000, 10_000, 15_000, 20_000)
    assert make_log_scale([22_000, 2e6]).ticks == (10_000, 100_000, 1_000_000, 10_000_000)
    assert make_log_scale([10_200, 26_800]).ticks == (10_000, 20_000, 50_000, 100_000)
    assert make_log_scale([1_000]).ticks == (1_000, 2_000, 5_000, 10_000)


def test_a_band_is_drawn_where_its_figures_are() -> None:
    scale = make_scale([100])
    drawn = read(draw_band(scale, Stretch(10, 20, 40, 25), "chosen", "A & B: <P50>", 60))

    band = drawn.find("rect")
    assert band is not None
    assert band.get("x") == f"{scale.at(10)}%"
    assert band.get("width") == f"{scale.at(40) - scale.at(10):.2f}%"
    assert drawn.get("aria-label") == drawn.findtext("title") == "A & B: <P50>"
    assert [line.get("class") for line in drawn.iter("line")][-2:] == ["reference", "median"]


def test_what_is_not_known_draws_no_mark() -> None:
    drawn = str(draw_point(make_log_scale([1_000]), None, "other", "not known"))

    assert "circle" not in drawn


def test_a_tornado_bar_spans_its_ends_and_shows_zero_where_it_lies_between() -> None:
    scale = make_close_scale([-300, 500])
    drawn = read(draw_diverging(scale, (-300, 500), 100, "any"))

    low, high = drawn.findall("rect")
    assert (low.get("class"), high.get("class")) == ("at-low", "at-high")
    assert low.get("x") == f"{scale.at(-300)}%"
    assert [line.get("class") for line in drawn.iter("line")][-1] == "reference"


def test_stacked_segments_follow_each_other_and_carry_titles() -> None:
    scale = make_scale([30])
    segments = [Segment("api", 10, "API: $10"), Segment("people", 20, "People: $20")]
    first, second = read(draw_stack(scale, segments, "all")).findall("rect")

    assert second.get("x") == f"{scale.at(10)}%"
    assert first.findtext("title") == "API: $10"


@pytest.mark.parametrize(("num", "minor"), [(5, 0), (7, 3)])
def test_of_many_ticks_each_second_gives_way_where_it_is_narrow(num: int, minor: int) -> None:
    scale = make_scale([10.0 * (num - 1)])
    drawn = str(draw_axis(scale, str))

    assert len(scale.ticks) == num
    assert drawn.count('class="minor"') == minor
    assert 'aria-hidden="true"' in drawn
