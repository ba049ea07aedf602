"""The decision page as one JSON document: the same figures and sentences as the page. docs/design/decision-page.md."""

from __future__ import annotations

from typing import Any

import msgspec

from inhouse.reports.decision.compose import compose_page
from inhouse.reports.decision.report import DecisionReport


def render_document(report: DecisionReport) -> dict[str, Any]:
    """The document: `schema` 1, keys as the fields of `Page`, in its order.

    A figure is `{"value": …, "text": …}`: money as text with cents, other figures as floats of six digits, None where
    it is not known (then `text` says so). A quantity over the draws is `{"p10", "p50", "p90", "mean"}` of such figures.
    """
    return msgspec.json.decode(msgspec.json.encode(compose_page(report)), type=dict[str, Any])
