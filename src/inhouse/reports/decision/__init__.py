"""The one page of a decision: from figures and facts to a question, its answer, and the words, plots and tables."""

from inhouse.reports.decision.assemble import Bill, Making, find_moving_option, make_report
from inhouse.reports.decision.bill import Source, TypedTraffic, read_bill, type_bill
from inhouse.reports.decision.compose import compose_page
from inhouse.reports.decision.document import render_document
from inhouse.reports.decision.formats import keep_together
from inhouse.reports.decision.html import render_html
from inhouse.reports.decision.inputs import Ask, GpuOrder, Traffic, TypedRange
from inhouse.reports.decision.page import Figure, OptionRow, Page
from inhouse.reports.decision.prepare import Prepared, prepare
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
    "Ask",
    "Basis",
    "Bill",
    "Commitment",
    "Coverage",
    "DecisionReport",
    "Figure",
    "GpuOrder",
    "Making",
    "OpenModelFacts",
    "OptionRow",
    "Page",
    "Prepared",
    "Reconciliation",
    "Scope",
    "Source",
    "Traffic",
    "TypedRange",
    "TypedTraffic",
    "UseCaseLine",
    "compose_page",
    "find_moving_option",
    "keep_together",
    "make_report",
    "prepare",
    "read_bill",
    "render_document",
    "render_html",
    "type_bill",
]
