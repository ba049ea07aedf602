"""Scene 6: build or buy, decided from a usage export that is shipped as an example. Every figure of it is made up."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from inhouse import __version__
from inhouse.catalog import load_catalog
from inhouse.cli.decide_view import render_terminal
from inhouse.cli.deciding.usage import read_usage
from inhouse.cli.scenes.stage import Stage
from inhouse.planning import CompanyFacts
from inhouse.planning.economics import NUM_DRAWS, SEED
from inhouse.reports.decision import Ask, DecisionReport, Making, make_report, prepare, read_bill, render_html
from inhouse.reports.pricing import Pricer

_EXAMPLE = "example:openai-usage"
_FTE_SHARE = 0.5
_COMMAND = f"inhouse decide --from {_EXAMPLE} --fte {_FTE_SHARE}"
_PAGE = "inhouse-demo-decision.html"


async def show_decision(stage: Stage) -> None:
    """Decide about the example export, print the page, and write it with its plots."""
    stage.title(6, "Build or buy: the decision page of an example export (example figures, nobody's usage)")
    stage.status(_COMMAND)
    report = await asyncio.to_thread(_decide)
    stage.print(render_terminal(report))
    path = Path(tempfile.gettempdir()) / _PAGE
    path.write_text(render_html(report), encoding="utf-8")
    stage.print(f"with plots: {path}")
    stage.require(report.scope.is_example, "the page of example figures does not say that they are")
    stage.require(report.use_cases, "no use case was found in the example export")


def _decide() -> DecisionReport:
    """What the command does, in this process."""
    today, catalog = datetime.now(UTC).date(), load_catalog()
    read = read_usage([_EXAMPLE], None, None, None)
    traffic, bill = read_bill(read.rows, Pricer(catalog.prices), read.source)
    prepared = prepare(Ask(traffic=traffic, fte_share=_FTE_SHARE), catalog, CompanyFacts(), today)
    making = Making(command=_COMMAND, made_on=today, version=__version__, num_draws=NUM_DRAWS, seed=SEED)
    return make_report(prepared, bill, making)
