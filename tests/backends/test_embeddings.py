"""Embeddings pass verbatim but for the model, and `prompt_tokens` alone is a complete usage."""

from __future__ import annotations

import pytest

from inhouse.backends.embeddings import read_embeddings_reply, read_embeddings_request
from inhouse.backends.wire import WireRequest
from inhouse.domain import ErrorCode, Operation, RequestError, Usage, UsageBasis


@pytest.mark.parametrize("given", [b'"encoding_format": "base64",', b'"encoding_format":"float",', b""])
def test_nothing_but_the_model_changes(given: bytes) -> None:
    """What the SDK asks for by itself (base64) is neither lost nor invented."""
    body = b'{"input":["a","b"],%b"dimensions":256,"model":"m","truncate_prompt_tokens":-1}' % given
    request: WireRequest = read_embeddings_request(body)
    assert request.edit("up") == body.replace(b'"m"', b'"up"')
    assert request.edit("m") is body
    assert (request.operation, request.is_stream, request.model) == (Operation.EMBEDDINGS, False, "m")


@pytest.mark.parametrize("value", [b'"a"', b'["a"]', b"[1,2]", b"[[1],[2]]"])
def test_every_form_of_input_is_taken(value: bytes) -> None:
    assert read_embeddings_request(b'{"model":"m","input":%b}' % value).model == "m"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b'{"model":"m","input":"a"', ErrorCode.INVALID_JSON, None),
        (b'{"model":"m","model":"n","input":"a"}', ErrorCode.INVALID_JSON, None),
        (b'{"input":"a"}', ErrorCode.MISSING_FIELD, "model"),
        (b'{"model":"m","input":null}', ErrorCode.MISSING_FIELD, "input"),
        (b'{"model":"m","input":{}}', ErrorCode.INVALID_REQUEST, "input"),
        (b'{"model":"m","input":"a","stream":true}', ErrorCode.INVALID_REQUEST, "stream"),
    ],
)
def test_a_malformed_request_is_refused_naming_the_field(body: bytes, code: ErrorCode, param: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        read_embeddings_request(body)
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    ("usage", "buckets", "basis"),
    [
        (b'{"prompt_tokens":8,"total_tokens":8}', Usage(input_uncached=8), UsageBasis.MEASURED),
        (b'{"prompt_tokens":8,"completion_tokens":0}', Usage(input_uncached=8), UsageBasis.MEASURED),
        (b'{"total_tokens":8}', None, UsageBasis.UNKNOWN),
        (b"null", None, UsageBasis.UNKNOWN),
    ],
)
def test_prompt_tokens_are_all_that_is_used(usage: bytes, buckets: Usage | None, basis: UsageBasis) -> None:
    facts = read_embeddings_reply(b'{"object":"list","data":[{"embedding":[0.1]}],"model":"up","usage":%b}' % usage)
    assert facts is not None
    assert (facts.usage, facts.usage_basis, facts.model, facts.is_error) == (buckets, basis, "up", False)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"data":', b"{}", b'{"data":"x"}'])
def test_what_is_no_reply_is_none(body: bytes) -> None:
    assert read_embeddings_reply(body) is None


def test_an_error_with_status_200_is_seen() -> None:
    facts = read_embeddings_reply(b'{"error":{"message":"no"}}')
    assert facts is not None
    assert facts.is_error
