"""Calls to a store that may be down, slow or refusing."""

from __future__ import annotations

import threading

import pytest

from inhouse.control import StoreLink
from inhouse.domain import StateError
from inhouse.store import Store, StoreUnavailableError


async def test_a_slow_store_costs_the_deadline_and_no_more(store_url: str) -> None:
    release = threading.Event()
    link = StoreLink(store_url, timeout_s=0.05)
    with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.05 s"):
        await link.call(lambda _store: release.wait(10))
    release.set()
    assert await link.call(lambda store: store.replicas.list(), timeout_s=5) == []
    link.close()


async def test_a_store_is_opened_again_after_it_was_down(store_url: str, store: Store) -> None:
    answers: list[Store | None] = [None, store]

    def opener(_url: str) -> Store:
        answer = answers.pop(0)
        if answer is None:
            raise StoreUnavailableError("It is down.", fix="wait.")
        return answer

    link = StoreLink(store_url, opener=opener)
    with pytest.raises(StoreUnavailableError, match="It is down"):
        await link.call(lambda opened: opened.replicas.list())
    assert await link.call(lambda opened: opened.replicas.list()) == []
    assert await link.call(lambda opened: opened.snapshots.latest()) is None
    assert answers == []
    link.close()


async def test_the_stores_own_refusal_passes_through(store_url: str) -> None:
    def refuse(_store: Store) -> None:
        raise StateError("No.", fix="Ask otherwise.")

    link = StoreLink(store_url)
    with pytest.raises(StateError, match=r"No\. Fix: Ask otherwise\."):
        await link.call(refuse)
    link.close()
