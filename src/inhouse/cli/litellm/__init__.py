"""Turns a LiteLLM proxy configuration into an inhouse file, and accounts for every key of it."""

from inhouse.cli.litellm.importing import Imported, import_litellm, list_all_keys, refuse_nothing
from inhouse.cli.litellm.report import Line, Outcome
from inhouse.cli.litellm.view import render_counts, render_markdown, render_report

__all__ = [
    "Imported",
    "Line",
    "Outcome",
    "import_litellm",
    "list_all_keys",
    "refuse_nothing",
    "render_counts",
    "render_markdown",
    "render_report",
]
