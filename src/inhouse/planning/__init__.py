"""Pure arithmetic: usage to money. No I/O, no clock, no prose."""

from inhouse.planning.hours import HourSums, aggregate_hours
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

__all__ = [
    "UNPRICED",
    "CostBreakdown",
    "EngineRate",
    "HourSums",
    "TokenPrice",
    "aggregate_hours",
    "compile_price_vector",
    "make_token_price",
    "price_usage",
    "read_engine_rate",
    "read_token_price",
    "self_host_price",
]
