"""Pure arithmetic: usage to money. No I/O, no clock, no prose."""

from inhouse.planning.hours import HourSums, aggregate_hours
from inhouse.planning.peaks import HOURS_PER_WEEK, Peak, PeakBasis, find_peak, shape_week
from inhouse.planning.prices import (
    UNPRICED,
    CostBreakdown,
    EngineRate,
    TokenPrice,
    compile_price_vector,
    make_token_price,
    price_usage,
    read_engine_rate,
    read_token_price,
    self_host_price,
)
from inhouse.planning.profile import (
    Coverage,
    UsageProfile,
    UseCaseUsage,
    group_use_cases,
    name_use_case,
    profile_usage,
)
from inhouse.planning.totals import Known, ModelUsage, UsageTotals, split_by_model, sum_rows

__all__ = [
    "HOURS_PER_WEEK",
    "UNPRICED",
    "CostBreakdown",
    "Coverage",
    "EngineRate",
    "HourSums",
    "Known",
    "ModelUsage",
    "Peak",
    "PeakBasis",
    "TokenPrice",
    "UsageProfile",
    "UsageTotals",
    "UseCaseUsage",
    "aggregate_hours",
    "compile_price_vector",
    "find_peak",
    "group_use_cases",
    "make_token_price",
    "name_use_case",
    "price_usage",
    "profile_usage",
    "read_engine_rate",
    "read_token_price",
    "self_host_price",
    "shape_week",
    "split_by_model",
    "sum_rows",
]
