"""A refusal by an endpoint of one dialect reaches a client of the other in its own shape."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest

from backends.translated import read_chat_error, read_messages_error
from inhouse.backends.translate import chat_error_from_messages, messages_error_from_chat


def test_anthropics_refusal_as_openais_sdk_reads_it() -> None:
    body = (
        b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too large"},"request_id":"r"}'
    )
    error = read_chat_error(400, chat_error_from_messages(400, body))
    assert isinstance(error, openai.BadRequestError)
    assert (error.code, error.param, error.type) == ("upstream_rejected", None, "invalid_request_error")
    assert "max_tokens: too large" in error.message


def test_a_code_that_anthropic_names_is_kept() -> None:
    body = b'{"type":"error","error":{"type":"x","message":"m","details":{"error_code":"file_expired"}}}'
    assert read_chat_error(404, chat_error_from_messages(404, body)).code == "file_expired"


def test_openais_refusal_as_anthropics_sdk_reads_it() -> None:
    body = b'{"error":{"message":"Too long.","type":"x","param":"messages","code":"context_length_exceeded"}}'
    error = read_messages_error(400, messages_error_from_chat(400, body))
    assert isinstance(error, anthropic.BadRequestError)
    assert (error.type, error.api_message) == ("invalid_request_error", "Too long.")
    assert error.error_code == "context_length_exceeded"
    assert json.loads(messages_error_from_chat(400, body))["error"]["param"] == "messages"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"object":"error","message":"Too long.","type":"BadRequestError","code":400}', "Too long."),
        (b'{"error":{"code":400,"message":"Too long.","type":"invalid_request_error"}}', "Too long."),
        (b'{"error":"Too long.","error_type":"validation"}', "Too long."),
        (b'{"detail":"Not Found"}', "Not Found"),
        (
            b'{"detail":[{"loc":["body"]}]}',
            "The endpoint refused the request with HTTP 422 and no message that can be shown.",
        ),
        (b"<html>secret</html>", "The endpoint refused the request with HTTP 422 and no message that can be shown."),
        (b'{"error":[1]}', "The endpoint refused the request with HTTP 422 and no message that can be shown."),
    ],
)
def test_the_forms_of_engines_are_read_and_nothing_else_is_shown(body: bytes, message: str) -> None:
    error = json.loads(messages_error_from_chat(422, body))["error"]
    assert (error["message"], error["code"]) == (message, "upstream_rejected")
    assert json.loads(chat_error_from_messages(422, body))["error"]["message"] == message
