"""`inhouse decide`: build or buy, from typed figures, a usage export or the own traces, before anything is deployed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from inhouse import __version__
from inhouse.catalog import load_catalog
from inhouse.cli.config import Configuration, load_config
from inhouse.cli.deciding.bill import KnownBill, read_bill, type_bill
from inhouse.cli.deciding.typed import TypedTraffic, read_gpus, read_settings
from inhouse.cli.installation import DEFAULT_FILE, JsonOption
from inhouse.cli.terminal import out, print_json
from inhouse.domain import ConfigError
from inhouse.planning import CompanyFacts
from inhouse.planning.economics import NUM_DRAWS, SEED
from inhouse.reports.decision import Ask, Making, make_report, prepare, render_document, render_html
from inhouse.reports.settings import TeamSettings

_TEAM_FIX = (
    "Give the share of full-time engineers that self-hosting would take: `--fte 0.5`, or `team: {fte_share: 0.5}`. "
    "It changes the answer, so that it has no default."
)
