"""Two rates from saturated points, and requests a second from two rates."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.catalog import CapacityRow, RateBasis, load_catalog
from inhouse.planning import SaturatedPoint, make_saturated_point, requests_per_second, solve_two_rates

DAY = date(2026, 11, 28)
RATES = st.floats(1e-7, 1e-3)


def make_row(a: str = "0.00001", b: str = "0.0001", error: str = "0.25") -> CapacityRow:
    return CapacityRow(
        model="m", gpu="H200", num_gpus=1, engine="e", precision="fp8", seconds_per_input_token=Decimal(a),
        seconds_per_output_token=Decimal(b), relative_error=Decimal(error), num_points=2, basis=RateBasis.MEASURED,
        method="m", effective_from=DAY, checked_on=DAY, source="assumption",
    )  # fmt: skip


def test_two_published_points_of_gpt_oss_give_the_known_rates() -> None:
    points = [SaturatedPoint(1000, 1000, 1000 / 6868), SaturatedPoint(8192, 1024, 1024 / 1828)]
    rates = solve_two_rates(points)
    assert 1 / rates.seconds_per_input_token == pytest.approx(17_400, rel=0.01)
    assert 1 / rates.seconds_per_output_token == pytest.approx(11_300, rel=0.01)
    assert (rates.num_points, rates.worst_relative_error) == (2, pytest.approx(0, abs=1e-9))
    assert rates.seconds_per_request(8192, 1024) == pytest.approx(1024 / 1828)


def test_gpt_oss_120b_on_one_h200_serves_6_7_requests_of_2000_and_400_tokens() -> None:
    rows = load_catalog().capacity_of("gpt-oss-120b", DAY)
    row = next(row for row in rows if (row.gpu, row.num_gpus) == ("H200", 1))
    rate = requests_per_second(row, 2000, 400)
    assert round(rate.requests_per_second, 1) == Decimal("6.7")
    assert rate.low < rate.requests_per_second < (rate.high or 0)


@pytest.mark.parametrize(
    ("model", "gpu", "num_gpus", "usd_per_gpu_hour", "input_usd", "output_usd"),
    [
        ("gpt-oss-120b", "H200", 1, "3.50", "0.056", "0.086"),
        ("llama-3.3-70b", "H100", 2, "2.95", "0.24", "0.13"),
        ("llama-3.3-70b", "B200", 1, "5.50", "0.13", "0.09"),
        ("qwen3-235b-a22b", "H200", 4, "3.50", "0.18", "0.12"),
        ("deepseek-r1", "B200", 4, "5.50", "0.15", "0.08"),
        ("llama-3.1-8b", "H100", 1, "2.95", "0.020", "0.033"),
        ("llama-3.1-8b", "L40S", 1, "1.55", "0.037", "0.069"),
    ],
)
def test_the_rows_cost_what_the_research_found_at_list_prices(
    model: str, gpu: str, num_gpus: int, usd_per_gpu_hour: str, input_usd: str, output_usd: str
) -> None:
    """US dollars per million tokens of a replica that is never idle."""
    rows = load_catalog().capacity_of(model, DAY)
    row = next(
        row
        for row in rows
        if (row.gpu, row.num_gpus) == (gpu, num_gpus) and "TensorRT" in row.engine and row.precision != "bf16"
    )
    usd_per_mtok_second = Decimal(usd_per_gpu_hour) * num_gpus / 3600 * 10**6
    for seconds, usd in ((row.seconds_per_input_token, input_usd), (row.seconds_per_output_token, output_usd)):
        assert (seconds * usd_per_mtok_second).quantize(Decimal(usd)) == Decimal(usd)


@given(RATES, RATES, st.lists(st.tuples(st.integers(1, 9000), st.integers(1, 9000)), min_size=1, max_size=5))
def test_rates_are_found_again_from_points_that_they_made(a: float, b: float, shapes: list[tuple[int, int]]) -> None:
    asked = [(1000, 1000), (8000, 500), *shapes]
    points = [SaturatedPoint(inputs, outputs, a * inputs + b * outputs) for inputs, outputs in asked]
    rates = solve_two_rates(points)
    for inputs, outputs in asked:
        assert rates.seconds_per_request(inputs, outputs) == pytest.approx(a * inputs + b * outputs, rel=1e-6)


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 9000), st.floats(1e-4, 100)), min_size=2, max_size=6))
def test_no_rate_is_ever_below_its_least(points: list[tuple[int, int, float]]) -> None:
    made = [SaturatedPoint(*point) for point in points]
    try:
        rates = solve_two_rates(made, least_input_s=1e-6, least_output_s=1e-6)
    except ValueError:
        return
    assert rates.seconds_per_input_token >= 1e-6
    assert rates.seconds_per_output_token >= 1e-6


def test_points_that_would_make_a_rate_negative_leave_it_at_its_least() -> None:
    long_is_cheap = [SaturatedPoint(1000, 1000, 1.0), SaturatedPoint(8000, 1000, 0.5)]
    rates = solve_two_rates(long_is_cheap, least_input_s=1e-6)
    assert rates.seconds_per_input_token == 1e-6
    assert rates.seconds_per_output_token > 0
    answers_are_cheap = [SaturatedPoint(1000, 1000, 1.0), SaturatedPoint(1000, 8000, 0.5)]
    assert solve_two_rates(answers_are_cheap).seconds_per_output_token == 0


def test_points_of_one_shape_do_not_tell_the_rates_apart() -> None:
    for points in (
        [SaturatedPoint(1000, 1000, 1.0)],
        [SaturatedPoint(1000, 500, 1.0), SaturatedPoint(2000, 1000, 2.0)],
    ):
        with pytest.raises(ValueError, match="two points of different shape"):
            solve_two_rates(points)


def test_a_point_of_a_closed_loop_is_the_length_of_a_request_over_those_at_once() -> None:
    point = make_saturated_point(1024, 1024, ttft_ms=273, tpot_ms=24.8, concurrency=64)
    assert point.seconds_per_request == pytest.approx((0.273 + 1024 * 0.0248) / 64)
    with pytest.raises(ValueError, match="concurrency"):
        make_saturated_point(1, 1, ttft_ms=1, tpot_ms=1, concurrency=0)


@pytest.mark.parametrize(
    ("inputs", "outputs", "seconds", "problem"),
    [(-1, 2, 1.0, "token"), (0, 0, 1.0, "token"), (1, 1, 0.0, "finite"), (1, 1, float("inf"), "finite")],
)
def test_a_point_that_cannot_be_is_refused(inputs: int, outputs: int, seconds: float, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SaturatedPoint(inputs, outputs, seconds)


def test_the_interval_is_where_measurements_lie() -> None:
    rate = requests_per_second(make_row(), 1000, 900)
    assert (rate.requests_per_second, rate.low, rate.high) == (10, 8, Decimal(10) / Decimal("0.75"))
    assert requests_per_second(make_row(error="1"), 1000, 900).high is None


def test_a_request_without_time_is_refused() -> None:
    with pytest.raises(ValueError, match="must take time"):
        requests_per_second(make_row(), 0, 0)
    with pytest.raises(ValueError, match="negative"):
        requests_per_second(make_row(), -1, 5)
