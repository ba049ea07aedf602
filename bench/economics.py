"""The speed and exactness of money and decisions on this machine. `--setup` installs genai-prices, for comparison.

Rows: a money arithmetic on the golden replies, b a decision, c a decision from a million rows of usage, d the price of a
request on the hot path, e the published break-even table. Wall-clock times are medians of runs; each run stands beside.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "bench" / "gateway"), str(ROOT / "tests")]

from goals import Goal  # after the path is set
from report import Report  # same

from inhouse.catalog import load_price_book  # same
from inhouse.planning import compile_price_vector, read_token_prices  # same
from inhouse.domain import Usage  # same

ROWS = "abcde"
PEERS = ROOT / ".bench" / "genai-prices"
PEER = "genai-prices==0.2.3"
NUM_RUNS = 5
NUM_USAGE_ROWS = 1_000_000
DAY = date(2026, 11, 28)
