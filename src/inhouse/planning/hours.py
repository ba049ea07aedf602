"""Records → hours: requests, tokens and stated money of equal labels, summed exactly. No I/O, no prices."""

from __future__ import annotations

from collections.abc import Iterable

from inhouse.domain import DAY_S, HOUR_S, MOMENT_S, ServiceTier, Usage, UsageRecord, UsageRow, from_pico_usd

_NUM_BUCKETS = 8

_Label = str | None
_Key = tuple[int, int, str, _Label, _Label, _Label, _Label, _Label, _Label, ServiceTier, bool, bool, bool]


class HourSums:
    """Adds up records by hour (or day, where the source says no more) and labels.

    Records that state tokens, requests or money are kept apart from those that do not, so that no sum mixes "so many"
    with "not stated".
    """

    def __init__(self) -> None:
        self._sums: dict[_Key, list[int]] = {}

    def add(self, record: UsageRecord) -> None:
        """Add one record.

        Raises:
            ValueError: its period is neither within an hour nor a day.
        """
        width = record.width_s
        if width <= HOUR_S and width >= MOMENT_S:
            started_at, width = record.started_at - record.started_at % HOUR_S, HOUR_S
        elif width == DAY_S:
            started_at = record.started_at - record.started_at % DAY_S
        else:
            raise ValueError(f"a period of {width} s is neither within an hour nor a day")
        uncached, requests, amount = record.input_uncached, record.num_requests, record.stated_pico_usd
        key = (
            started_at, width, record.source, record.provider, record.model, record.project, record.key, record.task,
            record.template, record.tier, uncached is None, requests is None, amount is None,
        )  # fmt: skip
        sums = self._sums.get(key)
        if sums is None:
            sums = self._sums[key] = [0] * (_NUM_BUCKETS + 2)
        if requests is not None:
            sums[0] += requests
        if amount is not None:
            sums[1] += amount
        if uncached is not None:
            sums[2] += uncached
            _add_parts(sums, record)

    def rows(self) -> list[UsageRow]:
        """The sums, by time and labels."""
        return [_make_row(key, sums) for key, sums in sorted(self._sums.items(), key=_order)]


def aggregate_hours(records: Iterable[UsageRecord]) -> list[UsageRow]:
    """Rows of equal labels per hour, or per day where a record covers a day; sorted by time and labels.

    Raises:
        ValueError: a record's period is neither within an hour nor a day.
    """
    sums = HourSums()
    for record in records:
        sums.add(record)
    return sums.rows()


def _add_parts(sums: list[int], record: UsageRecord) -> None:
    """Add the buckets after the first one; written out, since this runs for every record."""
    if record.cache_read:
        sums[3] += record.cache_read
    if record.cache_write:
        sums[4] += record.cache_write
    if record.output_visible:
        sums[5] += record.output_visible
    if record.output_reasoning:
        sums[6] += record.output_reasoning
    if record.cache_write_1h:
        sums[7] += record.cache_write_1h
    if record.input_audio:
        sums[8] += record.input_audio
    if record.output_audio:
        sums[9] += record.output_audio


def _order(item: tuple[_Key, list[int]]) -> tuple[int, list[str]]:
    return item[0][0], ["" if label is None else str(label) for label in item[0][1:]]


def _make_row(key: _Key, sums: list[int]) -> UsageRow:
    started_at, width_s, source, provider, model, project, api_key, task, template, tier, *states = key
    has_no_usage, has_no_requests, has_no_amount = states
    return UsageRow(
        source=source,
        started_at=started_at,
        width_s=width_s,
        provider=provider,
        model=model,
        project=project,
        key=api_key,
        task=task,
        template=template,
        tier=tier,
        num_requests=None if has_no_requests else sums[0],
        usage=None if has_no_usage else Usage(*sums[2:]),
        stated_usd=None if has_no_amount else from_pico_usd(sums[1]),
    )
