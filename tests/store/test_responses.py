"""Stored responses: each key has its own, they chain into conversations, and they expire."""

from __future__ import annotations

from typing import Any

import pytest

from inhouse.store import Store, StoredResponse


def make(response_id: str, **changes: Any) -> StoredResponse:
    values: dict[str, Any] = {
        "key_id": "app",
        "route": "triage",
        "endpoint_id": "clerk",
        "created_at": 100.0,
        "expires_at": 200.0,
        "input_json": '[{"type":"message","role":"user","content":"a\\u0000b"}]',
        "response_json": '{"id":"resp_1"}',
    }
    return StoredResponse(response_id=response_id, **(values | changes))


def test_what_goes_in_comes_out_until_it_expires(store: Store) -> None:
    row = make("resp_1", previous_response_id="resp_0")
    store.responses.put(row)
    assert store.responses.get("resp_1", "app", now=199.9) == row
    assert store.responses.get("resp_1", "app", now=200.0) is None
    assert store.responses.get("resp_2", "app", now=100.0) is None


def test_a_key_reads_and_deletes_only_its_own(store: Store) -> None:
    """Two keys may even hold the same id: neither replaces the other's."""
    mine, theirs = make("resp_1"), make("resp_1", key_id="other", response_json="{}")
    store.responses.put(mine)
    store.responses.put(theirs)
    assert store.responses.get("resp_1", "app", now=100.0) == mine
    assert store.responses.get("resp_1", "other", now=100.0) == theirs
    assert store.responses.get("resp_1", "third", now=100.0) is None
    assert store.responses.delete("resp_1", "third") is False
    assert store.responses.delete("resp_1", "app") is True
    assert store.responses.delete("resp_1", "app") is False
    assert store.responses.get("resp_1", "app", now=100.0) is None
    assert store.responses.get("resp_1", "other", now=100.0) == theirs


def test_the_same_response_again_replaces_the_earlier_one(store: Store) -> None:
    store.responses.put(make("resp_1"))
    again = make("resp_1", response_json='{"id":"resp_1","status":"completed"}', expires_at=300.0)
    store.responses.put(again)
    assert store.responses.get("resp_1", "app", now=250.0) == again


def test_expired_responses_of_every_key_are_removed(store: Store) -> None:
    store.responses.put(make("resp_1"))
    store.responses.put(make("resp_2", key_id="other"))
    store.responses.put(make("resp_3", expires_at=201.0))
    assert store.responses.purge_expired(200.0) == 2
    assert store.responses.purge_expired(200.0) == 0
    assert store.responses.get("resp_3", "app", now=200.0) is not None


def test_a_response_without_a_time_to_live_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="must expire after it was made"):
        store.responses.put(make("resp_1", expires_at=100.0))


def test_a_conversation_is_read_oldest_first(store: Store) -> None:
    first = make("resp_1")
    second = make("resp_2", previous_response_id="resp_1")
    third = make("resp_3", previous_response_id="resp_2")
    for row in (third, first, second, make("resp_9", previous_response_id="resp_1")):
        store.responses.put(row)
    assert store.responses.list_turns("resp_3", "app", now=100.0) == [first, second, third]
    assert store.responses.list_turns("resp_1", "app", now=100.0) == [first]


def test_a_conversation_with_a_turn_missing_is_none(store: Store) -> None:
    """Deleted, expired, or another key's: the rest would be another conversation."""
    store.responses.put(make("resp_1", key_id="other"))
    store.responses.put(make("resp_2", previous_response_id="resp_1"))
    store.responses.put(make("resp_3", previous_response_id="resp_2", expires_at=300.0))
    assert store.responses.list_turns("resp_2", "app", now=100.0) is None
    assert store.responses.list_turns("resp_3", "app", now=250.0) is None
    assert store.responses.list_turns("resp_4", "app", now=100.0) is None


def test_no_more_of_a_conversation_is_read_than_asked_for(store: Store) -> None:
    """Four turns of the same length: with room for all of them they are read, with a character less none is."""
    for number in range(4):
        store.responses.put(make(f"resp_{number}", previous_response_id=f"resp_{number - 1}" if number else None))
    size = len(make("resp_0").input_json) + len(make("resp_0").response_json)
    turns = store.responses.list_turns("resp_3", "app", now=100.0, max_chars=4 * size)
    assert turns is not None
    assert len(turns) == 4
    with pytest.raises(ValueError, match=f"longer than {4 * size - 1} characters"):
        store.responses.list_turns("resp_3", "app", now=100.0, max_chars=4 * size - 1)
