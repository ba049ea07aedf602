"""The one page of a decision: from figures and facts to a question, its answer, and the words, plots and tables."""

from inhouse.reports.decision.assemble import Bill, Making, find_moving_option, make_report
from inhouse.reports.decision.bill import Source, TypedTraffic, read_bill, type_bill
from inhouse.reports.decision.inputs import Ask, GpuOrder, Traffic, TypedRange
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
    "GpuOrder",
    "Making",
    "OpenModelFacts",
    "Prepared",
    "Reconciliation",
    "Scope",
    "Source",
    "Traffic",
    "TypedRange",
    "TypedTraffic",
    "UseCaseLine",
    "find_moving_option",
    "make_report",
    "prepare",
    "read_bill",
    "type_bill",
]
