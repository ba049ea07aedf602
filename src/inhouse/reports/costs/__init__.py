"""What was spent, on what, and whether it agrees with the invoice."""

from inhouse.reports.costs.currency import DOLLARS, USD, Currency
from inhouse.reports.costs.elsewhere import Elsewhere, find_elsewhere
from inhouse.reports.costs.focus import FOCUS_COLUMNS, FOCUS_VERSION, FocusPricers, list_focus_rows
from inhouse.reports.costs.grouping import (
    DEFAULT_DIMENSIONS,
    NOT_STATED,
    CostGroup,
    CostSums,
    CostTotals,
    Dimension,
    label_line,
    list_tags,
    parse_dimensions,
)
from inhouse.reports.costs.lines import OWN_PROVIDER, CostBasis, CostLine, read_imported, read_spend
from inhouse.reports.costs.machines import DeploymentCost, Machines, allocate_deployments
from inhouse.reports.costs.reconcile import Reconciled, reconcile_invoices
from inhouse.reports.costs.report import CostPeriod, CostQuestion, CostReport, report_costs
from inhouse.reports.costs.reprice import Difference, FindVector, Repricing

__all__ = [
    "DEFAULT_DIMENSIONS",
    "DOLLARS",
    "FOCUS_COLUMNS",
    "FOCUS_VERSION",
    "NOT_STATED",
    "OWN_PROVIDER",
    "USD",
    "CostBasis",
    "CostGroup",
    "CostLine",
    "CostPeriod",
    "CostQuestion",
    "CostReport",
    "CostSums",
    "CostTotals",
    "Currency",
    "DeploymentCost",
    "Difference",
    "Dimension",
    "Elsewhere",
    "FindVector",
    "FocusPricers",
    "Machines",
    "Reconciled",
    "Repricing",
    "allocate_deployments",
    "find_elsewhere",
    "label_line",
    "list_focus_rows",
    "list_tags",
    "parse_dimensions",
    "read_imported",
    "read_spend",
    "reconcile_invoices",
    "report_costs",
]
