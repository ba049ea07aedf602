"""Redaction: secrets are masked by shape and by value; ordinary words are left alone."""

from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhouse.telemetry import RedactingFormatter, Redactor, redact, register_secret


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.DEF-123", "Authorization: Bearer [redacted]"),
        ("authorization: bearer abc.DEF-123, x", "authorization: bearer [redacted], x"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: [redacted]"),
        ('{"api_key": "hunter2hunter"}', '{"api_key": "[redacted]"}'),
        ("x-api-key: 0123456789", "x-api-key: [redacted]"),
        ("{'api-key': '0123456789'}", "{'api-key': '[redacted]'}"),
        ("used sk-proj-abc_DEF-123 twice", "used sk-[redacted] twice"),
        ("postgresql://app:s3cret@db.internal/inhouse", "postgresql://app:[redacted]@db.internal/inhouse"),
    ],
)
def test_secrets_are_masked_by_their_shape(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "task-force-alpha and risk-averse-people",
        "the basic idea is plain",
        "http://127.0.0.1:8080/v1/chat/completions",
        "2026-11-23T19:14:00 clerk-0 ready in 240 ms",
        "api key is missing",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_registered_values_are_masked_wherever_they_stand() -> None:
    redactor = Redactor()
    redactor.register("hunter2hunter2")
    redactor.register("hunter2hunter2.longer")
    assert redactor.redact("a=hunter2hunter2.longer&b=hunter2hunter2;") == "a=[redacted]&b=[redacted];"
    assert "hunter2" not in repr(redactor)


def test_a_short_value_is_refused_without_saying_it() -> None:
    with pytest.raises(ValueError, match="8 characters") as caught:
        Redactor().register("abc")
    assert "abc" not in str(caught.value)


@given(st.text(min_size=8, max_size=40), st.text(max_size=60), st.text(max_size=60))
def test_no_registered_value_survives(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.register(secret)
    masked = redactor.redact(before + secret + after)
    assert secret not in masked.replace("[redacted]", "\0")


def test_log_lines_and_tracebacks_are_masked() -> None:
    register_secret("tracebacksecret1")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(RedactingFormatter("%(levelname)s %(message)s"))
    error = ValueError("tracebacksecret1 broke")
    record = logging.LogRecord("t", logging.ERROR, __file__, 1, "call with %s failed", ("Bearer abcdefgh",), None)
    record.exc_info = (ValueError, error, None)
    handler.handle(record)
    text = stream.getvalue()
    assert text.startswith("ERROR call with Bearer [redacted] failed\n")
    assert "ValueError: [redacted] broke" in text
    assert "tracebacksecret1" not in text
