"""The decision page as one HTML file: style and plots inside, no script, nothing fetched from anywhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import cast

import jinja2
from markupsafe import Markup, escape

from inhouse.reports.decision.compose import compose_page
from inhouse.reports.decision.drawings import NUM_TORNADO, draw_page
from inhouse.reports.decision.formats import keep_together
from inhouse.reports.decision.page import OptionRow, Page
from inhouse.reports.decision.report import DecisionReport
from inhouse.reports.decision.terms import GROUPS, TWIN_CODES, name_line, sort_lines

NUM_FLIPS = 10
_ADDRESS = re.compile(r"https://[^\s<>\"',;)]+")
_MONEY = re.compile(r"(?<=: )(−?\$[\d.,]+[kM]? a month)")


def render_html(report: DecisionReport) -> str:
    """The page, one self-contained document."""
    page = compose_page(report)
    twins = [row for row in page.options if row.is_twin]
    return _TEMPLATES.get_template("decision.html").render(
        page=page,
        drawings=draw_page(page),
        groups=GROUPS,
        num_flips=NUM_FLIPS,
        num_tornado=NUM_TORNADO,
        owners=Counter(item.owner for item in page.assumptions).most_common(),
        choosable=[row for row in page.options if row.is_choosable],
        excluded=[row for row in page.options if not row.is_choosable and not row.is_twin],
        twins=twins,
        twin_reason=next((row.reason for row in twins if row.reason_code in TWIN_CODES), None),
        lines=_list_lines(page),
    )


def link_addresses(text: str) -> Markup:
    """Text with its https addresses as links; everything is escaped, and nothing is fetched until it is clicked."""
    parts: list[str] = []
    end = 0
    for found in _ADDRESS.finditer(text):
        address = escape(found.group())
        parts += [escape(text[end : found.start()]), f'<a href="{address}" rel="noreferrer">{address}</a>']
        end = found.end()
    return Markup("".join([*parts, escape(text[end:])]))  # noqa: S704 - every part was escaped


def mark_money(text: str, name: str) -> Markup:
    """A sentence with its first amount a month set off; the model's name does not break over lines."""
    marked = _MONEY.sub(r"<b>\1</b>", str(escape(keep_together(text))), count=1)
    marked = marked.replace(str(escape(name)), f'<span class="whole">{escape(name)}</span>')
    return Markup(marked)  # noqa: S704 - escaped before the tag was set


def _list_lines(page: Page) -> list[tuple[str, list[tuple[OptionRow, str | None]]]]:
    """(line's name, its mean by choosable option with figures; None where the option has no such line)."""
    shown = [row for row in page.options if row.is_choosable and row.lines]
    order = sort_lines(line.line for row in shown for line in row.lines)
    by_option = {row.option: {line.line: line.usd.mean.text for line in row.lines} for row in shown}
    return [(name_line(line), [(row, by_option[row.option].get(line)) for row in shown]) for line in order]


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("inhouse.reports.decision"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
cast("dict[str, Callable[..., str]]", _TEMPLATES.filters).update(
    {"links": link_addresses, "together": keep_together, "money": mark_money}
)
