"""Edits by byte span change what they name and nothing else, for any JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.backends.openai import read_chat_request
from inhouse.backends.splice import MAX_DEPTH, JsonError, read_object
from inhouse.domain import ErrorCode, RequestError

NAMES = st.one_of(
    st.sampled_from(["model", "messages", "stream", "x", 'q"uote', "mo\\del", "modèle"]), st.text(max_size=6)
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(['"model":"x"', "}", "\\", "\\u006dodel"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
SPACES = st.sampled_from(["", " ", "\n\t", "  \r\n"])
STREAM_OPTIONS = st.one_of(st.none(), st.dictionaries(st.sampled_from(["include_usage", "other"]), st.booleans()))


@st.composite
def chat_bodies(draw: st.DrawFn) -> bytes:
    """A chat request with any unknown members, in any order, with any spacing and escaping."""
    members: dict[str, Any] = {
        name: value
        for name, value in draw(st.dictionaries(NAMES, VALUES, max_size=5)).items()
        if name not in ("stream", "stream_options", "metadata")
    }
    members["model"] = draw(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8))
    members["messages"] = draw(
        st.lists(st.dictionaries(st.sampled_from(["role", "model"]), VALUES, max_size=2), max_size=3)
    )
    if draw(st.booleans()):
        members["stream"] = draw(st.booleans())
    if draw(st.booleans()):
        members["stream_options"] = draw(STREAM_OPTIONS)
    is_ascii = draw(st.booleans())
    space = draw(SPACES)
    parts: list[str] = []
    for name in draw(st.permutations(list(members))):
        key = json.dumps(name, ensure_ascii=is_ascii)
        if draw(st.booleans()) and name == "model":
            key = '"mod\\u0065l"'
        parts.append(f"{space}{key}{space}:{space}{json.dumps(members[name], ensure_ascii=is_ascii)}{space}")
    return (space + "{" + ",".join(parts) + "}" + space).encode()


@given(body=chat_bodies(), model=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8))
def test_an_edited_body_decodes_to_the_original_apart_from_the_permitted_edits(body: bytes, model: str) -> None:
    original = json.loads(body)
    request = read_chat_request(body)
    expected = original | {"model": model}
    if original.get("stream") is True:
        expected["stream_options"] = (original.get("stream_options") or {}) | {"include_usage": True}
    edited = request.edit(model)
    assert json.loads(edited) == expected
    assert list(json.loads(edited))[: len(original)] == list(original)
    if expected == original:
        assert edited == body


@given(body=chat_bodies())
def test_bytes_outside_the_model_stay_as_they_are(body: bytes) -> None:
    request = read_chat_request(body)
    if request.is_stream:
        return
    spans = read_object(body).spans
    start, stop = spans["model"]
    assert request.edit(request.model + "!") == body[:start] + msgspec.json.encode(request.model + "!") + body[stop:]
    assert body[request.start :].startswith(request.messages)
    assert request.start == spans["messages"][0] or body[spans["messages"][0] :].startswith(request.messages)


MESSAGES = st.sampled_from(
    ["[]", "[1]", '[{"role":"user","content":"hi"}]', '[{"content":"a \\"messages\\":[] b"}]', "[[]]", '["é"]']
)
AROUND = st.sampled_from(
    [
        '{"model":"m","messages":@}',
        '{"messages":@,"model":"m"}',
        '{"messages" : @ , "model" : "m"}',
        '{"model":"m","messages": @,"stream":true}',
        '{"stream":true,"stream_options":{"include_usage":true},"messages":@,"model":"m"}',
        '{"stream":true,"stream_options":{"a":1},"messages":@,"model":"m"}',
        '{"x":{"messages":@},"model":"m","messages":@}',
        '{"x":{"messages":1,"y":@},"messages": @,"model":"m"}',
        '{"tools":[@],"model":"m","messages" :@,"metadata":{"inhouse_task":"t"}}',
        '{"x":@,"messages":@,"y":{"model":"n","stream":true},"model":"m"}',
        '{"x":"[]","y":"[1]","messages":@,"model":"m"}',
    ]
)


@settings(max_examples=300)
@given(around=AROUND, rounds=st.lists(MESSAGES, min_size=1, max_size=4), model=st.sampled_from(["m", "other", "é"]))
def test_what_was_learned_of_one_body_holds_for_those_that_differ_in_their_messages(
    around: str, rounds: list[str], model: str
) -> None:
    """Wherever the same text stands elsewhere in the body, and whatever was read before."""
    for messages in rounds:
        body = around.replace("@", messages).encode()
        original = json.loads(body)
        request = read_chat_request(body)
        expected = original | {"model": model}
        if original.get("stream") is True:
            expected["stream_options"] = (original.get("stream_options") or {}) | {"include_usage": True}

        assert json.loads(request.edit(model)) == expected
        assert (request.model, request.is_stream) == ("m", original.get("stream") is True)
        assert json.loads(request.messages) == original["messages"]
        assert dict(request.metadata) == original.get("metadata", {})


@given(members=st.dictionaries(NAMES, VALUES, max_size=5), name=NAMES, value=VALUES)
def test_replace_sets_one_member_of_any_object(members: dict[str, Any], name: str, value: Any) -> None:
    text = json.dumps(members).encode()
    edited = read_object(text).replace({name: json.dumps(value).encode()})
    assert json.loads(edited) == members | {name: value}


def test_number_formats_key_order_and_unknown_members_travel_byte_for_byte() -> None:
    body = b'{ "zeta":1.10e+2, "model" : "chat" ,"messages":[{"model":"inner"}],"top_k":0.10,"a":[ 1 ,2 ]}'
    assert read_chat_request(body).edit("tiny") == body.replace(b'"chat"', b'"tiny"')


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b","messages":[]}',
        b'{"model":"a","messages":[],"messages":[1]}',
        b'{"model":"a","mod\\u0065l":"b","messages":[]}',
        b'{"model":"a","messages":[],"stream":false,"stream":true}',
        b'{"model":"a","messages":[],"stream":true,"stre\\u0061m":true}',
    ],
)
def test_a_deciding_name_given_twice_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        read_chat_request(body)
    assert caught.value.code is ErrorCode.INVALID_JSON
    assert "twice" in str(caught.value)


def test_nesting_is_bounded_also_where_brackets_alternate_and_where_strings_hold_brackets() -> None:
    deep = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
    assert read_object(deep).members
    for bomb in (
        b'{"a":' + deep + b"}",
        b'{"a":' + b'[{"b":' * 100 + b"1" + b"}]" * 100 + b"}",
        b'{"a":' + b"[" * 100_000,
    ):
        with pytest.raises(JsonError):
            read_object(bomb)
    wide = b'{"a":"' + b"[{" * 1000 + b'","b":[' + b",".join([b"[]"] * 1000) + b"]}"
    assert set(read_object(wide).members) == {"a", "b"}


def test_malformed_text_costs_linear_time() -> None:
    with pytest.raises(JsonError):
        read_object(b'{"a":' + b"[" * 200 + b'"' + b'\\"' * 200_000 + b"\\")


def test_invalid_utf8_in_an_undecoded_part_is_found() -> None:
    with pytest.raises(JsonError, match="byte 6"):
        read_object(b'{"a":"\xff"}')
    with pytest.raises(JsonError, match="object"):
        read_object(b"[1]")
    assert read_object(b" { } ").replace({"a": b"1"}) == b' { "a":1} '
