"""What the figures of a bill do not stand on, in words: every state that is missing and not zero."""

from __future__ import annotations

from collections.abc import Iterator

from inhouse.planning import Known, Peak, UsageProfile
from inhouse.reports.decision.sums import Sums

_SHORT_DAYS = 14
_FEW_ACTIVE_SHARE = 0.7
"""Five days of seven are more than that."""


def list_gaps(profile: UsageProfile, total: Sums, num_own: int, backdated_share: float) -> Iterator[str]:
    """Everything that a reader of the bill should know.

    Args:
        profile: of the paid rows.
        total: their money.
        num_own: requests on own machines, which are not in the bill.
        backdated_share: of the rows, priced by a list price that is younger.
    """
    if num_own:
        yield f"{num_own:,} requests ran on own machines already and are not in the bill"
    if backdated_share:
        yield f"{backdated_share:.0%} of the periods are older than the list price that they are counted at"
    yield from _list_money(total)
    yield from _list_traffic(profile)


def read_peak(peak: Peak | None) -> float | None:
    """The peak factor; None too where it lies below the mean, as in traffic of very few hours: that is no peak."""
    return peak.factor if peak is not None and peak.factor >= 1 else None


def say_days(num_days: float) -> str:
    """`30 days`, `a day`, `less than a day`."""
    whole = round(num_days)
    return f"{whole} days" if whole > 1 else "a day" if num_days >= 1 else "less than a day"


def _list_money(total: Sums) -> Iterator[str]:
    if total.stated_only_usd:
        share = total.stated_only_usd / total.usd
        yield f"{share:.0%} of the money is as the source states it: no price of it is known"
    if total.tokenless_usd:
        share = total.tokenless_usd / total.usd
        yield f"{share:.0%} of the money states no tokens: it is taken to buy the same mix as the rest"
    if total.num_unpriced_rows and total.num_unpriced_requests is None:
        yield f"{total.num_unpriced_rows:,} periods without a price do not count their requests; their money is unknown"


def _list_traffic(profile: UsageProfile) -> Iterator[str]:
    if profile.num_days < _SHORT_DAYS:
        yield f"the month is scaled from {say_days(profile.num_days)} of traffic alone"
    if profile.num_active_days < _FEW_ACTIVE_SHARE * profile.num_days:
        num, whole = profile.num_active_days, round(profile.num_days)
        yield f"traffic on {num} of {whole} days: the others count as days of none"
    if len(profile.sources) > 1:
        yield f"{len(profile.sources)} kinds of sources are added up: traffic that stands in two of them counts twice"
    if profile.totals.requests_known is not Known.ALL:
        yield "not every row counts its requests; costs follow tokens, and do not need them"
    if profile.peak is None:
        yield "only days are known, not hours: the peak is a reference range"
    elif read_peak(profile.peak) is None:
        yield "the traffic comes in a few hours: their 99th percentile is no peak, it is a reference range"
