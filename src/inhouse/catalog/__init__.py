"""Dated facts as package data, with schema, source and checked-on date. Looks up; never decides or fetches."""

from inhouse.catalog.assumptions import AssumptionRow, LearnRow, Unit, load_assumptions
from inhouse.catalog.book import BOOK_FOLDER, PriceBook, load_price_book
from inhouse.catalog.rows import (
    ANY_MODEL,
    CapacityRow,
    DatedRow,
    EngineRateRow,
    MachineRow,
    MachineTerms,
    RateBasis,
    TokenPriceRow,
)

__all__ = [
    "ANY_MODEL",
    "BOOK_FOLDER",
    "AssumptionRow",
    "CapacityRow",
    "DatedRow",
    "EngineRateRow",
    "LearnRow",
    "MachineRow",
    "MachineTerms",
    "PriceBook",
    "RateBasis",
    "TokenPriceRow",
    "Unit",
    "load_assumptions",
    "load_price_book",
]
