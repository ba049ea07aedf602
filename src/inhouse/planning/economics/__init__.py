"""Build or buy: assumptions with ranges → draws → costs by option → a decision, as figures. No I/O, no prose."""

from inhouse.planning.economics.assumptions import Assumption, Assumptions, Owner, read_assumption
from inhouse.planning.economics.candidates import UseCaseTraffic, measure_moves, measure_requests_per_second
from inhouse.planning.economics.costs import (
    HOURS_PER_MONTH,
    SECONDS_PER_MONTH,
    Fleet,
    OptionCosts,
    Values,
    cost_options,
)
from inhouse.planning.economics.decision import (
    Band,
    BreakEven,
    Decision,
    Flip,
    OptionResult,
    TornadoBar,
    Trial,
    Worth,
)
from inhouse.planning.economics.judge import NUM_DRAWS, SEED, decide
from inhouse.planning.economics.options import CHEAPER, STAY, Family, OptionId, Terms, list_options
from inhouse.planning.economics.question import Question

__all__ = [
    "CHEAPER",
    "HOURS_PER_MONTH",
    "NUM_DRAWS",
    "SECONDS_PER_MONTH",
    "SEED",
    "STAY",
    "Assumption",
    "Assumptions",
    "Band",
    "BreakEven",
    "Decision",
    "Family",
    "Fleet",
    "Flip",
    "OptionCosts",
    "OptionId",
    "OptionResult",
    "Owner",
    "Question",
    "Terms",
    "TornadoBar",
    "Trial",
    "UseCaseTraffic",
    "Values",
    "Worth",
    "cost_options",
    "decide",
    "list_options",
    "measure_moves",
    "measure_requests_per_second",
    "read_assumption",
]
