"""How values look on pages: times, shares, tokens, digests. Pure; escaping is the template's work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from inhouse.domain import format_usd

NO_DATA = "–"
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def format_ms(value: float | None) -> str:
    """Milliseconds for people: `3.4 ms`, `182 ms`, `12.3 s`."""
    if value is None:
        return NO_DATA
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def format_ms_pair(low: float | None, high: float | None) -> str:
    """Two times in one unit: `150 / 269 ms`."""
    if low is None or high is None:
        return NO_DATA
    if high >= 10_000:
        return f"{low / 1000:.1f} / {high / 1000:.1f} s"
    return f"{low:.1f} / {high:.1f} ms" if high < 10 else f"{low:.0f} / {high:.0f} ms"


def format_share(value: float | Decimal | None) -> str:
    """A share of one as per cent, with a decimal where it is small: `71 %`, `0.4 %`."""
    if value is None:
        return NO_DATA
    percent = float(value) * 100
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def format_count(value: float | None) -> str:
    """A whole number with a thin space between thousands."""
    return NO_DATA if value is None else f"{value:,.0f}".replace(",", "\u202f")


def format_age(seconds: float) -> str:
    """How long ago or how long: `just now`, `42 s`, `5 min`, `3 h 10 min`, `2 d 4 h`."""
    whole = int(seconds)
    if whole < 1:
        return "less than 1 s"
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 60:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def format_bytes(value: int) -> str:
    """A size with a binary unit."""
    size, unit = float(value), 0
    while size >= 1024 and unit < len(_BYTE_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_BYTE_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_BYTE_UNITS[unit]}"


def format_digest(value: str | None) -> str:
    """The first twelve hex digits, as everywhere else in inhouse."""
    return value.removeprefix("sha256:")[:12] if value else "not known yet"


def format_time(unix_s: float) -> str:
    """Time of day on this machine, with the date where it is not today's business."""
    return _local(unix_s).strftime("%H:%M:%S")


def format_moment(unix_s: float) -> str:
    """Date and time on this machine, with its zone."""
    return _local(unix_s).strftime("%Y-%m-%d %H:%M:%S %Z")


def format_zone(unix_s: float) -> str:
    """The zone that times are shown in."""
    return _local(unix_s).strftime("%Z")


def format_iso(unix_s: float) -> str:
    """For the `datetime` attribute of a time element."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")


def format_score(value: float | None) -> str:
    """A score from 0 to 1 with three decimals."""
    return NO_DATA if value is None else f"{value:.3f}"


def _local(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC).astimezone()


FILTERS: dict[str, Callable[..., str]] = {
    "age": format_age,
    "bytes": format_bytes,
    "count": format_count,
    "digest": format_digest,
    "iso": format_iso,
    "moment": format_moment,
    "ms": format_ms,
    "ms_pair": format_ms_pair,
    "score": format_score,
    "share": format_share,
    "time": format_time,
    "usd": format_usd,
    "zone": format_zone,
}
"""Names under which the templates know them."""
