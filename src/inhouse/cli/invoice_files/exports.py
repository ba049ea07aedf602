"""Cost exports of providers: OpenAI's `organization/costs` (pages, CSV) and Anthropic's `cost_report` (pages).

Sources: https://platform.openai.com/docs/api-reference/usage/costs and
https://platform.claude.com/docs/en/api/admin/cost_report.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar

from msgspec import Struct

from inhouse.cli.invoice_files.charges import Charge, Charges, parse_amount, parse_start
from inhouse.cli.usage_files.reading import Place, Reading, read_entries

Entry = TypeVar("Entry")

_CENTS = Decimal(100)
_TOKENS = "tokens"


class OpenAiAmount(Struct, kw_only=True):
    """Money in its currency. The number is read from its digits."""

    value: Decimal = Decimal(0)
    currency: str | None = None


class OpenAiResult(Struct, kw_only=True):
    """One line of a bucket. Labels are null where the export was not grouped by them."""

    amount: OpenAiAmount | None = None
    line_item: str | None = None
    project_id: str | None = None
    organization_id: str | None = None


class OpenAiBucket(Struct, kw_only=True):
    """A day, or a page of days: an array may hold either."""

    start_time: int | None = None
    end_time: int | None = None
    results: list[OpenAiResult] | None = None
    data: list[OpenAiBucket] | None = None
    has_more: bool = False


class OpenAiRow(Struct, kw_only=True):
    """A row of the CSV export; a day without charges has no amount."""

    start_time: str | None = None
    end_time: str | None = None
    amount_value: str | None = None
    amount_currency: str | None = None
    line_item: str | None = None
    project_id: str | None = None
    organization_id: str | None = None


class AnthropicResult(Struct, kw_only=True):
    """One line of a bucket; `amount` is in cents. Labels are null where the report was not grouped by them."""

    amount: str | None = None
    currency: str | None = None
    description: str | None = None
    cost_type: str | None = None
    model: str | None = None
    workspace_id: str | None = None
    token_type: str | None = None
    service_tier: str | None = None
    context_window: str | None = None
    inference_geo: str | None = None


class AnthropicBucket(Struct, kw_only=True):
    """A day, or a page of days: an array may hold either."""

    starting_at: str | None = None
    ending_at: str | None = None
    results: list[AnthropicResult] | None = None
    data: list[AnthropicBucket] | None = None
    has_more: bool = False


def read_openai_pages(reading: Reading, charges: Charges) -> None:
    """Charges of `organization/costs`.

    Raises:
        ConfigError: it is malformed; names the path.
    """
    for place, page in read_entries(reading, OpenAiBucket):
        reading.report.has_more = page.has_more
        days = [(place, page)] if page.data is None else list(_number(place, page.data))
        for within, day in days:
            start, end = _find_ends(reading, within, day.start_time, day.end_time)
            for number, result in enumerate(day.results or []):
                if result.amount is not None:
                    at = within.within(f"results[{number}]")
                    charges.add(at, _make_openai(start, end, result, result.amount.value, result.amount.currency))


def read_openai_rows(reading: Reading, charges: Charges) -> None:
    """Charges of the CSV export of OpenAI's costs.

    Raises:
        ConfigError: it is malformed; names the line.
    """
    for place, row in read_entries(reading, OpenAiRow):
        if row.amount_value is None:
            continue
        start, end = _find_ends(reading, place, row.start_time, row.end_time)
        amount = parse_amount(reading, place, "amount_value", row.amount_value)
        result = OpenAiResult(line_item=row.line_item, project_id=row.project_id, organization_id=row.organization_id)
        charges.add(place, _make_openai(start, end, result, amount, row.amount_currency))


def read_anthropic_pages(reading: Reading, charges: Charges) -> None:
    """Charges of `cost_report`; its amounts are cents.

    Raises:
        ConfigError: it is malformed; names the path.
    """
    for place, page in read_entries(reading, AnthropicBucket):
        reading.report.has_more = page.has_more
        days = [(place, page)] if page.data is None else list(_number(place, page.data))
        for within, day in days:
            start, end = _find_ends(reading, within, day.starting_at, day.ending_at)
            for number, result in enumerate(day.results or []):
                at = within.within(f"results[{number}]")
                if result.amount is None:
                    raise reading.refuse("It has no amount.", path=at.path)
                charges.add(at, _make_anthropic(reading, at, (start, end), result))


def _make_openai(start: int, end: int, result: OpenAiResult, amount: Decimal, currency: str | None) -> Charge:
    """A charge of OpenAI's; the item reads `MODEL, input`, or names a tool."""
    item = result.line_item
    return Charge(
        started_at=start,
        ended_at=end,
        amount=amount,
        currency=currency,
        description=item,
        model=None if item is None else item.partition(",")[0].strip() or None,
        project=result.project_id,
        parts=(result.organization_id,),
    )


def _make_anthropic(reading: Reading, place: Place, ends: tuple[int, int], result: AnthropicResult) -> Charge:
    return Charge(
        started_at=ends[0],
        ended_at=ends[1],
        amount=parse_amount(reading, place, "amount", result.amount or "") / _CENTS,
        currency=result.currency,
        description=result.description,
        model=result.model,
        project=result.workspace_id,
        is_tokens=result.cost_type in {None, _TOKENS},
        parts=(
            result.cost_type, result.token_type, result.service_tier, result.context_window, result.inference_geo,
        ),
    )  # fmt: skip


def _number(place: Place, entries: list[Entry]) -> list[tuple[Place, Entry]]:
    return [(place.within(f"data[{number}]"), entry) for number, entry in enumerate(entries)]


def _find_ends(reading: Reading, place: Place, start: str | float | None, end: str | float | None) -> tuple[int, int]:
    if start is None or end is None:
        raise reading.refuse("It has no start and end, so it belongs to no day.", line=place.line, path=place.path)
    found = parse_start(reading, place, "start", start), parse_start(reading, place, "end", end)
    if found[1] <= found[0]:
        raise reading.refuse("It ends before it begins.", line=place.line, path=place.path)
    return found
