"""What a gateway worker keeps of Responses, on both databases. The gateway's own side is tested beside the gateway."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from inhouse.domain import InhouseError, StateError
from inhouse.gateway import keeper as keeper_module
from inhouse.gateway.keeper import StoreKeeper
from inhouse.gateway.stored import ConversationTooLongError, KeptResponse

NOW = 1_000_000.0


def make(response_id: str, **changes: Any) -> KeptResponse:
    values: dict[str, Any] = {
        "key_id": "app",
        "route": "chat",
        "endpoint_id": "clerk",
        "input_json": '[{"role":"user","content":"\\u00e4 \\ud83d\\ude00"}]',
        "response_json": f'{{"id":"{response_id}","output":[]}}',
    }
    return KeptResponse(response_id=response_id, **(values | changes))


def test_a_conversation_is_kept_read_and_forgotten(make_url: Callable[[], str]) -> None:
    first, second = make("resp_1"), make("resp_2", previous_response_id="resp_1")
    with closing(StoreKeeper(make_url(), timedelta(hours=1), lambda: NOW)) as keeper:
        keeper.put(first)
        keeper.put(second)
        assert keeper.get("resp_2", "app") == second
        assert keeper.get("resp_2", "other") is None
        assert keeper.list_turns("resp_2", "app", 1000) == [first, second]
        with pytest.raises(ConversationTooLongError):
            keeper.list_turns("resp_2", "app", 100)
        assert keeper.list_turns("resp_3", "app", 1000) is None
        assert keeper.delete("resp_1", "other") is False
        assert keeper.delete("resp_1", "app") is True
        assert keeper.list_turns("resp_2", "app", 1000) is None


def test_a_response_is_kept_for_as_long_as_the_setting_says(make_url: Callable[[], str]) -> None:
    clock = [NOW]
    with closing(StoreKeeper(make_url(), timedelta(minutes=1), lambda: clock[0])) as keeper:
        keeper.put(make("resp_1"))
        clock[0] = NOW + 59.9
        assert keeper.get("resp_1", "app") == make("resp_1")
        clock[0] = NOW + 60.0
        assert keeper.get("resp_1", "app") is None
        assert keeper.list_turns("resp_1", "app", 1000) is None


def test_a_store_that_comes_up_later_is_used_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried for each request: for a second after a failure every call fails at once."""
    folder = tmp_path / "late"
    with closing(StoreKeeper(f"sqlite:///{folder}/inhouse.db", timedelta(days=1))) as keeper:
        with pytest.raises(StateError, match="cannot be opened"):
            keeper.put(make("resp_1"))
        folder.mkdir()
        monkeypatch.setattr(keeper_module, "PAUSE_S", 3600.0)
        with pytest.raises(InhouseError, match="cannot be opened"):
            keeper.put(make("resp_1"))
        monkeypatch.setattr(keeper_module, "PAUSE_S", 0.0)
        keeper.put(make("resp_1"))
        assert keeper.get("resp_1", "app") == make("resp_1")
