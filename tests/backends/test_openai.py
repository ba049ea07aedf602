from __future__ import annotations

import pytest

from inhouse.backends import parse_usage, read_chat_request, read_reply
from inhouse.domain import ErrorCode, Modality, RequestError, Usage, UsageBasis


def usage_of(text: str) -> tuple[Usage | None, UsageBasis]:
    reply = read_reply(b'{"usage":' + text.encode() + b"}")
    assert reply is not None
    return parse_usage(reply.usage)


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        (
            '{"prompt_tokens":100,"completion_tokens":40,"total_tokens":140}',
            Usage(input_uncached=100, output_visible=40),
        ),
        (
            (
                '{"prompt_tokens":100,"completion_tokens":40,"prompt_tokens_details":{"cached_tokens":64},"completion'
                '_tokens_details":{"reasoning_tokens":32,"audio_tokens":0}}'
            ),
            Usage(input_uncached=36, cache_read=64, output_visible=8, output_reasoning=32),
        ),
        (
            '{"prompt_tokens":7,"completion_tokens":0,"prompt_tokens_details":null,"completion_tokens_details":{}}',
            Usage(input_uncached=7),
        ),
    ],
)
def test_reported_tokens_fall_into_disjoint_buckets(wire: str, usage: Usage) -> None:
    assert usage_of(wire) == (usage, UsageBasis.MEASURED)


@pytest.mark.parametrize(
    "wire",
    [
        "null",
        "{}",
        '{"prompt_tokens":5}',
        '{"prompt_tokens":-5,"completion_tokens":1}',
        '{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":6}}',
        '{"prompt_tokens":5,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":2}}',
        '{"prompt_tokens":5,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":-1}}',
    ],
)
def test_contradictory_or_missing_counts_are_unknown_and_never_a_guess(wire: str) -> None:
    assert usage_of(wire) == (None, UsageBasis.UNKNOWN)


def test_modalities_are_found_also_behind_escapes() -> None:
    body = (
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image\\u005furl"}]},'
        b'{"role":"user","content":[{"type":"input_audio"},{"type":"file"}]},{"role":"assistant"}]}'
    )
    assert read_chat_request(body).modalities == frozenset(Modality)
    plain = read_chat_request(b'{"model":"m","messages":[{"role":"user","content":"type"}]}')
    assert plain.modalities == frozenset({Modality.TEXT})


def test_metadata_of_ours_is_read_and_other_metadata_left_alone() -> None:
    request = read_chat_request(b'{"model":"m","messages":[],"metadata":{"inhouse_task":"sql","mine":[1]}}')
    assert request.metadata == {"inhouse_task": "sql"}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", ErrorCode.INVALID_JSON, None),
        (b"{", ErrorCode.INVALID_JSON, None),
        (b"[1]", ErrorCode.INVALID_JSON, None),
        (b'{"model":"m","messages":[]} x', ErrorCode.INVALID_JSON, None),
        (b'{"messages":[]}', ErrorCode.MISSING_FIELD, "model"),
        (b'{"model":"m"}', ErrorCode.MISSING_FIELD, "messages"),
        (b'{"model":1,"messages":[]}', ErrorCode.INVALID_REQUEST, "model"),
        (b'{"model":"m","messages":{}}', ErrorCode.INVALID_REQUEST, "messages"),
        (b'{"model":"m","messages":[1,{"type":1}]}', ErrorCode.INVALID_REQUEST, "messages"),
        (b'{"model":"m","messages":[{"content":[{"type":1}]}]}', ErrorCode.INVALID_REQUEST, "messages"),
        (b'{"model":"m","messages":[],"stream":"yes"}', ErrorCode.INVALID_REQUEST, "stream"),
        (b'{"model":"m","messages":[],"stream_options":1}', ErrorCode.INVALID_REQUEST, "stream_options"),
        (b'{"model":"m","messages":[],"metadata":1}', ErrorCode.INVALID_REQUEST, "metadata"),
        (
            b'{"model":"m","messages":[],"metadata":{"inhouse_task":1}}',
            ErrorCode.INVALID_REQUEST,
            "metadata.inhouse_task",
        ),
    ],
)
def test_a_bad_body_is_refused_by_the_name_of_its_fault(body: bytes, code: ErrorCode, param: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        read_chat_request(body)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


def test_a_malformed_body_is_refused_with_the_position() -> None:
    with pytest.raises(RequestError, match="byte 13"):
        read_chat_request(b'{"model":"m",}')


def test_replies_are_read_as_far_as_they_are_metered() -> None:
    chunk = read_reply(b'{"choices":[{"delta":{"tool_calls":[{"index":0}]},"finish_reason":null}],"model":"m-1"}')
    assert chunk is not None
    assert chunk.has_content
    assert not chunk.is_usage_only
    empty = read_reply(b'{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}')
    assert empty is not None
    assert not empty.has_content
    assert read_reply(b'{"choices":') is None
    failed = read_reply(b'{"error":{"message":"x"}}')
    assert failed is not None
    assert failed.is_error
