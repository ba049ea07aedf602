"""When a failed attempt is tried again at the same endpoint, and after which wait. Pure: clock and chance come in."""

from __future__ import annotations

from collections import deque

from inhouse.gateway.settings import RetrySettings

_WINDOW_S = 10.0
_ALWAYS_ALLOWED = 10
_NUM_BUCKETS = 10
_NO_SECOND = -1_000_000


class RetryBudget:
    """Retries may be a share of the requests of the last ten seconds, so that a failing endpoint is not buried.

    Counts in buckets of one second. A fallback to another endpoint is no retry.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._last = [_NO_SECOND, 0, 0]
        self._buckets: deque[list[int]] = deque(maxlen=_NUM_BUCKETS)

    def note_request(self, now: float) -> None:
        """A request came."""
        last = self._last
        if now >= last[0] + 1:
            last = self._bucket(now)
        last[1] += 1

    def take(self, now: float) -> bool:
        """Count a retry, where one more is allowed."""
        bucket = self._bucket(now)
        since = now - _WINDOW_S
        num_requests = sum(entry[1] for entry in self._buckets if entry[0] >= since)
        num_retries = sum(entry[2] for entry in self._buckets if entry[0] >= since)
        if num_retries >= max(_ALWAYS_ALLOWED, self._share * num_requests):
            return False
        bucket[2] += 1
        return True

    def _bucket(self, now: float) -> list[int]:
        if now >= self._last[0] + 1:
            self._last = [int(now), 0, 0]
            self._buckets.append(self._last)
        return self._last


def choose_wait_s(settings: RetrySettings, num_rounds: int, retry_after_s: float | None, chance: float) -> float | None:
    """How long to wait before everything is tried once more; None where it is not worth it.

    What the endpoint asked for is honoured up to `max_retry_after_s`; otherwise the wait is drawn evenly from zero to a
    bound that doubles with each round ("full jitter").

    Args:
        settings: the bounds.
        num_rounds: how often everything was tried, at least 1.
        retry_after_s: the shortest `retry-after` among the failures of this round.
        chance: a random number in [0, 1).
    """
    if retry_after_s is not None:
        if retry_after_s > settings.max_retry_after_s:
            return None
        return retry_after_s + chance * settings.backoff_ms / 1000.0
    bound_ms = min(settings.backoff_ms * 2.0 ** min(num_rounds - 1, 32), settings.max_backoff_ms)
    return chance * bound_ms / 1000.0
