"""Removes kept responses from the store once they have expired. No reader sees them by then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from inhouse.domain import StateError
from inhouse.store import ResponseRepository

PERIOD_S = 600.0
_LOG = logging.getLogger(__name__)


async def purge_responses(responses: ResponseRepository, now: Callable[[], float] = time.time) -> None:
    """Purge at once and every ten minutes, until cancelled. Where the store is down, the next time does it.

    Args:
        responses: the store's.
        now: Unix seconds.
    """
    while True:
        try:
            num_purged = await asyncio.to_thread(responses.purge_expired, now())
        except StateError as error:
            _LOG.warning("expired responses are not purged yet: %s", error)
        except Exception:  # noqa: BLE001 -- whatever is wrong with purging, the engines must not die of it
            _LOG.exception("purging expired responses failed; it is tried again")
        else:
            if num_purged:
                _LOG.info("purged %d expired responses", num_purged)
        await asyncio.sleep(PERIOD_S)
