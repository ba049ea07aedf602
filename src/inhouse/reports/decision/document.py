"""The decision page as one JSON document: the same figures and sentences as the page. docs/design/decision-page.md."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from inhouse.reports.decision.compose import compose_page
from inhouse.reports.decision.report import DecisionReport


def render_document(report: DecisionReport) -> dict[str, Any]:
    """The document: `schema` 1, keys as the fields of `Page`, in its order.

    A figure is `{"value": …, "text": …}`: money as text with cents, other figures as floats of six digits, None where
    it is not known (then `text` says so). A quantity over the draws is `{"p10", "p50", "p90", "mean"}` of such figures.
    """
    document = _encode(compose_page(report))
    assert isinstance(document, dict)  # noqa: S101 - a page is a dataclass
    return document


def _encode(value: Any) -> Any:
    """Dataclasses become objects, tuples lists; the rest is text, numbers, booleans and None already."""
    if is_dataclass(value):
        return {field.name: _encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value
