"""Expired responses leave the store by themselves, also after a time in which it was down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from inhouse.serving import expiry
from inhouse.serving.expiry import purge_responses
from inhouse.store import ResponseRepository, StoredResponse, StoreUnavailableError, open_store


def make(response_id: str, expires_at: float) -> StoredResponse:
    return StoredResponse(
        response_id=response_id,
        key_id="app",
        route="chat",
        endpoint_id="clerk",
        created_at=100.0,
        expires_at=expires_at,
        input_json="[]",
        response_json="{}",
    )


class Failing(ResponseRepository):
    """Fails as often as `failures` says, and tells when a purge was done."""

    failures: list[Exception]
    purged: asyncio.Event
    loop: asyncio.AbstractEventLoop

    def purge_expired(self, now: float) -> int:
        if self.failures:
            raise self.failures.pop()
        num_purged = super().purge_expired(now)
        self.loop.call_soon_threadsafe(self.purged.set)
        return num_purged


async def test_expired_responses_are_purged_once_the_store_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "PERIOD_S", 0.01)
    with open_store(f"sqlite:///{tmp_path}/inhouse.db") as store:
        store.responses.put(make("old", 200.0))
        store.responses.put(make("new", 300.0))
        failing = Failing(store.responses._database)
        failing.failures = [StoreUnavailableError("down", fix="wait"), OSError("odd")]
        failing.purged, failing.loop = asyncio.Event(), asyncio.get_running_loop()
        purging = failing.loop.create_task(purge_responses(failing, lambda: 250.0))
        await asyncio.wait_for(failing.purged.wait(), 10)
        purging.cancel()
        await asyncio.gather(purging, return_exceptions=True)
        assert failing.failures == []
        assert store.responses.get("old", "app", now=150.0) is None
        assert store.responses.get("new", "app", now=150.0) == make("new", 300.0)
