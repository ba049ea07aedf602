"""Earlier turns before a request's own items: whole, in order, and without what only their endpoint understands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.backends import continue_request, read_responses_request, read_turn
from inhouse.domain import Modality, Operation

TEXTS = st.text(max_size=8)
ASKED = st.builds(lambda text: {"role": "user", "content": text}, TEXTS)
ANSWERED = st.one_of(
    st.builds(lambda text: {"type": "reasoning", "id": "rs", "encrypted_content": text}, TEXTS),
    st.builds(lambda text: {"type": "message", "content": [{"type": "output_text", "text": text}]}, TEXTS),
    st.builds(lambda text: {"type": "function_call", "call_id": "c", "name": "f", "arguments": text}, TEXTS),
)
TURNS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.lists(ASKED, max_size=2), st.lists(ANSWERED, max_size=3)), max_size=4
)


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


@given(turns=TURNS, own=st.one_of(TEXTS, st.lists(ASKED, max_size=2)))
def test_an_endpoint_gets_every_item_in_order_but_the_reasoning_of_others(
    turns: list[tuple[str, list[Any], list[Any]]], own: Any
) -> None:
    request = read_responses_request(
        encode({"model": "r", "previous_response_id": "resp_0", "input": own, "metadata": {"k": "v"}})
    )
    read = [
        read_turn("r", endpoint_id, encode(asked), encode({"id": "resp", "output": answered}))
        for endpoint_id, asked, answered in turns
    ]

    body = json.loads(continue_request(request, read, "a").edit("tiny"))

    wanted = [
        item
        for endpoint_id, asked, answered in turns
        for item in asked + [one for one in answered if endpoint_id == "a" or one["type"] != "reasoning"]
    ]
    question = (
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": own}]}]
        if isinstance(own, str)
        else own
    )
    assert body == {"model": "tiny", "previous_response_id": None, "input": wanted + question, "metadata": {"k": "v"}}


def test_what_is_told_of_the_request_is_its_own_and_the_kinds_of_all_turns() -> None:
    body = encode(
        {
            "model": "r",
            "stream": True,
            "previous_response_id": "resp_0",
            "input": "a",
            "metadata": {"inhouse_task": "t"},
        }
    )
    picture = [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}]
    turn = read_turn("old", "a", encode(picture), b'{"output":[]}')

    request = continue_request(read_responses_request(body), [turn], "b")

    assert (request.operation, request.body, request.model) == (Operation.RESPONSES, body, "r")
    assert (request.is_stream, request.asks_usage, request.metadata) == (True, True, {"inhouse_task": "t"})
    assert request.modalities == {Modality.TEXT, Modality.IMAGE}
    assert (turn.route, turn.endpoint_id) == ("old", "a")


@pytest.mark.parametrize(
    ("items", "response"),
    [(b"{}", b'{"output":[]}'), (b"[1]", b'{"output":[]}'), (b"[]", b"{}"), (b"[]", b'{"output":[1]}'), (b"[", b"")],
)
def test_what_is_no_turn_is_an_error(items: bytes, response: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_turn("r", "a", items, response)
