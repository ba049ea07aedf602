"""Small plots as inline SVG: bands, points, diverging and stacked bars on one scale. Knows no decision.

Positions are per cent of the width, so that a plot fills whatever column it stands in and its text never shrinks.
Colours are classes of the page's style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

ROW_HEIGHT = 40
_AXIS_HEIGHT = 22
_NUM_STEPS = 6
_HEADROOM = 1.04
_FEW_POWERS = 2
_MANY_TICKS = 5
_MARGIN = 0.03
_LEAST_SPAN = 1e-3
_EDGE = 7.0
"""A tick's text nearer to an edge than this, in per cent, stands inside of it."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale from `low` to `high`; `left` and `right` keep that many per cent of the width free."""

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False
    left: float = 1.0
    right: float = 2.0

    def at(self, value: float) -> float:
        """A value's position in per cent of the width; beyond the ends, the end."""
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        if self.is_log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        return round(self.left + share * (100 - self.left - self.right), 2)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a band shows: three percentiles and the mean."""

    p10: float
    p50: float
    p90: float
    mean: float


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a stacked bar."""

    tone: str
    value: float
    title: str


def make_scale(values: Sequence[float]) -> Scale:
    """A linear scale from zero (or from the lowest, where that is below) over all values, with round ticks."""
    low, high = min(0.0, *values), max(0.0, *values)
    step = _find_step(_measure_span(low, high) / _NUM_STEPS)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = [number * step for number in range(first, last + 1) if low <= number * step <= high * _HEADROOM]
    return Scale(low * _HEADROOM, max(high * _HEADROOM, low + _LEAST_SPAN), tuple(ticks))


def make_close_scale(values: Sequence[float]) -> Scale:
    """A linear scale over the values alone, zero not among them unless it is near."""
    low, high = min(values), max(values)
    near = 2 * _measure_span(low, high)
    low = 0.0 if 0 < low < near else low
    high = 0.0 if -near < high < 0 else high
    span = _measure_span(low, high)
    low, high = low - span * _MARGIN, high + span * _MARGIN
    step = _find_step(span / _NUM_STEPS)
    ticks = [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Scale(low, high, tuple(ticks))


def make_log_scale(values: Sequence[float]) -> Scale:
    """A scale over whole powers of ten; all values are above zero."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = max(last, first + 1)
    factors = (1, 2, 5) if last - first <= _FEW_POWERS else (1,)
    ticks = [factor * 10.0**power for power in range(first, last) for factor in factors]
    return Scale(10.0**first, 10.0**last, (*ticks, 10.0**last), is_log=True)


def draw_band(scale: Scale, band: Stretch, tone: str, title: str, reference: float | None = None) -> Markup:
    """P10 to P90 as a bar, P50 as a stroke, the mean as a ring; `reference` as a dashed line through the row."""
    left, right, middle = scale.at(band.p10), scale.at(band.p90), ROW_HEIGHT / 2
    parts = [
        f'<rect class="band" x="{left}%" y="{middle - 6}" width="{max(right - left, 0.4):.2f}%" height="12" rx="3"/>',
        _line("median", scale.at(band.p50), middle - 9, middle + 9),
        f'<circle class="mean" cx="{scale.at(band.mean)}%" cy="{middle}" r="3.5"/>',
    ]
    return _svg(ROW_HEIGHT, f"row {tone}", title, [*_grid(scale, reference), *parts])


def draw_point(scale: Scale, value: float | None, tone: str, title: str) -> Markup:
    """One value as a dot on a stem from the left; nothing but the grid where it is None."""
    parts = _grid(scale, None)
    if value is not None:
        at, middle = scale.at(value), ROW_HEIGHT / 2
        parts.append(f'<line class="stem" x1="{scale.left}%" x2="{at}%" y1="{middle}" y2="{middle}"/>')
        parts.append(f'<circle class="dot" cx="{at}%" cy="{middle}" r="5.5"/>')
    return _svg(ROW_HEIGHT, f"row {tone}", title, parts)


def draw_diverging(scale: Scale, ends: tuple[float, float], middle_value: float, title: str) -> Markup:
    """A tornado's bar: from the middle to each end; the low end's half and the high end's half differ in tone."""
    middle, center = ROW_HEIGHT / 2, scale.at(middle_value)
    parts = _grid(scale, 0.0 if scale.low <= 0 <= scale.high else None)
    for tone, end in zip(("at-low", "at-high"), ends, strict=True):
        left, right = sorted((center, scale.at(end)))
        width = max(right - left, 0.3)
        parts.append(f'<rect class="{tone}" x="{left}%" y="{middle - 7}" width="{width:.2f}%" height="14" rx="2"/>')
    return _svg(ROW_HEIGHT, "row", title, parts)


def draw_stack(scale: Scale, segments: Sequence[Segment], title: str) -> Markup:
    """Segments side by side from zero, each with its own title."""
    parts, start = _grid(scale, None), 0.0
    for item in segments:
        left, right = scale.at(start), scale.at(start + item.value)
        start += item.value
        bar = (
            f'<rect class="part {item.tone}" x="{left}%" y="10" width="{right - left:.2f}%" height="{ROW_HEIGHT - 20}">'
        )
        parts.append(f"{bar}<title>{escape(item.title)}</title></rect>")
    return _svg(ROW_HEIGHT, "row", title, parts)


def draw_axis(scale: Scale, write: Callable[[float], str]) -> Markup:
    """The ticks' texts, those at an edge inside of it; of many, each second is `minor`: left out where it is narrow."""
    parts: list[str] = []
    for index, tick in enumerate(scale.ticks):
        at = scale.at(tick)
        name = ' class="minor"' if index % 2 and len(scale.ticks) > _MANY_TICKS else ""
        anchor = "start" if at < _EDGE else "end" if at > 100 - _EDGE else "middle"
        parts.append(f'<text{name} x="{at}%" y="15" text-anchor="{anchor}">{escape(write(tick))}</text>')
    return _svg(_AXIS_HEIGHT, "ticks", "", parts)


def _grid(scale: Scale, reference: float | None) -> list[str]:
    lines = [_line("grid", scale.at(tick), 0, ROW_HEIGHT) for tick in scale.ticks]
    return lines if reference is None else [*lines, _line("reference", scale.at(reference), 0, ROW_HEIGHT)]


def _line(name: str, at: float, top: float, bottom: float) -> str:
    return f'<line class="{name}" x1="{at}%" x2="{at}%" y1="{top}" y2="{bottom}"/>'


def _svg(height: int, name: str, title: str, parts: Sequence[str]) -> Markup:
    """One plot; without a title it says nothing that the text beside it does not, and is hidden from readers."""
    text = escape(title)
    label = f'role="img" aria-label="{text}"' if title else 'aria-hidden="true"'
    inner = f"<title>{text}</title>" if title else ""
    size = f'width="100%" height="{height}"'
    svg = f'<svg class="plot {name}" {size} {label} focusable="false">{inner}{"".join(parts)}</svg>'
    return Markup(svg)  # noqa: S704 - every text in it went through escape


def _measure_span(low: float, high: float) -> float:
    """The difference; of (almost) equal values something that a scale can be made of."""
    return max(high - low, abs(high) * _LEAST_SPAN, _LEAST_SPAN)


def _find_step(rough: float) -> float:
    """A round step of at least this size: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
