"""The report as people read it: a table for each outcome, in the terminal or as Markdown. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from inhouse.cli.litellm.report import Line, Outcome, group_lines

_STYLES = {
    Outcome.CARRIED: "green",
    Outcome.CHANGED: "yellow",
    Outcome.DROPPED: "red",
    Outcome.UNKNOWN: "magenta",
    Outcome.NEEDS_YOU: "bold cyan",
}
_MEANINGS = {
    Outcome.CARRIED: "the written file does the same",
    Outcome.CHANGED: "the written file does something near it",
    Outcome.DROPPED: "inhouse has nothing like it in this version",
    Outcome.UNKNOWN: "not among LiteLLM's documented keys; nothing was made of it",
    Outcome.NEEDS_YOU: "only you can answer this",
}
_INNER = 2
"""Parts of a path that say which key it is: `litellm_params.rpm`."""


@dataclass(frozen=True, slots=True)
class Row:
    """Keys with one fate.

    Args:
        keys: (places, name) of each: (`config.yaml:3, 9`, `litellm_params.rpm`).
        became: their path in the written file.
        words: what it means.
    """

    keys: tuple[tuple[str, str], ...]
    became: str
    words: str


def render_report(lines: Sequence[Line]) -> RenderableType:
    """The report for a terminal; what needs the user stands last, next to the prompt."""
    parts: list[RenderableType] = []
    for outcome, group in group_lines(lines).items():
        if group:
            title = Text.assemble(
                (f"{outcome.label} ", _STYLES[outcome]), (f"{len(group)}", "bold"), (f"  {_MEANINGS[outcome]}", "dim")
            )
            parts += [Text(), title, _render_table(outcome, merge_lines(group))]
    return Group(*parts)


def render_counts(lines: Sequence[Line]) -> Text:
    """`carried 23 · changed 9 · …`, outcomes without a line left out."""
    counts = [(outcome, len(group)) for outcome, group in group_lines(lines).items() if group]
    text = Text()
    for index, (outcome, count) in enumerate(counts):
        text.append(" · " if index else "")
        text.append(f"{outcome.label} {count}", _STYLES[outcome])
    return text


def render_markdown(lines: Sequence[Line], *, source: str, written: str | None) -> str:
    """The report as a Markdown page, with every key's file and line."""
    counts = ", ".join(f"{len(group)} {outcome.label}" for outcome, group in group_lines(lines).items() if group)
    result = f"written to `{written}`" if written else "nothing could be written"
    parts = [f"# What became of {source}\n\n{counts}; {result}.\n"]
    for outcome, group in reversed(group_lines(lines).items()):
        if group:
            parts.append(f"\n## {outcome.label.capitalize()}: {_MEANINGS[outcome]}\n\n")
            parts.append("| where | key | in the written file | what it means |\n|---|---|---|---|\n")
            parts += [_write_row(row) for row in merge_lines(group)]
    return "".join(parts)


def merge_lines(lines: Iterable[Line]) -> list[Row]:
    """Lines as rows; keys with the same fate share one."""
    merged: dict[tuple[str, str], dict[str, list[Line]]] = {}
    for line in lines:
        merged.setdefault((line.became, line.words), {}).setdefault(_name_key(line), []).append(line)
    return [
        Row(tuple((_join_places(group), key) for key, group in keys.items()), became, words)
        for (became, words), keys in merged.items()
    ]


def _render_table(outcome: Outcome, rows: Sequence[Row]) -> Table:
    return _render_carried(rows) if outcome is Outcome.CARRIED else _render_words(rows)


def _render_carried(rows: Sequence[Row]) -> Table:
    """Where, key, and where it went: a line each."""
    table = _make_table("where", "key", "in the written file")
    for row in rows:
        places, keys = zip(*row.keys, strict=True)
        where_to = Text(row.became) if row.became else Text(row.words, "dim")
        table.add_row("\n".join(places), "\n".join(keys), where_to)
    return table


def _render_words(rows: Sequence[Row]) -> Table:
    """Keys with their places below them, so that the words have room."""
    table = _make_table("key", "what it means")
    for row in rows:
        keys = Text("\n").join(Text.assemble(key, "\n", (f"  {place}", "dim")) for place, key in row.keys)
        table.add_row(keys, Text.assemble((f"→ {row.became}\n", "bold") if row.became else "", row.words))
    return table


def _make_table(*headers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for header in headers[:-1]:
        table.add_column(header, overflow="fold")
    table.add_column(headers[-1], overflow="fold", ratio=1)
    return table


def _name_key(line: Line) -> str:
    """`litellm_params.rpm` for a model's key, whichever model; the path for any other."""
    path = line.location.path
    if not path.startswith("model_list["):
        return path
    return ".".join(path.split("].", 1)[-1].split(".")[-_INNER:])


def _join_places(lines: Sequence[Line]) -> str:
    """`config.yaml:3, 9`."""
    numbers: dict[str, list[str]] = {}
    for line in lines:
        known = numbers.setdefault(line.location.file, [])
        if str(line.location.line) not in known:
            known.append(str(line.location.line))
    return "; ".join(f"{file}:{', '.join(places)}" for file, places in numbers.items())


def _write_row(row: Row) -> str:
    places = "<br>".join(_escape(place) for place, _ in row.keys)
    keys = "<br>".join(_code(key) for _, key in row.keys)
    return f"| {places} | {keys} | {_code(row.became)} | {_escape(row.words)} |\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
