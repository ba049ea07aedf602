"""The one page of a decision: words, plots and tables from a `DecisionReport`, as HTML, JSON and values to show."""

from inhouse.reports.decision.compose import compose_page
from inhouse.reports.decision.document import render_document
from inhouse.reports.decision.formats import keep_together
from inhouse.reports.decision.html import render_html
from inhouse.reports.decision.page import Figure, OptionRow, Page
from inhouse.reports.decision.report import (
    Basis,
    Commitment,
    Coverage,
    DecisionReport,
    OpenModelFacts,
    Reconciliation,
    Scope,
    UseCaseLine,
)

__all__ = [
    "Basis",
    "Commitment",
    "Coverage",
    "DecisionReport",
    "Figure",
    "OpenModelFacts",
    "OptionRow",
    "Page",
    "Reconciliation",
    "Scope",
    "UseCaseLine",
    "compose_page",
    "keep_together",
    "render_document",
    "render_html",
]
