"""The page's plots: which figures stand on which scale. Draws from the page's own figures, so that both agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from inhouse.reports.decision.formats import format_dollars, format_share
from inhouse.reports.decision.page import BreakEvenView, Figure, OptionRow, Page, Spread, TornadoRow
from inhouse.reports.decision.plots import (
    Scale,
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
from inhouse.reports.decision.terms import group_line

NUM_TORNADO = 10
_NOTHING = Markup()


@dataclass(frozen=True, slots=True)
class Plots:
    """One scale's plots by row, and its axis."""

    rows: Mapping[str, Markup]
    axis: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawings:
    """Every plot of the page; a plot that has nothing to show has no rows."""

    options: Plots
    stacks: Plots
    spend: Plots
    utilisation: Plots
    tornado: Plots
    savings: Plots


def draw_page(page: Page) -> Drawings:
    """Every plot of the page."""
    return Drawings(
        options=_draw_options(page.options),
        stacks=_draw_stacks(page.options),
        spend=_draw_spend(page.break_even),
        utilisation=_draw_utilisation(page.break_even),
        tornado=_draw_tornado(page.tornado[:NUM_TORNADO]),
        savings=_draw_savings(page),
    )


def say_spread(spread: Spread) -> str:
    """A plot's title: `P10 $6.7k, P50 $8.8k, P90 $11.6k, mean $9.0k`."""
    return f"P10 {spread.p10.text}, P50 {spread.p50.text}, P90 {spread.p90.text}, mean {spread.mean.text}"


def write_dollars(value: float) -> str:
    """A tick in dollars, without needless zeros: `$10k`."""
    return format_dollars(value).replace(".0", "")


def _draw_options(options: Sequence[OptionRow]) -> Plots:
    shown = [(row, row.total_usd) for row in options if row.total_usd is not None]
    scale = make_scale([spread.p90.number for _, spread in shown])
    stay = next((spread.p50.number for row, spread in shown if row.option == "stay"), None)
    rows = {row.option: _band(scale, spread, _tone(row), row.name, stay) for row, spread in shown}
    return Plots(rows, draw_axis(scale, write_dollars))


def _band(scale: Scale, spread: Spread, tone: str, name: str, reference: float | None = None) -> Markup:
    return draw_band(scale, _stretch(spread), tone, f"{name}: {say_spread(spread)}", reference)


def _tone(row: OptionRow) -> str:
    if not row.is_choosable:
        return "excluded"
    return "chosen" if row.is_chosen else "other"


def _draw_stacks(options: Sequence[OptionRow]) -> Plots:
    shown = [row for row in options if row.is_choosable and row.total_usd is not None]
    scale = make_scale([sum(line.usd.mean.number for line in row.lines) for row in shown])
    rows = {
        row.option: draw_stack(
            scale,
            [
                Segment(group_line(line.line), line.usd.mean.number, f"{line.name}: {line.usd.mean.text}")
                for line in row.lines
            ],
            f"{row.name}: " + ", ".join(f"{line.name} {line.usd.mean.text}" for line in row.lines),
        )
        for row in shown
    }
    return Plots(rows, draw_axis(scale, write_dollars))


def _draw_spend(view: BreakEvenView | None) -> Plots:
    if view is None:
        return Plots({}, _NOTHING)
    figures = {"now": view.spend_now, "stay": view.spend_beside_stay, "best": view.spend_beside_best}
    known = [figure.number for figure in figures.values() if figure.value is not None and figure.number > 0]
    if not known:
        return Plots({}, _NOTHING)
    scale = make_log_scale(known)
    names = {"now": "Today", "stay": "Break-even beside staying", "best": "Break-even beside the best other option"}
    rows = {
        key: draw_point(scale, _positive(figure), "chosen" if key == "now" else "other", f"{names[key]}: {figure.text}")
        for key, figure in figures.items()
    }
    return Plots(rows, draw_axis(scale, write_dollars))


def _positive(figure: Figure) -> float | None:
    return figure.number if figure.value is not None and figure.number > 0 else None


def _draw_utilisation(view: BreakEvenView | None) -> Plots:
    if view is None:
        return Plots({}, _NOTHING)
    spreads = {
        "now": (view.utilisation_now, "chosen", "Busy now"),
        "api": (view.utilisation_beside_api, "other", "Needed beside today's API"),
    }
    if view.utilisation_beside_hosted is not None:
        spreads["hosted"] = (view.utilisation_beside_hosted, "other", "Needed beside the hosted-open API")
    scale = make_scale([spread.p90.number for spread, _, _ in spreads.values()])
    rows = {key: _band(scale, spread, tone, name) for key, (spread, tone, name) in spreads.items()}
    return Plots(rows, draw_axis(scale, format_share))


def _draw_tornado(bars: Sequence[TornadoRow]) -> Plots:
    if not bars:
        return Plots({}, _NOTHING)
    ends = [figure.number for bar in bars for figure in (bar.low_usd, bar.high_usd)]
    middle = sum(ends) / len(ends)
    scale = make_close_scale(ends)
    rows = {
        bar.name: draw_diverging(
            scale,
            (bar.low_usd.number, bar.high_usd.number),
            middle,
            f"{bar.label}: {bar.low_usd.text} at {bar.low_value.text}, {bar.high_usd.text} at {bar.high_value.text}",
        )
        for bar in bars
    }
    return Plots(rows, draw_axis(scale, write_dollars))


def _draw_savings(page: Page) -> Plots:
    if not page.savings:
        return Plots({}, _NOTHING)
    scale = make_scale([row.usd.p90.number for row in page.savings])
    rows = {row.saving: _band(scale, row.usd, "other", row.name) for row in page.savings}
    return Plots(rows, draw_axis(scale, write_dollars))


def _stretch(spread: Spread) -> Stretch:
    return Stretch(spread.p10.number, spread.p50.number, spread.p90.number, spread.mean.number)
