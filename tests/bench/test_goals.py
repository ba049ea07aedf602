"""The arithmetic between measured figures and the table of goals."""

from __future__ import annotations

import pytest
from goals import Goal, find_quantile, find_spread, median_ratio, show_goal, sort_goals  # pyright: ignore[reportMissingImports]


def test_a_figure_at_its_limit_holds_and_beyond_it_does_not() -> None:
    assert Goal("a", "CPU", 3.0, 3.0).holds is True
    assert Goal("a", "CPU", 3.0, 3.01).holds is False


def test_a_goal_of_at_least_turns_the_comparison() -> None:
    assert Goal("e", "streams", 5000, 5000, is_least=True).holds is True
    assert Goal("e", "streams", 5000, 4999, is_least=True).holds is False


def test_what_was_not_measured_neither_holds_nor_fails() -> None:
    goal = Goal("f", "translated", 3.0, None, why="the gateway answers 404")
    assert goal.holds is None
    assert show_goal(goal) == "not measured  (f) translated (at most 3 ×): the gateway answers 404"


def test_failing_goals_stand_last_and_the_rest_keeps_its_order() -> None:
    fails, misses = Goal("a", "fails", 1, 2), Goal("b", "not measured", 1, None)
    holds, holds_too = Goal("c", "holds", 1, 1), Goal("d", "holds too", 1, 0.5)
    assert sort_goals([fails, misses, holds, holds_too]) == [holds, holds_too, misses, fails]


def test_a_goal_is_shown_with_its_verdict_figure_and_bound() -> None:
    assert show_goal(Goal("a", "CPU", 3.0, 4.24)) == "FAILED  (a) CPU: 4.24 × (at most 3 ×)"
    assert show_goal(Goal("e", "open", 5000, 5000, "streams", is_least=True)) == (
        "met     (e) open: 5,000 streams (at least 5,000 streams)"
    )


def test_the_ratio_is_taken_within_each_block_before_the_median() -> None:
    assert median_ratio([30.0, 60.0, 36.0, 45.0], [10.0, 20.0, 12.0, 15.0]) == 3.0
    # The medians' own ratio is 4 here: they come from different blocks.
    assert median_ratio([40.0, 90.0, 20.0], [10.0, 30.0, 10.0]) == 3.0


def test_a_ratio_of_unequal_or_no_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="no blocks"):
        median_ratio([], [])
    with pytest.raises(ValueError, match="shorter"):
        median_ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.01, 1.0), (0.5, 50.0), (0.501, 51.0), (0.99, 99.0), (1.0, 100.0)]
)
def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed(share: float, expected: float) -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert find_quantile(values, share) == expected


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.5), ([1.0], -0.1)])
def test_a_quantile_of_nothing_or_of_no_share_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        find_quantile(values, share)


def test_the_spread_is_a_share_of_the_first_value() -> None:
    assert find_spread([100.0, 104.0, 99.0]) == 0.05
