"""How many requests a saturated replica serves: two rates from measured points, and what follows from them. Pure.

The two-point method: a request keeps a replica busy for `a · input tokens + b · output tokens` seconds. Two saturated
points of different shape give a and b; more points give them by least squares, neither below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from inhouse.catalog import CapacityRow


@dataclass(frozen=True, slots=True)
class SaturatedPoint:
    """One measurement: requests of one shape, and the seconds of the whole replica that each took."""

    input_tokens: int
    output_tokens: int
    seconds_per_request: float

    def __post_init__(self) -> None:
        if min(self.input_tokens, self.output_tokens) < 0 or self.input_tokens + self.output_tokens == 0:
            raise ValueError("a request has at least one token, and no negative number of them")
        if not 0 < self.seconds_per_request < float("inf"):
            raise ValueError("seconds_per_request must be a finite number of more than zero")


@dataclass(frozen=True, slots=True)
class TwoRates:
    """Seconds of a replica for each input and each output token, and how far the worst point lies from them."""

    seconds_per_input_token: float
    seconds_per_output_token: float
    num_points: int
    worst_relative_error: float

    def seconds_per_request(self, input_tokens: int, output_tokens: int) -> float:
        """Seconds of the replica that a request of this shape takes."""
        return self.seconds_per_input_token * input_tokens + self.seconds_per_output_token * output_tokens


@dataclass(frozen=True, slots=True)
class RequestRate:
    """Requests a second of one saturated replica, with the interval of the row's kind of prediction."""

    requests_per_second: Decimal
    low: Decimal
    high: Decimal | None
    """None: no upper bound, because the relative error is 100 % or more."""


def make_saturated_point(
    input_tokens: int, output_tokens: int, *, ttft_ms: float, tpot_ms: float, concurrency: int
) -> SaturatedPoint:
    """The point of a closed-loop benchmark: B requests at a time, each `TTFT + output · TPOT` long (Little's law).

    Raises:
        ValueError: the concurrency is below one, or the result is no duration.
    """
    if concurrency < 1:
        raise ValueError("concurrency must be at least 1")
    seconds = (ttft_ms + output_tokens * tpot_ms) / 1000 / concurrency
    return SaturatedPoint(input_tokens, output_tokens, seconds)


def solve_two_rates(
    points: Sequence[SaturatedPoint], *, least_input_s: float = 0.0, least_output_s: float = 0.0
) -> TwoRates:
    """The two rates that fit the points best: least squares of the relative errors, neither rate below its least.

    Args:
        points: at least two, of different shape.
        least_input_s: seconds for an input token that the hardware cannot go below (its peak rate), or zero.
        least_output_s: the same for an output token.

    Raises:
        ValueError: the points are of one shape only (up to a factor), so that they do not tell the rates apart.
    """
    columns = [
        (point.input_tokens / point.seconds_per_request, point.output_tokens / point.seconds_per_request)
        for point in points
    ]
    xx, yy = sum(x * x for x, _ in columns), sum(y * y for _, y in columns)
    xy = sum(x * y for x, y in columns)
    determinant = xx * yy - xy * xy
    if len(points) < 2 or determinant <= 1e-9 * xx * yy:
        raise ValueError("two points of different shape are needed: another ratio of input to output tokens")
    left = [1 - least_input_s * x - least_output_s * y for x, y in columns]
    x1 = sum(x * rest for (x, _), rest in zip(columns, left, strict=True))
    y1 = sum(y * rest for (_, y), rest in zip(columns, left, strict=True))
    a, b = (x1 * yy - y1 * xy) / determinant, (y1 * xx - x1 * xy) / determinant
    if a < 0:
        a, b = 0.0, max(0.0, y1 / yy)
    elif b < 0:
        a, b = max(0.0, x1 / xx), 0.0
    a, b = a + least_input_s, b + least_output_s
    return TwoRates(a, b, len(points), max(abs(a * x + b * y - 1) for x, y in columns))


def requests_per_second(row: CapacityRow, input_tokens: int, output_tokens: int) -> RequestRate:
    """What a saturated replica serves: `1 / (a · input + b · output)`.

    The interval is where 90 % of measurements of this kind lie: with e the P90 of |predicted − measured| ÷ measured,
    from the value ÷ (1 + e) to the value ÷ (1 − e).

    Raises:
        ValueError: the tokens are negative or zero together, or the row has no time for them.
    """
    if min(input_tokens, output_tokens) < 0:
        raise ValueError("there is no negative number of tokens")
    seconds = row.seconds_per_input_token * input_tokens + row.seconds_per_output_token * output_tokens
    if seconds == 0:
        raise ValueError("a request must take time: give it tokens that the row has a rate for")
    value, error = 1 / seconds, row.relative_error
    return RequestRate(value, value / (1 + error), value / (1 - error) if error < 1 else None)
