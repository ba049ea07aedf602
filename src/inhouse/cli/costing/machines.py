"""What own deployments run on and how long they were up, out of the file and the store. Splits nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from inhouse.catalog import PriceBook
from inhouse.cli.costing.books import CostBooks
from inhouse.reports.costs import CostPeriod, Machines
from inhouse.serving.settings import DeploymentSettings, EngineName
from inhouse.store import ReplicaRow, Seen

_SILENT_S = 600.0
"""Replicas are heard of every ten seconds; after ten minutes of silence they are taken to be down."""


def list_machines(books: CostBooks, period: CostPeriod, now: float) -> tuple[Machines, ...]:
    """The machines of every deployment in the file; none without a file."""
    if books.configuration is None:
        return ()
    seen = books.store.spend.seen()
    rows = books.store.replicas.list()
    found: list[Machines] = []
    for name, settings in books.configuration.settings.deployments.items():
        usd_per_hour, price_id = _find_price(name, settings, books.book, period)
        up_s, basis = measure_up(period, now, seen.get(name), [row for row in rows if row.deployment == name])
        found.append(
            Machines(
                deployment=name,
                num_replicas=settings.replicas.min,
                usd_per_hour=usd_per_hour,
                price_id=price_id,
                up_s=up_s,
                hours_basis=basis,
            )
        )
    return tuple(found)


def measure_up(period: CostPeriod, now: float, seen: Seen | None, replicas: Sequence[ReplicaRow]) -> tuple[float, str]:
    """Seconds of the period that a deployment is taken to have been up, and how that is known.

    It counts from its first request in the store, evaluations included, until its replicas were last heard of; where
    the store says neither, the whole period.
    """
    start, end = period.since, min(period.until, now)
    words: list[str] = []
    if seen is not None and seen.first_at > start:
        start = seen.first_at
        words.append(f"from its first request ({_format_time(start)})")
    last = max((row.updated_at for row in replicas), default=end)
    if last < end - _SILENT_S:
        end = last
        words.append(f"until its replicas were last heard of ({_format_time(end)})")
    if not words:
        words.append("the whole period" if seen is not None or replicas else "the whole period: the store has no sign")
    return max(0.0, end - start), " ".join(words)


def _find_price(
    name: str, settings: DeploymentSettings, book: PriceBook, period: CostPeriod
) -> tuple[Decimal | None, str]:
    hardware = settings.hardware
    if hardware.usd_per_hour is not None:
        return hardware.usd_per_hour, f"deployments.{name}.hardware.usd_per_hour"
    is_external = settings.url is not None or settings.engine is EngineName.EXTERNAL
    if is_external and "machine" not in hardware.model_fields_set:
        return None, f"not stated: deployments.{name}.hardware.usd_per_hour"
    row = book.machine(hardware.machine, period.last_day)
    if row is None:
        return None, f"not in the price book: machine {hardware.machine}"
    basis = ", an assumption" if "assumption" in row.source.lower() else ""
    return row.usd_per_hour, f"{row.price_id}{basis}"


def _format_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
