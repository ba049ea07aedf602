"""How a decision looks on a terminal: the page in about sixty lines. Computes nothing, decides nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from inhouse.reports.decision import DecisionReport, Figure, OptionRow, Page, compose_page, keep_together

_NUM_USE_CASES = 5
_NUM_FLIPS = 4
_NUM_BARS = 5
_NUM_FINDINGS = 3
_MIN_BAR, _MAX_BAR = 14, 48
_GOOD = "green"


@dataclass(frozen=True, slots=True)
class BandBar:
    """P10 to P90 as a shaded stretch, P50 as a full block, staying as a thin line, over zero to `limit`."""

    p10: float
    p50: float
    p90: float
    limit: float
    reference: float | None
    style: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as there is room."""
        return _measure_bar(console, options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One line of blocks."""
        width = _measure_bar(console, options).maximum
        first, middle, last = (self._cell(value, width) for value in (self.p10, self.p50, self.p90))
        stay = None if self.reference is None else self._cell(self.reference, width)
        for cell in range(width):
            if cell == middle:
                yield Segment("█", Style.parse(self.style))
            elif first <= cell <= last:
                yield Segment("▒", Style.parse(self.style))
            else:
                yield Segment("│" if cell == stay else " ", Style.parse("dim"))

    def _cell(self, value: float, width: int) -> int:
        return max(0, min(width - 1, int(value / self.limit * width)))


@dataclass(frozen=True, slots=True)
class SwingBar:
    """From the lower to the higher end of a saving on a common scale; zero as a thin line where it is on it."""

    low: float
    high: float
    scale_low: float
    scale_high: float

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as there is room."""
        return _measure_bar(console, options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One line of blocks."""
        width = _measure_bar(console, options).maximum
        first, last = sorted((self._cell(self.low, width), self._cell(self.high, width)))
        zero = self._cell(0.0, width) if self.scale_low <= 0 <= self.scale_high else None
        for cell in range(width):
            if cell == zero:
                yield Segment("│", Style.parse("dim"))
            else:
                yield Segment("■" if first <= cell <= last else " ", Style.parse("cyan"))

    def _cell(self, value: float, width: int) -> int:
        span = self.scale_high - self.scale_low or 1.0
        return max(0, min(width - 1, int((value - self.scale_low) / span * width)))


def render_terminal(report: DecisionReport) -> RenderableType:
    """The page for a terminal of 80 columns or more."""
    page = compose_page(report)
    parts: list[RenderableType] = [Paragraph(banner, "bold yellow") for banner in page.banners]
    parts += [
        Paragraph(page.headline.sentence, "bold"),
        Paragraph(f"{page.headline.scope} {page.headline.amounts}", "dim"),
        *_section("What would change that", [Paragraph(text) for text in page.headline.changes]),
        *_section("Options, dollars a month: ▒ P10 to P90, █ P50, │ staying", _render_options(page)),
        *_section("Where self-hosting begins to pay", [Paragraph(text) for text in page.break_even_sentences]),
        *_section("The bill by use case", _render_bill(page)),
        *_section("What flips the answer, nearest first", _render_flips(page)),
        *_section("What moves the saving of self-hosting most, P10 to P90", _render_tornado(page)),
        *_section("Not known", _render_unknown(page)),
        *_section("Committed, licence, trial", _render_facts(page)),
        *_section("Next step", _render_next(page)),
        Text(),
        Paragraph(page.headline.basis, "dim"),
        Text(page.footer.text, style="dim"),
        Text(page.footer.command, style="dim", overflow="fold"),
    ]
    return Group(*parts)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Wrapped text whose figures stay whole: `80 %` never breaks over two lines."""

    text: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines no wider than the room."""
        width = min(options.max_width, console.width)
        for line in textwrap.wrap(keep_together(self.text), width, break_on_hyphens=False):
            yield Text(line.replace("\u00a0", " "), style=self.style, no_wrap=True)


def _measure_bar(console: Console, options: ConsoleOptions) -> Measurement:
    room = min(options.max_width, console.width)
    return Measurement(min(_MIN_BAR, room), min(_MAX_BAR, room))


def _section(title: str, parts: Sequence[RenderableType]) -> list[RenderableType]:
    """A title over its indented parts; nothing where there are none."""
    if not parts:
        return []
    return [Text(f"\n{title}", style="bold cyan"), *(Padding(part, (0, 0, 0, 2), expand=False) for part in parts)]


def _render_options(page: Page) -> list[RenderableType]:
    table = _grid("name", None, "right", "right", "right")
    shown = [row for row in page.options if not row.is_twin]
    limit = max(row.total_usd.p90.number for row in shown if row.total_usd is not None)
    stay = next((row.total_usd.p50.number for row in shown if row.option == "stay" and row.total_usd is not None), None)
    for row in sorted(shown, key=lambda row: not row.is_choosable):
        table.add_row(*_option_cells(row, limit * 1.02, stay), style=None if row.is_choosable else "dim")
    reasons = dict.fromkeys(row.reason for row in shown if row.reason is not None)
    return [
        table,
        *(Paragraph(f"Not to be chosen: {_name_rows(shown, reason)}: {reason}.", "dim") for reason in reasons),
    ]


def _name_rows(rows: Sequence[OptionRow], reason: str) -> str:
    return "; ".join(row.name for row in rows if row.reason == reason)


def _option_cells(row: OptionRow, limit: float, stay: float | None) -> tuple[RenderableType, ...]:
    name = Text(("▸ " if row.is_chosen else "  ") + row.name, style=f"bold {_GOOD}" if row.is_chosen else "")
    total = row.total_usd
    if total is None:
        return name, "", "not known", "", ""
    style = _GOOD if row.is_chosen else "dim" if not row.is_choosable else "default"
    bar = BandBar(total.p10.number, total.p50.number, total.p90.number, limit, stay, style)
    chance = row.chance_cheapest.text if row.is_choosable else ""
    return name, bar, Text(total.p50.text, style="bold"), f"{total.p10.text} to {total.p90.text}", chance


def _render_bill(page: Page) -> list[RenderableType]:
    if not page.use_cases:
        return [Paragraph("No usage was imported, so the bill is not split by use case. inhouse import --help")]
    table = _grid("name", "left", "right", "right", "right", header=("", "", "a month", "share", "moving it saves"))
    for row in page.use_cases[:_NUM_USE_CASES]:
        saved = "not known" if row.moved_saving_usd is None else row.moved_saving_usd.p50.text
        style = _GOOD if row.is_candidate else ""
        mark = Text("▸" if row.is_candidate else " ", style=style)
        table.add_row(mark, Text(row.name, style=style), row.usd_per_month.text, row.share_of_bill.text, saved)
    parts: list[RenderableType] = [table]
    first = next((row for row in page.use_cases if row.is_candidate), None)
    if first is not None:
        parts.append(Paragraph(f"Begin with ▸ {first.name}: {', '.join(first.reasons) or 'no reason given'}."))
    hidden = len(page.use_cases) - _NUM_USE_CASES
    more = f"{hidden} more. " if hidden > 0 else ""
    return [*parts, Paragraph(f"{more}{page.bill.sentence}")]


def _render_flips(page: Page) -> list[RenderableType]:
    if not page.flips:
        return []
    table = _grid("left", "left", "left", "left", header=("", "flips at", "to", "how near"))
    for row in page.flips[:_NUM_FLIPS]:
        table.add_row(row.label, Text(row.flips_at.text, style="bold"), row.to, row.nearness)
    return [table]


def _render_tornado(page: Page) -> list[RenderableType]:
    bars = page.tornado[:_NUM_BARS]
    if not bars:
        return []
    ends = [figure.number for bar in bars for figure in (bar.low_usd, bar.high_usd)]
    table = _grid("left", "right", None, "right")
    for bar in bars:
        left, right = sorted((bar.low_usd, bar.high_usd), key=_number)
        swing = SwingBar(left.number, right.number, min(ends), max(ends))
        table.add_row(bar.label, left.text, swing, right.text)
    return [table, Paragraph(page.tornado_note, "dim")]


def _number(figure: Figure) -> float:
    return figure.number


def _render_unknown(page: Page) -> list[RenderableType]:
    parts = [
        Paragraph(
            f"{row.label}: worth {row.usd_per_month.text} a month, {row.usd_over_horizon.text} over the horizon; "
            f"costs {row.usd.text} and {row.hours.text} hours: {row.how} ({row.verdict})"
        )
        for row in page.findings[:_NUM_FINDINGS]
    ]
    gaps = [Paragraph(" ".join(page.gaps), "dim")] if page.gaps else []
    return [*(parts or [Paragraph(page.findings_note)]), *gaps]


def _render_facts(page: Page) -> list[RenderableType]:
    committed = [Paragraph(row.sentence) for row in page.commitments]
    licence = f"{page.model.model}, {page.model.licence}: {page.model.answer_text}."
    missing = f" Missing: {', '.join(page.model.missing_facts)}." if page.model.missing_facts else ""
    duties = f" Duties: {'; '.join(duty.rstrip('.') for duty in page.model.duties)}." if page.model.duties else ""
    return [*committed, Paragraph(f"{licence}{missing}{duties}"), Paragraph(page.trial.advice)]


def _render_next(page: Page) -> list[RenderableType]:
    return [
        Paragraph(page.next_step.step, "bold"),
        Paragraph(f"Spend cap: {page.next_step.cap}"),
        Paragraph(page.next_step.stop if page.next_step.stop.startswith("Stop") else f"Stop: {page.next_step.stop}"),
    ]


def _grid(*columns: str | None, header: Sequence[str] = ()) -> Table:
    """A plain table; `right` and `name` never wrap, a column named None holds a bar and takes the room that is left."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=bool(header), header_style="dim")
    for position, justify in enumerate(columns):
        title = header[position] if header else ""
        if justify in {"right", "name"}:
            table.add_column(title, justify="right" if justify == "right" else "left", no_wrap=True)
        else:
            table.add_column(title, overflow="fold", ratio=1 if justify is None else None)
    return table
